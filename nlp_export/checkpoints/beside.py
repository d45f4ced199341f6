"""Which configuration and vocabulary lie beside a TensorFlow checkpoint, which brings none along?

TF1 checkpoints are published as a directory with a bert_config.json and a vocab.txt, and TF2 ones
often lie so too. Nothing says that these files belong to the weights, so they are not taken: they
are named where one is missing, with the line that takes them.
"""

from __future__ import annotations

from collections.abc import Iterator

from nlp_export import files
from nlp_export.checkpoints.formats import TF1, TF2, FoundCheckpoint
from nlp_export.encoder_config import encoder_files
from nlp_export.errors import RequestError

_LARGEST_CONFIG = 1 << 20  # bytes
_CONFIG_ENDINGS = ('.json', '.yaml', '.yml')


def require(found: FoundCheckpoint, *, encoder: bool, tokenizer: bool) -> None:
  """Refuses to go on without what a file beside the checkpoint may be; does nothing if none is.

  Args:
    found: the checkpoint.
    encoder: whether nothing says what network it is.
    tokenizer: whether nothing says what its tokenizer is.

  Raises:
    RequestError: names the files, and the settings that take them.
  """
  if found.kind not in (TF1, TF2) or not (encoder or tokenizer):
    return
  directory = files.dirname(found.path)
  settings = [*(_configurations(directory) if encoder else ()),
              *(_vocabularies(directory) if tokenizer else ())]
  if not settings:
    return
  missing = (('ENCODER_CONFIG',) * encoder + ('VOCAB_FILE or SP_MODEL_FILE',) * tokenizer,
             ('network',) * encoder + ('tokenizer',) * tokenizer)
  listed = '\n'.join(f'  --set {name}={path}' for name, path in settings)
  raise RequestError(
      f'{" and ".join(missing[0])} must be set: {found.name} itself says nothing of its '
      f'{" and ".join(missing[1])}. Files that lie beside it are not taken unasked, for nothing '
      f'ties them to its weights. If they are its own, write\n{listed}')


def _configurations(directory: str) -> Iterator[tuple[str, str]]:
  """Those files that are one by their content."""
  for name in files.list_dir(directory):
    path = files.join(directory, name)
    if name.endswith(_CONFIG_ENDINGS) and _is_configuration(path):
      yield 'ENCODER_CONFIG', path


def _is_configuration(path: str) -> bool:
  if files.is_dir(path) or files.size(path) > _LARGEST_CONFIG:
    return False
  try:
    encoder_files.read(path)
  except RequestError:
    return False
  return True


def _vocabularies(directory: str) -> Iterator[tuple[str, str]]:
  """Told by the names that their writers give them: whoever takes one checks what is in it."""
  for name in files.list_dir(directory):
    if name.endswith('.txt') and 'vocab' in name:
      yield 'VOCAB_FILE', files.join(directory, name)
    elif name.endswith('.model'):
      yield 'SP_MODEL_FILE', files.join(directory, name)
