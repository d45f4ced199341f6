"""The export guide's flow on our exports, call by call.

Where the guide is wrong about TF-NLP's own exports, ours do what the guide says: the root of the
preprocessor takes `seq_length=`. For SentencePiece there is no `encoder.do_lower_case`, in either.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny

WORDS = tiny.wordpiece_tokens()
CLS, SEP, PAD = (WORDS.index(token) for token in ('[CLS]', '[SEP]', '[PAD]'))


@pytest.fixture(scope='module')
def answers(run_flow, uncased_exports, cased_exports):
  return run_flow('document_000', {**uncased_exports, 'cased': cased_exports['model']})


@pytest.fixture(scope='module')
def expected(tiny_pretrainer):
  inputs = {
      'input_word_ids': np.array([[2, 9, 10, 3, 0, 0], [2, 11, 3, 12, 13, 3]], np.int32),
      'input_mask': np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], np.int32),
      'input_type_ids': np.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1]], np.int32),
      'masked_lm_positions': np.array([[1, 2, 0], [3, 4, 1]], np.int32),
  }
  return tiny_pretrainer(inputs)


def ids(*words: str) -> list[int]:
  return [WORDS.index(word) for word in words]


@pytest.mark.conformance(12, 16, 17, 18, 19, 21, 47)
def test_encoder_alone(answers, expected):
  answer = answers['encoder_alone']
  assert answer['keys'] == ['default', 'encoder_outputs', 'pooled_output', 'sequence_output']
  assert answer['dtypes'] == ['float32']
  assert not answer['has_mlm']
  outputs = answer['outputs']
  assert outputs['default'] == outputs['pooled_output']
  assert len(outputs['encoder_outputs']) == 2
  assert outputs['encoder_outputs'][-1] == outputs['sequence_output']
  for name in ('pooled_output', 'sequence_output'):
    np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)
  np.testing.assert_allclose(
      outputs['encoder_outputs'][0], expected['encoder_outputs'][0], atol=1e-5
  )
  first, last = outputs['encoder_outputs']
  assert not np.allclose(first, last, atol=1e-2)  # Control: the layers are not one another.


@pytest.mark.conformance(41, 42)
def test_tokenizer_attributes(answers, uncased_exports, tiny_vocab):
  answer = answers['tokenizer_attributes']
  assert Path(answer['asset']).parent == Path(uncased_exports['model']) / 'assets'
  assert answer['vocab'] == Path(tiny_vocab).read_text(encoding='utf-8')
  assert answer['do_lower_case'] is True
  assert answer['do_lower_case_of_the_cased'] is False
  assert not answer['has_sp_model_file']


@pytest.mark.conformance(47, 48, 49, 50, 52)
def test_encoder_with_mlm(answers, expected):
  answer = answers['encoder_with_mlm']
  assert answer['keys'] == ['encoder_outputs', 'mlm_logits', 'pooled_output', 'sequence_output']
  assert answer['root_keys'] == ['default', *answer['keys'][:1], *answer['keys'][2:]]
  logits = np.array(answer['outputs']['mlm_logits'])
  assert logits.shape == (2, 3, len(WORDS))
  np.testing.assert_allclose(logits, expected['mlm_logits'], atol=1e-5)
  np.testing.assert_allclose(
      answer['outputs']['sequence_output'], expected['sequence_output'], atol=1e-5
  )
  assert not np.allclose(logits[:, 0], logits[:, 1], atol=1e-2)  # Control: positions count.


@pytest.mark.conformance(60, 64, 82, 87)
def test_preprocessing(answers):
  answer = answers['preprocessing']
  assert answer['keys'] == ['input_mask', 'input_type_ids', 'input_word_ids']
  assert answer['dtypes'] == ['int32']
  assert answer['default_shape'] == [4, 16]
  assert answer['default'][2] == [CLS, *ids('hello', 'world'), SEP] + [PAD] * 12


@pytest.mark.conformance(82, 84)
def test_the_root_takes_seq_length_as_the_guide_shows(answers):
  answer = answers['preprocessing']
  assert answer['seq_length_7'] == answer['packed_7']
  assert answer['seq_length_7'][0] == [CLS, *ids('the', 'cat', 'sat', 'on', 'the'), SEP]
  assert answer['seq_length_7'][0] != answer['default'][0][:7]  # Control: truncated, not cut off.


@pytest.mark.conformance(81, 83)
def test_trimming_between_tokenize_and_pack(answers):
  answer = answers['trimming_between_tokenize_and_pack']
  first = [CLS, *ids('the', 'cat'), SEP, *ids('the', 'world', 'of'), SEP, PAD]
  second = [CLS, *ids('a', 'dog'), SEP, *ids('hello'), SEP, PAD, PAD, PAD]
  assert answer['input_word_ids'] == [first, second]
  assert answer['input_type_ids'] == [[0] * 4 + [1] * 4 + [0], [0] * 4 + [1] * 2 + [0] * 3]
  assert answer['input_mask'] == [[1] * 8 + [0], [1] * 6 + [0] * 3]


@pytest.mark.conformance(77, 78)
def test_special_tokens(answers):
  assert answers['special_tokens'] == {
      'vocab_size': len(WORDS),
      'padding_id': WORDS.index('[PAD]'),
      'start_of_sequence_id': WORDS.index('[CLS]'),
      'end_of_segment_id': WORDS.index('[SEP]'),
      'mask_id': WORDS.index('[MASK]'),
  }


@pytest.mark.conformance(93)
def test_masking_by_the_reader(answers):
  answer = answers['masking_by_the_reader']
  assert answer['shape'] == [1, 1, len(WORDS)]
  assert answer['change'] > 0.1


@pytest.mark.conformance(38)
def test_fine_tuning(answers):
  answer = answers['fine_tuning']
  assert answer['weights'] == answer['changed'] == 7 + 16 * 2
  assert answer['losses'][-1] < 0.9 * answer['losses'][0]
