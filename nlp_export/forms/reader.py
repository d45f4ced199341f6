"""What does a form compute, and how fast, in a process that has nothing of this package?

    python -P reader.py BARRED...

A program of its own, run by path: it must not import nlp_export, and cannot, nor what BARRED names
(TensorFlow, where a form claims to need none). Each line on stdin is a JSON request, each line on
stdout its answer:

    {"do": "load", "name", "kind", "path", "inputs", "outputs", "signature"}
    {"do": "call", "name", "inputs": .npz, "to": .npz}       -> {"seconds"}
    {"do": "time", "name", "inputs": .npz, "calls"}          -> {"seconds"}, of one call
    {"do": "unload", "name"}

The loaders show what a form's user writes.
"""

import json
import os
import sys
import time
from importlib import abc

import numpy as np

INPUTS = ('input_word_ids', 'input_mask', 'input_type_ids')


class ImportBar(abc.MetaPathFinder):
  """Makes `import` of some packages fail as if they were not installed."""

  def __init__(self, names):
    self._names = names

  def find_spec(self, fullname, path=None, target=None):
    if fullname.partition('.')[0] in self._names:
      raise ModuleNotFoundError(f'{fullname} is barred in this process', name=fullname)
    return None


def frozen_graph(path, inputs, outputs, _):
  """A GraphDef, as a function."""
  import tensorflow as tf

  with open(path, 'rb') as f:
    graph_def = tf.compat.v1.GraphDef.FromString(f.read())
  wrapped = tf.compat.v1.wrap_function(
      lambda: tf.graph_util.import_graph_def(graph_def, name=''), [])
  tensor = wrapped.graph.get_tensor_by_name
  function = wrapped.prune([tensor(f'{name}:0') for name in inputs],
                           {name: tensor(f'{name}:0') for name in outputs})
  return lambda given: function(*(tf.constant(given[name]) for name in inputs))


def frozen_graph_in_session(path, inputs, outputs, _):
  """The same in a session of TensorFlow 1."""
  import tensorflow as tf

  with open(path, 'rb') as f:
    graph_def = tf.compat.v1.GraphDef.FromString(f.read())
  graph = tf.Graph()
  with graph.as_default():
    tf.graph_util.import_graph_def(graph_def, name='')
  session = tf.compat.v1.Session(graph=graph)
  fetched = {name: f'{name}:0' for name in outputs}
  return lambda given: session.run(fetched, {f'{name}:0': given[name] for name in inputs})


def saved_model(path, inputs, outputs, signature):
  """A signature of a SavedModel, or with '' its root."""
  import tensorflow as tf
  import tensorflow_text  # noqa: F401 - an export with its preprocessing inside has these.

  loaded = tf.saved_model.load(path)
  wanted = loaded.signatures[signature] if signature else None

  @tf.function(autograph=False)  # What is not asked for is not computed.
  def function(given):
    found = wanted(**given) if wanted else loaded(given)
    return {name: found[name] for name in outputs}

  return _keeping(loaded, lambda given: function(
      {name: tf.constant(given[name]) for name in inputs}))


def xla(path, inputs, outputs, _):
  """A SavedModel whose signature is compiled."""
  import tensorflow as tf

  loaded = tf.saved_model.load(path)
  signature = loaded.signatures['serving_default']
  return _keeping(loaded, lambda given: signature(
      **{name: tf.constant(given[name]) for name in inputs}))


def _keeping(loaded, call):
  """The call, with what it needs to live as long."""
  call.loaded = loaded
  return call


def onnx(path, inputs, outputs, _):
  """An ONNX file."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3
  session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])

  def call(given):
    found = session.run(outputs, {name: given[name] for name in inputs})
    return dict(zip(outputs, found, strict=True))

  return call


def litert(path, inputs, outputs, _):
  """A LiteRT file."""
  from ai_edge_litert.interpreter import Interpreter

  interpreter = Interpreter(path, num_threads=len(os.sched_getaffinity(0)))
  runner = interpreter.get_signature_runner()

  return _keeping(interpreter, lambda given: runner(**{name: given[name] for name in inputs}))


LOADERS = {'frozen_graph': frozen_graph, 'frozen_graph_in_session': frozen_graph_in_session,
           'bfloat16': frozen_graph, 'saved_model': saved_model, 'xla': xla,
           'onnx': onnx, 'litert': litert}


def answer(request, loaded):
  """The answer to one request; `loaded` is what earlier ones have loaded."""
  name = request['name']
  if request['do'] == 'load':
    loaded[name] = LOADERS[request['kind']](
        request['path'], request['inputs'], request['outputs'], request['signature'])
    return {}
  if request['do'] == 'unload':
    del loaded[name]
    return {}
  with np.load(request['inputs'], allow_pickle=False) as stored:
    inputs = dict(stored)
  start = time.perf_counter()
  if request['do'] == 'call':
    found = {key: np.asarray(value) for key, value in loaded[name](inputs).items()}
    seconds = time.perf_counter() - start
    np.savez(request['to'], allow_pickle=False, **found)
    return {'seconds': seconds}
  for _ in range(request['calls']):
    for value in loaded[name](inputs).values():
      np.asarray(value)
  return {'seconds': (time.perf_counter() - start) / request['calls']}


def main(barred):
  """Answers until stdin ends."""
  sys.meta_path.insert(0, ImportBar(barred))
  # What libraries print to stdout goes to stderr; answers keep the pipe.
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  loaded: dict = {}
  for line in sys.stdin:
    try:
      found = answer(json.loads(line), loaded)
    except Exception as error:
      found = {'error': f'{type(error).__name__}: {error}'}
    answers.write(json.dumps(found) + '\n')
    answers.flush()


if __name__ == '__main__':
  main(('nlp_export', 'tests', *sys.argv[1:]))
