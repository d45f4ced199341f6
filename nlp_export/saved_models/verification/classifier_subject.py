"""What do the checks of a classifier share? Its texts, and its answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification import reference
from nlp_export.saved_models.verification.registry import NotRun
from nlp_export.saved_models.verification.subject import TrainedSubject, as_numpy, output, shared
from nlp_export.saved_models.verification.traces import concrete_functions, text_inputs_of

# Segments, each with N texts.
Segments = Sequence[Sequence[bytes]]


class ClassifierSubject(TrainedSubject):
  """A loaded classifier: one or two texts -> logits and more."""

  def call(self, segments: Segments, training: bool = False) -> dict[str, np.ndarray]:
    """The outputs as NumPy arrays."""
    texts = [tf.constant(list(of_segment), tf.string) for of_segment in segments]
    return as_numpy(self._function(training)(*texts))

  def _function(self, training: bool) -> Any:
    """A tf.function around the call, for every batch size: traced and optimised once."""
    cache = self.__dict__.setdefault('_functions', {})
    if training not in cache:
      cache[training] = tf.function(
          lambda *texts: self.obj(*texts, training=training), autograph=False,
          input_signature=[tf.TensorSpec([None], tf.string)] * self.segments)
    return cache[training]

  @property
  def segments(self) -> int:
    """1 or 2: texts of an example."""
    return max(text_inputs_of(function) for function in concrete_functions(self.obj))

  @shared
  def known(self) -> tuple[Segments, np.ndarray]:
    """Reading the reference values: texts and logits."""
    if not self.told.reference_file:
      raise NotRun('no reference values were given: they come from the training')
    texts, _, logits = reference.load_text_vectors(self.told.reference_file)
    count = len(logits)
    return [texts[at:at + count] for at in range(0, len(texts), count)], logits

  @shared
  def texts(self) -> Segments:
    """Reading the reference values."""
    if self.told.reference_file:
      return self.known[0]
    texts = [text.encode() for example in reference.SENTENCES for text in example] + [b'']
    return [texts, texts[::-1]][:self.segments]

  @shared
  def answers(self) -> dict[str, np.ndarray]:
    """Calling it on the texts."""
    return self.call(self.texts)

  @shared
  def logits(self) -> np.ndarray:
    """Calling it on the texts."""
    return output(self.answers, names.LOGITS)

  def some(self, rows: Sequence[int]) -> Segments:
    """Some rows of the texts."""
    return [[of_segment[i] for i in rows] for of_segment in self.texts]

  @property
  def outputs(self) -> int:
    """Classes; 1 for a regression."""
    return int(self.logits.shape[1])
