"""The process that runs a document's flow, and its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


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
