"""What must a reader of a checkpoint know besides its weights, and may a run go on from it?

The item `metadata` holds the encoder's configuration and the vocabulary as files, so that an export
needs nothing but the checkpoint, and as JSON all that decides the numbers of the run
(`configuration`), which must be the same for a resume, and where it ran (`environment`), which may
change: then the weights will not be bit-identical, and that is said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from nlp_export import files
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.tokenization import recorded
from nlp_export.tokenizers import SENTENCEPIECE, WORDPIECE, Tokenizer

SCHEMA_VERSION = 1
CONFIGURATION_KEY = 'configuration'
ENVIRONMENT_KEY = 'environment'
STEP_KEY = 'step'  # Of the item `progress`.
# What a run is given to start from the weights of another one.
INITIAL_CHECKPOINT = 'INITIAL_CHECKPOINT'

_SHOWN = 20  # Differences in a message.
_ABSENT = object()
_VOCABULARIES = {WORDPIECE: layout.VOCAB_FILE, SENTENCEPIECE: layout.SP_MODEL_FILE}


@dataclass(frozen=True)
class Metadata:
  """The item `metadata` of a checkpoint.

  Attributes:
    configuration: JSON; whatever decides the numbers. A run goes on only with an equal one.
    environment: JSON; devices, threads, versions.
    mlm_activation: of the masked LM head.
    files: name -> content of the plain files beside the JSON.
  """

  configuration: Mapping[str, Any]
  environment: Mapping[str, Any] = field(default_factory=dict)
  mlm_activation: str = 'gelu'
  files: Mapping[str, bytes] = field(default_factory=dict)

  def to_json(self) -> dict[str, Any]:
    """The JSON, as reading it back would give it.

    Raises:
      TypeError, ValueError: a value is no JSON: a tuple's members may be, NaN is not.
    """
    return as_json({
        layout.SCHEMA_VERSION_KEY: SCHEMA_VERSION,
        layout.MLM_ACTIVATION_KEY: self.mlm_activation,
        CONFIGURATION_KEY: self.configuration,
        ENVIRONMENT_KEY: self.environment,
        layout.FILES_KEY: {name: hashlib.sha256(content).hexdigest()
                           for name, content in sorted(self.files.items())},
    })


def describe(
    spec: EncoderSpec | BuiltEncoder,
    tokenizer: Tokenizer,
    mlm_activation: str,
    configuration: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> Metadata:
  """The metadata of a run.

  Args:
    spec: the encoder. A user's own network has no EncoderConfig: an export must be told of it.
    tokenizer: that prepared the text. Of a user's own only the settings and a hash go along.
    mlm_activation: of the masked LM head.
    configuration: what else decides the numbers: data, recipe, seeds.
    environment: devices, threads, versions.
  """
  stored = {}
  encoder: dict[str, Any] = {'source': spec.source}
  if isinstance(spec, EncoderSpec):
    described = spec.to_json()
    encoder = {'type': described['type'], **described['config']}
    stored[layout.ENCODER_FILE] = yaml.safe_dump(
        {described['type']: described['config'], 'type': described['type']}).encode()
  settings = recorded.to_json(tokenizer)
  stored[layout.TOKENIZER_FILE] = (json.dumps(settings, indent=2) + '\n').encode()
  if tokenizer.asset_file and settings['kind'] in _VOCABULARIES:
    stored[_VOCABULARIES[settings['kind']]] = files.read_bytes(tokenizer.asset_file)
  return Metadata(
      {'encoder': encoder, 'tokenizer': settings, 'mlm_activation': mlm_activation,
       **configuration},
      environment, mlm_activation, stored)


def as_json(value: Any) -> Any:
  """A value as JSON would give it back: tuples are lists, keys are text.

  Raises:
    TypeError, ValueError: it holds something else: NaN, or numpy's numbers. Orbax would raise it
      while it writes, or (NaN) write what is not JSON.
  """
  return json.loads(json.dumps(value, allow_nan=False))


def diff(old: Any, new: Any, place: str = '') -> list[str]:
  """Where two JSON values differ, one line each: 'recipe.warmup_steps: 100 there, 200 now'."""
  return list(_differences(old, new, place))


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    for key in [*old, *(key for key in new if key not in old)]:
      inner = f'{place}.{key}'.lstrip('.')
      yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)
  elif old is _ABSENT:
    yield f'{place}: {_short(new)} now, not there'
  elif new is _ABSENT:
    yield f'{place}: {_short(old)} there, not now'
  elif old != new or isinstance(old, bool) != isinstance(new, bool):  # To Python True is 1.
    yield f'{place}: {_short(old)} there, {_short(new)} now'


def _short(value: Any) -> str:
  text = json.dumps(value, ensure_ascii=False)
  return text if len(text) <= 70 else f'{text[:67]}...'


def check_same(stored: Mapping[str, Any], now: Metadata, root: str, step: int) -> tuple[str, ...]:
  """Whether a run may go on from a checkpoint.

  Args:
    stored: the checkpoint's JSON.
    now: of the run that would go on.
    root, step: of the checkpoint, for messages.

  Returns:
    Lines to say: what changed of the environment, so that the weights will not be bit-identical.

  Raises:
    RequestError: another configuration, or metadata of another version of this package.
  """
  version = stored.get(layout.SCHEMA_VERSION_KEY)
  if version != SCHEMA_VERSION:
    raise RequestError(
        f'The metadata of checkpoint {step} in {root} has schema_version {version}, while this '
        f'version of the package knows {SCHEMA_VERSION}. Use the version that wrote it, or give '
        'another --out_dir.')
  new = now.to_json()
  changed = diff(stored.get(CONFIGURATION_KEY), new[CONFIGURATION_KEY])
  if changed:
    more = [f'... and {len(changed) - _SHOWN} more'] if len(changed) > _SHOWN else []
    raise RequestError(
        f'{root} holds checkpoints (the newest: {step}) of a run with another configuration:\n  '
        + '\n  '.join(changed[:_SHOWN] + more)
        + f'\nGoing on would mix the two. Set them back to go on from step {step}, or start a new '
        f'run from its weights: --set {INITIAL_CHECKPOINT}={root} --out_dir ANOTHER_DIR.')
  moved = diff(stored.get(ENVIRONMENT_KEY), new[ENVIRONMENT_KEY])
  if not moved:
    return ()
  return (f'checkpoint {step} was written elsewhere ({"; ".join(moved)}): going on from it, but '
          'not bit-identically to a run without this change',)
