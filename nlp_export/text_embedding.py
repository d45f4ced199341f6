"""What is asked of a text embedding export, and can this encoder give it?"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_export import names, poolings, text_inputs
from nlp_export.encoder_config import sequence_form, support
from nlp_export.errors import RequestError

# Where it is asked for without more: what sentence-transformers' models do.
DEFAULT_MAX_SEQ_LENGTH = 128


@dataclasses.dataclass(frozen=True)
class TextEmbeddingOptions:
  """What a text becomes.

  Attributes:
    pooling: POOLING: of nlp_export.poolings, one or several that are concatenated.
    normalize: NORMALIZE: whether vectors are scaled to length 1.
    max_seq_length: MAX_SEQ_LENGTH: most tokens of a text, [CLS] and [SEP] included.
  """

  pooling: str | Sequence[str] = poolings.MEAN
  normalize: bool = False
  max_seq_length: int = DEFAULT_MAX_SEQ_LENGTH

  @property
  def uses_pooler(self) -> bool:
    """Whether the encoder's pooler takes part; it is left out of the export if not."""
    return poolings.POOLED in poolings.parts(self.pooling)

  def check(self, spec: Any, pooler_functions: Mapping[str, Callable[..., Any]]) -> None:
    """Refuses what cannot be right for an encoder.

    Args:
      spec: EncoderSpec or BuiltEncoder.
      pooler_functions: pooler as written in gin -> strategy.

    Raises:
      RequestError: so.
    """
    poolings.check(self.pooling)
    text_inputs.check_max_seq_length(self.max_seq_length)
    form, encoder = sequence_form.of(spec), f'the {spec.type} encoder from {spec.source}'
    if form.fixed_length is not None and self.max_seq_length != form.fixed_length:
      raise RequestError(
          f'MAX_SEQ_LENGTH is {self.max_seq_length}, but {encoder} takes rows of '
          f'{form.fixed_length} tokens and no others. Write --set '
          f'MAX_SEQ_LENGTH={form.fixed_length}')
    if spec.max_positions is not None and self.max_seq_length > spec.max_positions:
      raise RequestError(
          f'MAX_SEQ_LENGTH is {self.max_seq_length}, but {encoder} has {spec.max_positions} '
          'position embeddings and fails on longer inputs. Write --set '
          f'MAX_SEQ_LENGTH={spec.max_positions} or less')
    over_tokens = [name for name in poolings.parts(self.pooling) if name in poolings.OVER_TOKENS]
    if form.pools and over_tokens:
      raise RequestError(
          f'POOLING has {over_tokens[0]!r}, which is taken over the real tokens, but {encoder} '
          'returns a vector for each window of tokens, and no mask says which of them are real. '
          "Write --set POOLING=cls, or 'pooled'")
    if self.uses_pooler:
      self._check_poolers(spec, pooler_functions)

  def _check_poolers(
      self, spec: Any, pooler_functions: Mapping[str, Callable[..., Any]]) -> None:
    why = support.no_pooler(spec)
    if why:
      raise RequestError(
          f'POOLING has {poolings.POOLED!r}, but the {spec.type} encoder from {spec.source} has no '
          f'pooler: {why}. Write --set POOLING=cls, or mean')
    # One without parameters makes no weights: @poolers.none, or a user's own.
    none = [name for name, f in pooler_functions.items() if not inspect.signature(f).parameters]
    if none:
      raise RequestError(
          f'POOLING has {poolings.POOLED!r}, but of POOLERS {none[0]} makes an encoder without '
          "pooled_output. Write --set POOLING=cls, or --set POOLERS='(@poolers.keep,)'")

  def check_weights(self, pooler: str, weights: Any) -> None:
    """Raises RequestError if a pooler is used that turned out to have no weights (None)."""
    if self.uses_pooler and weights is None:
      raise RequestError(
          f'POOLING has {poolings.POOLED!r}, but of POOLERS {pooler} made an encoder without '
          "pooled_output. Write --set POOLING=cls, or --set POOLERS='(@poolers.keep,)'")

  def pads(self, spec: Any) -> bool:
    """Whether every row must be max_seq_length long, so that no vector depends on its batch.

    Args:
      spec: EncoderSpec or BuiltEncoder. Where padding changes its outputs, or there is one length,
        rows that are as long as the longest text of a batch would not do.
    """
    return sequence_form.of(spec).fixed_length is not None or bool(support.inexact_padding(spec))

  def notes(self, pooler_functions: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of the log should know."""
    if self.uses_pooler or len(pooler_functions) < 2:
      return ()
    return (f'POOLING {self.pooling!r} uses no pooler: the {names.TEXT_EMBEDDING} exports of '
            f'{", ".join(pooler_functions)} are the same',)

  def to_json(self) -> dict[str, Any]:
    """Fields as JSON values."""
    return {'pooling': list(poolings.parts(self.pooling)), 'normalize': self.normalize,
            'max_seq_length': self.max_seq_length}
