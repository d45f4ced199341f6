"""On which rows of token ids are forms compared and timed? Real text, tokenised as its users do."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import handles, names, text_inputs, vocabularies
from nlp_export.corpora import english
from nlp_export.errors import RequestError
from nlp_export.forms.source import Source

ROWS = 32  # Of a batch.
_SHORT_ROWS = 5
_PROBE_LENGTH = 16

# Case, accents, punctuation, numbers, other scripts; then sentences of the embedded corpus.
_MARKED = ('A good film.', 'Where was the meeting held in 1998?', 'Déjà vu, said the Café owner.',
           '中国 is written with 2 characters.', 'Yes')

Inputs = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Tokeniser:
  """What turns texts into the inputs of a function.

  Attributes:
    inputs: names that the function takes.
    preprocessor: its own preprocessing, or a loaded SavedModel of TF Hub's text API.
    own: whether the export has it inside.
    segments: how many texts make a row, at least and at most: (1, 2).
  """

  inputs: tuple[str, ...]
  preprocessor: Any
  own: bool
  segments: tuple[int, int]

  def rows(self, segments: Sequence[Sequence[str]], max_seq_length: int) -> Inputs:
    """int32 [batch, seq_length] by name, as long as the longest row."""
    texts = [tf.constant(list(segment)) for segment in segments]
    if self.own:
      found = self.preprocessor(*texts)
      found = {name: value[:, :max_seq_length] for name, value in found.items()}
    else:
      found = text_inputs.encoder_inputs(self.preprocessor, texts, max_seq_length)
    return {name: found[name].numpy() for name in self.inputs}


def tokeniser(source: Source, preprocessing: str | None,
              allowed_ops: Sequence[str] = ()) -> Tokeniser:
  """The export's own preprocessing, or that of PREPROCESSING."""
  if preprocessing is not None:
    path = handles.resolved(preprocessing, allowed_ops)
    vocabularies.refuse_other(source.path, path)
    return Tokeniser(source.inputs, tf.saved_model.load(path), False, (1, 2))
  own = getattr(source.obj, 'encoder_inputs', None)
  if own is None:
    raise RequestError(
        f'{source.path} takes token ids and has no preprocessing inside, and forms are compared on '
        'real text. Name the preprocessing that belongs to it: --set PREPROCESSING=...')
  count = 2 if source.second_text() else 1
  return Tokeniser(source.inputs, own, True, (count, count))


def batch(tokeniser: Tokeniser, seq_length: int) -> Inputs:
  """ROWS rows of `seq_length` tokens each, most of them padded."""
  sentences = [*_MARKED, *itertools.islice(
      (s for document in english.documents() for s in document.sentences), 2 * ROWS)]
  least, most = tokeniser.segments
  parts = []
  if least == 1:
    half = ROWS // 2 if most > 1 else ROWS
    parts.append(tokeniser.rows([sentences[:half]], seq_length))
  if most > 1:
    rest = ROWS - sum(len(part[tokeniser.inputs[0]]) for part in parts)
    parts.append(tokeniser.rows([sentences[:rest], sentences[ROWS:ROWS + rest]], seq_length))
  full = [padded(part, seq_length) for part in parts]
  return {name: np.concatenate([part[name] for part in full]) for name in tokeniser.inputs}


def probe(tokeniser: Tokeniser, fixed_length: int | None) -> Inputs:
  """A few rows, not long, where a whole batch is not needed; of the length that they must have."""
  rows = batch(tokeniser, fixed_length or _PROBE_LENGTH)
  return rows if fixed_length else short(rows)


def padded(rows: Inputs, seq_length: int) -> Inputs:
  """Rows of `seq_length`, zeros at the end: the mask is 0 there."""
  return {name: np.pad(value, ((0, 0), (0, seq_length - value.shape[1])))
          for name, value in rows.items()}


def short(rows: Inputs) -> Inputs:
  """A few of the rows, without the columns that are padding in all of them."""
  few = {name: value[:_SHORT_ROWS] for name, value in rows.items()}
  mask = few.get(names.INPUT_MASK)
  used = int(mask.sum(axis=1).max()) if mask is not None else few[names.INPUT_WORD_IDS].shape[1]
  return {name: value[:, :used] for name, value in few.items()}
