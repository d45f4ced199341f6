"""What object is saved for preprocessing: text to encoder inputs?

It implements the preprocessor of TF Hub's "Common SavedModel APIs for text tasks" (Transformer
encoders): a lean object of TF functions, no Keras, no variables.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.errors import CheckError, RequestError
from nlp_export.saved_models import packing, saved_graph, writing
from nlp_export.tokenization.row_splits import without_words
from nlp_export.tokenizers import (
    SENTENCEPIECE,
    WORDPIECE,
    Tokenizer,
    check_default_seq_length,
)

_SENTENCES = tf.TensorSpec([None], tf.string)
_SEQ_LENGTH = tf.TensorSpec([], tf.int32)


class Callable(tf.train.Checkpoint):
  """An object with a TF function as its `__call__`, before saving as after loading."""

  def __init__(self, function: Any):
    super().__init__()
    self.__dict__['__call__'] = function  # An instance attribute is what gets saved.

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    return self.__dict__['__call__'](*args, **kwargs)


class TextCallable(Callable):
  """A `Callable` of string [batch] that takes Python lists and has TF Hub's lists, empty ones."""

  def __init__(self, function: Any):
    super().__init__(function)
    self.variables: list[tf.Variable] = []
    self.trainable_variables: list[tf.Variable] = []
    self.regularization_losses: list[Any] = []

  def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    return super().__call__(tf.convert_to_tensor(inputs, tf.string), *args, **kwargs)


class Preprocessing(TextCallable):
  """The root object of a preprocessing SavedModel.

  Call:
    inputs: string [batch], UTF-8.
    training: Python bool, without effect.
    seq_length: Python int or int32 scalar; `default_seq_length` if left out.
  Returns:
    dict of `input_word_ids`, `input_mask`, `input_type_ids`, int32 [batch, seq_length].

  Attributes:
    tokenize: string [batch] -> RaggedTensor int32 [batch, (words), (pieces)], or
      [batch, (tokens)] for a tokenizer without words; `tokenize.get_special_tokens_dict()` gives
      a dict of int32 scalars.
    tokenize_with_offsets: string [batch] -> [tokens int32, starts int64, limits int64], byte
      offsets into the text as it was given. Left out if not asked for.
    bert_pack_inputs: (list of 1 to `num_segments` RaggedTensors as `tokenize` returns them, or
      rank 2, all of one rank; seq_length) -> dict as above.
    text_to_ids: what the tokenizer built, with its tables and assets.

  Source: TF Hub, "Common SavedModel APIs for text tasks"; TF-NLP tools/export_tfhub_lib.py.
  """

  def __init__(
      self, text_to_ids: Any, special_token_ids: dict[str, int], pack: packing.Packing,
      default_seq_length: int, with_offsets: bool, num_segments: int):
    """Traces the functions; see `build` for the arguments."""

    @tf.function(autograph=False)
    def one_segment(sentences: tf.Tensor, seq_length: Any) -> dict[str, tf.Tensor]:
      return pack([flat_tokens(text_to_ids, sentences)], seq_length)

    @tf.function(autograph=False)
    def call(inputs, training=False, seq_length=default_seq_length):
      del training  # Part of the API, without effect here.
      return one_segment(inputs, seq_length)

    @tf.function(autograph=False)
    def call_tokenize(inputs, training=False):
      del training
      return _checked(text_to_ids.tokenize(inputs))

    @tf.function(autograph=False)
    def call_pack(inputs, seq_length=default_seq_length):
      return pack(_segments(inputs, num_segments), seq_length)

    for training in (False, True):
      call.get_concrete_function(_SENTENCES, training=training)
      call.get_concrete_function(_SENTENCES, training=training, seq_length=_SEQ_LENGTH)
      call_tokenize.get_concrete_function(_SENTENCES, training=training)
    for rank in (2, 3):
      for count in range(1, num_segments + 1):
        segment = tf.RaggedTensorSpec([None] * rank, tf.int32)
        call_pack.get_concrete_function([segment] * count, seq_length=_SEQ_LENGTH)

    super().__init__(call)
    self.without_assert = not pack.checks_seq_length
    self.text_to_ids = text_to_ids
    self.tokenize = TextCallable(call_tokenize)
    self.tokenize.get_special_tokens_dict = special_tokens_callable(special_token_ids)
    self.bert_pack_inputs = Callable(call_pack)
    if with_offsets:

      @tf.function(autograph=False)
      def call_tokenize_with_offsets(inputs, training=False):
        del training
        return list(text_to_ids.tokenize_with_offsets(inputs))

      for training in (False, True):
        call_tokenize_with_offsets.get_concrete_function(_SENTENCES, training=training)
      self.tokenize_with_offsets = TextCallable(call_tokenize_with_offsets)
      self.tokenize_with_offsets.get_special_tokens_dict = self.tokenize.get_special_tokens_dict

  def serving_signature(self) -> Any:
    """`serving_default`: string `sentences` [batch] -> the dict of encoder inputs."""

    def serve(sentences):
      return self(sentences)

    return tf.function(
        serve, autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name='sentences')])


def build(
    tokenizer: Tokenizer,
    default_seq_length: int = 128,
    tokenize_with_offsets: bool | None = None,
    truncator: str = packing.ROUND_ROBIN,
    num_segments: int = 2,
    disable_assert: bool = False,
) -> Preprocessing:
  """The preprocessing object for a tokenizer; its functions are traced, its files checked.

  Args:
    tokenizer: see tokenizers.Tokenizer.
    default_seq_length: tokens in a row where `seq_length` is left out.
    tokenize_with_offsets: whether `.tokenize_with_offsets` is there; None: if the tokenizer can
      give right offsets.
    truncator: 'round_robin' or 'waterfall', see packing.Packing.
    num_segments: most segments that `.bert_pack_inputs` takes.
    disable_assert: True leaves no Assert node in the graph (TPU workers of TF 2.4 stumble over
      them); too small a `seq_length` is then answered with cut rows instead of an error.

  Raises:
    RequestError: a value or the tokenizer's file is not fit.
  """
  if tokenize_with_offsets is None:
    tokenize_with_offsets = not getattr(tokenizer, 'why_no_offsets', '')
  made = parts(tokenizer, tokenize_with_offsets, truncator, num_segments, disable_assert)
  check_default_seq_length(default_seq_length, num_segments=num_segments)
  if tokenize_with_offsets and not hasattr(made.text_to_ids, 'tokenize_with_offsets'):
    raise RequestError(
        f'The {tokenizer.kind} tokenizer has no tokenize_with_offsets. '
        'Write tokenize_with_offsets = False.')
  root = Preprocessing(
      made.text_to_ids, made.special_token_ids, made.pack, default_seq_length,
      tokenize_with_offsets, num_segments)
  attach_file(root, tokenizer)
  return root


@dataclasses.dataclass(frozen=True)
class Parts:
  """What turns text into encoder inputs, before it is a SavedModel.

  Attributes:
    text_to_ids: what the tokenizer built, with its tables and assets: goes to the root object.
    special_token_ids: key of the API -> id.
    pack: from tokens to rows.
  """

  text_to_ids: Any
  special_token_ids: dict[str, int]
  pack: packing.Packing


def parts(
    tokenizer: Tokenizer,
    tokenize_with_offsets: bool = False,
    truncator: str = packing.ROUND_ROBIN,
    num_segments: int = 1,
    disable_assert: bool = False,
) -> Parts:
  """The parts of preprocessing for a tokenizer, whose files are checked; see `build`.

  Raises:
    RequestError: a value or the tokenizer's file is not fit.
  """
  if truncator not in packing.TRUNCATORS:
    raise RequestError(
        f'truncator is {truncator!r}, which is none of {", ".join(packing.TRUNCATORS)}. '
        "Write truncator = 'round_robin'.")
  if isinstance(num_segments, bool) or not isinstance(num_segments, int) or num_segments < 1:
    raise RequestError(
        f'num_segments is {num_segments!r}: a row has one segment or more. '
        'Write num_segments = 2, as BERT has it.')
  tokenizer.check()
  special_token_ids = dict(tokenizer.special_token_ids())
  _check_special_token_ids(special_token_ids, tokenizer.kind)
  return Parts(
      tokenizer.build(tokenize_with_offsets), special_token_ids,
      packing.Packing(
          start_id=special_token_ids[names.START_OF_SEQUENCE_ID],
          end_id=special_token_ids[names.END_OF_SEGMENT_ID],
          padding_id=special_token_ids[names.PADDING_ID],
          truncator=truncator, checks_seq_length=not disable_assert))


def attach_file(root: Any, tokenizer: Tokenizer) -> None:
  """Makes the file of a user's own tokenizer an asset of `root`; the two of the API keep theirs."""
  if tokenizer.asset_file and tokenizer.kind not in (WORDPIECE, SENTENCEPIECE):
    root.tokenizer_file = tf.saved_model.Asset(tokenizer.asset_file)


def special_tokens_callable(special_token_ids: dict[str, int]) -> Callable:
  """`get_special_tokens_dict` of the API: no argument, dict of int32 scalars."""
  return Callable(tf.function(
      lambda: {key: tf.constant(value, tf.int32) for key, value in special_token_ids.items()},
      input_signature=[], autograph=False))


def save(preprocessing: Preprocessing, path: str) -> None:
  """Writes a preprocessing SavedModel.

  Args:
    preprocessing: what `build` returned.
    path: a local directory that does not exist yet.

  Raises:
    CheckError: Assert nodes were to be left out, and the graph as written has some.
  """
  writing.write(preprocessing, path)
  found = saved_graph.nodes_of_type(path, 'Assert') if preprocessing.without_assert else []
  if found:
    raise CheckError(
        f'disable_assert = True, but the graph has {len(found)} Assert nodes: '
        f'{", ".join(found[:5])}. They come from the tokenizer: let it build its ragged tensors '
        'with validate=False.')


def _check_special_token_ids(ids: dict[str, int], kind: str) -> None:
  missing = [key for key in names.SPECIAL_TOKEN_KEYS if key != names.MASK_ID and key not in ids]
  unknown = sorted(set(ids) - set(names.SPECIAL_TOKEN_KEYS))
  if missing or unknown:
    raise RequestError(
        f'The special_token_ids of the {kind} tokenizer lack {missing} and have the unknown keys '
        f'{unknown}. The keys are {", ".join(names.SPECIAL_TOKEN_KEYS)}.')


def flat_tokens(text_to_ids: Any, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Tokens of all sentences in a row, and row splits, from any tokenizer."""
  if hasattr(text_to_ids, 'tokenize_flat'):
    return text_to_ids.tokenize_flat(sentences)
  return without_words(_checked(text_to_ids.tokenize(sentences)))


def _checked(tokens: Any) -> tf.RaggedTensor:
  """What a tokenizer's `tokenize` returned, if it is what its protocol says."""
  right = (isinstance(tokens, tf.RaggedTensor) and tokens.dtype == tf.int32
           and tokens.row_splits.dtype == tf.int64 and tokens.ragged_rank in (1, 2)
           and tokens.flat_values.shape.rank == 1)
  if not right:
    raise RequestError(
        f'tokenize of the tokenizer returns {tokens!r}. It must return a RaggedTensor with int64 '
        'row_splits, int32 [batch, (tokens)] or [batch, (words), (pieces)].')
  return tokens


def _segments(inputs: Any, num_segments: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
  """The flat segments of a call of bert_pack_inputs, which is checked."""
  if not isinstance(inputs, list) or not 1 <= len(inputs) <= num_segments:
    found = f'{len(inputs)} of them' if isinstance(inputs, list) else type(inputs).__name__
    raise ValueError(
        f'bert_pack_inputs takes a list of 1 to {num_segments} RaggedTensors, not {found}. '
        'For one segment write bert_pack_inputs([tokens]); for more, export with num_segments.')
  if not all(isinstance(segment, tf.RaggedTensor) for segment in inputs):
    raise ValueError(
        'bert_pack_inputs takes RaggedTensors, not '
        f'{[type(segment).__name__ for segment in inputs]}. Give it what tokenize returns.')
  ranks = [segment.shape.rank for segment in inputs]
  if len(set(ranks)) > 1 or ranks[0] not in (2, 3):
    raise ValueError(
        f'bert_pack_inputs takes segments that are all of rank 2 or all of rank 3, not {ranks}. '
        'Merge words and pieces with tokens.merge_dims(1, 2).')
  return [without_words(segment) for segment in inputs]
