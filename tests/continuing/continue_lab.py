"""The command line of gin/runs/continue_mlm.gin for a training of seconds, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nlp_export.pretraining.saving import resume
from tests.in_process import settings

STEPS, SAVE_EVERY = 24, 8
EXPORT = 'exports/continued/model_with_mlm'


def arguments(out: Path, exports: Mapping[str, str], text: str, *gin_files: str,
              **values: object) -> list[str]:
  """`exports` has the paths of 'model_with_mlm' and 'preprocessing'."""
  macros = {
      'EXPORT': exports['model_with_mlm'], 'PREPROCESSING': exports['preprocessing'],
      'TEXT_FILES': text, 'TRAIN_STEPS': STEPS, 'SAVE_EVERY_STEPS': SAVE_EVERY,
      'STEPS_PER_LOOP': 4, 'GLOBAL_BATCH_SIZE': 8, 'SEQ_LENGTH': 16, 'MAX_PREDICTIONS': 3,
      'LEARNING_RATE': 2e-2, 'WARMUP_STEPS': 0, 'saving.tensorboard': False, **values}
  return ['gin/runs/continue_mlm.gin', *gin_files, *settings(**macros), '--out_dir', str(out)]


def arrays(out: Path, step: int = STEPS) -> dict[str, np.ndarray]:
  """Every array of a checkpoint, the optimizer's and the states of dropout too."""
  stored = resume.read_step(str(out / 'training/checkpoints'), step)
  return {f'{item}/{path}': value for item, found in stored.values.items()
          for path, value in found.items()}
