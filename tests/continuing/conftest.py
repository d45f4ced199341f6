"""A continued training of the tiny export, which most tests of this folder look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import pretrain_lab
from tests.continuing import continue_lab
from tests.in_process import run_main


@pytest.fixture(scope='package')
def text(tmp_path_factory) -> str:
  """Text with something to learn."""
  return pretrain_lab.write_text(tmp_path_factory.mktemp('text') / 'text.txt')


@pytest.fixture(scope='package')
def continued(tmp_path_factory, uncased_exports, text) -> Path:
  """out_dir of an uninterrupted run. Shared: copy it to change it."""
  out = tmp_path_factory.mktemp('continued') / 'out'
  done = run_main(*continue_lab.arguments(out, uncased_exports, text))
  assert done.status == 0, done.output
  return out
