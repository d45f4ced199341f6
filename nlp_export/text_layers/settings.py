"""What can be asked of a text layer? Checked without TensorFlow, and kept in the layer's config."""

from __future__ import annotations

import dataclasses
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

from nlp_export import names, poolings, text_inputs
from nlp_export.errors import RequestError
from nlp_export.spelling import Spelling

TEXT = 'text'
ENCODER_INPUTS = 'encoder_inputs'
INPUTS = (TEXT, ENCODER_INPUTS)

DEFAULT_MAX_SEQ_LENGTH = 128

Pooling = str | Sequence[str] | None
Handle = str | os.PathLike[str]
# Of messages that run files have as well.
SPELLING = Spelling('TextEncoder')

# What pathlib makes of a URL: it takes one of the two slashes away.
_BROKEN_URL = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*):/(?!/)')


def as_string(handle: Any) -> Any:
  """A path object as the string that a layer's config can hold; anything else as it is.

  Raises:
    RequestError: it was made of a URL.
  """
  if not isinstance(handle, os.PathLike):
    return handle
  found = os.fsdecode(handle)
  if scheme := _BROKEN_URL.match(found):
    raise RequestError(
        f'The text layer was given {handle!r}: pathlib takes a slash out of a URL. Give the handle '
        f"as a string, '{scheme[1]}://...'")
  return found


@dataclasses.dataclass(frozen=True)
class Settings:
  """The arguments of TextEncoder, which see.

  Attributes:
    encoder: directory or handle.
    preprocessing: likewise; None if nothing is to be tokenised, or the encoder does it itself.
    pooling: 'default' for the export's own answer, None for one vector for each token, one of
      poolings.POOLINGS, or a tuple of them.
    max_seq_length: most tokens of a text; None for 128, or for what the export has inside.
    separator: between the two texts of a pair in one string; None for none.
    inputs: one of INPUTS.
    trainable_layers: the last n Transformer layers; None for all, 0 for none.
    allowed_ops: ops of a SavedModel that would be refused otherwise.
  """

  encoder: str
  preprocessing: str | None = None
  pooling: Pooling = names.DEFAULT
  max_seq_length: int | None = None
  separator: str | None = None
  inputs: str = TEXT
  trainable_layers: int | None = None
  allowed_ops: Sequence[str] = ()

  def __post_init__(self) -> None:
    # A config that went through JSON has lists.
    if isinstance(self.pooling, list):
      object.__setattr__(self, 'pooling', tuple(self.pooling))
    if isinstance(self.allowed_ops, str):
      raise RequestError(
          f'allowed_ops of the text layer is {self.allowed_ops!r}, a string. Write '
          f'allowed_ops=({self.allowed_ops!r},)')
    object.__setattr__(self, 'allowed_ops', tuple(self.allowed_ops))
    for what, value in (('encoder', self.encoder), ('preprocessing', self.preprocessing)):
      if not isinstance(value, str) and not (what == 'preprocessing' and value is None):
        raise RequestError(
            f'{what} of the text layer is {value!r}. Give the directory of a SavedModel, as a '
            'string or pathlib.Path, or a handle that tensorflow_hub resolves, as a string')
    if self.pooling is not None and self.pooling != names.DEFAULT:
      poolings.check(self.pooling, SPELLING)
    if self.max_seq_length is not None:
      text_inputs.check_max_seq_length(
          self.max_seq_length, 2 if self.separator else 1, SPELLING)
    self._check_inputs()
    count = self.trainable_layers
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
      raise RequestError(
          f'trainable_layers of the text layer is {count!r}. Write None to train all, 0 to train '
          'none, or a number of layers from the top')

  def _check_inputs(self) -> None:
    if self.inputs not in INPUTS:
      raise RequestError(
          f'inputs of the text layer is {self.inputs!r}. Write {TEXT!r} for strings, or '
          f'{ENCODER_INPUTS!r} for a dict of {", ".join(names.ENCODER_INPUTS)}')
    if self.separator is not None and (
        not isinstance(self.separator, str) or not self.separator.strip()):
      raise RequestError(
          f'separator of the text layer is {self.separator!r}. Write a string that stands in no '
          "text, such as '|||', or None for texts that are no pairs")

  def to_config(self) -> dict[str, Any]:
    """As JSON values, for a layer's config."""
    config = dataclasses.asdict(self)
    config['allowed_ops'] = list(self.allowed_ops)
    if isinstance(self.pooling, tuple):
      config['pooling'] = list(self.pooling)
    return config


def warn_of_policy(compute_dtype: str, encoder: str) -> None:
  """Says that a Keras dtype policy does not reach into a SavedModel's graph."""
  if compute_dtype != 'float32':
    warnings.warn(
        f'The dtype policy of the text layer computes in {compute_dtype}, but the graph in '
        f'{encoder} is float32 and stays so. For bfloat16 use '
        "tf.config.optimizer.set_experimental_options({'auto_mixed_precision_onednn_bfloat16': "
        'True}), which rewrites graphs.', stacklevel=3)
