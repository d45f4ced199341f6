"""Runs what gin files ask for: binds them, plans, executes, and keeps the record in out_dir.

  python run.py GIN_FILE... [--set NAME=VALUE]... [--out_dir DIR] [--dry_run] [--list] [--debug]

Exit status: 0 done; 1 a check failed; 2 the request or an input was wrong; 3 interrupted, repeat
the command to go on; 70 a defect of ours, its traceback in log.txt. More in docs/running.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

import nlp_export.installation  # noqa: F401 - first: ends here where nothing is installed.

# isort: split
from nlp_export import config, files
from nlp_export.binding import gin_names
from nlp_export.config import Bound, GinText
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run
from nlp_export.running import failures, interrupts, listing, out_dir
from nlp_export.running.log_file import LogFile
from nlp_export.running.out_dir import Action, Status
from nlp_export.running.run_record import RunChanged, RunRecord


class _Parser(argparse.ArgumentParser):
  """Says what is wrong in our way; nothing exits in the middle."""

  def error(self, message: str) -> NoReturn:
    unknown = re.search(r'unrecognized arguments: (-[^\s=]+)', message)
    options = [name for action in self._actions for name in action.option_strings]
    meant = gin_names.did_you_mean(unknown[1], options) if unknown else ''
    raise RequestError(f'The command line was not understood: {message}.'
                       + (meant or ' `python run.py --help` shows its options.'))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
  parser = _Parser(prog='run.py', allow_abbrev=False, description=__doc__,
                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('gin_files', nargs='*', metavar='GIN_FILE',
                      help='tried from here, then from the repository; later bindings win')
  parser.add_argument('--set', dest='settings', action='append', default=[], metavar='NAME=VALUE',
                      help='bind a macro or a parameter; comes after the files')
  parser.add_argument('--out_dir', metavar='DIR', help='default: out/<name of the run file>')
  parser.add_argument('--dry_run', action='store_true',
                      help='resolve everything and print the plan')
  parser.add_argument('--list', action='store_true', help='print run files and parts')
  parser.add_argument('--debug', action='store_true',
                      help='tracebacks and library messages on the screen')
  parser.add_argument('--gin_file', dest='more_gin_files', action='append', default=[],
                      metavar='FILE', help='as GIN_FILE')
  parser.add_argument('--gin_params', dest='settings', action='append', type=GinText,
                      metavar='TEXT', help="as --set, in gin: 'A = 1'")
  options = parser.parse_intermixed_args(arguments)
  options.gin_files += options.more_gin_files
  return options


def main(arguments: Sequence[str]) -> int:
  """Runs a command line and returns its exit status."""
  debug = '--debug' in arguments
  _prepare_process(debug)
  place = ''
  try:
    try:
      options = _parse(arguments)
    except SystemExit as done:  # --help.
      return int(done.code or 0)
    if options.list:
      print('\n'.join(listing.lines()))
      return 0
    bound = config.bind(options.gin_files, options.settings)
    place = options.out_dir or bound.default_out_dir
    plan = bound.plan(place)
    _check_inputs_exist(plan)
    if options.dry_run:
      return _dry_run(bound, plan, place)
    return _run(bound, plan, place, arguments)
  except BrokenPipeError:  # `run.py --list | head`: the rest is not wanted.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
  except BaseException as error:
    status, message = failures.explain(error, place)
    if status == failures.DEFECT:
      message += f' The traceback is in {_log_traceback(place, error)}'
    if debug:
      traceback.print_exception(error)
    sys.stdout.flush()
    print(message, file=sys.stderr)
    return status


def _prepare_process(debug: bool) -> None:
  interrupts.install()
  if debug:
    logging.basicConfig(level=logging.DEBUG)
  else:
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')


def _check_inputs_exist(plan: Plan) -> None:
  missing = [path for path in plan.inputs if not files.exists(path)]
  if missing:
    raise RequestError(f'No such input: {", ".join(missing)}. Check the path; relative ones '
                       f'start in the working directory, {os.getcwd()}')


def _dry_run(bound: Bound, plan: Plan, place: str) -> int:
  action = out_dir.decide(
      place, out_dir.look(place), bound.config_text, None, outputs=plan.outputs)
  print('\n'.join(plan.lines))
  for line in plan.preview(place) if plan.preview else ():
    print(line)
  for line in bound.unread():
    print(f'note: {line}')
  for path in plan.inputs:
    print(f'input: {path}')
  print(f'{bound.experiment.name} {action.value} in {place}')
  return 0


def _run(bound: Bound, plan: Plan, place: str, arguments: Sequence[str]) -> int:
  found = out_dir.look(place)
  if found is not None and found.keeps_place:
    out_dir.check_config(place, found, bound.config_text)  # Before minutes of hashing.
  start = time.perf_counter()
  hashes = {path: files.sha256(path) for path in plan.inputs}
  modules = {name: files.sha256(path) for name, path in bound.own_modules.items()}
  hash_seconds = time.perf_counter() - start
  while True:
    found = out_dir.look(place)
    action = out_dir.decide(place, found, bound.config_text, hashes, modules, plan.outputs)
    if action is Action.NOTHING and found is not None:
      before = found.record.get('out_dir')
      print('\n'.join([
          *(out_dir.moved(line, before, place) for line in found.record.get('lines', ())),
          f'done: {place} holds this run already',
          *_report_line(out_dir.moved(found.record.get('report', ''), before, place))]))
      return 0
    record = RunRecord(
        place, experiment=bound.experiment.name, command=['run.py', *arguments],
        config_text=bound.config_text, input_hashes=hashes, module_hashes=modules,
        found=found, goes_on=action is Action.GO_ON, shared=plan.shared)
    try:
      record.begin()
      break
    except RunChanged:
      continue
  record.add_step('hash inputs', hash_seconds)
  action = Action.JOIN if record.joined else action
  run = Run(place, input_hashes=hashes, resumed=action is not Action.START, recorder=record,
            config_text=bound.config_text, operative_config_text=config.operative_config_text,
            command=shlex.join(['python', 'run.py', *arguments]))
  try:
    record.say(f'{bound.experiment.name} {action.value} in {place}')
    for line in bound.unread():
      record.say(f'note: {line}')
    outcome = plan.execute(run)
    if not isinstance(outcome, Outcome):
      raise TypeError(f'Plan.execute of {bound.experiment.name} returned '
                      f'{type(outcome).__name__}; it has to return an Outcome')
    return _finish(bound, record, outcome, place)
  except BaseException as error:
    _end_failed(bound, record, error, place)
    raise


def _finish(bound: Bound, record: RunRecord, outcome: Outcome, place: str) -> int:
  unused = bound.unused(record.data['used_bindings'])
  for line in unused:
    record.say(f'note: {line}')
  for line in outcome.lines:
    record.say(line)
  exit_status = 0 if outcome.passed else 1
  last = f'done: {place}' if outcome.passed else (
      f'A check failed; {files.join(place, out_dir.RECORD)} has the details')
  told = [last, *_report_line(outcome.report)]
  for line in told if outcome.passed else reversed(told):  # What failed is said last.
    record.say(line)
  record.end(Status.DONE if outcome.passed else Status.CHECKS_FAILED, exit_status,
             lines=outcome.lines, report=outcome.report, result=outcome.result, unused=unused,
             used_bindings=bound.used(),
             operative_config_text=config.operative_config_text())
  return exit_status


def _report_line(path: str) -> list[str]:
  return [f'report: {path}'] if path else []


def _end_failed(bound: Bound, record: RunRecord, error: BaseException, place: str) -> None:
  """Closes the record; the exception itself is told by `main`."""
  exit_status, message = failures.explain(error, place)
  record.log(''.join(traceback.format_exception(error)))
  record.log(message)
  error.logged_in = files.join(place, out_dir.LOG)  # type: ignore[attr-defined]
  status = Status.INTERRUPTED if exit_status == failures.INTERRUPTED else Status.FAILED
  try:
    if exit_status != RequestError.exit_status or not record.discard():
      record.end(status, exit_status, error=message, used_bindings=bound.used(),
                 operative_config_text=config.operative_config_text())
  except RequestError as also:  # A full disk has more than one victim.
    print(f'note: {also.message} The record ends early.', file=sys.stderr)


def _log_traceback(place: str, error: BaseException) -> str:
  """Writes the traceback where no run has done so yet; returns the path."""
  if hasattr(error, 'logged_in'):
    return error.logged_in
  text = ''.join(traceback.format_exception(error))
  try:
    if place and out_dir.look(place) is None:  # Nothing is there that the log could disturb.
      files.make_dirs(place)
      path = files.join(place, out_dir.LOG)
      log = LogFile(path)
      log.write(text)
      log.close()
      return path
  except RequestError as elsewhere:
    text += elsewhere.message + '\n'
  with tempfile.NamedTemporaryFile('w', prefix='nlp_export_', suffix='_log.txt', delete=False,
                                   encoding='utf-8') as f:
    f.write(text)
  return f.name


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
