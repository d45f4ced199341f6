"""How fast does PyTorch embed texts, in the way of sentence-transformers?

transformers' BertModel on the same weights; texts sorted by length, the longest first, batches of
32 tokenised and padded to their longest, mean pooling, torch.inference_mode, a thread on each core.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.contestants import Given, embedding_texts

_WARM_UP_TEXTS = 256


class Contestant:
  """PyTorch in float32, or under autocast to bfloat16."""

  def __init__(self, given: Given, bfloat16: bool = False):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    self._given = given
    self._bfloat16 = bfloat16
    self._tokenizer = transformers.AutoTokenizer.from_pretrained(given.hugging_face)
    self._model: Any = transformers.BertModel.from_pretrained(
        given.hugging_face, add_pooling_layer=False).eval()

  def prepare(self, corpus: str) -> dict[str, Any]:
    """Some batches. Returns 'tokens' of all texts, without padding."""
    texts = embedding_texts.read(corpus, self._given)
    self._embed(texts[:_WARM_UP_TEXTS])
    ids = self._tokenizer(texts, truncation=True, max_length=self._given.max_seq_length)
    return {'tokens': sum(map(len, ids['input_ids']))}

  def measure(self, corpus: str, round: int = 0) -> dict[str, Any]:
    """All texts; see `embedding_texts.timed`."""
    del round
    texts = embedding_texts.read(corpus, self._given)
    with embedding_texts.Watch() as watch:
      vectors = self._embed(texts)
    return embedding_texts.timed(self, corpus, watch, vectors)

  def _embed(self, texts: list[str]) -> np.ndarray:
    size = self._given.batch_size
    order = np.argsort([-len(text) for text in texts])
    vectors = np.zeros([len(texts), self._model.config.hidden_size], np.float32)
    casts = (torch.autocast('cpu', torch.bfloat16) if self._bfloat16
             else contextlib.nullcontext())
    with torch.inference_mode(), casts:
      for start in range(0, len(texts), size):
        rows = order[start:start + size]
        inputs = self._tokenizer(
            [texts[row] for row in rows], truncation=True, padding=True,
            max_length=self._given.max_seq_length, return_tensors='pt')
        hidden = self._model(**inputs).last_hidden_state.float()
        mask = inputs['attention_mask'][:, :, None].float()
        vectors[rows] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return vectors
