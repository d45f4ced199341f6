"""What may be asked of a text layer, and what is said otherwise."""

from __future__ import annotations

import json

import pytest

from nlp_export.errors import RequestError
from nlp_export.text_layers.settings import Settings


def test_settings_survive_json():
  settings = Settings('model', 'prep', ('cls', 'mean'), 64, '|||', trainable_layers=3,
                      allowed_ops=('WriteFile',))
  assert Settings(**json.loads(json.dumps(settings.to_config()))) == settings


@pytest.mark.parametrize('wrong, cure', [
    ({'encoder': 3}, 'or a handle that tensorflow_hub resolves, as a string'),
    ({'pooling': 'median'}, "write --set POOLING=mean, or several to be concatenated: "
                            "--set POOLING=\"('cls', 'mean')\""),
    ({'max_seq_length': 3, 'separator': '|||'}, 'Write --set MAX_SEQ_LENGTH=128'),
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
  assert str(error.value).endswith(cure)


def test_two_segments_need_one_token_more():  # Control: without pairs, 3 tokens are enough.
  assert Settings('model', max_seq_length=3).max_seq_length == 3
