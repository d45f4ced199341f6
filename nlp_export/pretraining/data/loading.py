"""How does the text of a request become batches to train on and batches to measure on?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from nlp_export import names
from nlp_export.corpora import english, text_files
from nlp_export.corpora.text_files import Document
from nlp_export.pretraining import texts
from nlp_export.pretraining.data import instances, shards, tfnlp_records, unigram
from nlp_export.pretraining.data.batches import Batches
from nlp_export.pretraining.data.held_out import HeldOut
from nlp_export.pretraining.data.recipe import MASKED_LM_IDS, MASKED_LM_WEIGHTS, DataRecipe
from nlp_export.pretraining.data.spans import ShuffledRows
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from nlp_export.pretraining.data.unknown import count_unknown
from nlp_export.pretraining.texts import Text


class Measured(Protocol):
  """What an evaluation needs; see `held_out.HeldOut`."""

  documents: np.ndarray
  labels: np.ndarray | None
  majority_share: float | None

  def batches(self) -> Sequence[dict[str, np.ndarray]]: ...

  def describe(self) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
  """What a training reads.

  Attributes:
    batches: to train on.
    held_out: to measure on.
    unigram: nats: what predicting each masked held-out token by its frequency in the training text
      costs. A masked-LM loss below it has learned from the context.
    notes: for the reader of the log.
  """

  batches: Batches
  held_out: Measured
  unigram: float
  notes: tuple[str, ...] = ()

  def describe(self) -> dict[str, Any]:
    """Everything that the numbers depend on, as JSON values."""
    return {'training': self.batches.describe(), 'held_out': self.held_out.describe()}


def load(
    text: Text, tokenizer: Any, recipe: DataRecipe, global_batch_size: int,
    evaluation_batch_size: int,
) -> Data:
  """Reads the text into memory.

  Args:
    text: which.
    tokenizer: a `tokenizers.Tokenizer`.
    recipe: of the instances.
    global_batch_size: rows of a training step.
    evaluation_batch_size: rows of a batch to measure on.

  Raises:
    RequestError: the text is not there, no text, or not fit for tokenizer and recipe.
  """
  if text.kind == texts.RECORDS:
    return _of_records(text, tokenizer, recipe, global_batch_size, evaluation_batch_size)
  if text.prepared is not None:
    train, held_out = shards.open_prepared(text.prepared, tokenizer)
  else:
    whole = TokenisedCorpus.tokenised(documents(text), tokenizer)
    count_unknown(whole.tokens, tokenizer, 'the text')
    train, held_out = whole.split(text.held_out_share)
  held_out = _at_most(held_out, text.held_out_tokens)
  measured = HeldOut(
      held_out, tokenizer, recipe, evaluation_batch_size, passes=text.held_out_passes)
  batches = Batches(train, tokenizer, recipe, global_batch_size)
  return Data(
      batches, measured, _unigram(train, measured, tokenizer),
      (f'training text: {train.documents} documents, {train.sentences} sentences, '
       f'{len(train.tokens)} tokens; held out: {held_out.documents}, {held_out.sentences}, '
       f'{len(held_out.tokens)}',))


def documents(text: Text) -> Sequence[Document] | Any:
  """The documents of the embedded corpus or of text files."""
  return english.documents() if text.files is None else text_files.read(text.files)


def _at_most(corpus: TokenisedCorpus, tokens: int) -> TokenisedCorpus:
  """The first documents of a corpus, with about so many tokens at most; one at least."""
  if len(corpus.tokens) <= tokens:
    return corpus
  count = max(1, int(np.searchsorted(corpus.token_splits, tokens, side='right')) - 1)
  return corpus.only(np.arange(count))


def _of_records(
    text: Text, tokenizer: Any, recipe: DataRecipe, global_batch_size: int,
    evaluation_batch_size: int,
) -> Data:
  assert text.records is not None and text.held_out_records is not None  # noqa: S101 - its kind.
  train, held_out = (tfnlp_records.read(p) for p in (text.records, text.held_out_records))
  for found in (train, held_out):
    instances.check(found, tokenizer, recipe)
  rows = ShuffledRows(train.segments(), recipe.data_seed)
  whole = instances.corpus(train)
  batches = Batches(whole, tokenizer, recipe, global_batch_size, rows)
  measured = instances.HeldOutInstances(
      held_out, tokenizer, recipe, evaluation_batch_size, text.held_out_tokens)
  return Data(
      batches, measured, _unigram(whole, measured, tokenizer),
      (f'training text: {rows.instances_per_epoch} instances of TF-NLP, masks drawn anew; held '
       f'out: {len(held_out.segments())}. Intervals take instances as independent',))


def _unigram(train: TokenisedCorpus, measured: Measured, tokenizer: Any) -> float:
  masked = np.concatenate([batch[MASKED_LM_IDS][batch[MASKED_LM_WEIGHTS] > 0]
                           for batch in measured.batches()])
  special = {value for key, value in tokenizer.special_token_ids().items()
             if key != names.VOCAB_SIZE}
  return unigram.cross_entropy(train, masked, special, tokenizer.vocab_size)
