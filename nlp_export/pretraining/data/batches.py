"""What is the batch of a training step?

A function of (text, recipe, global batch size, step), and of nothing else: not of the number of
workers, replicas or threads, nor of which steps were made before. There is no iterator to be saved;
to resume, ask for the next step. Rows are planned on the host by NumPy (spans.py) and filled and
masked by stateless TensorFlow ops.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import masking, words
from nlp_export.pretraining.data import recipe as recipes
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.data.spans import Plan, ShuffledRows
from nlp_export.pretraining.data.tokens import TokenisedCorpus

# Measured on 2 cores: 0.7 to 4 million positions a second, the whole of what a step consumes many
# times over. One thread makes a batch while the other plans the next epoch.
_PARALLEL_CALLS = 2
_PREFETCHED = 4


class Rows(Protocol):
  """The instances in their order; `spans.Plan` is one."""

  seed: int

  @property
  def instances_per_epoch(self) -> int: ...

  def rows(self, first: int, count: int) -> np.ndarray: ...


class Batches:
  """Masked batches of a corpus."""

  def __init__(
      self, corpus: TokenisedCorpus, tokenizer: Any, recipe: DataRecipe, global_batch_size: int,
      plan: Rows | None = None):
    """Copies the tokens into TensorFlow's memory.

    Args:
      corpus: the text.
      tokenizer: a `tokenizers.Tokenizer`, the one that the corpus was tokenised with.
      recipe: lengths, pairs, masks, seed.
      global_batch_size: rows of a step, over all workers and replicas.
      plan: the instances; None for those of training.

    Raises:
      RequestError: the tokenizer does not fit the recipe or the corpus, or no instances can be
        made.
    """
    recipes.check(recipe, tokenizer)
    if (not isinstance(global_batch_size, int) or isinstance(global_batch_size, bool)
        or global_batch_size < 1):
      raise RequestError(f'global_batch_size is {global_batch_size!r}, but it has to be a whole '
                         'number of rows from 1, such as 256')
    self.corpus, self.recipe, self.global_batch_size = corpus, recipe, global_batch_size
    self._plan: Rows = Plan(corpus, recipe) if plan is None else plan
    self._ids = tokenizer.special_token_ids()
    self._vocab_size = tokenizer.vocab_size
    if corpus.tokens.min() < 0 or corpus.tokens.max() >= self._vocab_size:
      raise RequestError(
          f'The tokenised text has ids up to {corpus.tokens.max()}, but the {tokenizer.kind} '
          f'vocabulary {tokenizer.asset_file or "of your own"} has {self._vocab_size}: it is not '
          'the one that the text was tokenised with. Give that one, or prepare the text anew with '
          'gin/runs/prepare_pretraining_data.gin')
    with tf.device('cpu:0'):
      # Captured by the graph, not written into it.
      self._tokens = tf.constant(corpus.tokens)
      starts = words.starts_word(tokenizer) if recipe.whole_word else None
      self._starts_word = None if starts is None else tf.constant(starts)
    self._traced: dict[int, Any] = {}

  @classmethod
  def of_instances(
      cls, tokens: np.ndarray, rows: np.ndarray, tokenizer: Any, recipe: DataRecipe,
      global_batch_size: int) -> Batches:
    """New masks and a new order, but the segments that someone else made (TF-NLP's records).

    Args:
      tokens: int32 [n], in which segments stand; what is between them does not matter.
      rows: int64 [instances, 5]: first token and length of both segments (the second's are not
        looked at without pairs), label.
      tokenizer, recipe, global_batch_size: as for __init__.

    Raises:
      ValueError: rows that the recipe's sequence does not hold.
    """
    parts = rows[:, [1, 3]] if recipe.pairs else rows[:, [1]]
    if not len(rows) or parts.min() < 1 or parts.sum(axis=1).max() > recipe.room:
      raise ValueError(f'{len(rows)} rows do not all have 1 to {recipe.room} tokens')
    corpus = TokenisedCorpus.of_lengths(tokens, np.array([len(tokens)]), [1])
    return cls(corpus, tokenizer, recipe, global_batch_size, ShuffledRows(rows, recipe.data_seed))

  @property
  def instances_per_epoch(self) -> int:
    """Instances in a pass over the text."""
    return self._plan.instances_per_epoch

  @property
  def tokens_per_epoch(self) -> int:
    """Tokens of the text, special ones not counted."""
    return len(self.corpus.tokens)

  def epochs(self, step: int) -> float:
    """Passes over the text in the steps before this one."""
    return step * self.global_batch_size / self.instances_per_epoch

  def describe(self) -> dict[str, Any]:
    """Everything that the batches depend on, as JSON values: equal ones, equal batches."""
    given = {'rows_sha256': self._plan.sha256()} if isinstance(self._plan, ShuffledRows) else {}
    return given | {
        'recipe': self.recipe.to_json(),
        'global_batch_size': self.global_batch_size,
        'seed': self._plan.seed,
        'corpus_sha256': self.corpus.sha256(),
        'documents': self.corpus.documents,
        'sentences': self.corpus.sentences,
        'tokens': len(self.corpus.tokens),
        'instances_per_epoch': self.instances_per_epoch,
        'special_token_ids': {key: int(value) for key, value in sorted(self._ids.items())},
    }

  def batch(self, step: int) -> dict[str, np.ndarray]:
    """The global batch of a step.

    Returns:
      For B rows of S tokens with at most P masked ones, under TF-NLP's names:
      `input_word_ids`, `input_mask`, `input_type_ids` int32 [B, S]; `masked_lm_positions`,
      `masked_lm_ids` int32 [B, P] and `masked_lm_weights` float32 [B, P], 0 behind the last; with
      pairs `next_sentence_labels` int32 [B, 1], 1 for a random or swapped segment.
    """
    with tf.device('cpu:0'):
      made = self._function(self.global_batch_size)(
          tf.constant(step, tf.int64), tf.constant(0, tf.int64))
    return {name: tensor.numpy() for name, tensor in made.items()}

  def dataset(
      self, first_step: int, rows: tuple[int, int] | None = None, per_replica: int | None = None,
  ) -> tf.data.Dataset:
    """The endless batches from a step on.

    Args:
      first_step: of the first element.
      rows: (first, one past the last) of each global batch, a worker's share; None for all.
      per_replica: rows of an element. A step is then several elements, the first for the first
        replica; None for one.

    Returns:
      Dicts as `batch` returns, with static shapes, in order.

    Raises:
      ValueError: rows that the batch does not have, or that do not divide evenly.
    """
    low, high = rows or (0, self.global_batch_size)
    size = per_replica or high - low
    if not 0 <= low < high <= self.global_batch_size or (high - low) % size:
      raise ValueError(f'rows {low} to {high} of {self.global_batch_size} in parts of {size}')
    parts = (high - low) // size
    function = self._function(size)

    @tf.autograph.experimental.do_not_convert
    def element(number: tf.Tensor) -> dict[str, tf.Tensor]:
      return function(number // parts, low + number % parts * size)

    made = tf.data.Dataset.counter(first_step * parts).map(
        element, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
    options = tf.data.Options()
    options.deterministic = True
    # Who takes which rows is said above.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return made.prefetch(_PREFETCHED).with_options(options)

  def _function(self, count: int) -> Any:
    """`tensors` of so many rows, traced once for all datasets: that takes longer than a batch."""
    if count not in self._traced:
      scalar = tf.TensorSpec([], tf.int64)
      self._traced[count] = tf.function(
          lambda step, first: self.tensors(step, first, count), autograph=False,
          input_signature=[scalar, scalar])
    return self._traced[count]

  def tensors(self, step: Any, first: Any, count: int) -> dict[str, tf.Tensor]:
    """Rows first ... first + count - 1 of a step's batch, for use in a graph on the host.

    Args:
      step, first: int64 scalars, tensors or numbers.
      count: a number, so that shapes are static.
    """
    size, length = self.global_batch_size, self.recipe.seq_length
    most = self.recipe.max_predictions
    step, first = tf.cast(step, tf.int64), tf.cast(first, tf.int64)
    planned = tf.numpy_function(
        lambda at: self._plan.rows(int(at), count), [step * size + first], tf.int64,
        stateful=False)
    bits = masking.random_bits(self._plan.seed, step, size, length, most)[first:first + count]
    return self._filled(
        tf.ensure_shape(planned, [count, 5]), tf.ensure_shape(bits, [count, length + 2 * most]))

  def _filled(self, planned: tf.Tensor, bits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Batch of int64 [count, 5] and uint32 [count, S + 2 P]."""
    count, length = planned.shape[0], self.recipe.seq_length
    most = self.recipe.max_predictions
    cls_id, sep_id = self._ids[names.START_OF_SEQUENCE_ID], self._ids[names.END_OF_SEGMENT_ID]
    segments = [self._segment(planned[:, 0], planned[:, 1])]
    if self.recipe.pairs:
      segments.append(self._segment(planned[:, 2], planned[:, 3]))
    tokens, types = tf_text.combine_segments(segments, cls_id, sep_id)
    items = tokens
    if self._starts_word is not None:
      items = masking.in_words(tokens, self._starts_word, (cls_id, sep_id))
    masked, positions, originals = tf_text.mask_language_model(
        items,
        masking.GivenBitsSelector(
            bits[:, :length], self.recipe.masked_lm_share, most, (cls_id, sep_id)),
        masking.GivenBitsChooser(
            tf.reshape(bits[:, length:], [count, most, 2]), self._vocab_size,
            self._ids[names.MASK_ID]))

    def dense(ragged: tf.RaggedTensor, width: int, padding: int = 0) -> tf.Tensor:
      return tf.cast(ragged.to_tensor(padding, shape=[count, width]), tf.int32)

    batch = {
        names.INPUT_WORD_IDS: dense(masked, length, self._ids[names.PADDING_ID]),
        names.INPUT_MASK: tf.sequence_mask(masked.row_lengths(), length, tf.int32),
        names.INPUT_TYPE_IDS: dense(types, length),
        names.MASKED_LM_POSITIONS: dense(positions, most),
        recipes.MASKED_LM_IDS: dense(originals, most),
        recipes.MASKED_LM_WEIGHTS: tf.sequence_mask(positions.row_lengths(), most, tf.float32),
    }
    if self.recipe.pairs:
      batch[recipes.NEXT_SENTENCE_LABELS] = tf.cast(planned[:, 4:], tf.int32)
    return batch

  def _segment(self, first: tf.Tensor, length: tf.Tensor) -> tf.RaggedTensor:
    """int32 [count, (tokens)] of spans, int64 [count] each."""
    places = tf.ragged.range(first, first + length)
    return places.with_values(tf.gather(self._tokens, places.values))
