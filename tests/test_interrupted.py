"""Ctrl-C, SIGTERM and SIGKILL in the middle: nothing half-written, the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nlp_export.errors import RequestError
from nlp_export.running import failures, interrupts
from tests import run_lab
from tests.in_process import settings

# TensorFlow's libraries are loaded to the end; each of its operations too.
HONOURED_WITHIN_SECONDS = 20.0


class Started:
  """A run of run.py that is going on."""

  def __init__(self, *arguments: object, temporary: Path):
    self.process = subprocess.Popen(
        run_lab.command(*map(str, arguments)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=run_lab.environment() | {'TMPDIR': str(temporary)})
    self.screen = b''

  def wait_for(self, text: str) -> None:
    """Reads the screen until it shows a text."""
    assert self.process.stdout is not None
    while text.encode() not in self.screen:
      more = os.read(self.process.stdout.fileno(), 4096)
      assert more, f'{text!r} never came: {self.screen.decode()}'
      self.screen += more

  def children(self) -> list[int]:
    pid = self.process.pid
    return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]

  def end(self, number: signal.Signals) -> tuple[int, str]:
    """Sends a signal; exit status and the last line on the screen."""
    start = time.monotonic()
    self.process.send_signal(number)
    _, stderr = self.process.communicate(timeout=120)
    assert time.monotonic() - start < HONOURED_WITHIN_SECONDS
    return self.process.returncode, stderr.decode().splitlines()[-1] if stderr else ''


@pytest.mark.extra
@pytest.mark.conformance(108)
def test_an_interrupted_export_leaves_nothing_half_written_and_goes_on(
    tiny_uncased, run_py, tmp_path):
  out, temporary = tmp_path / 'out', tmp_path / 'temporary'
  temporary.mkdir()
  command = ('gin/runs/export.gin', *settings(**tiny_uncased, EXPORT_TYPES="('model',)"),
             '--out_dir', out)
  for step, number in (('restore ... ', signal.SIGTERM), ('write keep/model ... ', signal.SIGINT),
                       ('verify ... ', signal.SIGTERM)):
    run = Started(*command, temporary=temporary)
    run.wait_for(step)
    while not (children := run.children()) and step.startswith('verify'):
      time.sleep(0.02)
    assert run.end(number) == (3, 'Interrupted. Repeat the command to go on.'), step
    assert not any(Path(f'/proc/{child}').exists() for child in children)
    assert sorted(path.name for path in out.iterdir()) == [
        'config.gin', 'log.txt', 'operative_config.gin', 'run.json']
    assert json.loads((out / 'run.json').read_text())['status'] == 'interrupted'
    assert not list(temporary.glob('nlp_export_*'))

  run = Started(*command, temporary=temporary)
  run.wait_for('verify ... ')
  while not (children := run.children()):
    time.sleep(0.02)
  assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
  assert [path.name for path in (out / 'exports').rglob('.model.partial-*')]  # Nobody tidied up.
  for child in children:
    os.killpg(child, signal.SIGKILL)  # It would end by itself, when it has its answer.

  done = run_py(*command)
  assert done.status == 0, done.output
  assert [str(path.relative_to(out)) for path in sorted((out / 'exports').glob('*/*'))] == [
      'exports/keep/model']
  assert json.loads(
      (out / 'exports/keep/model/assets.extra/verification.json').read_text())['passed']
  assert json.loads((out / 'run.json').read_text())['status'] == 'done'


# Where KeyboardInterrupt gets lost.


@pytest.fixture
def installed():
  handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
  interrupts.install()
  yield
  interrupts.install()  # Forgets what came.
  for number, handler in handlers.items():
    signal.signal(number, handler)


def wait() -> None:
  time.sleep(2)
  raise AssertionError('The interrupt was lost.')


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_an_interrupt_in_a_destructor_is_not_lost(installed):

  class Interrupted:
    def __del__(self):
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(1)

  with pytest.raises(KeyboardInterrupt):
    Interrupted()
    wait()


def test_an_interrupt_waits_for_the_end_of_an_import(installed, tmp_path, monkeypatch):
  (tmp_path / 'slow_to_import.py').write_text(
      'import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.2)\nDONE = 1\n')
  monkeypatch.syspath_prepend(str(tmp_path))
  start = time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    import slow_to_import
    imported = slow_to_import.DONE
    wait()
  assert imported == 1
  assert time.monotonic() - start < 1  # It ended the waiting.


def test_an_interrupt_waits_for_the_end_of_what_must_not_be_cut(installed):
  done = []
  with pytest.raises(KeyboardInterrupt), interrupts.held_back():
    with interrupts.held_back():
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.01)
    done.append('inner')
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    done.append('outer')
  assert done == ['inner', 'outer']
  with pytest.raises(KeyboardInterrupt):  # Control: outside of it nothing waits.
    os.kill(os.getpid(), signal.SIGTERM)
    wait()


def test_what_fails_inside_fails_and_nothing_waits_any_more(installed):
  with interrupts.held_back():  # Nothing came.
    pass
  with pytest.raises(ValueError, match='odd'), interrupts.held_back():
    raise ValueError('odd')
  with pytest.raises(KeyboardInterrupt):
    os.kill(os.getpid(), signal.SIGTERM)
    wait()


def test_an_interrupt_that_a_library_swallowed_ends_the_run_at_the_next_step(installed, tmp_path):
  from nlp_export.running.run_context import Run

  run = Run(str(tmp_path))
  with run.step('before'):  # Control: nothing has come.
    pass
  try:
    os.kill(os.getpid(), signal.SIGTERM)
    wait()
  except BaseException:  # noqa: S110 - what should not be written, and is.
    pass
  with pytest.raises(KeyboardInterrupt), run.step('after'):
    raise AssertionError('The step began.')


def test_what_a_library_makes_of_an_interrupt_is_no_defect(monkeypatch):
  wrapped = SystemError('returned a result with an exception set')
  assert failures.explain(wrapped)[0] == failures.DEFECT  # Control: nobody interrupted.
  monkeypatch.setattr(interrupts, '_first', 1.0)
  assert failures.explain(wrapped) == (3, 'Interrupted. Repeat the command to go on.')
  assert failures.explain(RequestError('No such file.')) == (2, 'No such file.')
