"""Hugging Face BERT directories restore into TF-NLP encoders that compute the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlp_export.checkpoints import RestoreError, open_checkpoint, restore
from nlp_export.errors import RequestError
from tests import tiny
from tests.checkpoints import hugging_face_bert as hf


def gelu_tanh(x):  # tiny's hidden_activation, TF-NLP's gelu.
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
  from scipy import special

  return 0.5 * x * (1 + special.erf(x / np.sqrt(2)))


@pytest.fixture(scope='module')
def weights():
  return hf.draw()


def check(directory, weights, pretrainer, with_mlm=True, atol=1e-5):
  """Restores and compares with the NumPy model."""
  checkpoint = open_checkpoint(str(directory))
  items = {'encoder': pretrainer.encoder_network}
  items |= {'masked_lm': pretrainer.masked_lm} if with_mlm else {}
  report = restore(checkpoint, items)
  inputs = tiny.encoder_inputs()
  outputs = pretrainer.encoder_network(inputs)
  sequence, pooled = hf.forward(weights, 2, inputs, gelu_tanh)
  real = inputs['input_mask'] > 0
  np.testing.assert_allclose(outputs['sequence_output'].numpy()[real], sequence[real], atol=atol)
  np.testing.assert_allclose(outputs['pooled_output'], pooled, atol=atol)
  if with_mlm:
    import tensorflow as tf

    positions = tf.constant([[0, 1]] * 3, tf.int32)
    logits = pretrainer.masked_lm(outputs['sequence_output'], masked_positions=positions)
    wanted = hf.mlm_logits(weights, sequence, gelu_tanh)[:, :2]
    np.testing.assert_allclose(logits, wanted, atol=10 * atol)
  return report


@pytest.mark.conformance(95)
@pytest.mark.parametrize('kind', ['bert', 'bert_v2'])
def test_outputs_equal_an_independent_model(kind, weights, target, tmp_path):
  report = check(hf.write(tmp_path / 'bert', weights), weights, target(kind))
  assert report.unused.heads == ['cls.seq_relationship.bias', 'cls.seq_relationship.weight']
  assert report.format == 'Hugging Face BERT'


def test_a_kernel_that_is_not_turned_would_be_noticed(weights, target, tmp_path):
  """Control: square matrices fit either way round, so shapes alone would not tell."""
  key = 'bert.encoder.layer.1.attention.output.dense.weight'
  wrong = weights | {key: np.ascontiguousarray(weights[key].T)}
  with pytest.raises(AssertionError):
    check(hf.write(tmp_path / 'wrong', wrong), weights, target('bert'), with_mlm=False)


@pytest.mark.parametrize('variant', [
    'no prefix', 'legacy names', 'position_ids', 'decoder too', 'decoder only', 'shards',
    'another file name', 'file named'])
def test_variants_of_the_format(variant, weights, target, tmp_path):
  stored, shards = dict(weights), 1
  word = 'bert.embeddings.word_embeddings.weight'
  if variant == 'no prefix':  # BertModel alone.
    stored = {k.removeprefix('bert.'): v for k, v in weights.items() if k.startswith('bert.')}
  elif variant == 'legacy names':
    stored = {k.replace('LayerNorm.weight', 'LayerNorm.gamma').replace(
        'LayerNorm.bias', 'LayerNorm.beta'): v for k, v in weights.items()}
  elif variant == 'position_ids':
    stored['bert.embeddings.position_ids'] = np.arange(tiny.Size.max_position_embeddings)[None, :]
  elif variant == 'decoder too':
    stored['cls.predictions.decoder.weight'] = weights[word].copy()
    stored['cls.predictions.decoder.bias'] = weights['cls.predictions.bias'].copy()
  elif variant == 'decoder only':
    stored['cls.predictions.decoder.weight'] = stored.pop(word)
    stored['cls.predictions.decoder.bias'] = stored.pop('cls.predictions.bias')
  elif variant == 'shards':
    shards = 3
  directory = Path(hf.write(tmp_path / 'bert', stored, shards))
  path = directory
  if variant == 'another file name':
    (directory / 'model.safetensors').rename(directory / 'weights.safetensors')
  elif variant == 'file named':
    (directory / 'other.safetensors').write_bytes(b'x')
    path = directory / 'model.safetensors'
  report = check(path, weights, target('bert'), with_mlm=variant != 'no prefix')
  if variant == 'position_ids':
    assert report.unused.counters == ['bert.embeddings.position_ids']
  assert len(open_checkpoint(str(path)).files) == {'shards': 5}.get(variant, 2)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_half_precision_is_cast_and_reported(dtype, weights, target, tmp_path):
  import ml_dtypes

  dtypes = {'float16': np.float16, 'bfloat16': ml_dtypes.bfloat16}
  stored = {k: v.astype(dtypes[dtype]) for k, v in weights.items()}
  rounded = {k: v.astype(np.float32) for k, v in stored.items()}
  report = check(hf.write(tmp_path / 'half', stored), rounded, target('bert'))
  assert report.casts == {dtype: len(weights) - 2}


def test_real_weights_equal_an_independent_model(minilm_dir):
  """all-MiniLM-L6-v2 with the erf gelu of its config, against NumPy in float64."""
  from safetensors.numpy import load_file

  from nlp_export import encoders

  checkpoint = open_checkpoint(minilm_dir)
  network = encoders.from_file(checkpoint.encoder_config).build(initialise=False)
  report = restore(checkpoint, {'encoder': network})
  assert len(report.matched) == 7 + 16 * 6
  assert Path(checkpoint.vocab_file).name == 'vocab.txt'
  assert Path(checkpoint.tokenizer_config).name == 'tokenizer_config.json'

  weights = load_file(Path(minilm_dir) / 'model.safetensors')
  inputs = tiny.encoder_inputs(batch=2, seq_length=9, vocab_size=30522)
  real = inputs['input_mask'] > 0
  outputs = network(inputs)
  sequence, pooled = hf.forward(weights, 12, inputs, gelu_erf)
  np.testing.assert_allclose(outputs['sequence_output'].numpy()[real], sequence[real], atol=1e-4)
  np.testing.assert_allclose(outputs['pooled_output'], pooled, atol=1e-4)
  # Control: with the tanh form the difference is far above the tolerance.
  other, _ = hf.forward(weights, 12, inputs, gelu_tanh)
  assert abs(other[real] - sequence[real]).max() > 1e-3


def test_a_remote_directory(weights, target, tmp_path):
  import tensorflow as tf

  directory = hf.write(tmp_path / 'bert', weights)
  tf.io.gfile.makedirs('ram://hf')
  for name in ('config.json', 'model.safetensors'):
    tf.io.gfile.copy(f'{directory}/{name}', f'ram://hf/{name}', overwrite=True)
  check('ram://hf', weights, target('bert'))


@pytest.mark.conformance(98, 99)
def test_differences_are_said_as_for_tf2(weights, tmp_path):
  directory = hf.write(tmp_path / 'bert', weights, num_attention_heads=4)
  with pytest.raises(RestoreError) as caught:
    restore(open_checkpoint(directory),
            {'encoder': tiny.build_encoder(tiny.Size(num_layers=1, vocab_size=50))})
  assert [line.strip() for line in str(caught.value).split('\n')[1:-1]] == [
      'layers: checkpoint 2, config 1: another num_layers?',
      f'word embeddings: checkpoint {tiny.Size.vocab_size}, config 50: another vocabulary?',
      'attention heads: checkpoint 4, config 2: another num_attention_heads?',
  ]
  unknown = weights | {'bert.encoder.layer.0.adapter.weight': np.ones(3, np.float32)}
  directory = hf.write(tmp_path / 'adapter', unknown)
  with pytest.raises(RestoreError) as caught:
    restore(open_checkpoint(directory), {'encoder': tiny.build_encoder()})
  assert str(caught.value).split('\n')[1].startswith(
      '  in the checkpoint but not in the model: bert.encoder.layer.0.adapter.weight')
  del unknown['bert.encoder.layer.0.adapter.weight']
  unknown['classifier.weight'] = np.ones((2, 16), np.float32)  # A head is none of our business.
  report = restore(open_checkpoint(hf.write(tmp_path / 'head', unknown)),
                   {'encoder': tiny.build_encoder()})
  assert 'classifier.weight' in report.unused.heads


def test_values_that_are_not_finite(weights, tmp_path):
  key = 'bert.encoder.layer.1.output.dense.weight'
  bad = weights[key].copy()
  bad[1, 1] = np.nan
  with pytest.raises(RequestError, match=r'layer 1, output kernel \(bert\.encoder') as caught:
    restore(open_checkpoint(hf.write(tmp_path / 'bad', weights | {key: bad})),
            {'encoder': tiny.build_encoder()})
  assert str(caught.value).endswith('Name an earlier checkpoint.')


def test_a_decoder_of_its_own_is_refused_only_where_it_matters(weights, target, tmp_path):
  own = weights | {'cls.predictions.decoder.weight':
                   weights['bert.embeddings.word_embeddings.weight'] + 1}
  directory = hf.write(tmp_path / 'untied', own)
  pretrainer = target('bert')
  assert restore(open_checkpoint(directory), {'encoder': pretrainer.encoder_network}).complete
  with pytest.raises(RequestError) as caught:
    restore(open_checkpoint(directory), {'encoder': pretrainer.encoder_network,
                                         'masked_lm': pretrainer.masked_lm})
  assert str(caught.value).endswith("Take EXPORT_TYPES = ('model', 'preprocessing').")


def spoil(directory: Path, what: str) -> None:
  """Makes one thing wrong in a directory of three shards."""
  first = directory / 'model-00001-of-00003.safetensors'
  index = directory / 'model.safetensors.index.json'
  config = directory / 'config.json'
  if what == 'no config':
    config.unlink()
  elif what == 'other type':
    config.write_text(json.dumps({'model_type': 'roberta', 'num_attention_heads': 2}))
  elif what == 'no heads':
    config.write_text(json.dumps({'model_type': 'bert'}))
  elif what == 'odd heads':
    config.write_text(json.dumps({'model_type': 'bert', 'num_attention_heads': 3}))
  elif what == 'short':
    first.write_bytes(first.read_bytes()[:-7])
  elif what == 'a pointer':
    first.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n')
  elif what == 'missing shard':
    first.unlink()
  elif what == 'bad index':
    index.write_text('[]')
  elif what == 'index of another':
    content = json.loads(index.read_text())
    content['weight_map']['bert.more'] = first.name
    index.write_text(json.dumps(content))
  elif what == 'two files':
    index.unlink()
  elif what == 'twice':
    from safetensors.numpy import load_file, save_file

    again = {'embeddings.LayerNorm.weight': np.ones(16, np.float32)}
    save_file(load_file(first) | again, first)


@pytest.mark.parametrize('what, wanted', [
    ('no config', 'Put the config.json of the model beside them.'),
    ('other type', 'build another one in Python: ENCODER = @my_module.my_encoder'),
    ('no heads', 'Correct it to the number that the model was trained with.'),
    ('odd heads', 'heads of its config.json. Correct num_attention_heads there.'),
    ('short', 'Copy the file again or name another checkpoint.'),
    ('a pointer', 'Copy the file again or name another checkpoint.'),
    ('missing shard', 'which is not there. Copy the missing files too.'),
    ('bad index', "it has no 'weight_map' of tensors to files. Copy the file again."),
    ('index of another', 'which its file does not hold. Copy the files again.'),
    ('two files', 'Give the path of one of these files.'),
    ('twice', "with and without 'bert.' before it. Give the directory of one model."),
])
def test_what_is_missing_or_damaged(what, wanted, weights, tmp_path):
  directory = Path(hf.write(tmp_path / 'bert', weights, shards=3))
  open_checkpoint(str(directory))
  spoil(directory, what)
  with pytest.raises(RequestError) as caught:
    open_checkpoint(str(directory))
  assert str(caught.value).endswith(wanted)


def test_a_linear_layer_of_another_rank(weights, tmp_path):
  odd = weights | {'bert.pooler.dense.weight': np.ones((16, 4, 4), np.float32)}
  with pytest.raises(RequestError, match='Give the directory of a model of that family.$'):
    open_checkpoint(hf.write(tmp_path / 'odd', odd))


def test_names_of_items_do_not_apply(weights, tmp_path):
  directory = hf.write(tmp_path / 'bert', weights)
  usual = {'encoder': 'encoder', 'next_sentence': 'next_sentence'}
  assert open_checkpoint(directory, usual).items()[:2] == ('encoder', 'masked_lm')
  with pytest.raises(RequestError, match='Leave checkpoint_items as it is.$'):
    open_checkpoint(directory, {'encoder': 'student'})


def test_there_is_no_head_to_copy_but_a_pooler_to_keep(minilm_dir, tmp_path):
  checkpoint = open_checkpoint(minilm_dir)
  assert checkpoint.has_pooler()
  with pytest.raises(RequestError, match=r'Use @poolers\.keep \(what its encoder holds\)'):
    checkpoint.dense('next_sentence.pooler_dense')
  shutil.copytree(minilm_dir, tmp_path / 'copy')
  assert open_checkpoint(str(tmp_path / 'copy')).name == 'copy'
