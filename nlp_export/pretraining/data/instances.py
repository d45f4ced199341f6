"""How do instances that somebody packed already become batches, in an order of their own?

TF-NLP's records hold pairs of segments. Here their masks are undone; order and masks are drawn
anew from the seed and the pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.pretraining.data.batches import Batches
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.data.spans import ShuffledRows
from nlp_export.pretraining.data.tfnlp_records import Instances
from nlp_export.pretraining.data.tokens import TokenisedCorpus

_SEED = 0  # Of the masks of held-out instances, as in held_out.py.


def check(instances: Instances, tokenizer: Any, recipe: DataRecipe) -> None:
  """Refuses records that were made for another vocabulary or recipe.

  Raises:
    RequestError: says which setting to change.
  """
  instances.check(tokenizer, recipe.seq_length, recipe.max_predictions)
  if instances.has_pairs != (recipe.pairs is not None):
    has = 'pairs' if instances.has_pairs else 'no pairs (next_sentence_labels)'
    wanted = "'next_sentence'" if instances.has_pairs else 'None'
    raise RequestError(
        f'{instances.paths[0]} has {has}, but data_recipe.pairs is {recipe.pairs!r}. '
        f'Write --set PAIRS={wanted}')


def corpus(instances: Instances) -> TokenisedCorpus:
  """The unmasked rows, a document each: special tokens and padding stay where they are."""
  ids = instances.unmasked()
  return TokenisedCorpus.of_lengths(
      ids.reshape(-1), np.full(len(ids), ids.shape[1]), np.ones(len(ids), np.int64))


class HeldOutInstances:
  """Whole batches of held-out instances, in the order of the files; see `held_out.HeldOut`.

  Which rows are of one document is not recorded, so intervals take them as independent.
  """

  def __init__(
      self, instances: Instances, tokenizer: Any, recipe: DataRecipe, batch_size: int,
      most_tokens: int):
    """Plans the rows; the first ones again where the last batch would not be full.

    Args:
      instances: of other text than is trained on.
      tokenizer, recipe: as for training.
      batch_size: rows of a batch.
      most_tokens: padding included.
    """
    count = min(len(instances.segments()), max(1, most_tokens // instances.seq_length))
    count = -(-count // batch_size) * batch_size
    rows = np.resize(instances.segments(), [count, 5])
    self._corpus = corpus(instances)
    self._batches = Batches(self._corpus, tokenizer, recipe, batch_size, _InOrder(rows))
    self._count, self._batch_size = count, batch_size
    self.documents = np.arange(count)
    self.labels = rows[:, 4] if recipe.pairs else None
    self.majority_share = (
        None if self.labels is None else float(max(self.labels.mean(), 1 - self.labels.mean())))
    self._made: list[dict[str, np.ndarray]] | None = None

  def batches(self) -> list[dict[str, np.ndarray]]:
    """All of them. The arrays are shared."""
    if self._made is None:
      self._made = [self._batches.batch(n) for n in range(self._count // self._batch_size)]
    return self._made

  def describe(self) -> dict[str, Any]:
    """What it is, as JSON values."""
    return {'corpus_sha256': self._corpus.sha256(), 'rows': self._count,
            'batch_size': self._batch_size, 'majority_share': self.majority_share}


class _InOrder(ShuffledRows):
  """The rows as they are."""

  def __init__(self, rows: np.ndarray):
    super().__init__(rows, _SEED)

  def rows(self, first: int, count: int) -> np.ndarray:
    return self._rows[first:first + count]
