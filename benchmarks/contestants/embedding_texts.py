"""Which texts do all embedding contestants embed, and what does each say of one pass?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import Given

SST2, RTE = 'sst2', 'rte'
CORPORA = (SST2, RTE)


def read(corpus: str, given: Given) -> list[str]:
  """SST-2's dev sentences, or RTE's dev premises, each with its hypothesis behind it."""
  assert given.glue_dir is not None
  folder, columns = {SST2: ('SST-2', [0]), RTE: ('RTE', [1, 2])}[corpus]
  text = (Path(given.glue_dir) / folder / 'dev.tsv').read_text(encoding='utf-8')
  rows = [line.split('\t') for line in text.split('\n')[1:] if line]
  return [' '.join(row[column] for column in columns) for row in rows]


class Watch:
  """Wall and processor seconds of a block. The second is the same while others use the cores."""

  def __enter__(self) -> Watch:
    self._began = time.perf_counter(), time.process_time()
    return self

  def __exit__(self, *error: Any) -> None:
    self.seconds = time.perf_counter() - self._began[0]
    self.processor_seconds = time.process_time() - self._began[1]


def timed(contestant: Any, corpus: str, watch: Watch, vectors: np.ndarray) -> dict[str, Any]:
  """Seconds, texts, and the file that holds the vectors of one pass."""
  given: Given = contestant._given
  path = Path(given.out_dir) / f'{type(contestant).__module__}_{id(contestant)}_{corpus}.npy'
  np.save(path, vectors)
  return {'seconds': watch.seconds, 'processor_seconds': watch.processor_seconds,
          'texts': len(vectors), 'vectors': str(path)}
