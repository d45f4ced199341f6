"""An encoder with a preprocessing of another vocabulary is refused, before any number comes out."""

from __future__ import annotations

import json

import pytest

from nlp_export import vocabularies
from nlp_export.errors import RequestError


@pytest.fixture
def made(tmp_path):
  """A function from a name, assets and the tokenizer of the record to a directory."""

  def make(name: str, assets: dict[str, bytes], tokenizer: dict[str, object] | None = None) -> str:
    place = tmp_path / name
    (place / 'assets').mkdir(parents=True)
    for asset, content in assets.items():
      (place / 'assets' / asset).write_bytes(content)
    if tokenizer is not None:
      (place / 'assets.extra').mkdir()
      (place / 'assets.extra' / 'provenance.json').write_text(json.dumps({'tokenizer': tokenizer}))
    return str(place)

  return make


WORDS = {'vocab.txt': b'[PAD]\n[UNK]\na\nb\n'}


@pytest.mark.parametrize(('assets', 'tokenizer', 'why'), [
    ({'vocab.txt': b'[PAD]\n[UNK]\nb\na\n'}, None, 'the first has the vocabulary vocab.txt (SHA'),
    ({'words.txt': b'[PAD]\n[UNK]\na\n'}, None, 'the second words.txt (SHA'),
    (WORDS, {'kind': 'wordpiece', 'lower_case': False}, 'has lower_case True, that of the second '),
    (WORDS, {'kind': 'sentencepiece', 'lower_case': True}, 'has kind wordpiece, that of the secon'),
])
def test_others_are_refused(made, assets, tokenizer, why):
  encoder = made('encoder', WORDS, {'kind': 'wordpiece', 'lower_case': True})
  with pytest.raises(RequestError) as error:
    vocabularies.refuse_other(encoder, made('preprocessing', assets, tokenizer))
  assert why in str(error.value)
  assert str(error.value).endswith('Give the preprocessing that was exported with it')


@pytest.mark.parametrize(('assets', 'tokenizer'), [
    (WORDS, {'kind': 'wordpiece', 'lower_case': True, 'description': 'in other words'}),
    ({'words.txt': b'[PAD]\r\n[UNK]\r\na\r\nb'}, None),  # The same words in the same order.
    ({}, None),  # Nothing is known of it.
    ({'one.txt': b'1', 'two.txt': b'2'}, {}),
])
def test_what_may_belong_together_is_not(made, assets, tokenizer):
  encoder = made('encoder', WORDS, {'kind': 'wordpiece', 'lower_case': True})
  vocabularies.refuse_other(encoder, made('preprocessing', assets, tokenizer))
