"""Which tokenizer was a checkpoint trained with, as the checkpoint itself records it?

A record is JSON: the kind, the settings, and the hash of the file that the tokenizer was made of.
The file lies beside the record. If none is asked for, the tokenizer is made anew from both; one
that is asked for has to be the same, unless OTHER_TOKENIZER says that it need not. Own tokenizers
cannot be made from a record, only compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nlp_export import files, tokenizers
from nlp_export.errors import RequestError
from nlp_export.tokenization import tokenizer_types
from nlp_export.tokenization.tokenizer_types import SentencePiece, Tokenizer, WordPiece

SCHEMA_VERSION = 1
ANOTHER = 'Another tokenizer than the encoder was trained with'
_KINDS: dict[str, tuple[type[Any], str]] = {
    WordPiece.kind: (WordPiece, 'vocab_file'), SentencePiece.kind: (SentencePiece, 'model_file')}


def to_json(tokenizer: Tokenizer) -> dict[str, Any]:
  """The JSON values that describe a tokenizer; no paths. The file is read and hashed."""
  known = _KINDS.get(tokenizer.kind)
  if known and type(tokenizer) is known[0]:
    kind, settings = tokenizer.kind, tokenizer_types.settings(tokenizer)  # type: ignore[arg-type]
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
      other_tokenizer: bool = False,
  ) -> tuple[Tokenizer, tuple[str, ...]]:
    """The tokenizer that a run file's macros ask for, which has to be the recorded one.

    Args:
      brought: the file that lies beside the record.
      vocab_file, sp_model_file, do_lower_case, tokenizer: the macros; None where not given.
      other_tokenizer: OTHER_TOKENIZER: whether it may be another one all the same.

    Returns:
      The tokenizer and lines to print and record.

    Raises:
      RequestError: another one is asked for; it is an own one and not given; the file that lies
        beside the record is another one.
    """
    if (do_lower_case is not None and tokenizer is None and do_lower_case != self.lower_case
        and not other_tokenizer):
      raise RequestError(
          f'DO_LOWER_CASE is {do_lower_case}, but {self.where} was trained with lower_case '
          f'{self.lower_case}{unless_asked("the first")}. Leave DO_LOWER_CASE out.')
    given = {'VOCAB_FILE': vocab_file, 'SP_MODEL_FILE': sp_model_file, 'TOKENIZER': tokenizer}
    asked = [name for name, value in given.items() if value]
    if not asked and do_lower_case in (None, self.lower_case):
      return self._made(brought), (f'tokenizer and vocabulary from {self.where}',)
    if asked:
      made, _ = tokenizers.from_macros(
          vocab_file, sp_model_file, self.lower_case if do_lower_case is None else do_lower_case,
          tokenizer)
    if not asked or (tokenizer is None and self._has_hash(made.asset_file)):
      # The same file; the record has the other settings.
      made = self._made(made.asset_file if asked else brought)
      if do_lower_case is not None and do_lower_case != made.lower_case:
        made = dataclasses.replace(made, lower_case=do_lower_case)  # type: ignore[type-var]
    return made, compare(
        made, self.values, asked[0] if asked else 'DO_LOWER_CASE', self.where, other_tokenizer)

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


def compare(
    tokenizer: Tokenizer, values: Mapping[str, Any], asked: str, where: str, other_tokenizer: bool,
    only: Collection[str] | None = None,
) -> tuple[str, ...]:
  """Refuses a tokenizer that would give other ids than an encoder was trained on.

  Args:
    tokenizer: that is asked for.
    values: as `to_json` made them, of the tokenizer that the encoder was trained with.
    asked: the macro that asks for it.
    where: what the values were found in.
    other_tokenizer: OTHER_TOKENIZER: whether it may be another one all the same.
    only: settings that are known of the second; None for all.

  Returns:
    Lines to print and record: how it differs, if it does and may.

  Raises:
    RequestError: it differs, and was not said to.
  """
  lines = [f'{name}: {mine!r} in {asked}, {theirs!r} in {where}'
           for name, mine, theirs in _differences(to_json(tokenizer), values, only)]
  if lines and not other_tokenizer:
    raise RequestError(
        f'{asked} and {where} have different tokenizers:\n  ' + '\n  '.join(lines)
        + f'\nThe encoder was trained with the second{unless_asked("the first")}. '
        f'Leave {asked} out.')
  return tuple(f'{ANOTHER}, as OTHER_TOKENIZER asks: {line}' for line in lines)


def unless_asked(which: str) -> str:
  """In brackets: how to get it all the same."""
  return f' (--set OTHER_TOKENIZER=True takes {which} all the same)'


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
    given: Mapping[str, Any], recorded: Mapping[str, Any], only: Collection[str] | None
) -> list[tuple[str, Any, Any]]:
  pairs = [(name, given.get(name), recorded.get(name))
           for name in ('kind', 'vocab_size', 'asset_sha256')]
  mine, theirs = _completed(given), _completed(recorded)
  pairs += [(name, mine.get(name), theirs.get(name))
            for name in sorted(mine.keys() | theirs.keys()) if only is None or name in only]
  if given['kind'] != recorded.get('kind'):
    pairs = pairs[:1]  # The rest follows.
  return [pair for pair in pairs if pair[1] != pair[2]]


def _completed(values: Mapping[str, Any]) -> dict[str, Any]:
  """Settings with the defaults of those that are not recorded; strip_accents as it works."""
  found = dict(values['settings'])
  known = _KINDS.get(values.get('kind', ''))
  for field in dataclasses.fields(known[0]) if known else ():
    if field.default is not dataclasses.MISSING:
      found.setdefault(field.name, field.default)
  if 'strip_accents' in found and found['strip_accents'] is None:
    found['strip_accents'] = found.get('lower_case')
  return found
