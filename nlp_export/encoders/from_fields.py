"""How do the arguments of a registered factory become an EncoderSpec?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_export.encoder_config.encoder_blocks import Place, complete_block
from nlp_export.encoder_config.encoder_spec import EncoderSpec


def spec(encoder_type: str, fields: Mapping[str, Any]) -> EncoderSpec:
  """The spec of a type whose factory was called with `fields`, checked.

  Args:
    encoder_type: 'bert' and its like; the factory is @encoders.<encoder_type>.
    fields: field of TF-NLP's block -> value.

  Raises:
    RequestError: values that no encoder can have, each with the gin line to write instead.
  """
  name = f'encoders.{encoder_type}'
  place = Place(name, f'{name}.{{key}} = {{value!r}}')
  return EncoderSpec(encoder_type, complete_block(encoder_type, fields, place), source=f'@{name}')
