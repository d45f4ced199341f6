"""Which encoder does a run use: a factory's, a file's, or what the checkpoint brings along?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from nlp_export.encoder_config import encoder_files
from nlp_export.encoder_config.built_encoder import BuiltEncoder, is_network
from nlp_export.encoder_config.encoder_spec import EncoderSpec, differences
from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part


def resolve(
    encoder: Callable[[], Any] | EncoderSpec | None = None,
    encoder_config_file: str | None = None,
    brought: EncoderSpec | None = None,
) -> EncoderSpec | BuiltEncoder:
  """The one encoder of a run, from what was given; given ones are checked against each other.

  Args:
    encoder: ENCODER, a factory or an EncoderSpec; None if not given.
    encoder_config_file: ENCODER_CONFIG, a path; None if not given.
    brought: what the checkpoint brings along (a Hugging Face directory's config.json).

  Returns:
    The encoder. Of several that agree, the most deliberate: ENCODER before ENCODER_CONFIG before
    what the checkpoint brings.

  Raises:
    RequestError: none given, two that disagree, or a factory that returns something else.
  """
  given: list[tuple[str, EncoderSpec | BuiltEncoder]] = []
  if encoder is not None:
    given.append(('ENCODER', _called(encoder)))
  if encoder_config_file is not None:
    given.append(('ENCODER_CONFIG', encoder_files.read(encoder_config_file)))
  if brought is not None:
    given.append(('CHECKPOINT', brought))
  if not given:
    raise RequestError(
        'No encoder was named, and the checkpoint brings no configuration along: nothing says what'
        " network its weights belong to. Include a fragment ('gin/encoders/bert_base.gin') or"
        " write ENCODER_CONFIG = 'path of an EncoderConfig YAML, bert_config.json or config.json'")
  first_name, first = given[0]
  for name, other in given[1:]:
    _check_agreement(first_name, first, name, other)
  return first


def _check_agreement(
    first_name: str, first: EncoderSpec | BuiltEncoder, name: str, other: Any) -> None:
  if isinstance(first, BuiltEncoder):
    pairs = [(p, getattr(first, p), getattr(other, p)) for p in (
        'hidden_size', 'num_layers', 'num_attention_heads', 'vocab_size', 'max_positions')]
    lines = tuple(f'{p}: {mine} in {first.source}, {theirs} in {other.source}'
                  for p, mine, theirs in pairs if mine is not None and mine != theirs)
  elif first.source == other.source:  # Two files of one name: told by who brings them.
    lines = differences(
        dataclasses.replace(first, source=f'{first_name} ({first.source})'),
        dataclasses.replace(other, source=f'{name} ({other.source})'))
  else:
    lines = differences(first, other)
  if not lines:
    return
  if name == 'CHECKPOINT':
    cure = (f'Drop the {first_name} line: the checkpoint brings its own configuration; or name the'
            f' checkpoint that {first_name} describes')
  else:
    cure = (f'Drop one of the two lines: without ENCODER_CONFIG the run uses {first.source},'
            f' without ENCODER (or the include that sets it) {other.source}')
  raise RequestError(
      f'{first_name} and {name} describe different encoders:\n  ' + '\n  '.join(lines)
      + f'\nA run has one. {cure}')


def _called(encoder: Any) -> EncoderSpec | BuiltEncoder:
  """The encoder that a factory (or a value in its place) stands for."""
  if isinstance(encoder, (EncoderSpec, BuiltEncoder)):
    return encoder
  name = getattr(encoder, '__name__', type(encoder).__name__)
  if isinstance(encoder, str):
    raise RequestError(
        f'ENCODER is the text {encoder!r}, where a factory is needed. Write'
        f" ENCODER = @encoders.bert, or ENCODER_CONFIG = '{encoder}' if it is a file")
  made = encoder
  source = f'a {name}'
  if not is_network(made):
    if not callable(encoder):
      raise RequestError(
          f'ENCODER is a {name}, where a factory is needed, a function without required arguments'
          ' that returns an EncoderSpec or a tf_keras network. Write ENCODER = @encoders.bert')
    made = _call(encoder, name)
    source = f'@{name}'
  if isinstance(made, (EncoderSpec, BuiltEncoder)):
    return made
  if is_network(made):
    return BuiltEncoder(made, source)
  kind = f'{type(made).__module__}.{type(made).__name__}'
  if any(base.__module__.split('.')[0] == 'keras' for base in type(made).__mro__):
    raise RequestError(
        f'The encoder factory {name} returned a {kind}, a Keras 3 object, while TF-NLP and'
        ' hub.KerasLayer are built on Keras 2. Build it with `import tf_keras`')
  raise RequestError(
      f'The encoder factory {name} returned {"nothing" if made is None else f"a {kind}"}. It must'
      ' return an EncoderSpec (see docs/encoders.md) or a built tf_keras network')


def _call(factory: Callable[[], Any], name: str) -> Any:
  with explain_part(factory, f'The encoder factory {name}'):
    try:
      return factory()
    except TypeError as error:
      # Python's and gin's words for an argument that nobody bound.
      if not re.search(r'missing \d+ required (positional|keyword-only) argument', str(error)):
        raise
      argument = re.search(r"required [^:]+: ([^\n]+)", str(error))
      raise RequestError(
          f'The encoder factory {name} was called without its required'
          f' {argument.group(1).strip() if argument else "arguments"}. Bind each in the gin file,'
          " as encoders.from_file.path = 'bert_config.json' does") from error
