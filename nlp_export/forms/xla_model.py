"""How is an export written so that whoever loads it has its function compiled by XLA?"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.forms.source import Source
from nlp_export.saved_models import writing


class CompiledModel(tf.train.Checkpoint):
  """The root of a SavedModel: dict of int32 [batch, seq_length] -> dict of outputs, compiled.

  XLA compiles once for every pair of batch and seq_length, when it meets it.
  """

  def __init__(self, source: Source):
    super().__init__()
    self._function = source.function(jit_compile=True)
    self.source = source.obj  # Its variables.

  def serving_signatures(self) -> dict[str, Any]:
    """`serving_default`."""
    return {names.SERVING_DEFAULT: self._function}


def write(source: Source, path: str) -> None:
  """Writes the SavedModel."""
  writing.write(CompiledModel(source), path)
