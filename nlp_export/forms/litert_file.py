"""How does the function of an export become a LiteRT file, in float32, float16 or 8 bits?"""

from __future__ import annotations

import tensorflow as tf

from nlp_export.errors import RequestError
from nlp_export.forms.form import FLOAT16, FLOAT32, Form
from nlp_export.forms.source import Source


def convert(source: Source, form: Form) -> bytes:
  """The file's bytes; rows of `form.seq_length` tokens, any number of them.

  Raises:
    RequestError: an operation has no counterpart in LiteRT.
  """
  function = source.function(form.seq_length).get_concrete_function()
  converter = tf.lite.TFLiteConverter.from_concrete_functions([function], source.obj)
  if form.weights != FLOAT32:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if form.weights == FLOAT16:
    converter.target_spec.supported_types = [tf.float16]
  try:
    return bytes(converter.convert())
  except Exception as error:  # ConverterError is not public.
    if type(error).__name__ != 'ConverterError':
      raise
    first = str(error).strip().partition('\n')[0]
    raise RequestError(
        f'LiteRT cannot compute {source.path}: {first}. Leave @forms.litert and its kin out of '
        'FORMS') from error
