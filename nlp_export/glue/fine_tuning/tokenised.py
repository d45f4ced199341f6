"""What are the token ids of a task's texts, and whose tokenizer made them?

Text is tokenised once, before training, and kept without padding: a batch is cut out of flat
arrays. The two arms of a comparison get their ids by two ways that share no code: through the
preprocessing SavedModel, and through TF-NLP's own layers.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.tokenizers import Tokenizer

if TYPE_CHECKING:
  import tensorflow as tf

Segments = Sequence[Sequence[str]]

_CHUNK_TEXTS = 1_000


@dataclasses.dataclass(frozen=True, eq=False)
class TokenisedTexts:
  """N packed rows, `[CLS] first [SEP]` or `[CLS] first [SEP] second [SEP]`, without padding.

  Attributes:
    word_ids: int32 [tokens], the rows one behind the other.
    type_ids: int32 [tokens], 0 in the first segment and 1 in the second.
    row_splits: int64 [N + 1]: row i is at row_splits[i]:row_splits[i + 1].
  """

  word_ids: np.ndarray
  type_ids: np.ndarray
  row_splits: np.ndarray

  def __len__(self) -> int:
    return len(self.row_splits) - 1

  @functools.cached_property
  def lengths(self) -> np.ndarray:
    """int32 [N], tokens in each row, [CLS] and [SEP] included."""
    return np.diff(self.row_splits).astype(np.int32)

  def padded(self, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """The encoder's inputs for some rows.

    Args:
      rows: integers [batch].
      length: tokens in a row of the result; at least the longest of these rows.

    Returns:
      `input_word_ids`, `input_mask`, `input_type_ids`, int32 [batch, length], 0 in the padding.
    """
    lengths = self.lengths[rows]
    if lengths.max(initial=0) > length:
      raise ValueError(f'a row of {lengths.max()} tokens does not fit into {length}')
    position = np.arange(length)
    mask = position < lengths[:, None]
    index = (self.row_splits[:-1][rows, None] + position)[mask]
    inputs = {name: np.zeros(mask.shape, np.int32) for name in names.ENCODER_INPUTS}
    inputs[names.INPUT_WORD_IDS][mask] = self.word_ids[index]
    inputs[names.INPUT_MASK][mask] = 1
    inputs[names.INPUT_TYPE_IDS][mask] = self.type_ids[index]
    return inputs

  def rows(self, rows: np.ndarray) -> TokenisedTexts:
    """Some rows alone, in the order given: integers [M]."""
    lengths = self.lengths[rows]
    splits = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    index = np.repeat(self.row_splits[:-1][rows] - splits[:-1], lengths) + np.arange(splits[-1])
    return TokenisedTexts(self.word_ids[index], self.type_ids[index], splits)

  def sha256(self) -> str:
    """SHA-256 of everything (little-endian int64): equal for equal rows."""
    digest = hashlib.sha256()
    for values in (self.row_splits, self.word_ids, self.type_ids):
      digest.update(np.ascontiguousarray(values, '<i8').tobytes())
    return digest.hexdigest()


def through_preprocessing(
    preprocessor: Any, segments: Segments, max_seq_length: int) -> TokenisedTexts:
  """Ids by a preprocessing SavedModel, called as any user of it would.

  Args:
    preprocessor: a loaded SavedModel of TF Hub's text API, ours or another's.
    segments: one or two sequences of N texts each.
    max_seq_length: tokens in the longest row; longer ones are truncated as the SavedModel does.

  Raises:
    RequestError: it has no `tokenize` and `bert_pack_inputs`, they take no such call, or the rows
      they return are not padded at their end.
  """
  lacks = [name for name in ('tokenize', 'bert_pack_inputs') if not hasattr(preprocessor, name)]
  if lacks:
    raise RequestError(
        f'The preprocessing SavedModel has no {", no ".join(lacks)}: it is not one of TF Hub\'s '
        'text API. Name one that is as PREPROCESSING, for example what '
        "EXPORT_TYPES = ('preprocessing',) writes")
  return _in_chunks(
      preprocessor.tokenize, _pack_of(preprocessor.bert_pack_inputs), segments, max_seq_length)


def through_tf_nlp(
    tokenizer: Tokenizer, segments: Segments, max_seq_length: int) -> TokenisedTexts:
  """Ids by TF-NLP's layers BertTokenizer or SentencepieceTokenizer, and BertPackInputs.

  Args:
    tokenizer: what to do; the layers are made of its files and options, not of its `build()`. A
      user's own kind has no layer in TF-NLP: its object's method `tokenize` is used, string [B] ->
      RaggedTensor int32, if it has one.
    segments: one or two sequences of N texts each.
    max_seq_length: tokens in the longest row; what is longer is truncated 'round_robin', the
      default of BertPackInputs and of our preprocessing.

  Raises:
    RequestError: TF-NLP has no layer for that tokenizer.
  """
  from official.nlp.modeling import layers

  ids = tokenizer.special_token_ids()

  def pack(tokens: Sequence[tf.RaggedTensor], seq_length: int) -> Mapping[str, tf.Tensor]:
    return layers.BertPackInputs(
        seq_length, start_of_sequence_id=ids[names.START_OF_SEQUENCE_ID],
        end_of_segment_id=ids[names.END_OF_SEGMENT_ID], padding_id=ids[names.PADDING_ID],
    )(list(tokens))

  return _in_chunks(_tf_nlp_layer(tokenizer), pack, segments, max_seq_length)


def _tf_nlp_layer(tokenizer: Tokenizer) -> Callable[[tf.Tensor], tf.RaggedTensor]:
  from nlp_export.tokenization import tf_nlp_layers

  layer = tf_nlp_layers.layer_of(tokenizer)
  if layer is not None:
    return layer
  own = getattr(tokenizer, 'tokenize', None)
  if not callable(own):
    raise RequestError(
        f'The baseline cannot tokenise with the {tokenizer.kind} tokenizer '
        f'({type(tokenizer).__name__}): TF-NLP has layers for wordpiece and sentencepiece only, '
        'and what build() makes is in the export itself, which the baseline is to check. Give '
        f'{type(tokenizer).__name__} a method tokenize(sentences), string [batch] -> RaggedTensor '
        'int32 [batch, (tokens)], that calls the tokenizer the encoder was pre-trained with; or '
        'leave the baseline out')
  return own


def _pack_of(bert_pack_inputs: Any) -> Callable[..., Mapping[str, Any]]:
  """`bert_pack_inputs` with an int `seq_length`, given in whichever form the SavedModel takes."""
  import tensorflow as tf

  def pack(tokens: Sequence[tf.RaggedTensor], seq_length: int) -> Mapping[str, Any]:
    try:
      return bert_pack_inputs(list(tokens), seq_length=tf.constant(seq_length))
    except (TypeError, ValueError) as as_tensor:  # What a SavedModel without such a trace raises.
      try:
        return bert_pack_inputs(list(tokens), seq_length=seq_length)
      except (TypeError, ValueError) as as_number:
        raise RequestError(
            f'bert_pack_inputs of the preprocessing SavedModel does not take {len(tokens)} '
            f'segments with seq_length={seq_length}, neither as a tensor '
            f'({_first_line(as_tensor)}) nor as a number ({_first_line(as_number)}). Its own model '
            'card says what it takes; or write one with EXPORT_TYPES = (\'preprocessing\',)'
        ) from as_number

  return pack


def _first_line(error: Exception) -> str:
  return str(error).strip().partition('\n')[0]


def _in_chunks(
    tokenize: Callable[[tf.Tensor], tf.RaggedTensor],
    pack: Callable[[Sequence[tf.RaggedTensor], int], Mapping[str, Any]],
    segments: Segments, max_seq_length: int,
) -> TokenisedTexts:
  """All rows; bounded memory, because rows are padded only a chunk at a time."""
  import tensorflow as tf

  if max_seq_length < len(segments) + 2:
    raise RequestError(
        f'max_seq_length is {max_seq_length}: {len(segments)} segments have {len(segments) + 1} '
        'special tokens, which leaves no place for text. Write max_seq_length = 128')
  parts: dict[str, list[np.ndarray]] = {name: [] for name in names.ENCODER_INPUTS}
  lengths = [np.zeros(1, np.int64)]
  for chunk in _chunks(segments):
    tokens = [tokenize(tf.constant(texts, tf.string)) for texts in chunk]
    packed = {name: np.asarray(values) for name, values in pack(tokens, max_seq_length).items()}
    mask = packed[names.INPUT_MASK] > 0
    lengths.append(mask.sum(axis=1))
    if (mask[:, 1:] & ~mask[:, :-1]).any():
      raise RequestError(
          'The preprocessing SavedModel pads rows in front or between tokens, not at their end. '
          'Fine-tuning cuts the padding off, which would shift the tokens to other positions. Use '
          "one that pads at the end, as TF Hub's text API has it")
    for name in (names.INPUT_WORD_IDS, names.INPUT_TYPE_IDS):
      parts[name].append(packed[name][mask].astype(np.int32))
  flat = {name: np.concatenate([np.zeros(0, np.int32), *values]) for name, values in parts.items()}
  return TokenisedTexts(flat[names.INPUT_WORD_IDS], flat[names.INPUT_TYPE_IDS],
                        np.cumsum(np.concatenate(lengths), dtype=np.int64))


def _chunks(segments: Segments) -> Iterator[list[list[str]]]:
  if len({len(texts) for texts in segments}) != 1:
    raise ValueError(f'segments of {[len(texts) for texts in segments]} texts')
  for start in range(0, len(segments[0]), _CHUNK_TEXTS):
    yield [list(texts[start:start + _CHUNK_TEXTS]) for texts in segments]
