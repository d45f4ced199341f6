"""Which factories read a file, or let Python code build the network?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gin

from nlp_export.encoder_config import encoder_files
from nlp_export.encoder_config.built_encoder import BuiltEncoder, is_network
from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part


@gin.register(module='encoders')
def from_file(path: str) -> EncoderSpec:
  """Encoder of a configuration file: EncoderConfig YAML, legacy bert_config.json or Hugging Face's.

  Args:
    path: the file; its content says which of the three it is.

  Raises:
    RequestError: no such file, none of the three, or values that no encoder can have.
  """
  return encoder_files.read(path)


@gin.register('any', module='encoders')
def any_encoder(
    builder: Callable[[Any], Any],
    config: Mapping[str, Any] | None = None,
    config_file: str | None = None,
) -> BuiltEncoder:
  """TF-NLP's type `any`: the network that a registered builder makes of a configuration.

  Args:
    builder: a registered function of one argument, as `any.BUILDER` of TF-NLP: takes a
      hyperparams.Config with the fields below as attributes, returns a tf_keras network with dict
      inputs and outputs.
    config: the fields.
    config_file: an EncoderConfig YAML of `type: any` that holds them in its block `any`; fields of
      `config` come before those of the file.

  Returns:
    The built network; exports treat it like one that a factory of your own returns.

  Raises:
    RequestError: the file is not of type any, or the builder fails or returns something else.
  """
  from official.modeling import hyperparams

  name = getattr(builder, '__name__', type(builder).__name__)
  if not callable(builder):
    raise RequestError(
        f'encoders.any.builder is {builder!r}, where a function of the configuration is needed.'
        ' Write encoders.any.builder = @my_module.my_builder')
  fields = dict(encoder_files.fields_of_any(config_file)) if config_file else {}
  fields.update(config or {})

  with explain_part(builder, f'The encoder builder {name}'):
    network = builder(hyperparams.Config(default_params=fields))
  if not is_network(network):
    kind = type(network)
    raise RequestError(
        f'The encoder builder {name} returned a {kind.__module__}.{kind.__name__}. It must return'
        ' a built tf_keras network, as any.BUILDER of TF-NLP')
  return BuiltEncoder(network, f'@encoders.any with {name}')
