"""Which dev and test results were published for encoders that a run may be held against?

Each number was read in the source that its row names (README files on GitHub). A number is left
out where its source does not say which metric it is (MRPC or STS-B in several tables), which of
MNLI's dev sets, or which weights (BERT-large, cased or not, in ALBERT's table). Numbers known from
papers at second hand are not here.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How a published result was trained; None: its source does not say.

  Attributes:
    epochs: over the training set.
    learning_rate: peak.
    batch_size: examples.
    seq_length: tokens, the longest.
    chosen: how the number was picked: 'one run', 'median of seeds', 'best of a search' ...
  """

  epochs: float | None = None
  learning_rate: float | None = None
  batch_size: int | None = None
  seq_length: int | None = None
  chosen: str = 'not stated'


@dataclasses.dataclass(frozen=True)
class Row:
  """Results of one encoder under one recipe, in percent as published.

  Attributes:
    encoder: a name of ENCODERS.
    split: 'dev' or 'test'. They are never compared: dev and test of GLUE differ by points.
    source: where it can be read.
    recipe: of all tasks, but see `recipes`.
    scores: (task, metric) -> percent.
    sds: (task, metric) -> standard deviation over seeds, in points.
    highs: (task, metric) -> upper end, where a range was published and `scores` is its lower end.
    recipes: task -> the recipe where it is another.
  """

  encoder: str
  split: str
  source: str
  recipe: Recipe
  scores: dict[tuple[str, str], float]
  sds: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
  highs: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
  recipes: dict[str, Recipe] = dataclasses.field(default_factory=dict)


# Name -> (layers, width).
ENCODERS = {
    'bert-tiny-uncased': (2, 128),
    'bert-mini-uncased': (4, 256),
    'bert-small-uncased': (4, 512),
    'bert-medium-uncased': (8, 512),
    'bert-base-uncased': (12, 768),
    'bert-base-cased': (12, 768),
    'bert-large-uncased': (24, 1024),
    'bert-large-cased': (24, 1024),
    'distilbert-base-uncased': (6, 768),
    'distilbert-base-cased': (6, 768),
    'minilm-l12-h384-uncased': (12, 384),
    'minilm-l6-h384-uncased-distilled': (6, 384),
    'electra-small': (12, 256),
    'electra-small-owt': (12, 256),
    'electra-base': (12, 768),
}

_COLA = ('cola', 'matthews_correlation')
_SST2 = ('sst2', 'accuracy')
_MRPC_F1, _MRPC = ('mrpc', 'f1'), ('mrpc', 'accuracy')
_PEARSON, _SPEARMAN = ('stsb', 'pearson'), ('stsb', 'spearman')
_QQP, _QQP_F1 = ('qqp', 'accuracy'), ('qqp', 'f1')
_MATCHED, _MISMATCHED = ('mnli', 'accuracy_matched'), ('mnli', 'accuracy_mismatched')
_QNLI, _RTE, _WNLI = ('qnli', 'accuracy'), ('rte', 'accuracy'), ('wnli', 'accuracy')
_AX = ('ax', 'matthews_correlation')

_HF = 'huggingface/transformers examples/pytorch/text-classification/README.md'
_DISTIL = 'huggingface/transformers examples/research_projects/distillation/README.md'
_MINILM = 'microsoft/unilm minilm/README.md'
_ELECTRA = 'google-research/electra README.md'
_BERT = 'google-research/bert README.md'
_MOSBACH = 'uds-lsv/bert-stable-fine-tuning (Mosbach et al. 2021), table of the README'

_HF_RECIPE = Recipe(3, 2e-5, 32, 128, 'one run')
_HF_FIVE = {task: dataclasses.replace(_HF_RECIPE, epochs=5) for task in ('mrpc', 'wnli')}
_MEDIAN = Recipe(chosen='median of many seeds')
_STABLE = Recipe(20, 2e-5, 16, 128, 'mean of 25 seeds, best checkpoint on dev')
_SEARCH = Recipe(4, chosen='best of batch sizes 8 to 128 and learning rates 3e-5 to 3e-4')


def _turc(*percent: float) -> dict[tuple[str, str], float]:
  columns = (_COLA, _SST2, _MRPC_F1, _MRPC, _PEARSON, _SPEARMAN, _QQP_F1, _QQP, _MATCHED,
             _MISMATCHED, _QNLI, _RTE, _WNLI, _AX)
  return dict(zip(columns, percent, strict=True))


ROWS = (
    Row('bert-base-cased', 'dev', _HF, _HF_RECIPE, {
        _COLA: 56.53, _SST2: 92.32, _MRPC_F1: 88.85, _MRPC: 84.07, _PEARSON: 88.64,
        _SPEARMAN: 88.48, _QQP: 90.71, _QQP_F1: 87.49, _MATCHED: 83.91, _MISMATCHED: 84.10,
        _QNLI: 90.66, _RTE: 65.70, _WNLI: 56.34}, recipes=_HF_FIVE),
    Row('bert-base-cased', 'dev', f'{_HF}, in float16', _HF_RECIPE, {
        _COLA: 56.78, _SST2: 91.74, _MRPC_F1: 88.12, _MRPC: 83.58, _PEARSON: 88.71,
        _SPEARMAN: 88.55, _QQP: 90.67, _QQP_F1: 87.43, _MATCHED: 84.04, _MISMATCHED: 84.06,
        _QNLI: 90.96, _RTE: 65.34, _WNLI: 56.34}, recipes=_HF_FIVE),
    Row('bert-base-uncased', 'dev', _DISTIL, Recipe(), {
        _COLA: 56.3, _SST2: 92.7, _QNLI: 91.8, _RTE: 69.3, _WNLI: 53.5}),
    Row('bert-base-cased', 'dev', _DISTIL, Recipe(), {
        _COLA: 58.2, _SST2: 91.7, _QNLI: 91.0, _RTE: 66.1, _WNLI: 46.5}),
    Row('distilbert-base-uncased', 'dev', _DISTIL, Recipe(), {
        _COLA: 51.3, _SST2: 91.3, _QNLI: 89.2, _RTE: 59.9, _WNLI: 56.3}),
    Row('distilbert-base-cased', 'dev', _DISTIL, Recipe(), {
        _COLA: 47.2, _SST2: 90.4, _QNLI: 88.2, _RTE: 60.6, _WNLI: 56.3}),
    Row('minilm-l12-h384-uncased', 'dev', _MINILM, Recipe(), {
        _COLA: 58.5, _SST2: 93.0, _MATCHED: 85.7, _QNLI: 91.5, _RTE: 73.3}),
    Row('minilm-l6-h384-uncased-distilled', 'dev', _MINILM, Recipe(), {
        _COLA: 47.5, _SST2: 91.5, _MATCHED: 83.3, _QNLI: 90.5, _RTE: 68.8}),
    Row('electra-small', 'dev', _ELECTRA, _MEDIAN, {
        _COLA: 57.0, _SST2: 91.2, _MRPC: 88.0, _SPEARMAN: 87.5, _QQP: 89.0, _QNLI: 88.4,
        _RTE: 66.7}),
    Row('electra-base', 'dev', _ELECTRA, _MEDIAN, {
        _COLA: 67.7, _SST2: 95.1, _MRPC: 89.5, _SPEARMAN: 91.2, _QQP: 91.5, _QNLI: 93.2,
        _RTE: 82.7}),
    Row('electra-small-owt', 'dev', _ELECTRA, _MEDIAN, {
        _COLA: 56.8, _SST2: 88.3, _MRPC: 87.4, _SPEARMAN: 86.8, _QQP: 88.3, _QNLI: 87.9,
        _RTE: 68.5}),
    Row('bert-base-uncased', 'dev', _BERT, Recipe(3, 2e-5, 32, 128, 'range of re-runs'),
        {_MRPC: 84.0}, highs={_MRPC: 88.0}),
    Row('bert-large-uncased', 'dev', _MOSBACH, _STABLE,
        {_RTE: 70.1, _MRPC_F1: 89.6, _COLA: 64.6}, sds={_RTE: 2.4, _MRPC_F1: 0.8, _COLA: 1.0}),
    Row('bert-tiny-uncased', 'test', _BERT, _SEARCH, _turc(
        0.0, 83.2, 81.1, 71.1, 74.3, 73.6, 62.2, 83.4, 70.2, 70.3, 81.5, 57.2, 62.3, 21.0)),
    Row('bert-mini-uncased', 'test', _BERT, _SEARCH, _turc(
        0.0, 85.9, 81.1, 71.8, 75.4, 73.3, 66.4, 86.2, 74.8, 74.3, 84.1, 57.9, 62.3, 26.1)),
    Row('bert-small-uncased', 'test', _BERT, _SEARCH, _turc(
        27.8, 89.7, 83.4, 76.2, 78.8, 77.0, 68.1, 87.0, 77.6, 77.0, 86.4, 61.8, 62.3, 28.6)),
    Row('bert-medium-uncased', 'test', _BERT, _SEARCH, _turc(
        38.0, 89.6, 86.6, 81.6, 80.4, 78.4, 69.6, 87.9, 80.0, 79.1, 87.7, 62.2, 62.3, 30.5)),
)
