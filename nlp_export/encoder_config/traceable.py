"""What of a TF-NLP network must not get into a graph that is saved?"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from official.nlp.modeling.layers import mixing, moe


def make_traceable(network: Any) -> None:
  """Leaves out what a network does besides computing its outputs; these stay as they are.

  Routers of experts update Keras metrics in every call, in inference too: state that no part of an
  encoder's SavedModel owns. Fourier layers put their two matrices into the graph as constants, once
  a layer and trace (80 MB for FNet-Base); here equal ones become one tensor that all share.

  Args:
    network: a built tf_keras network.
  """
  shared: dict[tuple[Any, ...], tf.Tensor] = {}
  for layer in network.submodules:
    if isinstance(layer, moe.Router):
      layer._export_metrics = False
    if isinstance(layer, (mixing.FourierTransformLayer, mixing.HartleyTransformLayer)):
      _share_matrices(layer, shared)


def _share_matrices(layer: Any, shared: dict[tuple[Any, ...], tf.Tensor]) -> None:
  transform = getattr(layer, 'fourier_transform', None)
  if not isinstance(transform, functools.partial):  # The fast transform has no matrices.
    return
  matrices = {}
  for name, value in transform.keywords.items():
    key = (np.shape(value), np.asarray(value).tobytes())
    matrices[name] = shared.setdefault(key, tf.constant(value))
  layer.fourier_transform = functools.partial(transform.func, **matrices)
