"""Which heads does a checkpoint hold besides the masked LM, and what do they need to work?

A classification head of TF-NLP is two dense layers: `<head>.pooler_dense` on the [CLS] vector, and
`out_proj` to the classes, which `checkpoint_items` leaves out. In Google's BERT and in Hugging
Face's the first is the encoder's pooler.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_export.checkpoints import Checkpoint, projections
from nlp_export.checkpoints.checkpoint import Node, StoredTensor

if TYPE_CHECKING:
  import numpy as np

NEXT_SENTENCE = 'next_sentence'
POOLER_DENSE, OUT_PROJ = 'pooler_dense', projections.OUT_PROJ


@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
  """A dense layer.

  Attributes:
    kernel: float32 [in, out].
    bias: float32 [out].
    keys: what the source calls the two.
  """

  kernel: np.ndarray
  bias: np.ndarray
  keys: tuple[str, ...] = ()

  def equals(self, other: Dense) -> bool:
    """Whether the two compute the same, to the last bit."""
    import numpy as np

    return np.array_equal(self.kernel, other.kernel) and np.array_equal(self.bias, other.bias)

  def trackable(self, name: str) -> Any:
    """An object with the variables `kernel` and `bias`, for tf.train.Checkpoint."""
    import tensorflow as tf

    made = tf.Module()
    made.kernel = tf.Variable(self.kernel, name=f'{name}/kernel')
    made.bias = tf.Variable(self.bias, name=f'{name}/bias')
    return made


def read(checkpoint: Checkpoint) -> dict[str, Dense]:
  """Every dense layer of the classification heads, by item: 'next_sentence.pooler_dense' ...

  Args:
    checkpoint: open.

  Returns:
    In the order of their names; `Dense.keys` say which tensors of the checkpoint were read.

  Raises:
    RequestError: a value is damaged or not finite.
  """
  layers = {item: _leaves(checkpoint.nodes[item]) for item in checkpoint.items() if '.' in item}
  for item, tensors in projections.find(checkpoint).items():
    layers.setdefault(item, tensors)
  return {item: _dense(checkpoint, tensors) for item, tensors in sorted(layers.items())
          if {'kernel', 'bias'} <= tensors.keys() and len(tensors['kernel'].shape) == 2}


def _leaves(node: Node) -> dict[str, StoredTensor]:
  return {leaf: child.tensor for leaf, child in node.children.items() if child.tensor}


def _dense(checkpoint: Checkpoint, tensors: Mapping[str, StoredTensor]) -> Dense:
  import numpy as np

  from nlp_export.checkpoints.values import read_finite

  kernel, bias = (read_finite(checkpoint, tensors[leaf], np.dtype('float32'))
                  for leaf in ('kernel', 'bias'))
  return Dense(kernel, bias, (tensors['kernel'].key, tensors['bias'].key))
