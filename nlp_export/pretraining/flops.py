"""How many floating point operations is a training step? Those of its matrix products, counted.

A product of [m, k] and [k, n] is 2 m k n operations. Backward takes twice what forward takes. What
is not a product (layer norm, softmax, dropout, the optimizer) is not counted, as is usual for the
share of a machine's peak that a training reaches.
"""

from __future__ import annotations

from collections.abc import Sequence

from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.pretraining.heads import HeadSpec


def of_step(
    spec: EncoderSpec | BuiltEncoder, heads: Sequence[HeadSpec], *, rows: int, seq_length: int,
    max_predictions: int,
) -> int | None:
  """Operations of one training step, forward and backward.

  Args:
    spec: the encoder.
    heads: of the pretrainer.
    rows: of the global batch.
    seq_length: tokens of a row, padding included.
    max_predictions: masked positions of a row, padding included.

  Returns:
    The number; None for an encoder that is neither BERT nor ALBERT.
  """
  if isinstance(spec, BuiltEncoder) or spec.type not in ('bert', 'bert_v2', 'albert'):
    return None
  h, e, i = spec.hidden_size, spec.embedding_size, spec.intermediate_size
  # Query, key, value and output; scores and their use; the two layers of the feed-forward part.
  block = 4 * h * h + 2 * seq_length * h + 2 * h * i
  token = spec.num_layers * block
  if e != h:
    token += e * h  # The projection of factorised embeddings.
  prediction = h * e + e * spec.vocab_size
  row = seq_length * token + max_predictions * prediction
  for head in heads:
    inner = head.inner_dim or h
    row += h * inner + inner * head.num_classes
  return 3 * 2 * rows * row
