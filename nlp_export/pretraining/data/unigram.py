"""How well does a model predict held-out tokens that knows how frequent each is, and nothing else?

The baseline of masked-LM training: a loss below it has learned something of the context.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.pretraining.data.tokens import TokenisedCorpus


def cross_entropy(
    train: TokenisedCorpus | np.ndarray, held_out: TokenisedCorpus | np.ndarray,
    special_ids: Iterable[int], vocab_size: int,
) -> float:
  """Mean negative log-likelihood of held-out tokens under training counts.

  Add-one smoothing over the whole vocabulary. Special tokens are neither counted nor predicted.

  Args:
    train: a corpus, or integers of any shape: what is counted.
    held_out: likewise, what is predicted: held-out text, or just its masked tokens.
    special_ids: of [PAD], [CLS], [SEP], [MASK].
    vocab_size: number of ids.

  Returns:
    Nats per token.

  Raises:
    RequestError: nothing is held out.
  """
  special = np.array(sorted(special_ids), np.int64)
  counts = np.bincount(_tokens(train, special), minlength=vocab_size) + 1
  tokens = _tokens(held_out, special)
  if not len(tokens):
    raise RequestError('No held-out token: there is nothing to compare a loss with. '
                       'Write held_out_share = 0.1, or give held-out text')
  return float(-np.log(counts[tokens] / counts.sum()).mean())


def _tokens(text: TokenisedCorpus | np.ndarray, special: np.ndarray) -> np.ndarray:
  ids = text.tokens if isinstance(text, TokenisedCorpus) else np.ravel(text)
  return ids[~np.isin(ids, special)]
