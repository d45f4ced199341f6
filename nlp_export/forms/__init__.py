"""Which forms for inference are there? What a gin file names in FORMS.

A part is a function that returns a `Form`. Tolerances are shares of the largest value of an output
(see `Form`); the defaults are a few times what BERT encoders with trained weights show.
"""

from __future__ import annotations

import gin

from nlp_export.forms import form as forms
from nlp_export.forms.form import Form

__all__ = ['Form', 'bfloat16', 'frozen_graph', 'litert', 'litert_float16', 'litert_int8', 'onnx',
           'xla']


@gin.register(module='forms')
def frozen_graph(tolerance: float = 1e-5) -> Form:
  """A GraphDef with constants for variables: frozen_graph.pb, for TensorFlow, any length.

  Args:
    tolerance: see Form.

  Source: convert_variables_to_constants_v2; nlp_export/graphs/products.py, gelus.py and
  layer_norms.py, compared with the export before they are used.
  """
  return Form(forms.FROZEN_GRAPH, tolerance, 0.9999)


@gin.register(module='forms')
def bfloat16(tolerance: float = 0.1, least_cosine: float = 0.999) -> Form:
  """A frozen graph that computes in bfloat16, its weights half as large, for TensorFlow.

  Args:
    tolerance, least_cosine: see Form.

  Source: Grappler's auto_mixed_precision_onednn_bfloat16.
  """
  return Form(forms.BFLOAT16, tolerance, least_cosine)


@gin.register(module='forms')
def onnx(opset: int = 17, tolerance: float = 1e-5) -> Form:
  """model.onnx, for onnxruntime and others that read ONNX, any length.

  Args:
    opset: version of ONNX's operators.
    tolerance: see Form.

  Source: tf2onnx.
  """
  return Form(forms.ONNX, tolerance, 0.9999, opset=opset)


@gin.register(module='forms')
def litert(seq_length: int = 128, tolerance: float = 1e-5) -> Form:
  """model.tflite, for LiteRT (TensorFlow Lite), one length, any batch.

  Args:
    seq_length: tokens in a row.
    tolerance: see Form.
  """
  return Form(forms.LITERT, tolerance, 0.9999, seq_length)


@gin.register(module='forms')
def litert_float16(seq_length: int = 128, tolerance: float = 0.02) -> Form:
  """model.tflite with weights in float16, half as large; computes in float32 on processors.

  Args:
    seq_length: tokens in a row.
    tolerance: see Form.
  """
  return Form(forms.LITERT, tolerance, 0.999, seq_length, forms.FLOAT16)


@gin.register(module='forms')
def litert_int8(
    seq_length: int = 128, tolerance: float = 0.5, least_cosine: float = 0.95) -> Form:
  """model.tflite with weights in 8 bits ("dynamic range"), a quarter as large.

  Args:
    seq_length: tokens in a row.
    tolerance, least_cosine: see Form.
  """
  return Form(forms.LITERT, tolerance, least_cosine, seq_length, forms.INT8)


@gin.register(module='forms')
def xla(tolerance: float = 1e-5) -> Form:
  """A SavedModel whose serving function XLA compiles, once for every shape.

  Args:
    tolerance: see Form.
  """
  return Form(forms.XLA, tolerance, 0.9999)
