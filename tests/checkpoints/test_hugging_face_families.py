"""Each Hugging Face family restores into a TF-NLP encoder that computes the same, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_export import encoders, poolers
from nlp_export.checkpoints import contents, find_checkpoint, open_checkpoint
from nlp_export.encoder_config import hf_families
from nlp_export.errors import RequestError
from tests import tiny
from tests.checkpoints import hugging_face_bert as hf
from tests.checkpoints import hugging_face_families as families
from tests.checkpoints.test_hugging_face import gelu_erf, gelu_tanh

INPUTS = tiny.encoder_inputs()
REAL = INPUTS['input_mask'] > 0
POSITIONS = np.array([[0, 1]] * len(REAL), np.int32)


def restored(directory: str, with_mlm: bool = True) -> Any:
  """What an export restores: nothing but the directory is given."""
  from nlp_export.restored_encoder import restore_encoder

  found = find_checkpoint(directory)
  spec = encoders.from_file(found.encoder_config)
  return restore_encoder(found, spec, item_names={},
                         mlm_activation=found.mlm_activation if with_mlm else None)


def check(model: families.Model, directory: str, gelu: Any, head_gelu: Any = None) -> Any:
  """Compares sequence_output, pooled_output and the masked LM's logits with NumPy's."""
  import tensorflow as tf

  found = restored(directory, with_mlm=head_gelu is not None)
  outputs = found.network(INPUTS)
  sequence, pooled = hf.forward(model.bert, families.HEADS, INPUTS, gelu)
  np.testing.assert_allclose(outputs['sequence_output'].numpy()[REAL], sequence[REAL], atol=1e-5)
  if pooled is not None:
    np.testing.assert_allclose(outputs['pooled_output'], pooled, atol=1e-5)
  if head_gelu is not None:
    logits = found.masked_lm(outputs['sequence_output'], masked_positions=tf.constant(POSITIONS))
    wanted = hf.mlm_logits(model.bert, sequence, head_gelu)[:, :2]
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
  return found


def test_bert_with_its_heads(tmp_path):
  model = families.bert()
  found = check(model, model.write(tmp_path), gelu_tanh, gelu_tanh)
  assert found.checkpoint.format == 'Hugging Face BERT'
  assert found.checkpoint.items() == (
      'encoder', 'masked_lm', 'next_sentence.out_proj', 'next_sentence.pooler_dense')
  kernel, bias = found.checkpoint.dense('next_sentence.out_proj')
  np.testing.assert_array_equal(kernel, model.stored['cls.seq_relationship.weight'].T)
  np.testing.assert_array_equal(bias, model.stored['cls.seq_relationship.bias'])
  # The head's dense layer is the encoder's pooler: both ways to ask for it give the same.
  kept = poolers.keep(found.pooler_source())
  copied = poolers.copy_nsp(found.pooler_source())
  np.testing.assert_array_equal(copied.kernel, kept.kernel)
  np.testing.assert_array_equal(kept.kernel, model.stored['bert.pooler.dense.weight'].T)
  told = contents.inspect(found.checkpoint)
  assert told.poolers['copy_nsp'].why.endswith('that of the next-sentence head: as keep')
  assert told.poolers['keep'].why == 'the encoder holds a pooler'


@pytest.mark.parametrize('embedding', [8, None])
def test_electra_s_generator(embedding, tmp_path):
  """Its layers have the tanh gelu here; its head has the exact one whatever the file says."""
  model = families.electra(generator=True, embedding=embedding)
  found = check(model, model.write(tmp_path), gelu_tanh, gelu_erf)
  assert (found.spec.type, found.mlm_activation) == ('bert', 'gelu_erf')
  assert found.spec.embedding_size == (embedding or 16)
  assert found.report.left_out == ['encoder pooler']
  with pytest.raises(RequestError, match='it was saved without') as caught:
    poolers.keep(found.pooler_source())
  assert str(caught.value).endswith('@poolers.identity or @poolers.none.')


def test_the_other_gelu_in_electra_s_head_would_be_seen(tmp_path):  # Control of the test above.
  model = families.electra(generator=True)
  with pytest.raises(AssertionError):
    check(model, model.write(tmp_path), gelu_tanh, gelu_tanh)


def test_electra_s_discriminator(tmp_path):
  model = families.electra(generator=False)
  found = check(model, model.write(tmp_path), gelu_tanh)
  assert found.checkpoint.items() == ('encoder',)
  assert len(found.report.unused.heads) == 4  # discriminator_predictions.*
  with pytest.raises(RequestError, match="Take EXPORT_TYPES = |take EXPORT_TYPES = "):
    restored(str(tmp_path))


def test_distilbert(tmp_path):
  model = families.distilbert()
  found = check(model, model.write(tmp_path), gelu_erf, gelu_erf)
  assert found.checkpoint.notes == ('DistilBERT has no segments: the type embeddings are zeros.',)
  assert found.report.left_out == ['encoder pooler']
  changed = INPUTS | {'input_type_ids': 1 - INPUTS['input_type_ids']}
  np.testing.assert_array_equal(found.network(changed)['sequence_output'],
                                found.network(INPUTS)['sequence_output'])
  assert contents.inspect(found.checkpoint).poolers['keep'].why == 'its encoder holds no pooler'


def test_segments_that_are_not_zero_would_be_seen(tmp_path):  # Control of the test above.
  model = families.bert()
  found = check(model, model.write(tmp_path), gelu_tanh)
  changed = INPUTS | {'input_type_ids': 1 - INPUTS['input_type_ids']}
  assert np.abs(found.network(changed)['sequence_output']
                - found.network(INPUTS)['sequence_output']).max() > 0.1


def test_albert(tmp_path):
  model = families.albert()
  found = check(model, model.write(tmp_path), gelu_tanh, gelu_tanh)
  assert (found.spec.type, found.spec.num_layers) == ('albert', 3)
  kept, copied = poolers.keep(found.pooler_source()), poolers.copy_nsp(found.pooler_source())
  np.testing.assert_array_equal(copied.kernel, kept.kernel)
  told = contents.inspect(found.checkpoint)
  assert told.encoder_type == 'albert' and told.sizes['num_attention_heads'] == families.HEADS


def test_albert_differences_are_said_in_words(tmp_path):
  model = families.albert()
  directory = model.write(tmp_path, num_attention_heads=4)
  found = find_checkpoint(directory)
  from nlp_export.restored_encoder import restore_encoder

  with pytest.raises(RequestError) as caught:
    restore_encoder(found, encoders.albert(
        vocab_size=tiny.Size.vocab_size, hidden_size=16, num_attention_heads=2, embedding_width=8,
        intermediate_size=12, num_layers=3, max_position_embeddings=256), item_names={})
  assert [line.strip() for line in str(caught.value).split('\n')[1:-1]] == [
      'attention heads: checkpoint 4, config 2: another num_attention_heads?',
      'intermediate width: checkpoint 24, config 12: another intermediate_size?']


@pytest.mark.parametrize('variant', [
    {}, {'classifier_activation': False}, {'key_query_shared_bottleneck': False},
    {'use_bottleneck_attention': True}])
def test_mobilebert(variant, tmp_path):
  model = families.mobilebert(**variant)
  directory = model.write(tmp_path)
  found = restored(directory, with_mlm=False)
  outputs = found.network(INPUTS)
  sequence, pooled = families.mobilebert_forward(model, INPUTS)
  np.testing.assert_allclose(outputs['sequence_output'].numpy()[REAL], sequence[REAL],
                             rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(outputs['pooled_output'], pooled, rtol=1e-4, atol=1e-4)
  assert found.spec.type == 'mobilebert'
  unread = [key for key in found.report.unused.counters if '.bottleneck.attention.' in key]
  assert len(unread) == (8 if variant == {'use_bottleneck_attention': True} else 0)
  assert found.checkpoint.has_pooler() is variant.get('classifier_activation', True)
  told = contents.inspect(found.checkpoint).export_types['model_with_mlm']
  assert not told.possible and 'cls.predictions.dense' in told.why
  with pytest.raises(RequestError, match=r'multiplies with weights beside the word embeddings'
                     ) as caught:
    restored(directory)
  assert str(caught.value).endswith("Take EXPORT_TYPES = ('model', 'preprocessing').")


def test_a_mobilebert_without_its_pooler(tmp_path):
  """MobileBertForMaskedLM of a configuration that has one."""
  model = families.mobilebert()
  for name in [name for name in model.stored if 'pooler' in name]:
    del model.stored[name]
  found = restored(model.write(tmp_path), with_mlm=False)
  assert found.report.left_out == ['encoder pooler']


def test_a_mobilebert_whose_configuration_lacks_a_number(tmp_path):
  directory = Path(families.mobilebert().write(tmp_path))
  config = json.loads((directory / 'config.json').read_text())
  del config['num_feedforward_networks']
  (directory / 'config.json').write_text(json.dumps(config))
  with pytest.raises(RequestError, match='Add it with the value that the model was trained with.$'):
    open_checkpoint(str(directory))


@pytest.mark.parametrize('make', [families.electra, families.distilbert, families.albert,
                                  families.mobilebert])
def test_names_without_the_prefix_are_the_same(make, tmp_path):
  """The encoder saved alone (ElectraModel, ...) has no prefix."""
  model = make(True) if make is families.electra else make()
  prefix = f'{model.config["model_type"]}.'
  whole = open_checkpoint(model.write(tmp_path / 'whole'))
  alone = {k.removeprefix(prefix): v for k, v in model.stored.items() if k.startswith(prefix)}
  bare = open_checkpoint(hf.write(tmp_path / 'bare', alone, shards=2, **model.config))
  assert {t.path: t.shape for t in bare.tensors_of('encoder')} == {
      t.path: t.shape for t in whole.tensors_of('encoder')}
  assert bare.items() == ('encoder',)
  alone['encoder.adapter.weight' if prefix != 'distilbert.' else 'transformer.adapter.weight'] = (
      np.ones(3, np.float32))
  with pytest.raises(RequestError, match='in the checkpoint but not in the model: .*adapter'):
    restored(hf.write(tmp_path / 'more', alone, **model.config), with_mlm=False)


@pytest.mark.parametrize('family', hf_families.REFUSED)
def test_other_families_are_refused_by_name_where_they_are_found(family, tmp_path):
  directory = hf.write(tmp_path, {'x': np.ones(1, np.float32)}, model_type=family)
  with pytest.raises(RequestError) as caught:
    find_checkpoint(directory)
  assert f'describes a {family!r} model, which cannot be read: {hf_families.REFUSED[family]}' in (
      str(caught.value))
  assert str(caught.value).endswith('ENCODER = @my_module.my_encoder')


def test_the_tokenizer_files_that_come_along(tmp_path):
  model = families.albert()
  directory = Path(model.write(tmp_path))
  assert find_checkpoint(str(directory)).vocab_file == str(directory / 'vocab.txt')
  (directory / 'spiece.model').write_bytes(b'x')
  with pytest.raises(RequestError, match='Move away the one that it was not trained with.$'):
    find_checkpoint(str(directory))
  (directory / 'vocab.txt').unlink()
  found = find_checkpoint(str(directory))
  assert (found.vocab_file, found.sp_model_file) == (None, str(directory / 'spiece.model'))
