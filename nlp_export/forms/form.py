"""What is a form of an export for inference: which file, which tolerance, what does it need?"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any

from nlp_export.errors import RequestError

FROZEN_GRAPH, BFLOAT16, ONNX, LITERT, XLA = 'frozen_graph', 'bfloat16', 'onnx', 'litert', 'xla'
# What the unconverted export is called beside its forms.
SAVED_MODEL = 'saved_model'

# The file or directory that is the form.
FILES = {FROZEN_GRAPH: 'frozen_graph.pb', BFLOAT16: 'frozen_graph.pb', ONNX: 'model.onnx',
         LITERT: 'model.tflite', XLA: 'saved_model'}

# Of the table's column, and of the card.
NEEDS = {
    FROZEN_GRAPH: 'TensorFlow 2',
    BFLOAT16: 'TensorFlow 2; quick only where the processor multiplies bfloat16',
    ONNX: 'onnxruntime; no TensorFlow',
    LITERT: 'ai-edge-litert; no TensorFlow',
    XLA: 'TensorFlow 2; compiles for every new shape',
    SAVED_MODEL: 'TensorFlow 2',
}

# Packages that a conversion imports, of the extra `forms`.
_PACKAGES = {ONNX: ('tf2onnx', 'onnx', 'onnxruntime'), LITERT: ('ai_edge_litert',)}

# LiteRT's weights.
FLOAT32, FLOAT16, INT8 = 'float32', 'float16', 'dynamic_int8'


@dataclasses.dataclass(frozen=True)
class Form:
  """One form that is asked for.

  Attributes:
    kind: of FILES.
    tolerance: the largest difference to the SavedModel that passes, as a share of the largest
      absolute value of an output, and of 1 where that is smaller.
    least_cosine: the least cosine of a text's or a token's vector to the SavedModel's that passes;
      outputs narrower than 8 have none.
    seq_length: tokens in a row, where the form has one length only; None where it takes any.
    weights: FLOAT32, FLOAT16 or INT8, of LiteRT.
    opset: of ONNX.
  """

  kind: str
  tolerance: float
  least_cosine: float
  seq_length: int | None = None
  weights: str = FLOAT32
  opset: int | None = None

  def __post_init__(self) -> None:
    if not 0 < self.tolerance < 10:
      raise RequestError(f'The tolerance of a form ({self.kind}) is {self.tolerance!r}, which is a '
                         'share of the largest output. Write a number above 0, such as 1e-5')
    if not 0 <= self.least_cosine <= 1:
      raise RequestError(f'least_cosine of a form ({self.kind}) is {self.least_cosine!r}. Write a '
                         'number from 0 to 1, such as 0.99')
    length = self.seq_length
    if length is not None and (isinstance(length, bool) or length < 3):
      raise RequestError(f'seq_length of a form ({self.kind}) is {length!r}: a text with its '
                         'special tokens has 3 tokens at least. Write litert.seq_length = 128')

  @property
  def file(self) -> str:
    """Name of the file, or of the directory, that is the form."""
    return FILES[self.kind]

  def check_packages(self) -> None:
    """Refuses a form whose packages are missing.

    Raises:
      RequestError: names them.
    """
    missing = [name for name in _PACKAGES.get(self.kind, ())
               if importlib.util.find_spec(name) is None]
    if missing:
      raise RequestError(
          f'The form {self.kind} needs {", ".join(missing)}, not installed here. Write pip install '
          "'nlp_export[forms]', or leave it out of FORMS")

  def to_json(self) -> Mapping[str, Any]:
    """As JSON values."""
    return dataclasses.asdict(self)
