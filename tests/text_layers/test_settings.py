"""What may be asked of a text layer, and what is said otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nlp_export.errors import RequestError
from nlp_export.text_layers.settings import Settings, as_string


def test_settings_survive_json():
  settings = Settings('model', 'prep', ('cls', 'mean'), 64, '|||', trainable_layers=3,
                      allowed_ops=('WriteFile',))
  assert Settings(**json.loads(json.dumps(settings.to_config()))) == settings


@pytest.mark.parametrize('wrong, cure', [
    ({'encoder': 3}, 'or a handle that tensorflow_hub resolves, as a string'),
    ({'pooling': 'median'}, "write TextEncoder(pooling='mean'), or several to be concatenated: "
                            "TextEncoder(pooling=('cls', 'mean'))"),
    ({'max_seq_length': 3, 'separator': '|||'}, 'Write TextEncoder(max_seq_length=128)'),
    ({'inputs': 'words'},
     "or 'encoder_inputs' for a dict of input_word_ids, input_mask, input_type_ids"),
    ({'separator': ' '}, "such as '|||', or None for texts that are no pairs"),
    ({'trainable_layers': -1}, '0 to train none, or a number of layers from the top'),
    ({'trainable_layers': True}, '0 to train none, or a number of layers from the top'),
    ({'allowed_ops': 'WriteFile'}, "Write allowed_ops=('WriteFile',)"),
])
def test_a_wrong_setting_is_answered_with_a_right_one(wrong, cure):
  with pytest.raises(RequestError) as error:
    Settings(**{'encoder': 'model', **wrong})
  message = str(error.value)
  assert message.endswith(cure)
  assert '--set' not in message and next(iter(wrong)) in message


def test_a_path_becomes_the_string_that_a_config_holds():
  assert as_string(Path('out') / 'model') == 'out/model'
  assert as_string('https://host/model') == 'https://host/model' and as_string(None) is None
  with pytest.raises(RequestError) as error:
    as_string(Path('https://host/model'))
  assert str(error.value).endswith("Give the handle as a string, 'https://...'")


def test_two_segments_need_one_token_more():  # Control: without pairs, 3 tokens are enough.
  assert Settings('model', max_seq_length=3).max_seq_length == 3
