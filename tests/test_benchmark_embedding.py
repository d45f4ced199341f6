"""The benchmark of embedding: its texts, its table, and contestants on tiny exports."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import contestants, embedding
from benchmarks.contestants import EMBED_BFLOAT16, EMBED_FLOAT32, EMBED_TF_HUB, Given
from tests.glue import official_layout


def test_texts_are_the_dev_sets_of_the_official_layout(tmp_path):
  given = Given(glue_dir=str(official_layout.write(tmp_path / 'glue')))
  from benchmarks.contestants import embedding_texts

  for corpus in embedding_texts.CORPORA:
    texts = embedding_texts.read(corpus, given)
    assert texts and all('\t' not in text and text.strip() for text in texts)


def result(float32: float, difference: float) -> dict:
  entries = {}
  for name in embedding.MEASURED:
    seconds = {EMBED_TF_HUB: 20.0, EMBED_FLOAT32: float32, EMBED_BFLOAT16: 2.0}.get(name, 4.5)
    entries[name] = {'tokens': 2000, 'seconds': [seconds, 2 * seconds, seconds],
                     'processor_seconds': [2 * seconds] * 3, 'largest_difference': difference,
                     'least_cosine': 0.9999}
  machine = {'date': '2026-01-01', 'commit': 'abc', 'changed_since': False, 'cores': 2,
             'processor': 'P', 'instructions': [], 'memory_gb': 1.0, 'system': 'S',
             'load_average': 0.1, 'load_average_after': 0.2, 'versions': {}}
  return {'machine': machine, 'settings': {'rounds': 3},
          'corpora': {'sst2': {'texts': 100, 'contestants': entries}}}


def test_the_table_says_what_is_reached():
  text = embedding.markdown(result(4.0, 1e-6))
  assert '| sst2, 100 texts | here, `float32` | 25 | 500 | 5.00 | 1.12 | 5.00 |' in text
  assert text.count('| yes |') == 5 and '**no**' not in text
  # Control: slower, and not the same vectors.
  text = embedding.markdown(result(5.0, 1e-4))
  assert text.count('**no**') == 3


@pytest.mark.parametrize('name', [EMBED_FLOAT32, contestants.EMBED_EXACT])
def test_contestants_give_the_same_vectors(name, uncased_exports, tmp_path, monkeypatch):
  given = Given(
      model=uncased_exports['model'], preprocessing=uncased_exports['preprocessing'],
      glue_dir=str(official_layout.write(tmp_path / 'glue')), out_dir=str(tmp_path),
      max_seq_length=16)
  contestant = contestants.make(name, given)
  passed = contestant.measure('rte', round=0)
  vectors = np.load(passed['vectors'])
  assert passed['texts'] == len(vectors) and passed['seconds'] > 0
  assert contestant.prepare('rte')['tokens'] > 2 * len(vectors)
  other = contestants.make(EMBED_FLOAT32, dataclasses.replace(given))
  np.testing.assert_allclose(vectors, np.load(other.measure('rte')['vectors']), atol=1e-5)
