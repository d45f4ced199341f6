"""What do the checks of a text embedding share? Its texts, and its vectors for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export.saved_models.verification import reference
from nlp_export.saved_models.verification.registry import NotApplicable, NotRun
from nlp_export.saved_models.verification.subject import TrainedSubject, as_numpy, shared
from nlp_export.saved_models.verification.traces import concrete_functions

# Real sentences, nothing, and blanks.
TEXTS: tuple[bytes, ...] = (
    *(text.encode() for example in reference.SENTENCES for text in example), b'', b' \t\n')


class TextEmbeddingSubject(TrainedSubject):
  """A loaded text embedding."""

  def call(self, texts: Any, training: bool = False) -> np.ndarray:
    """float32 [batch, dim] for a list of texts."""
    return as_numpy(self._function(training)(tf.constant(texts, tf.string)))

  def _function(self, training: bool) -> Any:
    """A tf.function around the call, for every batch size: traced and optimised once."""
    cache = self.__dict__.setdefault('_functions', {})
    if training not in cache:
      arguments = {'training': training} if self.takes_training else {}
      cache[training] = tf.function(
          lambda x: self.obj(x, **arguments), autograph=False,
          input_signature=[tf.TensorSpec([None], tf.string)])
    return cache[training]

  @property
  def takes_training(self) -> bool:
    """Whether the call has an argument `training`; TF Hub's API leaves that open."""
    for function in concrete_functions(self.obj):
      args, kwargs = function.structured_input_signature
      if len(args) > 1 or 'training' in kwargs:
        return True
    return False

  @shared
  def known(self) -> tuple[list[bytes], list[list[int]], np.ndarray]:
    """Reading the reference values: texts, ids, vectors."""
    if not self.told.reference_file:
      raise NotRun('no reference values were given: they come from the checkpoint')
    return reference.load_text_vectors(self.told.reference_file)

  @shared
  def texts(self) -> list[bytes]:
    """Reading the reference values."""
    return self.known[0] if self.told.reference_file else list(TEXTS)

  @shared
  def vectors(self) -> np.ndarray:
    """Calling it on the sentences."""
    return self.call(self.texts)

  @property
  def dim(self) -> int:
    """Length of a vector."""
    return int(self.told.dim or self.vectors.shape[1])

  def part(self, name: str) -> Any:
    """A part that exports of ours have besides TF Hub's API; others need not."""
    part = getattr(self.obj, name, None)
    if part is None and self.job.expected is None:
      raise NotApplicable(f"it has no {name}, which TF Hub's API does not ask for")
    if not callable(part):
      raise AttributeError(f'it has no {name} that can be called')
    return part

  @shared
  def inputs(self) -> dict[str, np.ndarray]:
    """Calling encoder_inputs on the sentences."""
    return as_numpy(self.part('encoder_inputs')(tf.constant(self.texts, tf.string)))

