"""Exports for the documents' flows, made by the command line, and the process that runs a flow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
EXPORT = 'gin/runs/export.gin'
TYPES = "EXPORT_TYPES=('model', 'model_with_mlm', 'preprocessing')"
SEQ_LENGTH = 'DEFAULT_SEQ_LENGTH=16'


def export(run_py, directory: Path, macros: dict[str, str], *settings: str) -> dict[str, str]:
  """Runs export.gin; returns the paths of its SavedModels by export type."""
  given = [f'{name}={value}' for name, value in macros.items()] + [*settings, SEQ_LENGTH]
  arguments = [argument for setting in given for argument in ('--set', setting)]
  done = run_py(EXPORT, *arguments, '--out_dir', str(directory))
  assert done.status == 0, done.output
  exports = directory / 'exports'
  return {
      'model': str(exports / 'keep' / 'model'),
      'model_with_mlm': str(exports / 'keep' / 'model_with_mlm'),
      'preprocessing': str(exports / 'preprocessing'),
  }


@pytest.fixture(scope='session')
def uncased_exports(run_py, tmp_path_factory, tiny_uncased) -> dict[str, str]:
  """The SavedModels of the tiny uncased pretrainer."""
  return export(run_py, tmp_path_factory.mktemp('documents') / 'uncased', tiny_uncased, TYPES)


@pytest.fixture(scope='session')
def cased_exports(run_py, tmp_path_factory, tiny_cased) -> dict[str, str]:
  """The SavedModels of the tiny cased pretrainer."""
  return export(run_py, tmp_path_factory.mktemp('documents') / 'cased', tiny_cased, TYPES)


class Answers(dict):
  """What each function of a flow returned. One that failed raises when its answer is read."""

  def __getitem__(self, name: str) -> dict:
    answer = super().__getitem__(name)
    assert 'failure' not in answer, answer['failure']
    return answer


@pytest.fixture(scope='session')
def run_flow(tmp_path_factory):
  """A function `run_flow(script, paths) -> Answers`; the script gets a scratch directory, too."""

  def run(script: str, paths: dict[str, str]) -> Answers:
    scratch = tmp_path_factory.mktemp(script)
    environment = {**os.environ, 'TF_USE_LEGACY_KERAS': '1', 'PYTHONDONTWRITEBYTECODE': '1'}
    arguments = json.dumps({**paths, 'scratch': str(scratch)})
    done = subprocess.run(
        [sys.executable, str(HERE / f'{script}.py'), arguments],
        cwd=scratch,  # Not the checkout: nothing of the project can be imported.
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return Answers(json.loads(done.stdout.splitlines()[-1]))

  return run
