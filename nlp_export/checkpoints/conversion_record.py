"""What lies beside a TF2 checkpoint and belongs to it, by a record that its writer left?

A TF2 checkpoint says nothing of its network, its tokenizer or the masked LM's activation. Who
converts one (converting/) writes them beside it and records their hashes, and that of the index, in
conversion.json. Files without such a record are never taken.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from nlp_export import files
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError

RECORD_FILE = 'conversion.json'
SCHEMA_VERSION = 1
_INDEX = 'index'


@dataclasses.dataclass(frozen=True)
class Brought:
  """Paths of what belongs to a checkpoint, None where nothing does; as FoundCheckpoint has them.

  Attributes:
    encoder_config: EncoderConfig YAML.
    vocab_file, sp_model_file: what its tokenizer was made of.
    tokenizer_settings: JSON, see tokenization/recorded.py.
    mlm_activation: of the masked LM head.
  """

  encoder_config: str | None = None
  vocab_file: str | None = None
  sp_model_file: str | None = None
  tokenizer_settings: str | None = None
  mlm_activation: str | None = None

  @property
  def files(self) -> tuple[str, ...]:
    """What decides how the weights are used, for hashing; the vocabulary is the tokenizer's."""
    return tuple(path for path in (self.encoder_config, self.tokenizer_settings) if path)

  def fields(self) -> dict[str, str | None]:
    """Keyword arguments for FoundCheckpoint."""
    return dataclasses.asdict(self)


def write(prefix: str, content: Mapping[str, bytes], mlm_activation: str | None) -> None:
  """Records what was written beside a checkpoint.

  Args:
    prefix: of the checkpoint, which is written.
    content: base name -> bytes of each file beside it.
    mlm_activation: of its masked LM head, None without one.
  """
  files.write_json(files.join(files.dirname(prefix), RECORD_FILE), {
      'schema_version': SCHEMA_VERSION,
      'checkpoint': {'name': files.basename(prefix), _INDEX: files.sha256(f'{prefix}.index')},
      'files': {name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
      layout.MLM_ACTIVATION_KEY: mlm_activation})


def brought_along(prefix: str) -> Brought:
  """What belongs to the checkpoint at a prefix; nothing if no record says so.

  Raises:
    RequestError: a recorded file is not there or was changed.
  """
  directory = files.dirname(prefix)
  path = files.join(directory, RECORD_FILE)
  if not files.exists(path):
    return Brought()
  record = files.read_json(path)
  if not isinstance(record, dict) or record.get('schema_version') != SCHEMA_VERSION:
    return Brought()  # Somebody else's file of that name.
  known = record['checkpoint']
  if (known['name'], known[_INDEX]) != (files.basename(prefix), files.sha256(f'{prefix}.index')):
    return Brought()  # Of another checkpoint, which lay here before or lies here too.
  found = {}
  for name, digest in record['files'].items():
    found[name] = files.join(directory, name)
    if not files.exists(found[name]) or files.sha256(found[name]) != digest:
      raise RequestError(
          f'Cannot take {name} beside {prefix}: {RECORD_FILE} records another content, so it was '
          f'changed or removed since the checkpoint was written. Bring it back, or remove '
          f'{RECORD_FILE} and give ENCODER_CONFIG and the vocabulary yourself.')
  return Brought(
      found.get(layout.ENCODER_FILE), found.get(layout.VOCAB_FILE),
      found.get(layout.SP_MODEL_FILE), found.get(layout.TOKENIZER_FILE),
      record.get(layout.MLM_ACTIVATION_KEY))
