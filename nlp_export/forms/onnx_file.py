"""How does a frozen graph become an ONNX file that runs?"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.graphs import einsums
from nlp_export.graphs.graph import Graph, dtype_of

_BATCH, _SEQ_LENGTH = 'batch', 'seq_length'


def convert(graph: Graph, opset: int) -> bytes:
  """The file's bytes.

  Args:
    graph: frozen and tidied; it is changed.
    opset: version of ONNX's operators.

  Raises:
    RequestError: an operation has no counterpart in ONNX.
  """
  import onnx
  import tf2onnx

  einsums.rewrite(graph)
  _without_erfc(graph)
  graph = graph.tidied()
  renamed = {f'{name}:0': name for name in (*graph.inputs, *graph.outputs)}
  with _quiet():
    model, _ = tf2onnx.convert.from_graph_def(
        graph.graph_def(), input_names=[f'{name}:0' for name in graph.inputs],
        output_names=[f'{name}:0' for name in graph.outputs], opset=opset)
  unknown = sorted({node.op_type for node in model.graph.node
                    if not onnx.defs.has(node.op_type, node.domain)})
  if unknown:
    raise RequestError(
        f'{", ".join(unknown)} of TensorFlow has no counterpart in ONNX that tf2onnx knows. Leave '
        '@forms.onnx out of FORMS')
  _rename(model.graph, renamed)
  onnx.checker.check_model(model)
  return model.SerializeToString(deterministic=True)


def _without_erfc(graph: Graph) -> None:
  """erfc(x) as 1 - erf(x): the exact GELU has it, and ONNX has none."""
  for node in graph.of_type('Erfc'):
    dtype = dtype_of(node)
    one = graph.add_constant(f'{node.name}/one', np.float32(1), dtype)
    erf = graph.add(f'{node.name}/erf', 'Erf', list(node.input), T=dtype)
    graph.put(node.name, 'Sub', [one, erf], T=dtype)


def _rename(graph: Any, renamed: dict[str, str]) -> None:
  """Inputs and outputs by the names of TF Hub's API, their free dimensions named too."""
  for node in graph.node:
    node.input[:] = [renamed.get(name, name) for name in node.input]
    node.output[:] = [renamed.get(name, name) for name in node.output]
  for info in (*graph.input, *graph.output):
    info.name = renamed.get(info.name, info.name)
    for position, dimension in enumerate(info.type.tensor_type.shape.dim):
      if not dimension.HasField('dim_value'):
        dimension.dim_param = (_BATCH, _SEQ_LENGTH)[min(position, 1)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Without the progress and warnings of tf2onnx, whose failures are found by what it returns."""
  level = logging.root.manager.disable
  logging.disable(logging.ERROR)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      yield
  finally:
    logging.disable(level)
