"""Runs the functions of one script in order and prints what each returned as JSON.

The scripts beside this file do what TF Hub's documents tell a reader to do, in a process of their
own with TF_USE_LEGACY_KERAS=1: `tf.keras` is then the Keras 2 that those documents speak of. They
import nothing of this project and nothing of TF-NLP.
"""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

SENTENCES = ('the cat sat on the mat', 'a dog of the world', 'Hello world', 'cat and dog')


def main(*functions: Callable[..., dict[str, Any]]) -> None:
  """Calls each with the dict of paths that stands in argv[1]; a failure is part of the answer."""
  paths = json.loads(sys.argv[1])
  tf.keras.utils.set_random_seed(1)
  answers = {}
  for function in functions:
    try:
      answers[function.__name__] = function(paths)
    except Exception:
      answers[function.__name__] = {'failure': traceback.format_exc()}
  print(json.dumps(answers, default=plain))


@functools.cache
def load(path: str) -> Any:
  """hub.load, once for each path: for what a flow only calls and does not train."""
  return hub.load(path)


def plain(value: Any) -> Any:
  """Tensors and numpy values as lists and numbers."""
  return np.asarray(value).tolist()


def shape(tensor: Any) -> list[int | None]:
  """The static shape."""
  return tensor.shape.as_list()


def examples(repeats: int = 8) -> tuple[list[str], np.ndarray]:
  """Sentences with a label that a model can learn: whether a cat is in them."""
  texts = [*SENTENCES, 'the cat and a mat', 'the dog on a bank'] * repeats
  return texts, np.array([float('cat' in text) for text in texts])


def changed(before: list[np.ndarray], after: list[Any]) -> int:
  """How many of the arrays are different now."""
  return sum(not np.array_equal(b, a) for b, a in zip(before, after, strict=True))
