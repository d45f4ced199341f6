"""What is rewritten in a frozen graph computes the same, and what is not is known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.forms import comparing, einsums, freezing, layer_norms, reader
from nlp_export.forms import source as sources
from nlp_export.forms.graphs import Graph, to_bytes
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


def test_bfloat16_halves_the_weights(source):
  graph = freezing.in_bfloat16(freezing.freeze(source))
  assert freezing.is_bfloat16(graph)
  assert not freezing.is_bfloat16(freezing.freeze(source))  # Control.
  kernels = [graph.source(node.input[1]) for node in graph.of_type('Einsum')]
  kernels = [node for node in kernels if node.op == 'Const']
  assert len(kernels) == 12
  assert {node.attr['dtype'].type for node in kernels} == {tf.bfloat16.as_datatype_enum}


@pytest.mark.parametrize('equation, first, second, constant', [
    ('abc,cd->abd', (2, 3, 4), (4, 5), True),
    ('abc,cde->abde', (2, 3, 4), (4, 2, 5), True),
    ('abcd,cde->abe', (2, 3, 4, 5), (4, 5, 6), True),
    ('aecd,abcd->acbe', (2, 3, 4, 5), (2, 6, 4, 5), False),
    ('acbe,aecd->abcd', (2, 3, 4, 5), (2, 5, 3, 6), False),
])
def test_an_einsum_as_a_matrix_product(equation, first, second, constant):
  rng = np.random.default_rng(0)
  x, y = (rng.normal(size=shape).astype(np.float32) for shape in (first, second))
  with tf.Graph().as_default() as traced:
    a = tf.compat.v1.placeholder(tf.float32, [None] * len(first), name='a')
    b = tf.constant(y) if constant else tf.compat.v1.placeholder(
        tf.float32, [None] * len(second), name='b')
    tf.identity(tf.einsum(equation, a, b), name='out')
  given = {'a': x} if constant else {'a': x, 'b': y}
  graph = Graph(traced.as_graph_def(), tuple(given), ('out',)).tidied()
  assert len(graph.of_type('Einsum')) == 1
  assert einsums.rewrite(graph) == 0
  assert not graph.of_type('Einsum')
  with tf.Graph().as_default():
    tf.graph_util.import_graph_def(graph.graph_def(), name='')
    with tf.compat.v1.Session() as session:
      found = session.run('out:0', {f'{name}:0': value for name, value in given.items()})
  np.testing.assert_allclose(found, np.einsum(equation, x, y), atol=1e-5)


def test_an_einsum_of_another_kind_is_left():
  with tf.Graph().as_default() as traced:
    a = tf.compat.v1.placeholder(tf.float32, [None, None], name='a')
    tf.identity(tf.einsum('ab,ab->a', a, a), name='out')
  graph = Graph(traced.as_graph_def(), ('a',), ('out',)).tidied()
  assert einsums.rewrite(graph) == 1
  assert len(graph.of_type('Einsum')) == 1


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
