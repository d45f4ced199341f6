"""On which batches is a model in training evaluated, and how far may its scores be off?"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.pretraining.data import recipe as recipes
from nlp_export.pretraining.data.draws import Purpose, below, draws
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.data.spans import Plan
from nlp_export.pretraining.data.tokens import TokenisedCorpus

# Of instances and masks; not the recipe's, so that runs of other seeds are measured alike.
_SEED = 0
_RESAMPLES = 10_000


class HeldOut:
  """Batches of held-out text, always the same ones for a recipe and a batch size.

  With pairs only chunks of two sentences or more are used: of one sentence alone BERT's rule always
  makes a random pair, which would leave something to be gained by telling short documents. So the
  labels are fair coins, and what always guessing the more frequent one gives is `majority_share`.

  Attributes:
    documents: int64 [rows], the number (in the held-out corpus) of the document that a row's first
      segment is from. Rows of one document are not independent.
    labels: int64 [rows] of the pairs, None without.
    majority_share: share of the more frequent label, None without pairs.
  """

  def __init__(
      self, corpus: TokenisedCorpus, tokenizer: Any, recipe: DataRecipe, batch_size: int,
      passes: int = 1):
    """Plans the rows.

    Args:
      corpus: the held-out documents.
      tokenizer: as for training.
      recipe: as for training; its data_seed has no part in it.
      batch_size: rows of every batch.
      passes: how often the text is gone through, each time with other segments and masks, for a
        narrower interval. The rows that fill the last batch up are of one pass more.

    Raises:
      RequestError: no instances can be made of the text.
    """
    if not isinstance(passes, int) or isinstance(passes, bool) or passes < 1:
      raise RequestError(f'The passes over held-out text are {passes!r}, but they have to be a '
                         'whole number from 1, such as 4')
    self._corpus, self._tokenizer, self._recipe = corpus, tokenizer, recipe
    self._batch_size = batch_size
    try:
      plan = Plan(corpus, recipe, seed=_SEED)
    except RequestError as error:
      raise RequestError(
          f'Of the held-out text no instances can be made. {error.message}; '
          'or hold out more of it, held_out_share = 0.2') from error
    rows = _fair_rows(plan, recipe, passes, batch_size)
    self._rows = _Given(rows, _SEED)
    self.documents = corpus.document_of(rows[:, 0])
    self.labels = rows[:, 4] if recipe.pairs else None
    self.majority_share = (
        None if self.labels is None else float(max(self.labels.mean(), 1 - self.labels.mean())))
    self._made: list[dict[str, np.ndarray]] | None = None

  def batches(self) -> list[dict[str, np.ndarray]]:
    """All of them, as `Batches.batch` returns them, every row full. The arrays are shared."""
    if self._made is None:
      from nlp_export.pretraining.data.batches import Batches

      made = Batches(self._corpus, self._tokenizer, self._recipe, self._batch_size, self._rows)
      self._made = [made.batch(number) for number in range(len(self._rows.all) // self._batch_size)]
    return self._made

  def masked_tokens(self) -> np.ndarray:
    """int32 [n], the tokens that are to be predicted: for a unigram loss on the very same."""
    return np.concatenate([batch[recipes.MASKED_LM_IDS][batch[recipes.MASKED_LM_WEIGHTS] > 0]
                           for batch in self.batches()])

  def describe(self) -> dict[str, Any]:
    """What it is, as JSON values."""
    return {
        'corpus_sha256': self._corpus.sha256(), 'documents': self._corpus.documents,
        'sentences': self._corpus.sentences, 'tokens': len(self._corpus.tokens),
        'rows': len(self._rows.all), 'batch_size': self._batch_size,
        'majority_share': self.majority_share,
    }


def mean_interval(
    values: np.ndarray, documents: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
  """Percentile bootstrap of a mean over rows, in which whole documents are drawn.

  Args:
    values: numbers [rows], such as 1.0 for a right answer.
    documents: integers [rows], where each is from.
    confidence: of the interval.

  Returns:
    Its ends. With few documents it is only rough (and too narrow rather than too wide); with one
    nothing is known: (nan, nan).

  Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13.
  """
  _, number = np.unique(documents, return_inverse=True)
  sums, sizes = np.bincount(number, weights=values), np.bincount(number)
  if len(sizes) < 2:
    return float('nan'), float('nan')
  means = []
  for chunk in np.array_split(np.arange(_RESAMPLES), max(1, _RESAMPLES * len(sizes) // 2**22)):
    drawn = below(draws(chunk[:, None], np.arange(len(sizes)), Purpose.RESAMPLE), len(sizes))
    means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
  low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
  return float(low), float(high)


class _Given:
  """Rows as they are, instead of a plan's endless ones."""

  def __init__(self, rows: np.ndarray, seed: int):
    self.all, self.seed = rows, seed

  @property
  def instances_per_epoch(self) -> int:
    return len(self.all)

  def rows(self, first: int, count: int) -> np.ndarray:
    return self.all[first:first + count]


def _fair_rows(plan: Plan, recipe: DataRecipe, passes: int, batch_size: int) -> np.ndarray:
  """int64 [n, 5]: whole passes, and more rows until n is a multiple of the batch size."""
  found: list[np.ndarray] = []
  wanted = count = epoch = 0
  while epoch < passes or count < wanted:
    rows, sentences = plan.epoch(epoch)
    rows = rows[sentences > 1] if recipe.pairs else rows
    found.append(rows)
    count, epoch = count + len(rows), epoch + 1
    if epoch == passes:
      wanted = max(-(-count // batch_size), 1) * batch_size
    if epoch >= passes and not count:
      raise RequestError(
          'Every sentence of the held-out text is as long as a row, so that no pair of two that '
          'follow each other fits. Split it into sentences, a line each, or write pairs = None')
  return np.concatenate(found)[:wanted]
