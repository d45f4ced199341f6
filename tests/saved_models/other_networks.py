"""Exports of TF-NLP's own networks of any type, and what an export run would tell of them."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from nlp_export import poolers
from nlp_export.dropout import DropoutState
from nlp_export.encoder_config import sequence_form, traceable
from nlp_export.encoders import EncoderSpec
from nlp_export.restored_encoder import RestoredEncoder
from nlp_export.saved_models import expectations, writing
from nlp_export.saved_models.encoder import EncoderSavedModel
from nlp_export.saved_models.verification import Job, checking, registry
from nlp_export.saved_models.verification import report as reports
from tests import encoder_types


class Made:
  """A network that TF-NLP built and weighted, and its SavedModel.

  Attributes:
    pretrainer, network: TF-NLP's.
    form: what the export was told of lengths.
    dropout: the state in the network.
    path: of the SavedModel.
  """

  def __init__(self, directory: Path, name: str, with_mlm: bool = True, **fields: Any):
    config = encoder_types.write_config(directory, name, **fields)
    self.spec = EncoderSpec(name, {**encoder_types.BLOCKS[name], **fields})
    self.pretrainer = encoder_types.build_pretrainer(config)
    self.network = self.pretrainer.encoder_network
    traceable.make_traceable(self.network)
    self.form = sequence_form.of(self.spec)
    self.with_mlm = with_mlm
    self.dropout = DropoutState(seed=7)
    self.dropout.install(self.network)
    self.path = str(directory / 'export')
    self.save(self.path)
    self.directory = directory

  def save(self, path: str, form: sequence_form.SequenceForm | None = None) -> None:
    """Writes the export, for another form if one is given."""
    writing.write(EncoderSavedModel(
        self.network, self.dropout, tokenizer=None, pooler=poolers.layer_of(self.network),
        masked_lm=self.pretrainer.masked_lm if self.with_mlm else None, form=form or self.form),
        path)

  @functools.cached_property
  def expectation(self) -> Any:
    """What an export run tells the verification."""
    restored = RestoredEncoder(
        self.spec, self.network, self.pretrainer.masked_lm,
        self.pretrainer if self.with_mlm else None, 'gelu', poolers.layer_of(self.network),
        checkpoint=None, report=None, item_names={})  # type: ignore[arg-type]
    made = expectations.EncoderExpectations(restored, None, {}, str(self.directory))
    return made.of('reference', poolers.PoolerWeights(np.zeros(0), np.zeros(0)), self.with_mlm)


def verify(path: str, expected: Any, left_out: Collection[str] = ()) -> list[reports.CheckResult]:
  """The answers of an encoder's checks, in this process."""
  loaded = subject(path, expected)
  return [checking.run_check(check, loaded) for check in registry.checks_for(loaded.kind)
          if check.name not in left_out]


def subject(path: str, expected: Any) -> Any:
  """A loaded export, for single checks."""
  return checking.load(Job('/elsewhere', 'x', expected), path)


def answer(loaded: Any, check: str) -> reports.CheckResult:
  """How one check ends."""
  chosen = next(c for c in registry.all_checks() if c.name == check)
  return checking.run_check(chosen, loaded)


def status(path: str, expected: Any, check: str) -> str:
  """How one check of an export ends, in a word."""
  return answer(subject(path, expected), check).status
