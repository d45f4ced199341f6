"""What the tests of embedding share."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests import tiny


@pytest.fixture(scope='session')
def some_texts() -> list[str]:
  """50 texts of 0 to 30 words."""
  rng = random.Random(0)
  words = [word for word in tiny.wordpiece_tokens() if word.isalpha()]
  return [' '.join(rng.choices(words, k=rng.randint(0, 30))) for _ in range(50)]


@pytest.fixture(scope='session')
def loaded(uncased_exports):
  """The tiny export and its preprocessing, loaded. Shared: do not change them."""
  import tensorflow as tf
  import tensorflow_text  # noqa: F401

  return (tf.saved_model.load(uncased_exports['model']),
          tf.saved_model.load(uncased_exports['preprocessing']))


@pytest.fixture(scope='session')
def expected(loaded, some_texts):
  """A function from a pooling to the texts' vectors: one text at a time, padded, by NumPy."""

  def vectors(pooling: str = 'mean', seq_length: int = 24) -> np.ndarray:
    encoder, preprocessor = loaded
    found = []
    for text in some_texts:
      tokens = preprocessor.tokenize([text])
      inputs = preprocessor.bert_pack_inputs([tokens], seq_length=seq_length)
      outputs = encoder(inputs)
      real = outputs['sequence_output'].numpy()[0][inputs['input_mask'].numpy()[0] > 0]
      found.append({'mean': real.mean(axis=0), 'max': real.max(axis=0), 'cls': real[0],
                    'pooled': outputs['pooled_output'].numpy()[0]}[pooling])
    return np.stack(found)

  return vectors
