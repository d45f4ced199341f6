"""What is each GLUE task: its files, columns, labels, metrics and what the server wants back?

The layout of the files is that of the official download, read as `tensorflow_datasets`
(text/glue.py) reads it. The order of `labels` is the dataset's own (the same file's ClassLabel
names); peers order MNLI's differently, so results and exports store the order with the numbers.

Numbers of rows: counted from the files for CoLA, SST-2, MRPC and RTE, and as huggingface/datasets
(datasets/glue/dataset_infos.json) counted them for the others.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping

from nlp_export.errors import RequestError

ACCURACY = 'accuracy'
F1 = 'f1'
MATTHEWS = 'matthews_correlation'
PEARSON = 'pearson'
SPEARMAN = 'spearman'

TRAIN = 'train'


@dataclasses.dataclass(frozen=True)
class Split:
  """One file of a task.

  Attributes:
    name: 'train', 'dev', 'test', or with the genre: 'dev_matched'.
    file: its name in the task's directory.
    text_columns: one for each segment: header names, or positions from 0 in a file without header.
    label_column: likewise; None where the labels are kept by the server.
    width: number of fields of a file without header; None where the header says it.
    rows: examples in the official file (in ours, for the builtin tasks).
    tfds: name of the split in tensorflow_datasets.
    submission: name of the file with its predictions in the server's zip; '' if it takes none.
    suffix: what tells this split's metrics from those of the task's others, '_matched'.
  """

  name: str
  file: str
  text_columns: tuple[str | int, ...]
  label_column: str | int | None
  width: int | None = None
  rows: int = 0
  tfds: str = ''
  submission: str = ''
  suffix: str = ''

  @property
  def has_header(self) -> bool:
    """True if the first line names the columns."""
    return self.width is None

  @property
  def is_test(self) -> bool:
    """True if the predictions for it go to the server."""
    return bool(self.submission)


@dataclasses.dataclass(frozen=True)
class Task:
  """A task; see the table below.

  Attributes:
    name: as in TASKS of a gin file and in tensorflow_datasets ('cola').
    directory: its folder in the official layout ('CoLA'); '' for the builtin tasks.
    features: name of each segment in tensorflow_datasets, first segment first.
    labels: names in the dataset's own order, the position is the id; None for a regression.
    values: how each label is written in the files and to the server, in the same order.
    metrics: as GLUE defines them, before a split's suffix.
    main_metric: of them (with suffix) the one that a single number means. The BERT paper's choice
      where GLUE has two: F1 for MRPC and QQP, Spearman for STS-B.
    splits: every file.
    model_task: the task whose fine-tuned model makes the predictions: 'mnli' for 'ax'.
    value_range: lowest and highest value of a regression's labels.
    not_averaged: why the task stays out of averages, '' if it does not.
  """

  name: str
  directory: str
  features: tuple[str, ...]
  labels: tuple[str, ...] | None
  values: tuple[str, ...] | None
  metrics: tuple[str, ...]
  main_metric: str
  splits: tuple[Split, ...]
  model_task: str
  value_range: tuple[float, float] | None = None
  not_averaged: str = ''

  @property
  def segments(self) -> int:
    """1 or 2: sentences in an example."""
    return len(self.features)

  @property
  def is_regression(self) -> bool:
    """True if a label is a number, not a class."""
    return self.labels is None

  @property
  def is_builtin(self) -> bool:
    """True if it is made at run time and needs no files."""
    return not self.directory

  @property
  def outputs(self) -> int:
    """Outputs of the task's head: 1 for a regression, else one for each label."""
    return 1 if self.labels is None else len(self.labels)

  @property
  def dev_splits(self) -> tuple[str, ...]:
    """Names of the labelled splits that scores are reported on; MNLI has two."""
    return tuple(split.name for split in self.splits if split.name.startswith('dev'))

  @property
  def test_splits(self) -> tuple[str, ...]:
    """Names of the splits whose predictions go to the server."""
    return tuple(split.name for split in self.splits if split.is_test)

  @property
  def has_train(self) -> bool:
    """False for the diagnostic set, which only has something to predict."""
    return any(split.name == TRAIN for split in self.splits)

  def split(self, name: str) -> Split:
    """The split of that name; RequestError if there is none."""
    for split in self.splits:
      if split.name == name:
        return split
    known = ', '.join(split.name for split in self.splits)
    raise RequestError(f'Task {self.name} has no split {name!r}. It has {known}.')

  def metric_names(self, split: str) -> tuple[str, ...]:
    """Names of the metrics on a split: 'accuracy_matched' for MNLI's dev_matched."""
    return tuple(metric + self.split(split).suffix for metric in self.metrics)


def _splits(
    text: tuple[str, ...],
    label: str | None,
    rows: tuple[int, int, int],
    submission: str,
    test_text: tuple[str, ...] | None = None,
) -> tuple[Split, ...]:
  """train.tsv, dev.tsv and test.tsv, all with a header."""
  return (
      Split(TRAIN, 'train.tsv', text, label, rows=rows[0], tfds='train'),
      Split('dev', 'dev.tsv', text, label, rows=rows[1], tfds='validation'),
      Split('test', 'test.tsv', test_text or text, None, rows=rows[2], tfds='test',
            submission=submission),
  )


_PAIR = ('sentence1', 'sentence2')
_ENTAILMENT = ('entailment', 'not_entailment')
_INFERENCE = ('entailment', 'neutral', 'contradiction')
_BINARY = ('0', '1')


def _mnli_splits() -> tuple[Split, ...]:
  splits = [Split(TRAIN, 'train.tsv', _PAIR, 'gold_label', rows=392702, tfds='train')]
  rows = {'matched': (9815, 9796, 'MNLI-m.tsv'), 'mismatched': (9832, 9847, 'MNLI-mm.tsv')}
  for genre, (dev, test, submission) in rows.items():
    splits.append(Split(f'dev_{genre}', f'dev_{genre}.tsv', _PAIR, 'gold_label', rows=dev,
                        tfds=f'validation_{genre}', suffix=f'_{genre}'))
    splits.append(Split(f'test_{genre}', f'test_{genre}.tsv', _PAIR, None, rows=test,
                        tfds=f'test_{genre}', submission=submission, suffix=f'_{genre}'))
  return tuple(splits)


def _builtin(
    name: str, features: tuple[str, ...], labels: tuple[str, ...], rows: tuple[int, int, int]
) -> Task:
  return Task(
      name, '', features, labels, labels, (ACCURACY,), ACCURACY,
      tuple(Split(split, '', (), None, rows=count)
            for split, count in zip((TRAIN, 'dev', 'test'), rows, strict=True)), name,
      not_averaged='It is not of GLUE: made at run time, for trying things out.')


_TABLE = (
    # Source, label, the author's mark, sentence; only the test file has a header.
    Task('cola', 'CoLA', ('sentence',), ('unacceptable', 'acceptable'), _BINARY,
         (MATTHEWS,), MATTHEWS,
         (Split(TRAIN, 'train.tsv', (3,), 1, width=4, rows=8551, tfds='train'),
          Split('dev', 'dev.tsv', (3,), 1, width=4, rows=1043, tfds='validation'),
          Split('test', 'test.tsv', ('sentence',), None, rows=1063, tfds='test',
                submission='CoLA.tsv')),
         'cola'),
    Task('sst2', 'SST-2', ('sentence',), ('negative', 'positive'), _BINARY,
         (ACCURACY,), ACCURACY,
         _splits(('sentence',), 'label', (67349, 872, 1821), 'SST-2.tsv'), 'sst2'),
    # Its files start with a byte-order mark. Some copies of train.tsv have 3667 rows.
    Task('mrpc', 'MRPC', _PAIR, ('not_equivalent', 'equivalent'), _BINARY,
         (ACCURACY, F1), F1,
         _splits(('#1 String', '#2 String'), 'Quality', (3668, 408, 1725), 'MRPC.tsv'), 'mrpc'),
    Task('stsb', 'STS-B', _PAIR, None, None,
         (PEARSON, SPEARMAN), SPEARMAN,
         _splits(_PAIR, 'score', (5749, 1500, 1379), 'STS-B.tsv'), 'stsb', (0.0, 5.0)),
    Task('qqp', 'QQP', ('question1', 'question2'), ('not_duplicate', 'duplicate'), _BINARY,
         (ACCURACY, F1), F1,
         _splits(('question1', 'question2'), 'is_duplicate', (363846, 40430, 390965), 'QQP.tsv'),
         'qqp'),
    Task('mnli', 'MNLI', ('premise', 'hypothesis'), _INFERENCE, _INFERENCE,
         (ACCURACY,), 'accuracy_matched', _mnli_splits(), 'mnli'),
    Task('qnli', 'QNLI', ('question', 'sentence'), _ENTAILMENT, _ENTAILMENT,
         (ACCURACY,), ACCURACY,
         _splits(('question', 'sentence'), 'label', (104743, 5463, 5463), 'QNLI.tsv'), 'qnli'),
    Task('rte', 'RTE', _PAIR, _ENTAILMENT, _ENTAILMENT,
         (ACCURACY,), ACCURACY,
         _splits(_PAIR, 'label', (2490, 277, 3000), 'RTE.tsv'), 'rte'),
    Task('wnli', 'WNLI', _PAIR, ('not_entailment', 'entailment'), _BINARY,
         (ACCURACY,), ACCURACY,
         _splits(_PAIR, 'label', (635, 71, 146), 'WNLI.tsv'), 'wnli',
         not_averaged='65 of its 71 dev premises occur in train, there mostly with the opposite '
         'label: a model that learns scores below chance, and the best known answer is the '
         'majority label. The BERT paper leaves it out for that reason.'),
    Task('ax', 'diagnostic', ('premise', 'hypothesis'), _INFERENCE, _INFERENCE,
         (MATTHEWS,), MATTHEWS,
         (Split('test', 'diagnostic.tsv', _PAIR, None, rows=1104, tfds='test',
                submission='AX.tsv'),),
         'mnli', not_averaged='It has no labels here: the server scores what an MNLI model says.'),
    _builtin('builtin_word_order', ('sentence',), ('shuffled', 'intact'), (2400, 600, 600)),
    _builtin('builtin_next_sentence', _PAIR, ('unrelated', 'next'), (2000, 400, 400)),
)  # fmt: skip

TASKS: Mapping[str, Task] = {task.name: task for task in _TABLE}


def get(name: str) -> Task:
  """The task of that name, as in `TASKS = ('cola', 'rte')` of a gin file.

  Raises:
    RequestError: there is none; the message lists them, with the nearest first.
  """
  if name in TASKS:
    return TASKS[name]
  lowered = name.lower().replace('-', '').replace('_', '') if isinstance(name, str) else ''
  near = difflib.get_close_matches(lowered, TASKS, 1, 0.5)
  hint = f' Did you mean {near[0]!r}?' if near else ''
  raise RequestError(f'There is no task {name!r}.{hint} The tasks are: {", ".join(TASKS)}.')
