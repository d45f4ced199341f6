"""run.py under a Python that nothing was installed for: what to do instead of a traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from nlp_export import installation
from tests.run_lab import REPO


@pytest.fixture(scope='module')
def bare_python(tmp_path_factory):
  place = tmp_path_factory.mktemp('bare')
  venv.create(place, with_pip=False)
  return place / 'bin' / 'python'


def repository(place: Path) -> Path:
  """What run.py reads before it can know that something is missing."""
  (place / 'gin').mkdir(parents=True)
  (place / 'nlp_export').mkdir()
  for name in ('run.py', 'nlp_export/__init__.py', 'nlp_export/installation.py'):
    shutil.copy(REPO / name, place / name)
  return place


def list_run_files(python: Path, place: Path) -> tuple[int, str, str]:
  done = subprocess.run([python, place / 'run.py', '--list'], capture_output=True, text=True,
                        timeout=60, check=False, cwd=place)
  return done.returncode, done.stdout, done.stderr


def test_without_the_dependencies_it_says_how_to_install_them(bare_python, tmp_path):
  place = repository(tmp_path / 'clone')
  assert list_run_files(bare_python, place) == (
      2, '', f'{bare_python} has no gin-config, nlp_export was not installed for it. '
      f'Make an environment that has all it needs, then activate it: make -C {place} run\n')


def test_with_an_environment_beside_it_it_names_that_one(bare_python, tmp_path):
  place = repository(tmp_path / 'clone')
  (place / '.venv' / 'bin').mkdir(parents=True)
  (place / '.venv' / 'bin' / 'activate').touch()
  status, _, told = list_run_files(bare_python, place)
  assert status == 2
  assert told.endswith(f'Activate the one that has it: source {place}/.venv/bin/activate\n')


def test_an_older_python_is_named(monkeypatch):
  monkeypatch.setattr(sys, 'version_info', (3, 9, 2))
  assert installation.explained().startswith(
      f'{sys.executable} is Python 3.9.2; nlp_export needs 3.11 to 3.13. ')


def test_here_nothing_is_missing():  # Control.
  assert installation.explained() == ''
