"""Which texts is a text layer called with: a batch of them, or the two of each pair?"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # No public function tells what is compiled.

from nlp_export.errors import RequestError


def segments_of(texts: Any) -> list[tf.Tensor]:
  """A list of tensors has one for each text of a pair; a list of strings is a batch.

  Args:
    texts: string [batch] or [batch, 1], or a list of such tensors.

  Returns:
    string [batch] for each text of a pair.

  Raises:
    RequestError: another shape, or XLA compiles the function that is being traced.
  """
  _refuse_xla()
  several = isinstance(texts, (list, tuple)) and any(
      hasattr(part, 'shape') and not isinstance(part, (str, bytes))  # NumPy's strings have one.
      for part in texts)
  return [_flat(part) for part in (texts if several else [texts])]


def _refuse_xla() -> None:
  """TensorFlow (2.20) ends the whole process with SIGABRT where XLA is given strings."""
  if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
    raise RequestError(
        'The text layer takes strings, and is called in a function with jit_compile=True: XLA '
        'knows no strings, and TensorFlow would end the process. Leave jit_compile out, or write '
        "inputs='encoder_inputs', and make them in the data: "
        'dataset.map(lambda text, label: (layer.preprocess(text), label))')


def _flat(texts: Any) -> tf.Tensor:
  """string [batch] of [batch] or [batch, 1]."""
  texts = tf.convert_to_tensor(texts, tf.string)
  if texts.shape.rank == 1:
    return texts
  if texts.shape.rank == 2 and texts.shape[1] in (1, None):
    return tf.reshape(texts, [-1])
  raise RequestError(
      f'The text layer takes strings of shape [batch] or [batch, 1], not {texts.shape}. '
      'Give two texts of a pair as a list of two such tensors')
