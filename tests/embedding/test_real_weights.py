"""Embedding with the real weights of all-MiniLM-L6-v2, and by two processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlp_export import files

pytestmark = pytest.mark.extra

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope='module')
def exports(run_py, minilm_dir, tmp_path_factory) -> dict[str, str]:
  out = tmp_path_factory.mktemp('minilm')
  done = run_py('gin/runs/export.gin', f'--set=CHECKPOINT={minilm_dir}', f'--out_dir={out}')
  assert done.status == 0, done.output
  return {'model': str(out / 'exports/keep/model'),
          'preprocessing': str(out / 'exports/preprocessing')}


def test_every_sentence_is_right_in_float32_and_near_in_bfloat16(exports, glue_dir):
  import tensorflow as tf

  from benchmarks.contestants import Given, embedding_texts
  from nlp_export.embedding import embedder
  from nlp_export.embedding.request import Model
  from nlp_export.glue.fine_tuning import runtime
  from nlp_export.poolings import pool

  texts = embedding_texts.read('sst2', Given(glue_dir=glue_dir))[:96]
  texts += embedding_texts.read('rte', Given(glue_dir=glue_dir))[:32]
  model = Model(exports['model'], exports['preprocessing'], 'mean', max_seq_length=128)
  found = embedder.Embedder(model)
  vectors = found.embed(texts)[0]
  assert found.notes == ()
  root, preprocessor = (tf.saved_model.load(exports[name]) for name in exports)
  inputs = preprocessor(tf.constant(texts))
  padded = pool('mean', root(inputs), inputs['input_mask']).numpy()
  np.testing.assert_allclose(vectors, padded, atol=1e-5)
  if runtime.has_bfloat16():
    in_bfloat16 = embedder.Embedder(model, 'bfloat16')
    near = in_bfloat16.embed(texts)[0]
    # What threads share shows in many batches at once: oneDNN's batch norm ended the process.
    first, *others = (in_bfloat16.embed(texts * 6)[0] for _ in range(3))
    assert all((first == other).all() for other in others)
    assert embedder.least_cosine(near, padded) >= 0.9995
    assert np.abs(near - padded).max() > 1e-4  # Control: it is another precision.


def test_two_processes_divide_the_parts_and_a_killed_one_is_made_good(
    uncased_exports, some_texts, expected, tmp_path):
  texts = tmp_path / 'texts.txt'
  texts.write_text('\n'.join(some_texts * 6) + '\n')
  out = tmp_path / 'out'
  settings = {'EXPORT': uncased_exports['model'], 'TEXT_FILE': texts, 'POOLING': 'mean',
              'PREPROCESSING': uncased_exports['preprocessing'], 'MAX_SEQ_LENGTH': 24,
              'PART_TEXTS': 10, 'FORMAT': 'npy'}
  command = [sys.executable, str(ROOT / 'run.py'), 'gin/runs/embed.gin', f'--out_dir={out}',
             *(f'--set={name}={value}' for name, value in settings.items())]
  killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  for line in killed.stdout:
    if line.startswith('part-'):
      break
  killed.kill()
  killed.wait()
  killed.stdout.close()
  kept = sorted(path.name for path in (out / 'parts').glob('*.npy'))
  assert kept
  times = {name: (out / 'parts' / name).stat().st_mtime_ns for name in kept}
  two = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, env=dict(os.environ)) for _ in range(2)]
  said = [process.communicate(timeout=300)[0] for process in two]
  assert [process.returncode for process in two] == [0, 0], said
  made = [[line.partition(':')[0] for line in text.splitlines() if line.startswith('part-')]
          for text in said]
  assert len(made[0]) + len(made[1]) == 30 - len(times)
  assert not set(made[0]) & set(made[1])
  assert not {name.removesuffix('.npy') for name in times} & {*made[0], *made[1]}
  vectors = np.load(out / 'embeddings.npy')
  np.testing.assert_allclose(vectors, np.tile(expected(), (6, 1)), atol=1e-5)
  assert not files.exists(str(out / 'parts'))
