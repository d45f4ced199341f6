"""Which tokenizer does a Hugging Face directory describe, in the words of ours?

tokenizer_config.json holds the arguments of a class of transformers, special_tokens_map.json (of
older versions) its special tokens. What they do not say, that class decides. Whatever changes ids
is honoured or refused. The vocabulary lies beside them, as vocab.txt or spiece.model.

Sources: transformers 4 and 5, models/bert/tokenization_bert.py and
models/albert/tokenization_albert.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.tokenization.tokenizer_types import SENTENCEPIECE, WORDPIECE

CONFIG_FILE = 'tokenizer_config.json'
_SPECIAL_TOKENS_FILE = 'special_tokens_map.json'
_TOKENIZER_FILE = 'tokenizer.json'
_ADDED_TOKENS_FILE = 'added_tokens.json'
_MODEL_FILE = 'config.json'  # Where some models name the class of their tokenizer.

# Class, without an ending 'Fast' -> our kind of tokenizer.
_CLASSES: Mapping[str, str] = {
    'BertTokenizer': WORDPIECE, 'DistilBertTokenizer': WORDPIECE, 'ElectraTokenizer': WORDPIECE,
    'MobileBertTokenizer': WORDPIECE, 'AlbertTokenizer': SENTENCEPIECE}

# Argument -> field, of either kind.
_SPECIAL_TOKENS: Mapping[str, Mapping[str, str]] = {
    WORDPIECE: {
        'pad_token': 'padding', 'unk_token': 'unknown', 'cls_token': 'start_of_sequence',
        'sep_token': 'end_of_segment', 'mask_token': 'mask'},
    SENTENCEPIECE: {
        'pad_token': 'padding', 'cls_token': 'start_of_sequence', 'sep_token': 'end_of_segment',
        'mask_token': 'mask'}}

# Argument -> the only value that our tokenizer of that kind can honour, and what another would do.
_ONLY: Mapping[str, Mapping[str, tuple[Any, str]]] = {
    WORDPIECE: {
        'do_basic_tokenize': (True, 'pieces would be looked for in words as they stand'),
        'clean_text': (True, 'control characters would stay'),
        'wordpieces_prefix': ('##', 'the pieces inside words have another mark'),
        'never_split': (None, 'words of that list would stay whole')},
    SENTENCEPIECE: {
        'remove_space': (True, 'spaces would stay as they are'),
        'add_prefix_space': (True, 'the first word would be written like the inside of one')}}

_OWN = 'Write an own tokenizer and give it as TOKENIZER.'


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a directory says of its tokenizer.

  Attributes:
    kind: 'wordpiece' or 'sentencepiece'.
    fields: of WordPiece or SentencePiece; those that are not here have the defaults that they have
      there, which are Hugging Face's too.
    said: names of the fields that the directory itself says; the others are its class's defaults.
  """

  kind: str
  fields: Mapping[str, Any]
  said: frozenset[str]


def record(directory: str) -> dict[str, Any]:
  """All that a directory says of its tokenizer, as the arguments of transformers' class.

  Args:
    directory: of a Hugging Face model.

  Returns:
    The content of tokenizer_config.json, with what only the other two files say; {} for none.

  Raises:
    RequestError: a file is not JSON, or two of them say different things.
  """
  found = _object(files.join(directory, CONFIG_FILE))
  for key, token in _object(files.join(directory, _SPECIAL_TOKENS_FILE)).items():
    known = _token(found.get(key))
    if known is not None and _token(token) is not None and known != _token(token):
      raise RequestError(
          f'{directory}: {key} is {known!r} in {CONFIG_FILE} and {_token(token)!r} in '
          f'{_SPECIAL_TOKENS_FILE}. Correct the file that is wrong.')
    if known is None:
      found[key] = token
  named = _object(files.join(directory, _MODEL_FILE)).get('tokenizer_class')
  if named and not found.get('tokenizer_class'):
    found['tokenizer_class'] = named
  return found


def files_of(directory: str) -> tuple[str, ...]:
  """Paths of the files beside the vocabulary that decide about ids, of those that there are."""
  paths = [files.join(directory, name) for name in (
      CONFIG_FILE, _SPECIAL_TOKENS_FILE, _ADDED_TOKENS_FILE, _TOKENIZER_FILE)]
  return tuple(path for path in paths if files.exists(path))


def refuse_added_tokens(
    directory: str, recorded: Mapping[str, Any], vocab_size: int) -> None:
  """Refuses tokens that transformers takes whole from text, because they were added later.

  Args:
    directory: of a Hugging Face model.
    recorded: of it, as `record` returns it.
    vocab_size: of its vocabulary file.

  Raises:
    RequestError: a token is not in the vocabulary, or was added and is not a special one.
  """
  added = {token: number
           for token, number in _object(files.join(directory, _ADDED_TOKENS_FILE)).items()
           if isinstance(number, int) and number >= vocab_size}
  entries: list[tuple[Any, Any]] = []
  decoder = recorded.get('added_tokens_decoder')
  if isinstance(decoder, Mapping):
    entries += decoder.items()
  listed = _object(files.join(directory, _TOKENIZER_FILE)).get('added_tokens')
  if isinstance(listed, list):
    entries += [(entry.get('id'), entry) for entry in listed if isinstance(entry, Mapping)]
  for number, entry in entries:
    token = _token(entry)
    if token is not None and str(number).isdecimal() and (
        int(number) >= vocab_size or not entry.get('special')):
      added[token] = int(number)
  if added:
    shown = ', '.join(f'{token} ({number})' for token, number in sorted(
        added.items(), key=lambda item: item[1])[:5])
    raise RequestError(
        f'{directory} adds {len(added)} token{"s" * (len(added) > 1)} to a vocabulary of'
        f' {vocab_size}: {shown}{" ..." * (len(added) > 5)}. transformers takes them whole from'
        ' text, which no tokenizer here does. Write an own tokenizer and give it as TOKENIZER, or'
        ' give the vocabulary as VOCAB_FILE or SP_MODEL_FILE to do without them; both with --set'
        ' OTHER_TOKENIZER=True.')


def refuse_tokenizer_json(directory: str) -> None:
  """Says what to write where a directory has its vocabulary inside tokenizer.json only.

  transformers 5 writes no other. An export needs the file that its tokenizer is made of.

  Raises:
    RequestError: there is a tokenizer.json.
  """
  path = files.join(directory, _TOKENIZER_FILE)
  if not files.exists(path):
    return
  model = _object(path).get('model')
  model = model if isinstance(model, dict) else {}
  kind, vocabulary = model.get('type'), model.get('vocab')
  start = f'{directory} holds its vocabulary in {_TOKENIZER_FILE} only'
  numbers = (sorted(vocabulary.values())
             if kind == 'WordPiece' and isinstance(vocabulary, dict)
             and all(isinstance(number, int) for number in vocabulary.values()) else [])
  if numbers and numbers == list(range(len(numbers))):  # Else line numbers would not be the ids.
    raise RequestError(
        f'{start}, and an export needs it as a file. Write one, then repeat the command:\n'
        + _WRITE_VOCABULARY.format(path, files.join(directory, 'vocab.txt')))
  if kind == 'Unigram':
    raise RequestError(
        f'{start}, without the SentencePiece model that it was made of. Put the spiece.model of '
        'the original beside it, or give it as SP_MODEL_FILE.')
  raise RequestError(f'{start}, of type {kind}, which no tokenizer here reads. {_OWN}')


_WRITE_VOCABULARY = (
    "  python -c \"import json; v = json.load(open('{0}', encoding='utf-8'))['model']['vocab']; "
    "open('{1}', 'w', encoding='utf-8').writelines(t + chr(10) for t in sorted(v, key=v.get))\"")


def read(recorded: Mapping[str, Any], kind: str, where: str = CONFIG_FILE) -> Settings:
  """The settings of our tokenizer that are the same as a class of transformers with its arguments.

  Args:
    recorded: as `record` returns it.
    kind: that of the vocabulary: 'wordpiece' or 'sentencepiece'.
    where: what to call it in messages.

  Raises:
    RequestError: the class is of another kind or not known, or an argument cannot be honoured.
  """
  _check_class(recorded, kind, where)
  for key, (wanted, why) in _ONLY[kind].items():
    given = recorded.get(key, wanted)
    if given != wanted and not (wanted is None and not given):
      raise RequestError(
          f'{where} has {key} {given!r}: {why}, which our {kind} tokenizer does not do. {_OWN}')
  lower_case = _switch(recorded, 'do_lower_case', where)
  fields: dict[str, Any] = {'lower_case': True if lower_case is None else lower_case}
  said = {'lower_case'} if lower_case is not None else set()
  if kind == WORDPIECE:
    _wordpiece_switches(recorded, where, fields, said)
  else:
    keep_accents = _switch(recorded, 'keep_accents', where)
    if keep_accents is not None:
      fields['strip_diacritics'] = not keep_accents
      said.add('strip_diacritics')
  for key, field in _SPECIAL_TOKENS[kind].items():
    token = _token(recorded.get(key))
    if token is not None:
      fields[field] = token
      said.add(field)
  return Settings(kind, fields, frozenset(said))


def _wordpiece_switches(
    recorded: Mapping[str, Any], where: str, fields: dict[str, Any], said: set[str]) -> None:
  strip_accents = _switch(recorded, 'strip_accents', where)
  if strip_accents is not None:
    fields['strip_accents'] = strip_accents
    said.add('strip_accents')
  chinese = _switch(recorded, 'tokenize_chinese_chars', where)
  if chinese is not None:
    fields['split_chinese_characters'] = chinese
    said.add('split_chinese_characters')


def _check_class(recorded: Mapping[str, Any], kind: str, where: str) -> None:
  if recorded.get('auto_map'):
    raise RequestError(
        f'{where} has auto_map, which loads code of its own, so its tokenizer is none of '
        f"Hugging Face's. {_OWN}")
  name = recorded.get('tokenizer_class')
  if not name:
    return
  found = _CLASSES.get(str(name).removesuffix('Fast'))
  if found is None:
    raise RequestError(
        f'{where} names the tokenizer {name}, which has no equal here: known are '
        f'{", ".join(_CLASSES)}. If it computes what one of ours does, write --set '
        'TOKENIZER=@tokenizers.wordpiece and bind what it needs, with OTHER_TOKENIZER=True.')
  if found != kind:
    needed = {WORDPIECE: 'vocab.txt', SENTENCEPIECE: 'spiece.model'}[found]
    raise RequestError(
        f'{where} names the tokenizer {name}, which reads {needed}, but the vocabulary given is '
        f'that of a {kind} tokenizer. Give the {needed} that the model was trained with.')


def _switch(recorded: Mapping[str, Any], key: str, where: str) -> bool | None:
  value = recorded.get(key)
  if value is not None and not isinstance(value, bool):
    raise RequestError(
        f'{where}: {key} is {value!r}, where true or false is needed. Correct the file.')
  return value


def _token(value: Any) -> str | None:
  """The text of a special token, which is written as a text or as an object around it."""
  if isinstance(value, Mapping):
    value = value.get('content')
  return value if isinstance(value, str) else None


def _object(path: str) -> dict[str, Any]:
  if not files.exists(path):
    return {}
  content = files.read_json(path)
  if not isinstance(content, dict):
    raise RequestError(
        f'Cannot read {path}: it is no JSON object with names and values. Copy the file again.')
  return content
