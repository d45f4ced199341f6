"""How fast does a user of TF-NLP's exports embed texts?

The preprocessing SavedModel pads to 128 tokens, the encoder is called on its result, batches of 32,
mean pooling: TF Hub's documented calls, eagerly, on what `export_tfhub` writes. `exact` is not
measured: the same calls on this project's exports, whose activation is the model's own, for the
vectors that others are compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401

from benchmarks.contestants import Given, embedding_texts
from nlp_export import names, poolings

_WARM_UP_TEXTS = 64


class Contestant:
  """hub.load, text by text as it comes."""

  def __init__(self, given: Given, exact: bool = False):
    self._given = given
    self._model = hub.load(given.model if exact else given.reference_model)
    self._preprocessor = hub.load(given.preprocessing if exact else given.reference_preprocessing)

  def prepare(self, corpus: str) -> dict[str, Any]:
    """Some batches. Returns 'tokens' of all texts, without padding."""
    texts = embedding_texts.read(corpus, self._given)
    self._embed(texts[:_WARM_UP_TEXTS])
    lengths = [int(tf.reduce_sum(self._preprocessor(tf.constant([text]))[names.INPUT_MASK]))
               for text in texts]
    return {'tokens': sum(lengths)}

  def measure(self, corpus: str, round: int = 0) -> dict[str, Any]:
    """All texts; see `embedding_texts.timed`."""
    del round
    texts = embedding_texts.read(corpus, self._given)
    with embedding_texts.Watch() as watch:
      vectors = self._embed(texts)
    return embedding_texts.timed(self, corpus, watch, vectors)

  def _embed(self, texts: list[str]) -> np.ndarray:
    size = self._given.batch_size
    found = []
    for start in range(0, len(texts), size):
      inputs = self._preprocessor(tf.constant(texts[start:start + size]))
      outputs = self._model(inputs)
      found.append(poolings.pool(poolings.MEAN, outputs, inputs[names.INPUT_MASK]).numpy())
    return np.concatenate(found)
