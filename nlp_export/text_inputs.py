"""What does an encoder get for a batch of texts, without a column of padding too many?

TF Hub's preprocessing pads every batch to its `seq_length`, 128 by default, of which most texts
fill a fifth. Here rows are as long as the longest text of their batch. This module imports
TensorFlow only where it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.spelling import MACROS, Spelling

if TYPE_CHECKING:
  import tensorflow as tf

# Packing adds [CLS] and one [SEP] a segment. A stranger's preprocessing may add more (RoBERTa's
# has two between segments), so that many are allowed for each; what is not used is cut off.
_SPECIAL_TOKENS_A_SEGMENT = 2


def encoder_inputs(
    preprocessor: Any,
    segments: Sequence[tf.Tensor],
    max_seq_length: int,
    fixed: bool = False,
) -> dict[str, tf.Tensor]:
  """Tokenises and packs texts, in rows as long as the longest of them.

  Works eagerly, in a tf.function and in Dataset.map (on batches).

  Args:
    preprocessor: a preprocessing object of TF Hub's text API: a loaded SavedModel, ours or a
      stranger's, or ours before it is saved. Of it `tokenize` and `bert_pack_inputs` are used.
    segments: one or more tensors of string [batch]: first texts, second texts ...
    max_seq_length: most tokens in a row, special ones included; longer texts are truncated as the
      preprocessor does.
    fixed: True for rows of max_seq_length always, as an encoder with one length needs it.

  Returns:
    `input_word_ids`, `input_mask`, `input_type_ids`: int32 [batch, seq_length], where seq_length
    is that of the longest row, at most `max_seq_length`; 1 or more also for an empty batch.

  Raises:
    RequestError: the preprocessor lacks `tokenize` or `bert_pack_inputs`, does not take such a
      call, or max_seq_length leaves no place for text.
  """
  import tensorflow as tf

  check(preprocessor, len(segments), max_seq_length)
  tokens = [preprocessor.tokenize(tf.convert_to_tensor(texts, tf.string)) for texts in segments]
  if fixed:
    return _pack(preprocessor, tokens, tf.constant(max_seq_length), max_seq_length)
  from nlp_export.tokenization import row_splits

  rows = [row_splits.lengths_of(row_splits.without_words(segment)[1]) for segment in tokens]
  # The largest of no rows is the least integer there is.
  longest = tf.maximum(tf.reduce_max(tf.add_n(rows)), 0)
  special = 1 + _SPECIAL_TOKENS_A_SEGMENT * len(tokens)
  seq_length = tf.cast(tf.minimum(longest + special, max_seq_length), tf.int32)
  packed = _pack(preprocessor, tokens, seq_length, max_seq_length)
  mask = packed[names.INPUT_MASK]
  used = tf.reduce_max(mask * tf.range(1, tf.shape(mask)[1] + 1, dtype=mask.dtype))
  used = tf.maximum(used, 1)
  return {name: values[:, :used] for name, values in packed.items()}


def check(preprocessor: Any, num_segments: int, max_seq_length: int,
          spelling: Spelling = MACROS) -> None:
  """Refuses what `encoder_inputs` cannot do.

  Raises:
    RequestError: the preprocessor lacks `tokenize` or `bert_pack_inputs`, or max_seq_length
      leaves no place for text.
  """
  lacks = [name for name in ('tokenize', 'bert_pack_inputs') if not hasattr(preprocessor, name)]
  if lacks:
    raise RequestError(
        f'The preprocessing has no {", no ".join(lacks)}: it is not one of TF Hub\'s text API, '
        'whose parts are needed where texts are not padded to a fixed length. Name one that is, '
        "for example what EXPORT_TYPES = ('preprocessing',) writes")
  check_max_seq_length(max_seq_length, num_segments, spelling)


def check_max_seq_length(
    max_seq_length: int, num_segments: int = 1, spelling: Spelling = MACROS) -> None:
  """Refuses a MAX_SEQ_LENGTH without place for text beside [CLS] and [SEP].

  Raises:
    RequestError: so.
  """
  whole = isinstance(max_seq_length, int) and not isinstance(max_seq_length, bool)
  if not whole or max_seq_length < num_segments + 2:
    raise RequestError(
        f'{spelling.name("max_seq_length")} is {max_seq_length!r}: {num_segments} '
        f'segment{"s"[:num_segments > 1]} with {num_segments + 1} special tokens need '
        f'{num_segments + 2} tokens at least. Write {spelling.line("max_seq_length", 128)}')


def needs_whole_rows(
    export: str, max_seq_length: int | None = None, spelling: Spelling = MACROS) -> bool:
  """Whether padding changes what an encoder computes (MobileBERT, a funnel that pools ...).

  Rows that are as long as the longest of their batch would make a text's vector depend on the
  other texts there: such an encoder needs `fixed` rows.

  Args:
    export: directory of its SavedModel, whose record says so; a stranger's has none.
    max_seq_length: how long rows may become; None where the SavedModel decides.
    spelling: of the message.

  Raises:
    RequestError: the encoder has fewer positions. Without, only a long text would show it.
  """
  path = files.join(export, names.EXTRA_DIR, names.PROVENANCE_FILE)
  record = files.read_json(path) if files.exists(path) else {}
  encoder = record.get('encoder', {})
  positions = encoder.get('max_positions')
  if positions and max_seq_length and max_seq_length > positions:
    raise RequestError(
        f'{spelling.name("max_seq_length")} is {max_seq_length}, but {export} has {positions} '
        'positions: longer rows have no place in it. Write '
        f'{spelling.line("max_seq_length", positions)}, or less')
  return bool(encoder.get('sequence', {}).get('inexact_padding'))


def _pack(
    preprocessor: Any, tokens: list[tf.RaggedTensor], seq_length: tf.Tensor, max_seq_length: int
) -> dict[str, tf.Tensor]:
  """Rows of `seq_length`; of `max_seq_length` where a SavedModel takes no tensor."""
  try:
    packed = preprocessor.bert_pack_inputs(tokens, seq_length=seq_length)
  except (TypeError, ValueError) as as_tensor:  # What a SavedModel without such a trace raises.
    try:
      packed = preprocessor.bert_pack_inputs(tokens, seq_length=max_seq_length)
    except (TypeError, ValueError) as as_number:
      raise RequestError(
          f'bert_pack_inputs of the preprocessing does not take {len(tokens)} '
          f'segment{"s"[:len(tokens) > 1]} with seq_length = {max_seq_length}, neither as a tensor '
          f'({_first_line(as_tensor)}) nor as a number ({_first_line(as_number)}). Its own model '
          "card says what it takes; or write one with EXPORT_TYPES = ('preprocessing',)"
      ) from as_number
  return {name: packed[name] for name in names.ENCODER_INPUTS}


def _first_line(error: Exception) -> str:
  return str(error).strip().partition('\n')[0]
