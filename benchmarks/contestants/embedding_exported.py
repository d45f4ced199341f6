"""How fast does this project embed texts, by the class that gin/runs/embed.gin uses?"""

from __future__ import annotations

from typing import Any

from benchmarks.contestants import Given, embedding_texts
from nlp_export import poolings
from nlp_export.embedding import embedder
from nlp_export.embedding.request import Model


class Contestant:
  """Embedder in 'float32' or 'bfloat16'."""

  def __init__(self, given: Given, precision: str = 'float32'):
    embedder.use_cores()
    self._given = given
    self._embedder = embedder.Embedder(
        Model(given.model, given.preprocessing, poolings.MEAN,
              max_seq_length=given.max_seq_length), precision)
    if self._embedder.notes:
      raise RuntimeError('; '.join(self._embedder.notes))

  def prepare(self, corpus: str) -> dict[str, Any]:
    """All texts once. Returns 'tokens' of all texts, without padding."""
    _, lengths = self._embedder.embed(embedding_texts.read(corpus, self._given))
    return {'tokens': int(lengths.sum())}

  def measure(self, corpus: str, round: int = 0) -> dict[str, Any]:
    """All texts; see `embedding_texts.timed`."""
    del round
    texts = embedding_texts.read(corpus, self._given)
    with embedding_texts.Watch() as watch:
      vectors, _ = self._embedder.embed(texts)
    return embedding_texts.timed(self, corpus, watch, vectors)
