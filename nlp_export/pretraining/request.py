"""What is to be pre-trained, resolved and checked as far as that goes without TensorFlow?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nlp_export import checkpoints, names
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part
from nlp_export.pretraining import strategies
from nlp_export.pretraining.data import recipe as data_recipes
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.heads import HeadSpec
from nlp_export.pretraining.recipe import TrainRecipe
from nlp_export.pretraining.saving_options import Saving
from nlp_export.pretraining.texts import PREPARED, RECORDS, Text
from nlp_export.tokenizers import Tokenizer

CHECKPOINTS_DIR = 'checkpoints'

_VOCAB_SIZE_FIELDS = ('vocab_size', 'word_vocab_size')  # Of TF-NLP's types of encoders.
_ROWS = 8  # Of a table that goes with a learned vocabulary: a multiple is faster to multiply with.
# Of the recipe; may change when a training goes on: only how often Python is asked.
_NOT_OF_THE_RESULT = ('steps_per_loop',)


@dataclasses.dataclass(frozen=True)
class VocabularyRequest:
  """A vocabulary that is learned from the training text at the beginning of the run.

  Attributes:
    learner: a part such as @vocabularies.wordpiece.
    name: as written in gin.
    vocab_size: tokens at most.
    lower_case: whether for an uncased tokenizer.
  """

  learner: Callable[..., Any]
  name: str
  vocab_size: int
  lower_case: bool


@dataclasses.dataclass(frozen=True)
class InitialWeights:
  """A checkpoint that weights are taken from.

  Attributes:
    path: INITIAL_CHECKPOINT.
    found: the checkpoint that this means.
  """

  path: str
  found: checkpoints.FoundCheckpoint


@dataclasses.dataclass(frozen=True)
class Request:
  """A pre-training.

  Attributes:
    encoder: what is trained.
    tokenizer: that the text goes through; None if its vocabulary is learned first, from which the
      encoder then gets its number of word embeddings.
    vocabulary: how, then; else None.
    text: what is trained on.
    data: how text becomes instances.
    training: steps, batch, optimizer, seeds.
    heads: classification heads besides the masked LM.
    mlm_activation: of the masked-LM head.
    runtime: where it runs, not begun.
    saving: checkpoints and evaluations.
    initial: weights that training starts from; None for initial values.
    resume_from: directory of another run's checkpoints to go on from; None to start.
    notes: what the reader of the log should know.
  """

  encoder: EncoderSpec | BuiltEncoder
  tokenizer: Tokenizer | None
  vocabulary: VocabularyRequest | None
  text: Text
  data: DataRecipe
  training: TrainRecipe
  heads: tuple[HeadSpec, ...]
  mlm_activation: str
  runtime: strategies.Runtime
  saving: Saving
  initial: InitialWeights | None = None
  resume_from: str | None = None
  notes: tuple[str, ...] = ()

  @property
  def several_processes(self) -> bool:
    """Whether several processes train together in one out_dir."""
    return isinstance(self.runtime, strategies.multi_worker)

  @property
  def evaluation_batch_size(self) -> int:
    """Rows of a held-out batch: as many as one device computes at a time, at most."""
    return max(1, self.training.global_batch_size // self.training.accumulation_steps)

  def check(self) -> None:
    """Refuses what does not fit together.

    Raises:
      RequestError: says which line to change.
    """
    self.training.optimizer_spec()
    self.training.learning_rate_schedule()
    self.training.rows_per_micro_batch(1)
    if self.tokenizer is not None:
      self.check_tokenizer(self.tokenizer)
    if self.heads and self.data.pairs is None:
      raise RequestError(
          f'HEADS has {", ".join(head.name for head in self.heads)}, but PAIRS is None: the text '
          'gives no labels to train it with. Write --set "HEADS=()", or --set PAIRS=next_sentence')
    unknown = [head for head in self.heads
               if head.labels != data_recipes.NEXT_SENTENCE_LABELS or head.num_classes < 2]
    if unknown:
      raise RequestError(
          f'The pre-training head {unknown[0].name} has labels {unknown[0].labels!r} of '
          f'{unknown[0].num_classes} classes, but batches have '
          f'{data_recipes.NEXT_SENTENCE_LABELS!r}, of 2. Use @pretraining.next_sentence_head')
    if self.vocabulary is not None and self.text.kind in (PREPARED, RECORDS):
      raise RequestError(
          'VOCABULARY learns a vocabulary from text, but PREPARED_DATA and TFNLP_RECORDS hold ids '
          'of another one. Give that one, --set VOCAB_FILE=..., and VOCABULARY = None')

  def check_tokenizer(self, tokenizer: Tokenizer) -> None:
    """Refuses a tokenizer that fits neither encoder, data nor prepared text.

    Raises:
      RequestError: says why.
    """
    with explain_part(tokenizer, f'The {tokenizer.kind} tokenizer'):
      tokenizer.check(self.encoder.vocab_size)
      data_recipes.check(self.data, tokenizer, self.encoder.max_positions)
    self.text.check(tokenizer)

  def with_tokenizer(self, tokenizer: Tokenizer) -> tuple[Request, tuple[str, ...]]:
    """The request once its vocabulary is learned: the encoder gets as many word embeddings.

    How many tokens a text gives is not known before: a small one gives fewer than were asked for.

    Args:
      tokenizer: with the learned vocabulary.

    Returns:
      The request, checked, and lines to say.
    """
    encoder = self.encoder
    notes: tuple[str, ...] = ()
    rows = -(-tokenizer.vocab_size // _ROWS) * _ROWS
    if isinstance(encoder, EncoderSpec) and encoder.vocab_size != rows:
      field = next(name for name in _VOCAB_SIZE_FIELDS if name in encoder.config)
      encoder = dataclasses.replace(encoder, config={**encoder.config, field: rows})
      notes = (f'{rows} word embeddings instead of {self.encoder.vocab_size}, for the '
               f'{tokenizer.vocab_size} tokens of the learned vocabulary',)
    found = dataclasses.replace(self, tokenizer=tokenizer, vocabulary=None, encoder=encoder)
    found.check_tokenizer(tokenizer)
    return found, notes

  def configuration(self, data: Mapping[str, Any]) -> dict[str, Any]:
    """Whatever decides the numbers besides encoder and tokenizer: a run goes on with equal ones.

    Args:
      data: `Data.describe()`.
    """
    training = {key: value for key, value in self.training.to_json().items()
                if key not in _NOT_OF_THE_RESULT}
    return {'training': training, 'heads': [head.to_json() for head in self.heads], 'data': data,
            'initial_weights': self.initial.found.name if self.initial else None}


def has_next_sentence(request: Request) -> bool:
  """Whether a pooler can be copied from a next-sentence head (`poolers.copy_nsp`)."""
  return any(f'{head.name}.pooler_dense' == names.NEXT_SENTENCE_POOLER for head in request.heads)
