"""TF1 checkpoints restore into TF-NLP's encoders as every other format does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nlp_export import encoders, poolers, restored_encoder
from nlp_export import pretrainer as pretrainers
from nlp_export.checkpoints import (
  contents,
  find_checkpoint,
  open_checkpoint,
  restore,
  safetensors_files,
  tensor_bundle,
)
from nlp_export.errors import RequestError
from tests import tiny
from tests.checkpoints import hugging_face_bert
from tests.checkpoints import tf1_written as tf1

POSITIONS = np.array([[1, 0], [2, 3], [0, 0]])  # As in the fixture `outputs`.
PRETRAINED = tiny.Size  # The sizes of all that is written here.


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """A function: 'bert' or 'albert', options of tf1.write -> prefix, written once."""
  made: dict[str, str] = {}
  directory = tmp_path_factory.mktemp('tf1')

  def get(kind: str, half: bool = False, **options) -> str:
    label = f'{kind}-{half}-{sorted(options.items())}'
    if label not in made:
      weights = tf1.draw(kind)
      if half:
        weights = {name: value.astype(np.float16) for name, value in weights.items()}
      made[label] = tf1.write(directory / str(len(made)) / 'bert_model.ckpt', weights, **options)
    return made[label]

  return get


def items_of(pretrainer):
  return {'encoder': pretrainer.encoder_network, 'masked_lm': pretrainer.masked_lm}


def expected(weights, **options):
  sequence, pooled, logits = tf1.forward(weights, tiny.encoder_inputs(), **options)
  return [sequence, pooled, np.take_along_axis(logits, POSITIONS[:, :, None], axis=1)]


def assert_outputs(found, wanted):
  for one, other in zip(found, wanted, strict=True):
    np.testing.assert_allclose(one.reshape(other.shape), other, atol=2e-5)


def differ(found, wanted):
  return all(np.abs(a.reshape(b.shape) - b).max() > 0.01 for a, b in zip(found, wanted))


def without(weights, *beginnings):
  return {name: v for name, v in weights.items() if not name.startswith(beginnings)}


def refusal(prefix, pretrainer, **options) -> str:
  with pytest.raises(RequestError) as caught:
    restore(open_checkpoint(prefix), items_of(pretrainer), **options)
  return str(caught.value)


@pytest.mark.conformance(103, 104)
@pytest.mark.parametrize('options', [
    {}, {'trained': True, 'parts': 3}, {'half': True}], ids=['plain', 'trained', 'half'])
@pytest.mark.parametrize('stored, built', [('bert', 'bert'), ('bert', 'bert_v2'),
                                           ('albert', 'albert')])
def test_outputs_equal_an_independent_forward_pass(
    stored, built, options, written, target, outputs):
  weights = tf1.draw(stored)
  if options.get('half'):
    weights = {name: value.astype(np.float16) for name, value in weights.items()}
  restored = target(built)
  wanted = expected(weights)
  assert differ(outputs(restored), wanted)  # Control: before, they differ.

  report = restore(open_checkpoint(written(stored, **options)), items_of(restored))

  assert_outputs(outputs(restored), wanted)
  assert report.complete
  assert len(report.matched) == len(restored.encoder_network.variables) + 5
  assert {m.key.partition('/part_')[0] for m in report.matched} == {
      name for name in weights if 'seq_relationship' not in name}
  assert len(report.unused.heads) == 2
  assert report.unused.items == report.unused.unexplained == []
  if options.get('trained'):
    assert len(report.unused.optimizer) == 2 * len(weights)
    assert report.unused.counters == ['global_step']
  else:
    assert report.unused.optimizer == report.unused.counters == []
  assert report.casts == ({'float16': len(report.matched)} if options.get('half') else {})


@pytest.mark.parametrize('kind', ['bert', 'albert'])
def test_each_weight_has_its_own_place(kind, written, target, outputs, tmp_path):
  """Control of the test above: two weights of one shape in each other's place are seen."""
  weights = tf1.draw(kind)
  at = tf1.layer(weights, 0)
  for one, other in ((f'{at("query")}/kernel', f'{at("key")}/kernel'),
                     (f'{at("attended norm")}/gamma', f'{at("outer norm")}/gamma'),
                     ('bert/embeddings/LayerNorm/beta', 'bert/embeddings/LayerNorm/gamma')):
    swapped = weights | {one: weights[other], other: weights[one]}
    restored = target(kind)
    restore(open_checkpoint(tf1.write(tmp_path / 'swapped.ckpt', swapped)), items_of(restored))
    assert_outputs(outputs(restored), expected(swapped))
    assert differ(outputs(restored), expected(weights))


def test_the_number_of_heads_is_the_encoders(written, outputs):
  weights = tf1.draw()
  four = tiny.build_pretrainer(tiny.Size(num_attention_heads=4), head=None)
  restore(open_checkpoint(written('bert')), items_of(four))
  assert_outputs(outputs(four), expected(weights, heads=4))
  assert differ(outputs(four), expected(weights, heads=2))


def test_real_weights(minilm_dir, tmp_path):
  from safetensors.numpy import load_file
  from scipy import special

  weights = tf1.from_hugging_face(load_file(Path(minilm_dir) / 'model.safetensors'))
  prefix = tf1.write(tmp_path / 'minilm.ckpt', weights)
  network = encoders.from_file(str(Path(minilm_dir) / 'config.json')).build(initialise=False)
  report = restore(open_checkpoint(prefix), {'encoder': network})
  assert len(report.matched) == len(weights) == 5 + 16 * 6 + 2
  inputs = tiny.encoder_inputs(batch=2, seq_length=8, vocab_size=30522)
  found = network(inputs)

  def exact_gelu(x):
    return x * 0.5 * (1 + special.erf(x / np.sqrt(2)))

  for activation, agrees in ((exact_gelu, True), (tf1.gelu, False)):
    wanted = tf1.forward(weights, inputs, layers=6, heads=12, activation=activation)
    difference = max(np.abs(found['sequence_output'] - wanted[0]).max(),
                     np.abs(found['pooled_output'] - wanted[1]).max())
    assert (difference < 1e-4) == agrees, difference


@pytest.fixture
def reads(monkeypatch):
  """How often each tensor of a file was read, by its key."""
  counted: Counter[str] = Counter()
  for files in (tensor_bundle.TensorBundle, safetensors_files.SafetensorsFiles):
    def counting(self, key, read=files.read):
      counted[key] += 1
      return read(self, key)

    monkeypatch.setattr(files, 'read', counting)
  return counted


@pytest.mark.parametrize('kind', ['TF1', 'Hugging Face'])
def test_every_tensor_is_read_once(kind, written, target, reads, tmp_path):
  path = (written('bert', trained=True) if kind == 'TF1' else
          hugging_face_bert.write(tmp_path, hugging_face_bert.draw()))
  report = restore(open_checkpoint(path), items_of(target('bert')))
  assert find_checkpoint(path).kind == kind
  assert reads == Counter({match.key: 1 for match in report.matched})


def test_without_the_head_only_the_model_can_be_had(target, outputs, tmp_path):
  prefix = tf1.write(tmp_path / 'x.ckpt', without(tf1.draw(), 'cls/'))
  checkpoint = open_checkpoint(prefix)
  assert checkpoint.items() == ('encoder',)
  restored = target('bert')
  restore(checkpoint, {'encoder': restored.encoder_network})
  assert_outputs(outputs(restored, False), expected(tf1.draw())[:2])
  message = refusal(prefix, restored)
  assert 'saved without its masked LM head, which only a model_with_mlm export needs' in message
  assert message.endswith("or say what it is called: checkpoint_items.masked_lm = '...'.")


def test_poolers(written, tmp_path):
  spec = encoders.from_file(tf1.write_config(tmp_path / 'bert_config.json'))

  def source(prefix):
    return restored_encoder.restore_encoder(
        find_checkpoint(prefix), spec, item_names=pretrainers.checkpoint_items()).pooler_source()

  whole = source(written('bert'))
  np.testing.assert_array_equal(
      poolers.keep(whole).kernel, tf1.draw()['bert/pooler/dense/kernel'])
  with pytest.raises(RequestError) as caught:
    poolers.copy_nsp(whole)
  assert str(caught.value).endswith(
      "the encoder's own pooler, which was trained with it: nothing is to be copied. Use "
      '@poolers.keep.')

  poolerless = source(tf1.write(tmp_path / 'x.ckpt', without(tf1.draw(), 'bert/pooler')))
  for pooler in (poolers.keep, poolers.copy_nsp):
    with pytest.raises(RequestError, match='identity'):
      pooler(poolerless)


@pytest.mark.parametrize('change, wanted', [
    (dict(num_layers=3), 'layers: checkpoint 2, config 3: another num_layers?'),
    (dict(hidden_size=32), 'hidden width: checkpoint 16, config 32: another hidden_size?'),
    (dict(vocab_size=99), f'checkpoint {PRETRAINED.vocab_size}, config 99: another vocabulary?'),
    (dict(type='albert'), 'encoder type: checkpoint bert, config albert: another type?'),
])
def test_another_configuration_is_refused(change, wanted, written):
  other = tiny.build_pretrainer(tiny.Size(**change), head=None)
  lines = refusal(written('bert'), other).split('\n')
  assert lines[1].strip().endswith(wanted)
  assert lines[-1].endswith(
      'Set ENCODER_CONFIG to the configuration that the checkpoint was trained with.')
  assert len(lines) == 3 or 'type' in change


def test_what_an_encoder_has_no_place_for_is_refused(target, tmp_path):
  weights = tf1.draw() | {'bert/encoder/layer_0/attention/relative_bias': np.ones(3, np.float32)}
  message = refusal(tf1.write(tmp_path / 'x.ckpt', weights), target('bert'))
  assert ('in the checkpoint but not in the model: bert/encoder/layer_0/attention/relative_bias'
          in message)
  # A head of a task lies outside of the encoder, and disturbs nothing.
  tuned = without(tf1.draw(), 'cls/') | {'output_weights': np.ones((3, 16), np.float32)}
  report = restore(open_checkpoint(tf1.write(tmp_path / 'y.ckpt', tuned)),
                   {'encoder': target('bert').encoder_network})
  assert report.unused.heads == ['output_weights']


def test_moving_averages_are_named_and_not_taken(target, outputs, tmp_path):
  prefix = tf1.write(tmp_path / 'x.ckpt', tf1.draw(), average=True)
  restored = target('bert')
  report = restore(open_checkpoint(prefix), items_of(restored))
  assert_outputs(outputs(restored), expected(tf1.draw()))
  assert len(report.unused.items) == len(tf1.draw())
  assert contents.inspect(open_checkpoint(prefix)).other == ('moving averages',)


def in_scope(scope):
  return {f'{scope}/{name}'.replace(f'{scope}/bert', scope) if name.startswith('bert/') else name:
          value for name, value in tf1.draw().items()}


def test_scopes(target, outputs, tmp_path):
  restored = target('bert')
  below = {f'module/{name}': value for name, value in tf1.draw().items()}
  restore(open_checkpoint(tf1.write(tmp_path / 'a.ckpt', below)), items_of(restored))
  assert_outputs(outputs(restored), expected(tf1.draw()))

  named = tf1.write(tmp_path / 'b.ckpt', in_scope('electra'))
  assert refusal(named, restored).endswith("bind checkpoint_items.encoder = '...'.")
  restored = target('bert')
  checkpoint = open_checkpoint(named, {'encoder': 'electra'})
  restore(checkpoint, items_of(restored))
  assert_outputs(outputs(restored), expected(tf1.draw()))
  assert checkpoint.notes[-1].endswith('which ENCODER_CONFIG has to say as gelu_erf.')
  with pytest.raises(RequestError, match=r'Correct checkpoint_items.encoder.$'):
    open_checkpoint(named, {'encoder': 'roberta'})


def test_parts_that_were_saved_by_name(target, outputs, tmp_path):
  weights = tf1.draw()
  words = weights.pop(tf1.WORDS)
  parts = {f'{tf1.WORDS}/part_{i}': part for i, part in enumerate(np.array_split(words, 12))}
  restored = target('bert')
  report = restore(open_checkpoint(tf1.write(tmp_path / 'x.ckpt', weights | parts)),
                   items_of(restored))
  assert_outputs(outputs(restored), expected(tf1.draw()))
  assert f'{tf1.WORDS}/part_0..11' in [match.key for match in report.matched]
  del parts[f'{tf1.WORDS}/part_5']
  with pytest.raises(RequestError, match=r'Name a checkpoint that was saved whole.$'):
    open_checkpoint(tf1.write(tmp_path / 'y.ckpt', weights | parts))


@pytest.mark.parametrize('kind', ['bert', 'albert'])
def test_inspection(kind, written):
  held = contents.inspect(open_checkpoint(written(kind, trained=True, parts=3)))
  assert held.format == 'TF1 variables'
  assert held.encoder_type == kind
  assert held.sizes == {
      'vocab_size': PRETRAINED.vocab_size, 'hidden_size': 16, 'intermediate_size': 24,
      'max_position_embeddings': 256, 'type_vocab_size': 2} | (
          {'embedding_size': 8} if kind == 'albert' else {'num_layers': 2})
  assert held.items == {'encoder': 'bert', 'masked_lm': 'cls/predictions',
                        'next_sentence.out_proj': 'cls/seq_relationship',
                        'next_sentence.pooler_dense': 'bert/pooler/dense'}
  assert held.counters == {'global_step': 1000}
  assert held.export_types['model_with_mlm'].possible
  assert {name for name, p in held.poolers.items() if not p.possible} == {'copy_nsp'}
  assert any('not told by weights:' in line and 'num_attention_heads' in line
             for line in held.lines())


def test_the_head_on_pairs_of_sentences_restores_as_a_whole(written):
  """So that a pre-training that starts from these weights goes on with the head as it was."""
  weights = tf1.draw()
  built = tiny.build_pretrainer(tiny.Size(seed=3))
  head = built.classification_heads[0]
  restore(open_checkpoint(written('bert')), {
      'encoder': built.encoder_network, 'next_sentence.pooler_dense': head.dense,
      'next_sentence.out_proj': head.out_proj})
  np.testing.assert_array_equal(
      head.out_proj.kernel, weights['cls/seq_relationship/output_weights'].T)
  np.testing.assert_array_equal(head.out_proj.bias, weights['cls/seq_relationship/output_bias'])
  np.testing.assert_array_equal(head.dense.kernel, weights['bert/pooler/dense/kernel'])


def test_found_without_tensorflow_by_prefix_directory_or_file(written, form):
  prefix = written('bert')
  directory = prefix.rpartition('/')[0]
  places = [prefix, directory, f'{prefix}.index', f'{prefix}.meta',
            f'{prefix}.data-00000-of-00001', form('bert', 'items')]
  code = (
      'import sys\nfrom nlp_export.checkpoints import find_checkpoint\n'
      'print([find_checkpoint(path).kind for path in sys.argv[1:]])\n'
      'assert "tensorflow" not in sys.modules')
  Path(f'{prefix}.meta').write_bytes(b'')  # The Saver writes a graph there, which nobody reads.
  done = subprocess.run([sys.executable, '-c', code, *places], capture_output=True, text=True,
                        check=False)
  assert (done.stdout.strip(), done.stderr) == (str(['TF1'] * 5 + ['TF2']), '')
