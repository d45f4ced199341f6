"""Which tokenizer goes with a checkpoint: the one it brings along, or one that is asked for?

An Orbax step records its tokenizer (recorded.py); a Hugging Face directory has a vocabulary or a
SentencePiece model, and often a tokenizer_config.json. What they say holds. Another tokenizer is
refused unless OTHER_TOKENIZER says so, and then every run file's log and every card say it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, Protocol

from nlp_export import files, tokenizers
from nlp_export.errors import RequestError
from nlp_export.tokenization import hf_settings, recorded
from nlp_export.tokenization.tokenizer_types import (
  SENTENCEPIECE,
  WORDPIECE,
  SentencePiece,
  Tokenizer,
  WordPiece,
)


class Brings(Protocol):
  """What is needed of a `checkpoints.FoundCheckpoint`."""

  @property
  def name(self) -> str: ...

  @property
  def vocab_file(self) -> str | None: ...

  @property
  def sp_model_file(self) -> str | None: ...

  @property
  def tokenizer_config(self) -> str | None: ...

  @property
  def tokenizer_settings(self) -> str | None: ...


def has_tokenizer(found: Brings | None) -> bool:
  """Whether a checkpoint brings one along."""
  return found is not None and bool(
      found.vocab_file or found.sp_model_file or found.tokenizer_settings)


def choose(
    found: Brings | None,
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
    tokenizer: Callable[[], Tokenizer] | Tokenizer | None = None,
    other_tokenizer: bool = False,
) -> tuple[Tokenizer, tuple[str, ...]]:
  """The tokenizer that a run file's macros and the checkpoint ask for.

  Args:
    found: the checkpoint; None if there is none.
    vocab_file, sp_model_file, do_lower_case, tokenizer: the macros; None where not given.
    other_tokenizer: OTHER_TOKENIZER: whether it may differ from what the checkpoint records.

  Returns:
    The tokenizer and lines to print and record.

  Raises:
    RequestError: none is named, or another one than the checkpoint was trained with.
  """
  given = {'VOCAB_FILE': vocab_file, 'SP_MODEL_FILE': sp_model_file, 'TOKENIZER': tokenizer}
  asked = [name for name, value in given.items() if value]
  made: Tokenizer
  if found is not None and found.tokenizer_settings:
    record = recorded.read(found.tokenizer_settings, found.name)
    return record.choose(found.vocab_file or found.sp_model_file, vocab_file, sp_model_file,
                         do_lower_case, tokenizer, other_tokenizer)
  # A directory's settings hold for a file from elsewhere too: it may hold none of its own.
  beside = bool(found and found.tokenizer_config and asked in (['VOCAB_FILE'], ['SP_MODEL_FILE']))
  if found is None or not (has_tokenizer(found) or beside):
    return tokenizers.from_macros(vocab_file, sp_model_file, do_lower_case, tokenizer)
  try:
    if has_tokenizer(found):
      own, notes, said = _of_directory(found, found.vocab_file, found.sp_model_file)
    else:
      own, notes, said = _of_directory(found, vocab_file, sp_model_file)
  except RequestError as error:
    if not asked:
      raise
    if not other_tokenizer:
      raise RequestError(
          f'{error.message}\n{asked[0]} is given, but nobody knows whether it is the same. '
          'Say that it is to be used: --set OTHER_TOKENIZER=True.') from error
    made, notes = tokenizers.from_macros(vocab_file, sp_model_file, do_lower_case, tokenizer)
    return made, (*notes, f'{recorded.ANOTHER}, as OTHER_TOKENIZER asks: that of {found.name} '
                          'cannot be made here')
  lower_case = own.lower_case if do_lower_case is None else do_lower_case
  if not asked:
    made = dataclasses.replace(own, lower_case=lower_case)
  elif len(asked) == 1 and _same_file(vocab_file or sp_model_file, own):
    # The same file: the directory has the other settings.
    given_file: dict[str, Any] = {_FILE[own.kind]: vocab_file or sp_model_file}
    made = dataclasses.replace(own, **given_file, lower_case=lower_case)
    asked = asked if lower_case == own.lower_case else []
  else:
    made, _ = tokenizers.from_macros(vocab_file, sp_model_file, lower_case, tokenizer)
  if not asked and lower_case != own.lower_case and 'lower_case' in said and not other_tokenizer:
    raise RequestError(
        f'DO_LOWER_CASE is {do_lower_case}, but {hf_settings.CONFIG_FILE} of {found.name} says '
        f'do_lower_case {own.lower_case}: the encoder was trained on text prepared that way'
        f'{recorded.unless_asked("the first")}. '
        f'Leave DO_LOWER_CASE out, or write --set DO_LOWER_CASE={own.lower_case}.')
  differs = recorded.compare(
      made, recorded.to_json(own), asked[0] if asked else 'DO_LOWER_CASE', found.name,
      other_tokenizer, _decided(own, said))
  return made, (*(() if asked or do_lower_case is not None else notes), *differs)


def _decided(own: WordPiece | SentencePiece, said: Collection[str]) -> Collection[str]:
  """Settings that a Hugging Face directory decides.

  Once it says do_lower_case, its class of transformers decides what it leaves out: all, but for
  the Unicode spaces, at which TF-NLP never separates words.
  """
  if 'lower_case' not in said:
    return said
  return {field.name for field in dataclasses.fields(own)} - {'split_at_unicode_spaces'}


_FILE = {WORDPIECE: 'vocab_file', SENTENCEPIECE: 'model_file'}


def _of_directory(
    found: Brings, vocab_file: str | None, sp_model_file: str | None,
) -> tuple[WordPiece | SentencePiece, tuple[str, ...], frozenset[str]]:
  """The tokenizer of a Hugging Face directory, lines to say, and the settings that it records."""
  path = vocab_file or str(sp_model_file)
  kind = WORDPIECE if vocab_file else SENTENCEPIECE
  directory = files.dirname(found.tokenizer_config or path)
  record = hf_settings.record(directory)
  settings = hf_settings.read(record, kind)
  fields, said = settings.fields, settings.said
  where = f'from {hf_settings.CONFIG_FILE}' if 'lower_case' in said else (
      f"the default of Hugging Face's tokenizer, since {hf_settings.CONFIG_FILE} does not say; "
      '--set DO_LOWER_CASE=False if that is wrong')
  notes = (f'do_lower_case = {fields["lower_case"]} ({where})',)
  own: WordPiece | SentencePiece
  if kind == WORDPIECE:
    # As transformers does, slow and fast.
    own = WordPiece(path, **{'split_at_unicode_spaces': True, **fields})
  else:
    own = SentencePiece(path, **fields)
  hf_settings.refuse_added_tokens(directory, record, own.vocab_size)
  return own, notes, said


def _same_file(path: str | None, own: Tokenizer) -> bool:
  return bool(path and own.asset_file) and files.sha256(str(path)) == files.sha256(
      str(own.asset_file))
