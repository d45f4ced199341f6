"""Which tokenizer was a checkpoint trained with, as the checkpoint itself records it?

A record is JSON: the kind, the settings, and the hash of the file that the tokenizer was made of.
The file lies beside the record. If none is asked for, the tokenizer is made anew from both; one
that is asked for has to be the same. Own tokenizers cannot be made from a record, only compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nlp_export import files, tokenizers
from nlp_export.errors import RequestError
from nlp_export.tokenization.tokenizer_types import SentencePiece, Tokenizer, WordPiece

SCHEMA_VERSION = 1
_KINDS: dict[str, tuple[type[Any], str]] = {
    WordPiece.kind: (WordPiece, 'vocab_file'), SentencePiece.kind: (SentencePiece, 'model_file')}


def to_json(tokenizer: Tokenizer) -> dict[str, Any]:
  """The JSON values that describe a tokenizer; no paths. The file is read and hashed."""
  known = _KINDS.get(tokenizer.kind)
  if known and type(tokenizer) is known[0]:
    kind, settings = tokenizer.kind, dataclasses.asdict(tokenizer)  # type: ignore[call-overload]
    del settings[known[1]]
  else:
    kind = f'own: {tokenizer.kind}'
    settings = {'lower_case': bool(tokenizer.lower_case)}
  asset = tokenizer.asset_file
  return {
      'schema_version': SCHEMA_VERSION,
      'kind': kind,
      'settings': settings,
      'vocab_size': tokenizer.vocab_size,
      'special_token_ids': dict(tokenizer.special_token_ids()),
      'asset_sha256': files.sha256(asset) if asset else None,
  }


@dataclasses.dataclass(frozen=True)
class Recorded:
  """A record that was read.

  Attributes:
    values: as `to_json` made them.
    where: what it lies in, for messages.
  """

  values: Mapping[str, Any]
  where: str

  @property
  def lower_case(self) -> bool | None:
    """Whether it lower-cases, None if the record does not say."""
    return self.values['settings'].get('lower_case')

  def choose(
      self,
      brought: str | None,
      vocab_file: str | None = None,
      sp_model_file: str | None = None,
      do_lower_case: bool | None = None,
      tokenizer: Callable[[], Tokenizer] | Tokenizer | None = None,
  ) -> tuple[Tokenizer, tuple[str, ...]]:
    """The tokenizer that a run file's macros ask for, which has to be the recorded one.

    Args:
      brought: the file that lies beside the record.
      vocab_file, sp_model_file, do_lower_case, tokenizer: the macros; None where not given.

    Returns:
      The tokenizer and lines to print and record.

    Raises:
      RequestError: another one is asked for; it is an own one and not given; the file that lies
        beside the record is another one.
    """
    if do_lower_case is not None and tokenizer is None and do_lower_case != self.lower_case:
      raise RequestError(
          f'DO_LOWER_CASE is {do_lower_case}, but {self.where} was trained with lower_case '
          f'{self.lower_case}. Leave DO_LOWER_CASE out.')
    given = {'VOCAB_FILE': vocab_file, 'SP_MODEL_FILE': sp_model_file, 'TOKENIZER': tokenizer}
    asked = [name for name, value in given.items() if value]
    if not asked:
      return self._made(brought), (f'tokenizer and vocabulary from {self.where}',)
    made, _ = tokenizers.from_macros(vocab_file, sp_model_file, self.lower_case, tokenizer)
    if tokenizer is None and self._has_hash(made.asset_file):
      made = self._made(made.asset_file)  # The same file; the record has the other settings.
    self._check(made, asked[0])
    return made, ()

  def _has_hash(self, path: str | None) -> bool:
    return path is not None and files.sha256(path) == self.values['asset_sha256']

  def _made(self, asset_file: str | None) -> Tokenizer:
    kind = self.values['kind']
    if kind not in _KINDS:
      raise RequestError(
          f'{self.where} was trained with a tokenizer of kind {kind!r}, which it cannot bring '
          'along: only its maker has the code. Write --set TOKENIZER=@your.tokenizer.')
    if not self._has_hash(asset_file):
      raise RequestError(
          f'The vocabulary that lies in {self.where} is not the one that it was trained with: '
          f'{"its SHA-256 is another" if asset_file else "there is none"}. Copy the checkpoint '
          'again.')
    made, file = _KINDS[kind]
    try:
      return made(**{file: asset_file}, **self.values['settings'])
    except TypeError as error:
      raise RequestError(
          f'Cannot make the tokenizer of {self.where}: {error}. Another version of nlp_export '
          'wrote it. Use that version.') from error

  def _check(self, tokenizer: Tokenizer, asked: str) -> None:
    """Refuses a tokenizer that would give other ids than the encoder was trained on."""
    lines = [f'{name}: {mine!r} in {asked}, {theirs!r} in {self.where}'
             for name, mine, theirs in _differences(to_json(tokenizer), self.values)]
    if lines:
      raise RequestError(
          f'{asked} and CHECKPOINT name different tokenizers:\n  ' + '\n  '.join(lines)
          + f'\nThe encoder was trained with the second. Leave {asked} out.')


def read(path: str, where: str) -> Recorded:
  """Reads a record.

  Args:
    path: of the JSON file.
    where: name of the checkpoint that it came with.

  Raises:
    RequestError: it is no such record.
  """
  values = files.read_json(path)
  version = values.get('schema_version') if isinstance(values, dict) else None
  if version != SCHEMA_VERSION or not isinstance(values.get('settings'), dict):
    raise RequestError(
        f'Cannot read {path} as the record of a tokenizer: its schema_version is {version!r}, and '
        f'{SCHEMA_VERSION} is known here. Use the version of nlp_export that wrote it.')
  return Recorded(values, where)


def _differences(
    given: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
  pairs = [(name, given.get(name), recorded.get(name))
           for name in ('kind', 'vocab_size', 'asset_sha256')]
  settings = given['settings'].keys() | recorded['settings'].keys()
  pairs += [(name, given['settings'].get(name), recorded['settings'].get(name))
            for name in sorted(settings)]
  if given['kind'] != recorded.get('kind'):
    pairs = pairs[:1]  # The rest follows.
  return [pair for pair in pairs if pair[1] != pair[2]]
