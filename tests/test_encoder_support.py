"""encoder_config/support.py: which exports each type has, and the reason where it has none.

What really happens with each pair is in tests/test_encoder_types.py.
"""

from __future__ import annotations

import gin
import pytest

from nlp_export import encoders, poolers
from nlp_export.encoder_config import encoder_blocks, support
from nlp_export.encoders import EncoderSpec
from nlp_export.errors import RequestError
from tests import encoder_types

ENCODER_EXPORTS = ('model', 'model_with_mlm')


def _rules():
  return [(name, number, rule) for name, row in support.TABLE.items()
          for number, rule in enumerate(row.refusals)]


def test_every_type_has_its_row():
  assert set(support.TABLE) == {*encoder_blocks.DEFAULTS, 'any'}
  assert support.of('own') is support.TABLE['any']


@pytest.mark.parametrize(('name', 'number'), [(name, number) for name, number, _ in _rules()])
def test_every_refusal_applies_to_its_example_and_says_what_to_write(name, number):
  rule = support.TABLE[name].refusals[number]
  fields = encoder_types.REFUSED[name][number]
  spec = EncoderSpec(name, {**encoder_types.BLOCKS[name], **fields})
  for kind in rule.export_types:
    found = support.refusal(spec, kind)
    assert found.condition == rule.condition, 'an earlier refusal of the type hides this one'
    assert not {'{', '}'} & set(found.reason + found.instead)
    with pytest.raises(RequestError) as caught:
      spec.check_exportable((kind,))
    message = str(caught.value)
    assert message.startswith(f'EXPORT_TYPES asks for {kind!r} of the {name} encoder from Python')
    assert found.reason in message
    assert message.endswith(f'. {found.instead}')
  if rule.condition:  # Control: without these fields it is exported.
    for kind in rule.export_types:
      assert support.refusal(EncoderSpec(name, encoder_types.BLOCKS[name]), kind) is None


def test_no_example_is_left_over():
  assert {name: len(examples) for name, examples in encoder_types.REFUSED.items()} == {
      name: len(row.refusals) for name, row in support.TABLE.items() if row.refusals}


@pytest.mark.parametrize('name', list(encoder_types.BLOCKS))
def test_gin_and_yaml_describe_the_same_encoder(tmp_path, name):
  fields = encoder_types.BLOCKS[name]
  yaml = encoders.resolve(encoder_config_file=str(encoder_types.write_config(tmp_path, name)))
  gin.parse_config([f'encoders.{name}.{key} = {value!r}' for key, value in fields.items()])
  try:
    from_gin = encoders.resolve(gin.get_configurable(f'encoders.{name}'), None, yaml)
  finally:
    gin.clear_config()
  assert from_gin == yaml == EncoderSpec(name, fields)
  assert from_gin != EncoderSpec(name, {})  # Control: the fields were read.


def test_what_remains_possible_is_said():
  spec = encoders.xlnet()
  with pytest.raises(RequestError) as caught:
    spec.check_exportable(ENCODER_EXPORTS)
  assert 'Without it' not in str(caught.value)
  spec = encoders.bert(output_range=1)
  spec.check_exportable(('preprocessing',))  # Control: nothing is wrong with that.
  with pytest.raises(RequestError) as caught:
    spec.check_exportable(('model', 'preprocessing'))
  assert "Without it EXPORT_TYPES may be ('preprocessing',). Write output_range = None" in str(
      caught.value)


@pytest.mark.parametrize('name', list(encoder_blocks.DEFAULTS))
def test_traits_are_whole_sentences_of_the_block(name):
  row = support.TABLE[name]
  for trait in (*row.inexact_padding, *row.no_pooler, *row.remarks):
    text = trait.text.format_map(EncoderSpec(name, {}).config)
    assert text and not text.endswith('.')


def test_padding_is_exact_unless_the_network_is_made_otherwise():
  assert not support.inexact_padding(encoders.bert())
  assert not support.inexact_padding(encoders.kernel(feature_transform='relu'))
  assert support.inexact_padding(encoders.kernel()).startswith('its feature_transform exp scales')
  assert 'gives masked keys the score 0' in support.inexact_padding(
      encoders.kernel(feature_transform='relu', begin_kernel=1))
  assert 'neighbours' in support.inexact_padding(encoders.mobilebert())


def test_a_pooler_for_a_network_that_has_none():
  functions = {'random': poolers.random, 'none': poolers.none}
  support.check_poolers(encoders.mobilebert(), functions)  # Control.
  without = encoders.mobilebert(classifier_activation=False)
  support.check_poolers(without, {'none': poolers.none})
  with pytest.raises(RequestError) as caught:
    support.check_poolers(without, functions)
  assert str(caught.value).startswith('POOLERS asks for random, but the mobilebert encoder')
  assert str(caught.value).endswith("Write --set POOLERS='(@poolers.none,)'")
