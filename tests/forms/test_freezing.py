"""What is rewritten in a frozen graph computes the same, and what is not is known."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.forms import comparing, freezing, reader
from nlp_export.forms import source as sources
from nlp_export.graphs import layer_norms, products
from nlp_export.graphs.graph import Graph, to_bytes
from tests import tiny

INPUTS = ('input_word_ids', 'input_mask', 'input_type_ids')


@pytest.fixture(scope='module')
def source(uncased_exports):
  return sources.load(uncased_exports['model'])


def run(graph: Graph, rows, tmp_path):
  """Outputs of a graph, read as its users do."""
  path = str(tmp_path / 'graph.pb')
  freezing.write(graph, path)
  found = reader.frozen_graph(path, INPUTS, graph.outputs, '')(rows)
  return {name: value.numpy() for name, value in found.items()}


def test_a_layer_norm_keeps_its_epsilon_whatever_the_optimizer_does(source, tmp_path, monkeypatch):
  rows = tiny.encoder_inputs(seq_length=9)
  expected = source.any_length(*(tf.constant(rows[name]) for name in INPUTS))
  graph = freezing.freeze(source)
  assert not layer_norms.unchanged(graph)
  found = run(graph, rows, tmp_path)
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, atol=1e-5)
  # Control: left as Keras writes them, TensorFlow's optimizer gives them another epsilon.
  monkeypatch.setattr(layer_norms, 'rewrite', lambda graph: 0)
  as_keras = freezing.freeze(source)
  assert len(layer_norms.unchanged(as_keras)) == 5
  wrong = run(as_keras, rows, tmp_path)
  assert np.abs(wrong['sequence_output'] - expected['sequence_output']).max() > 1e-3


def test_equal_sources_give_equal_bytes(source, uncased_exports):
  assert to_bytes(freezing.freeze(source)) == to_bytes(freezing.freeze(
      sources.load(uncased_exports['model'])))


def probe(source):
  rows = tiny.encoder_inputs(seq_length=source.fixed_length or 9)
  return [tf.constant(rows[name]) for name in source.inputs]


def test_the_faster_graph_has_no_slow_operations_and_equal_bytes(source, uncased_exports):
  graph, why = freezing.freeze_fast(source, probe(source), 1e-5)
  assert why == ''
  assert len(graph.of_type('Einsum')) == 2 * 2  # Scores and context have no constant side.
  assert not graph.of_type('FusedBatchNormV3', 'Erfc')
  assert not layer_norms.unchanged(graph)
  plain = freezing.freeze(source)
  assert len(plain.of_type('Einsum')) == 2 * 8  # Control.
  assert len(to_bytes(graph)) < len(to_bytes(plain)) + 50_000  # Weights are there once.
  again = sources.load(uncased_exports['model'])
  assert to_bytes(graph) == to_bytes(freezing.freeze_fast(again, probe(again), 1e-5)[0])


def test_a_faster_graph_that_computes_something_else_is_not_used(source, monkeypatch):
  right = products.multiplied

  def wrong(graph, name, rows, dense, dtype):
    half = graph.add_constant(f'{name}/half', 0.5, dtype)
    return graph.add(f'{name}/wrong', 'Mul', [right(graph, name, rows, dense, dtype), half],
                     T=dtype)

  monkeypatch.setattr(products, 'multiplied', wrong)
  graph, why = freezing.freeze_fast(source, probe(source), 1e-5)
  assert why.startswith('written again it differs by ')
  assert to_bytes(graph) == to_bytes(freezing.freeze(source))


# Reads frozen graphs beside their SavedModels, without this package, with lengths of rows of
# every kind, and prints the largest differences.
ALONE = """
import json, sys
sys.modules['nlp_export'] = None
import numpy as np
import tensorflow as tf
import tensorflow_text
tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': sys.argv[1] == 'off'})
found = {}
for pb, path, signature, inputs in json.loads(sys.argv[2]):
  graph_def = tf.compat.v1.GraphDef.FromString(open(pb, 'rb').read())
  wrapped = tf.compat.v1.wrap_function(
      lambda: tf.graph_util.import_graph_def(graph_def, name=''), [])
  tensor = wrapped.graph.get_tensor_by_name
  wanted = tf.saved_model.load(path).signatures[signature]
  names = [name for name in wanted.structured_outputs if not name.startswith('encoder_outputs')]
  frozen = wrapped.prune([tensor(name + ':0') for name in inputs],
                         {name: tensor(name + ':0') for name in names})
  rng = np.random.default_rng(0)
  for batch, length in ((2, 3), (5, 40), (0, 7), (1, 12)):
    mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int32)
    mask[1:2] = 0  # A row that is all padding.
    rows = {'input_word_ids': rng.integers(5, 30, (batch, length)).astype(np.int32) * mask,
            'input_mask': mask, 'input_type_ids': 0 * mask}
    rows = {name: tf.constant(rows[name]) for name in inputs}
    expected, given = wanted(**rows), frozen(*rows.values())
    for name in names:
      assert given[name].shape == expected[name].shape, (name, given[name].shape)
      off = np.abs(given[name] - expected[name]).max(initial=0) if given[name].shape[0] else 0
      key = pb.rpartition('/')[2] + ' ' + name
      found[key] = max(found.get(key, 0), float(off)) if np.isfinite(off) else 'not finite'
print(json.dumps(found))
"""


@pytest.fixture(scope='module')
def written(uncased_exports, tmp_path_factory):
  """[file, export, signature, inputs] of frozen graphs; the last one is wrong."""
  work, found = tmp_path_factory.mktemp('frozen'), []

  def write(name, graph, kind, signature):
    freezing.write(graph, str(work / name))
    found.append([str(work / name), uncased_exports[kind], signature, graph.inputs])

  for kind, signature in (('model', 'serving_default'), ('text_embedding', 'tokens')):
    source = sources.load(uncased_exports[kind])
    graph, why = freezing.freeze_fast(source, probe(source), 1e-5)
    assert why == ''
    write(kind, graph, kind, signature)
  with pytest.MonkeyPatch.context() as patch:  # Layer norms as Keras writes them.
    patch.setattr(layer_norms, 'rewrite', lambda graph: 0)
    graph = freezing.freeze(sources.load(uncased_exports['model']))
  write('wrong', graph, 'model', 'serving_default')
  return found


def alone(files, onednn='1', optimizer='on'):
  kept = {'PATH': '', 'TF_CPP_MIN_LOG_LEVEL': '3', 'TF_ENABLE_ONEDNN_OPTS': onednn}
  done = subprocess.run([sys.executable, '-P', '-c', ALONE, optimizer, json.dumps(files)],
                        env=kept, text=True, capture_output=True, check=False)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@pytest.mark.parametrize('onednn, optimizer', [('1', 'on'), ('1', 'off'), ('0', 'on')])
def test_a_frozen_graph_is_right_with_any_settings_and_rows(written, onednn, optimizer):
  found = alone(written, onednn, optimizer)
  assert {'text_embedding embedding', 'model sequence_output'} <= set(found)
  assert all(off < 1e-5 for key, off in found.items() if not key.startswith('wrong')), found
  if onednn == '1' and optimizer == 'on':  # Control.
    assert found['wrong sequence_output'] > 1e-3


def test_bfloat16_halves_the_weights(source):
  graph = freezing.in_bfloat16(freezing.freeze(source))
  assert freezing.is_bfloat16(graph)
  assert not freezing.is_bfloat16(freezing.freeze(source))  # Control.
  kernels = [graph.source(node.input[1]) for node in graph.of_type('Einsum')]
  kernels = [node for node in kernels if node.op == 'Const']
  assert len(kernels) == 12
  assert {node.attr['dtype'].type for node in kernels} == {tf.bfloat16.as_datatype_enum}


def test_differences_leave_padding_out_and_see_everything_else():
  mask = {'input_mask': np.array([[1, 1, 0]])}
  expected = {'sequence_output': np.ones((1, 3, 8), np.float32)}
  found = {'sequence_output': expected['sequence_output'].copy()}
  found['sequence_output'][0, 2] = 9  # At padding.
  assert comparing.differences(found, expected, mask)['sequence_output'].largest == 0
  found['sequence_output'][0, 1, 0] = 2
  seen = comparing.differences(found, expected, mask)['sequence_output']
  assert seen.largest == 1
  assert seen.least_cosine == pytest.approx(9 / np.sqrt(8 * 11))
  found['sequence_output'][0, 1, 0] = np.nan
  assert comparing.differences(found, expected, mask)['sequence_output'].share == np.inf


def test_a_function_on_strings_is_refused(tmp_path):
  class Reads(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name=n) for n in INPUTS])
    def tokens(self, input_word_ids, input_mask, input_type_ids):
      told = tf.strings.length(tf.strings.as_string(input_word_ids))
      return {'embedding': tf.cast(told + input_mask + input_type_ids, tf.float32)}

  model = Reads()
  tf.saved_model.save(model, str(tmp_path / 'm'), signatures={'tokens': model.tokens})
  with pytest.raises(sources.RequestError, match='AsString, StringLength') as refused:
    sources.load(str(tmp_path / 'm'))
  assert refused.value.message.endswith('keep them in the preprocessing')
