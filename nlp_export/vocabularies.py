"""Do an encoder and a preprocessing belong together? With another one every token has a wrong id.

Nothing would fail then: vectors, scores and losses come out, and mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from nlp_export import files, names
from nlp_export.errors import RequestError

_ALIKE = ('kind', 'lower_case')


def refuse_other(export: str, preprocessing: str) -> None:
  """Refuses a preprocessing of another vocabulary, or that lower-cases otherwise.

  Both hold their vocabulary as the one file in assets/; our records say how text is prepared. Where
  a stranger's SavedModels say neither, nothing is known and nothing refused.

  Args:
    export: directory of an encoder's SavedModel; may be remote.
    preprocessing: directory of a preprocessing SavedModel; likewise.

  Raises:
    RequestError: so.
  """
  ours, theirs = (_tokenizer(path) for path in (export, preprocessing))
  for key in _ALIKE:
    if key in ours and key in theirs and ours[key] != theirs[key]:
      raise _refusal(export, preprocessing, f'the tokenizer of the first has {key} {ours[key]}, '
                                            f'that of the second {theirs[key]}')
  mine, others = (_assets(path) for path in (export, preprocessing))
  if len(mine) != 1 or len(others) != 1:
    return
  (one, first), (other, second) = *mine.items(), *others.items()
  if first != second and _lines(export, one) != _lines(preprocessing, other):
    raise _refusal(
        export, preprocessing, f'the first has the vocabulary {one} (SHA-256 {first[:12]}...), the '
                               f'second {other} (SHA-256 {second[:12]}...)')


def _refusal(export: str, preprocessing: str, why: str) -> RequestError:
  return RequestError(
      f'{export} and {preprocessing} do not belong together: {why}. Other words would get the ids '
      'that the encoder knows, without any error. Give the preprocessing that was exported with it')


def _tokenizer(path: str) -> Mapping[str, object]:
  record = files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE)
  if not files.exists(record):
    return {}
  return dict(files.read_json(record).get('tokenizer') or {})


def _assets(path: str) -> dict[str, str]:
  """Base name -> SHA-256."""
  directory = files.join(path, 'assets')
  found = files.list_dir(directory) if files.is_dir(directory) else []
  return {name: files.sha256(files.join(directory, name)) for name in found}


def _lines(path: str, asset: str) -> list[bytes]:
  """Of a vocabulary, whatever its line ends; of a SentencePiece model pieces that mean nothing."""
  content = files.read_bytes(files.join(path, 'assets', asset))
  return [line.rstrip() for line in content.rstrip().split(b'\n')]
