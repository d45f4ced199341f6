"""How are TF-NLP's pre-training records read, and written for its trainer?

The format of official/nlp/data/create_pretraining_data.py: a tf.Example for each instance, packed
and masked, with the names of its v1 (`input_ids`, `segment_ids`) or v2 (`input_word_ids`,
`input_type_ids`), which the first record tells. The masks can be used as they are, or undone: where
a prediction's weight is above 0 its id is put back, which gives the original text for new masks at
every epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.pretraining.data.recipe import (
    MASKED_LM_IDS,
    MASKED_LM_WEIGHTS,
    NEXT_SENTENCE_LABELS,
)

_V1 = {'input_ids': names.INPUT_WORD_IDS, 'segment_ids': names.INPUT_TYPE_IDS}
_NEEDED = (*names.ENCODER_INPUTS, names.MASKED_LM_POSITIONS, MASKED_LM_IDS, MASKED_LM_WEIGHTS)
_SCRIPT = 'official/nlp/data/create_pretraining_data.py'
_BATCH = 1000
_GZIP = b'\x1f\x8b\x08'  # Otherwise the length of the first row, which would be 560 KB.


@dataclasses.dataclass(frozen=True, eq=False)
class Instances:
  """Rows of such files, in memory.

  Attributes:
    columns: TF-NLP's v2 names -> int32 [rows, seq_length] or [rows, max_predictions];
      masked_lm_weights float32; next_sentence_labels int32 [rows, 1] if they have pairs.
    paths: the files.
  """

  columns: Mapping[str, np.ndarray]
  paths: tuple[str, ...]

  @property
  def seq_length(self) -> int:
    """Tokens in a row."""
    return self.columns[names.INPUT_WORD_IDS].shape[1]

  @property
  def max_predictions(self) -> int:
    """Most masked tokens in a row."""
    return self.columns[names.MASKED_LM_POSITIONS].shape[1]

  @property
  def has_pairs(self) -> bool:
    """Whether each row says what its second segment is."""
    return NEXT_SENTENCE_LABELS in self.columns

  def check(self, tokenizer: Any, seq_length: int, max_predictions: int) -> None:
    """Refuses a vocabulary or settings that these rows were not made with.

    Raises:
      RequestError: names both values.
    """
    for what, asked, found in (('seq_length', seq_length, self.seq_length),
                               ('max_predictions', max_predictions, self.max_predictions)):
      if asked != found:
        raise RequestError(f'{self.paths[0]} has rows of {what} {found}, but {asked} is asked for. '
                           f'Write {what} = {found}, or make the records anew with {_SCRIPT}')
    ids = tokenizer.special_token_ids()
    words, mask = self.columns[names.INPUT_WORD_IDS], self.columns[names.INPUT_MASK]
    first = np.bincount(words[:, 0]).argmax()
    if first != ids[names.START_OF_SEQUENCE_ID] or words.max() >= tokenizer.vocab_size:
      raise RequestError(
          f'{self.paths[0]} has rows that begin with id {first} and ids up to {words.max()}; '
          f'{tokenizer.asset_file} has {tokenizer.vocab_size} tokens and [CLS] is '
          f'{ids[names.START_OF_SEQUENCE_ID]}. Give the vocabulary that the records were made with')
    if names.MASK_ID not in ids or not (words[mask > 0] == ids[names.MASK_ID]).any():
      raise RequestError(
          f'{self.paths[0]} has no masked token: no id is {ids.get(names.MASK_ID)}, the [MASK] of '
          f'{tokenizer.asset_file}. Give the vocabulary that the records were made with')

  def unmasked(self) -> np.ndarray:
    """int32 [rows, seq_length]: the ids as they were before masking."""
    words = self.columns[names.INPUT_WORD_IDS].copy()
    row, column = np.nonzero(self.columns[MASKED_LM_WEIGHTS] > 0)
    places = self.columns[names.MASKED_LM_POSITIONS][row, column]
    words[row, places] = self.columns[MASKED_LM_IDS][row, column]
    return words

  def segments(self) -> np.ndarray:
    """Where the two segments of each row stand in `unmasked().reshape(-1)`.

    Returns:
      int64 [rows, 5]: first place and length of the first segment, of the second (length 0 if there
      is none), and the label (0 without pairs). Special tokens are left out.
    """
    length = self.columns[names.INPUT_MASK].sum(1, dtype=np.int64)
    second = self.columns[names.INPUT_TYPE_IDS].sum(1, dtype=np.int64)  # Its [SEP] included.
    start = np.arange(len(length)) * self.seq_length
    labels = (self.columns[NEXT_SENTENCE_LABELS][:, 0] if self.has_pairs
              else np.zeros(len(length), np.int64))
    return np.column_stack([start + 1, length - second - 2, start + length - second,
                            np.maximum(second - 1, 0), labels]).astype(np.int64)


def read(patterns: str | Sequence[str]) -> Instances:
  """All rows of all files that patterns name.

  Raises:
    RequestError: no file, no such record, other lengths in other files, or a damaged file.
  """
  paths = tuple(path for pattern in ([patterns] if isinstance(patterns, str) else patterns)
                for path in _matching(pattern))
  parts, lengths = [], None
  for path in paths:
    layout = _layout(path)
    if lengths is not None and layout != lengths:
      raise RequestError(f'{path} has records of other lengths or names than {paths[0]}: '
                         f'{_short(layout)} against {_short(lengths)}. Give files of one kind')
    lengths = layout
    parts.append(_columns(path, layout))
  return Instances({name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
                   paths)


def _matching(pattern: str) -> list[str]:
  found = files.glob(pattern)
  if not found:
    raise RequestError(f'No file matches {pattern}. '
                       f'Give the TFRecord files that {_SCRIPT} wrote, or a pattern for them')
  return found


def _records(path: str) -> Any:
  """A dataset of the serialized rows; compressed ones (--gzip_compress) are known by their head."""
  import tensorflow as tf

  return tf.data.TFRecordDataset(path, 'GZIP' if files.read_head(path, 3) == _GZIP else '')


def _layout(path: str) -> dict[str, tuple[str, int]]:
  """Name -> kind of list and length, of the first record."""
  import tensorflow as tf

  example = None
  try:
    for record in _records(path).take(1):
      example = tf.train.Example.FromString(record.numpy())
  except Exception as error:  # google.protobuf's own error, or TensorFlow's.
    raise _not_ours(path, f'its first record cannot be read ({type(error).__name__})') from error
  if example is None:
    raise _not_ours(path, 'it is empty')
  found = {}
  for name, feature in example.features.feature.items():
    kind = feature.WhichOneof('kind')
    found[name] = (kind, len(getattr(feature, kind).value) if kind else 0)
  lacks = set(_NEEDED) - {_V1.get(name, name) for name in found}
  if lacks:
    raise _not_ours(path, f'its first record has no {", no ".join(sorted(lacks))}')
  return found


def _columns(path: str, layout: Mapping[str, tuple[str, int]]) -> dict[str, np.ndarray]:
  import tensorflow as tf

  wanted = {*_NEEDED, NEXT_SENTENCE_LABELS}
  features = {name: tf.io.FixedLenFeature([length],
                                          tf.float32 if kind == 'float_list' else tf.int64)
              for name, (kind, length) in layout.items() if _V1.get(name, name) in wanted}
  batches = []
  try:
    for batch in _records(path).batch(_BATCH).map(
        lambda records: tf.io.parse_example(records, features)):
      batches.append({name: column.numpy() for name, column in batch.items()})
  except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
    raise _not_ours(path, f'a record is damaged or has other lengths ({str(error)[:80]} ...)'
                    ) from error
  return {_V1.get(name, name): np.concatenate([batch[name] for batch in batches]).astype(
      np.float32 if name == MASKED_LM_WEIGHTS else np.int32) for name in features}


def write(path: str, batches: Iterable[Mapping[str, Any]]) -> int:
  """Writes our batches as TF-NLP's v2 records, for `BertPretrainDataLoader` and its trainer.

  Args:
    path: of the TFRecord file.
    batches: dicts of arrays or tensors, the rows of one or more steps.

  Returns:
    The number of records.
  """
  import tensorflow as tf

  count = 0
  with files.replacing(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
    for batch in batches:
      columns = {name: np.asarray(values) for name, values in batch.items()}
      for row in range(len(columns[names.INPUT_WORD_IDS])):
        example = tf.train.Example(features=tf.train.Features(feature={
            name: _feature(values[row]) for name, values in columns.items()}))
        writer.write(example.SerializeToString(deterministic=True))
        count += 1
  return count


def _feature(values: np.ndarray) -> Any:
  import tensorflow as tf

  if values.dtype.kind == 'f':
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _short(layout: Mapping[str, tuple[str, int]]) -> str:
  return ', '.join(f'{name} {length}' for name, (_, length) in sorted(layout.items()))


def _not_ours(path: str, why: str) -> RequestError:
  return RequestError(f'{path} holds no pre-training records of TF-NLP: {why}. '
                      f'Give the TFRecord files that {_SCRIPT} writes')
