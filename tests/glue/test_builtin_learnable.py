"""The builtin tasks can be learned within a minute, by an encoder that knows English."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export import checkpoints, encoders
from nlp_export.glue import data, prediction_files, tasks
from nlp_export.glue.cells import Cell
from nlp_export.glue.fine_tuning.arms import BaselineArm
from nlp_export.glue.fine_tuning.finetune import FineTuning
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.tokenizers import WordPiece
from tests.glue import fine_tuning_lab as lab

# MiniLM trains on at least so many tokens in a minute of two cores (benchmarks/README.md).
TOKENS_IN_A_MINUTE = 60 * 1_500
RECIPE = Recipe(learning_rate=1e-4, epochs=1, max_seq_length=64)


@pytest.fixture(scope='module')
def finetune(minilm_dir) -> FineTuning:
  arm = BaselineArm(
      checkpoints.find_checkpoint(minilm_dir), encoders.from_file(f'{minilm_dir}/config.json'),
      WordPiece(f'{minilm_dir}/vocab.txt', True), {}, lab.KEEP)
  return FineTuning({('baseline', 'keep'): arm}, lambda name: data.load_for_training(
      tasks.get(name), data.Builtin()))


@pytest.mark.extra  # A minute each.
@pytest.mark.parametrize('task', ['builtin_word_order', 'builtin_next_sentence'])
def test_minilm_learns_it_within_a_minute(finetune, task, tmp_path):
  result = lab.run_cell(finetune, Cell(task, 'baseline', 'keep', 0, None, RECIPE.to_json()),
                        tmp_path)
  # 10 points above chance, which a model of words, length and punctuation does not leave by 3
  # (test_builtin.py).
  assert result.metrics['accuracy'] >= 0.6
  assert result.tokens_per_second * result.train_seconds < TOKENS_IN_A_MINUTE
  # Control: the same predictions for other examples say nothing.
  dev = prediction_files.read(str(tmp_path / result.predictions_file))['dev']
  other = np.roll(dev.labels, len(dev) // 3)
  assert abs(np.mean(dev.values(tasks.get(task)) == other) - 0.5) < 0.1
