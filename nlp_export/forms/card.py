"""What does a form say about itself: what it is made of, what it needs, how it is called?"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import nlp_export
from nlp_export.forms import form as forms
from nlp_export.forms.form import Form
from nlp_export.saved_models.verification.report import VerificationReport

_PACKAGES = {forms.ONNX: ('tensorflow', 'tf2onnx', 'onnx'), forms.LITERT: ('tensorflow',)}
_TITLES = {
    forms.FROZEN_GRAPH: 'Frozen graph', forms.BFLOAT16: 'Frozen graph in bfloat16',
    forms.ONNX: 'ONNX', forms.LITERT: 'LiteRT', forms.XLA: 'SavedModel that XLA compiles'}

_READ_GRAPH = """import numpy as np
import tensorflow as tf

with open('frozen_graph.pb', 'rb') as f:
  graph_def = tf.compat.v1.GraphDef.FromString(f.read())
graph = tf.compat.v1.wrap_function(
    lambda: tf.graph_util.import_graph_def(graph_def, name=''), [])
function = graph.prune([graph.graph.get_tensor_by_name(f'{{name}}:0') for name in {inputs}],
                       graph.graph.get_tensor_by_name('{output}:0'))
print(function({tensors}).shape)"""
_USE = {
    forms.FROZEN_GRAPH: _READ_GRAPH,
    forms.BFLOAT16: _READ_GRAPH,
    forms.ONNX: """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])
print(session.run(['{output}'], {arrays})[0].shape)""",
    forms.LITERT: """import numpy as np
from ai_edge_litert.interpreter import Interpreter

runner = Interpreter('model.tflite').get_signature_runner()
print(runner(**{arrays})['{output}'].shape)""",
    forms.XLA: """import numpy as np
import tensorflow as tf

serving_default = tf.saved_model.load('saved_model').signatures['serving_default']
print(serving_default(**{tensor_dict})['{output}'].shape)""",
}


def versions(form: Form) -> dict[str, str]:
  """The packages that made the file, name to version."""
  return {'nlp_export': nlp_export.__version__, **{
      name: importlib.metadata.version(name)
      for name in _PACKAGES.get(form.kind, ('tensorflow',))}}


def use(record: Mapping[str, Any]) -> str:
  """A program that calls the form, in its directory, with a row of ones."""
  length = record['seq_length'] or 8
  row = f'np.ones((1, {length}), np.int32)'
  inputs = record['inputs']
  fields = {
      'inputs': repr(tuple(inputs)), 'output': record['outputs'][0],
      'tensors': ', '.join([f'tf.constant({row})'] * len(inputs)),
      'arrays': '{' + ', '.join(f"'{name}': {row}" for name in inputs) + '}',
      'tensor_dict': '{' + ', '.join(f"'{name}': tf.constant({row})" for name in inputs) + '}',
  }
  return _USE[record['form']['kind']].format(**fields)


def render(record: Mapping[str, Any], report: VerificationReport) -> str:
  """README.md.

  Args:
    record: what is written to assets.extra/provenance.json.
    report: of the verification.
  """
  form, export = record['form'], record['export']
  weights = form['weights'].replace('_', ' ')
  title = _TITLES[form['kind']]
  if form['kind'] == forms.LITERT:
    title += f', weights in {weights}'
  length = f'{record["seq_length"]} tokens, padded' if record['seq_length'] else 'any length'
  checked = '; '.join(f'{c.name.removeprefix("form.")} {c.value} ({c.tolerance:g} is allowed)'
                      for c in report.checks)
  return '\n'.join([
      f'# {title} of {export["name"]}', '',
      f'For inference only: made from the SavedModel {export["name"]}'
      + (f' ({export["export_type"]})' if export['export_type'] else '')
      + (f', SHA-256 of its files `{export["sha256"]}`' if export['sha256'] else '') + '.', '',
      f'- **File:** `{record["file"]}`, SHA-256 `{record["sha256"]}`.',
      f'- **Needs at run time:** {forms.NEEDS[form["kind"]]}. Not nlp_export.',
      f'- **Takes:** {", ".join(record["inputs"])}: int32 [batch, seq_length], rows of {length}.',
      f'- **Returns:** {", ".join(record["outputs"])}.',
      '- **Text:** `../preprocessing`, a SavedModel, makes these inputs of strings; it needs '
      'TensorFlow and tensorflow_text. The operations on strings are in no form.',
      *(f'- **Note:** {note}' for note in record['notes']),
      f'- **Verified:** on real text in a process without nlp_export, against the SavedModel, as a '
      f'share of the largest value: {checked}. See `assets.extra/verification.json`.', '',
      '## Use', '', '```python', use(record), '```', ''])
