"""What may be asked of a text embedding, and of which encoder."""

from __future__ import annotations

import pytest

from nlp_export import encoders, poolers
from nlp_export.encoder_config import encoder_networks
from nlp_export.errors import RequestError
from nlp_export.text_embedding import TextEmbeddingOptions
from tests import encoder_types, in_process

KEEP = {'keep': poolers.keep}
FUNNEL = encoders.funnel(pool_stride=2, max_position_embeddings=128)
FNET = encoders.fnet(max_sequence_length=64)


@pytest.mark.parametrize(('options', 'spec', 'why', 'instead'), [
    ({'pooling': 'avg'}, encoders.bert(), "'avg' is no pooling",
     "--set POOLING=\"('cls', 'mean')\""),
    ({'max_seq_length': 513}, encoders.bert(),
     'has 512 position embeddings and fails on longer inputs',
     'Write --set MAX_SEQ_LENGTH=512 or less'),
    ({'max_seq_length': 2}, encoders.bert(), 'need 3 tokens at least',
     'Write --set MAX_SEQ_LENGTH=128'),
    ({'max_seq_length': 32}, FNET, 'takes rows of 64 tokens and no others',
     'Write --set MAX_SEQ_LENGTH=64'),
    ({'pooling': ('cls', 'max')}, FUNNEL, 'returns a vector for each window of tokens',
     "Write --set POOLING=cls, or 'pooled'"),
    ({'pooling': 'pooled'}, encoders.mobilebert(classifier_activation=False), 'has no pooler',
     'Write --set POOLING=cls, or mean'),
])
def test_what_no_encoder_of_that_kind_gives_is_refused(options, spec, why, instead):
  with pytest.raises(RequestError) as caught:
    TextEmbeddingOptions(**options).check(spec, KEEP)
  assert why in str(caught.value)
  assert str(caught.value).endswith(instead)


@pytest.mark.parametrize(('options', 'spec'), [
    ({}, encoders.bert()), ({'max_seq_length': 512, 'pooling': 'pooled'}, encoders.bert()),
    ({'max_seq_length': 64}, FNET), ({'pooling': ('cls', 'pooled')}, FUNNEL),
    ({'pooling': ('cls', 'mean')}, encoders.mobilebert(classifier_activation=False))])
def test_what_is_possible_is_not_refused(options, spec):  # Control of the test above.
  TextEmbeddingOptions(**options).check(spec, KEEP)


def test_pooled_needs_a_pooler_that_makes_weights():
  options = TextEmbeddingOptions('pooled')
  with pytest.raises(RequestError) as caught:
    options.check(encoders.bert(), {**KEEP, 'none': poolers.none})
  assert 'of POOLERS none makes an encoder without pooled_output' in str(caught.value)
  assert str(caught.value).endswith("--set POOLERS='(@poolers.keep,)'")
  with pytest.raises(RequestError) as caught:
    options.check_weights('my_pooler', None)
  assert str(caught.value).endswith("--set POOLERS='(@poolers.keep,)'")
  options.check_weights('keep', object())
  TextEmbeddingOptions('mean').check_weights('none', None)


def test_rows_are_padded_where_padding_matters():
  pads = TextEmbeddingOptions().pads
  assert not pads(encoders.bert()) and not pads(encoders.bigbird()) and not pads(encoders.albert())
  assert pads(FNET) and pads(FUNNEL) and pads(encoders.mobilebert())


def test_exports_that_are_equal_are_said_to_be():
  both = {'keep': poolers.keep, 'random': poolers.random}
  assert TextEmbeddingOptions('mean').notes(both) == (
      "POOLING 'mean' uses no pooler: the text_embedding exports of keep, random are the same",)
  assert not TextEmbeddingOptions('pooled').notes(both)
  assert not TextEmbeddingOptions('mean').notes(KEEP)


# The dropout rate of exports.


@pytest.mark.parametrize('name', ['bert', 'albert', 'mobilebert', 'fnet'])
def test_another_dropout_rate_stands_where_the_configuration_s_stood(name):
  import tf_keras

  spec = encoders.EncoderSpec(name, encoder_types.BLOCKS[name])

  def rates(made):
    network = encoder_networks.build(made, initialise=False)
    return [layer.rate for layer in network.submodules
            if isinstance(layer, tf_keras.layers.Dropout)]

  other = spec.with_dropout(0.375)
  assert (other.dropout_rate, other.attention_dropout_rate) == (0.375, 0.375)
  assert other.configured_dropout == (spec.dropout_rate, spec.attention_dropout_rate)
  assert spec.configured_dropout is None
  own = (spec.dropout_rate, spec.attention_dropout_rate)
  before, after = rates(spec.with_dropout(0.25)), rates(other)
  assert [0.375 if rate == 0.25 else rate for rate in before] == after
  assert 0.375 in after or name == 'fnet' or not any(own)


@pytest.mark.parametrize(('rate', 'instead'), [
    ('1.0', 'these lie in [0, 1). Write --set export.dropout_rate=0.1'),
    ('-0.1', 'these lie in [0, 1). Write --set export.dropout_rate=0.1')])
def test_a_rate_that_is_none_is_refused(tiny_uncased, tmp_path, rate, instead):
  done = in_process.run_main(
      'gin/runs/export.gin', *in_process.settings(**tiny_uncased),
      f'--set=export.dropout_rate={rate}', '--dry_run', f'--out_dir={tmp_path / "out"}')
  assert done.status == 2
  assert done.output.rstrip().endswith(instead)


def test_a_built_network_keeps_its_own_rates(run_py, tmp_path, tiny_vocab):
  with encoder_types.own_modules(tmp_path):
    macros = encoder_types.settings(tmp_path, 'any', tiny_vocab)
    # In a process of its own: gin knows the names of own modules for as long as a process lives.
    done = run_py(
        encoder_types.run_file(tmp_path, 'any'), *in_process.settings(**macros),
        '--set=export.dropout_rate=0.2', '--dry_run', f'--out_dir={tmp_path / "out"}',
        env={'PYTHONPATH': str(tmp_path)})
  assert done.status == 2, done.output
  assert done.output.rstrip().endswith('and set them in your factory')
