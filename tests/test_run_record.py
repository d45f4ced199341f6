"""The record of a run and the rules for its out_dir, called from Python."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings

import pytest

from nlp_export import files
from nlp_export.binding import gin_index
from nlp_export.errors import RequestError
from nlp_export.running import origin, out_dir
from nlp_export.running.out_dir import Action, Earlier, Status
from nlp_export.running.run_context import Run
from nlp_export.running.run_record import RunChanged, RunRecord

CONFIG = 'A = 1\n'


def make(place, before=None, **others):
  if before is not None:
    files.make_dirs(str(place))
    files.write_json(files.join(str(place), out_dir.RECORD), before.record)
    others |= {'found': before, 'goes_on': True}
  given = {'experiment': 'study', 'command': ['run.py'], 'config_text': CONFIG, 'input_hashes': {}}
  return RunRecord(str(place), **{**given, **others})


def earlier(status, has_results=False, **record):
  return Earlier({'status': status.value, 'inputs': {'a': '1' * 64}} | record, CONFIG, has_results)


@pytest.mark.parametrize(('status', 'has_results', 'config', 'action'), [
    (Status.DONE, True, CONFIG, Action.NOTHING),
    (Status.DONE, False, CONFIG, Action.NOTHING),
    (Status.CHECKS_FAILED, False, CONFIG, Action.GO_ON),
    (Status.FAILED, True, CONFIG, Action.GO_ON),
    (Status.INTERRUPTED, True, CONFIG, Action.GO_ON),
    (Status.RUNNING, True, CONFIG, Action.GO_ON),
    (Status.FAILED, False, CONFIG, Action.START),
    (Status.FAILED, False, 'A = 2\n', Action.START),
    (Status.INTERRUPTED, False, 'A = 2\n', Action.START),
    (Status.RUNNING, False, 'A = 2\n', Action.START),
    (Status.DONE, False, 'A = 2\n', None),
    (Status.CHECKS_FAILED, False, 'A = 2\n', None),
    (Status.FAILED, True, 'A = 2\n', None),
    (Status.RUNNING, True, 'A = 2\n', None),
])
def test_what_a_command_does_with_an_out_dir(status, has_results, config, action):
  before = earlier(status, has_results)
  if action is None:
    with pytest.raises(RequestError, match=r'--out_dir out/x-2$'):
      out_dir.decide('out/x', before, config, {'a': '1' * 64})
  else:
    assert out_dir.decide('out/x', before, config, {'a': '1' * 64}) is action


@pytest.mark.parametrize(('now', 'line'), [
    ({'a': '2' * 64}, '  a: SHA-256 was 111111111111..., is 222222222222...'),
    ({}, '  a: read by that run, not by this one'),
    ({'a': '1' * 64, 'b': '3' * 64}, '  b: read by this run, not by that one'),
])
def test_changed_inputs_are_named(now, line):
  with pytest.raises(RequestError) as caught:
    out_dir.decide('out/x', earlier(Status.DONE), CONFIG, now)
  assert caught.value.message.splitlines()[1:-1] == [line]
  assert out_dir.decide('out/x', earlier(Status.DONE), CONFIG, None) is Action.NOTHING


def test_own_code_that_changed_is_refused_when_finished_and_noted_on_the_way(tmp_path, capsys):
  finished, begun = (earlier(s, True, modules={'my_lab.poolers': '4' * 64}, git=origin.git_state())
                     for s in (Status.DONE, Status.INTERRUPTED))
  same, other = {'my_lab.poolers': '4' * 64}, {'my_lab.poolers': '5' * 64}
  inputs = {'a': '1' * 64}
  assert out_dir.decide('out/x', finished, CONFIG, inputs, same) is Action.NOTHING
  with pytest.raises(RequestError, match='import my_lab.poolers: SHA-256 was 4444'):
    out_dir.decide('out/x', finished, CONFIG, inputs, other)
  assert out_dir.decide('out/x', begun, CONFIG, inputs, other) is Action.GO_ON
  record = make(tmp_path / 'a', before=begun, module_hashes=other)
  record.begin()
  assert capsys.readouterr().out == (
      'note: my_lab.poolers has changed since this run was begun\n')
  record.end(Status.DONE, 0)


@pytest.mark.parametrize(('before', 'told'), [
    ('e2', 'vectors: my runs/e3/embeddings.npy, made of data/e2/e2/x, ../e2/y and e2.txt'),
    ('./e2', 'vectors: e2/embeddings.npy, made of data/e2/e2/x, ../e2/y and e2.txt'),
    (None, 'vectors: e2/embeddings.npy, made of data/e2/e2/x, ../e2/y and e2.txt')])
def test_lines_of_a_run_that_was_moved_name_its_place(before, told):
  line = 'vectors: e2/embeddings.npy, made of data/e2/e2/x, ../e2/y and e2.txt'
  assert out_dir.moved(line, before, 'my runs/e3/') == told
  assert out_dir.moved('e2', before, 'e3') == ('e3' if before == 'e2' else 'e2')


def test_a_long_difference_is_cut():
  before = dataclasses.replace(earlier(Status.DONE), config_text='A = 1\n' * 50)
  with pytest.raises(RequestError, match='lines more\n') as caught:
    out_dir.check_config('out/x', before, 'B = 1\n' * 50)
  assert len(caught.value.message.splitlines()) == 33


def test_what_a_killed_process_left_half_written_is_no_result(tmp_path):
  (tmp_path / '.model.partial-1-abcd').mkdir()
  (tmp_path / '.model.partial-1-abcd' / 'variables').write_text('x')
  assert out_dir.results(str(tmp_path)) == []
  assert out_dir.look(str(tmp_path)) is None
  (tmp_path / 'model').write_text('x')
  assert out_dir.results(str(tmp_path)) == ['model']


def test_a_record_that_is_none_is_refused(tmp_path):
  (tmp_path / 'run.json').write_text('{"status": "fine"}')
  with pytest.raises(RequestError, match=r'Give an empty or a new --out_dir\.$'):
    out_dir.look(str(tmp_path))


def test_a_killed_run_is_known_as_unfinished(tmp_path):
  record = make(tmp_path / 'a')
  record.begin()  # And never `end`.
  found = out_dir.look(str(tmp_path / 'a'))
  assert found.status is Status.RUNNING
  assert found.config_text == CONFIG
  record.discard()


def test_a_discarded_run_takes_the_directories_along_that_it_made(tmp_path):
  record = make(tmp_path / 'a' / 'b' / 'c')
  record.begin()
  (tmp_path / 'a' / 'b' / 'c' / 'exports').mkdir()
  assert record.discard()
  assert list(tmp_path.iterdir()) == []


def test_results_are_never_discarded(tmp_path):
  record = make(tmp_path / 'a')
  record.begin()
  (tmp_path / 'a' / 'exports').write_text('x')
  assert not record.discard()
  assert (tmp_path / 'a' / 'run.json').exists()
  record.end(Status.FAILED, 2)


def test_a_second_run_is_kept_out_while_the_first_goes_on(tmp_path):
  first, second = make(tmp_path / 'a'), make(tmp_path / 'a', config_text='A = 2\n')
  first.begin()
  with pytest.raises(RequestError, match=r'give another --out_dir\.$'):
    second.begin()
  assert (tmp_path / 'a' / 'config.gin').read_text() == CONFIG
  first.end(Status.DONE, 0)
  with pytest.raises(RunChanged):  # Nor does it replace what has been finished since.
    second.begin()
  third = make(tmp_path / 'a', found=out_dir.look(str(tmp_path / 'a')), goes_on=True)
  third.begin()  # Control.
  third.end(Status.DONE, 0)
  assert json.loads((tmp_path / 'a' / 'run.json').read_text())['attempt'] == 2


def test_what_libraries_log_goes_into_the_log(tmp_path, capsys):
  record = make(tmp_path / 'a')
  record.begin()
  logging.getLogger('some.library').warning('weights are old')
  with warnings.catch_warnings():
    warnings.simplefilter('always')
    warnings.warn('deprecated', stacklevel=2)
  record.end(Status.DONE, 0)
  logging.getLogger('some.library').warning('too late')
  text = (tmp_path / 'a' / 'log.txt').read_text()
  assert 'WARNING some.library: weights are old' in text
  assert 'deprecated' in text
  assert 'too late' not in text
  assert 'weights are old' not in capsys.readouterr().out


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path, capsys, monkeypatch):
  record = make(tmp_path / 'a')
  record.begin()

  def full(line):
    raise RequestError('Cannot write log.txt: the disk is full.')

  monkeypatch.setattr(record._log, 'write', full)
  record.say('one')
  record.say('two')
  record.end(Status.DONE, 0)
  assert capsys.readouterr().err == (
      'note: Cannot write log.txt: the disk is full. The run goes on without its log.\n')
  assert json.loads((tmp_path / 'a' / 'run.json').read_text())['status'] == 'done'


def test_a_run_that_goes_on_with_other_versions_says_so(tmp_path, capsys):
  before = earlier(Status.INTERRUPTED, True, attempt=1, versions={'python': '3.9'},
                   git=origin.git_state(), steps=[{'name': 'a'}], used_bindings=['A'])
  record = make(tmp_path / 'a', before=before)
  record.begin()
  assert 'note: this run was begun with python 3.9, goes on with 3.' in capsys.readouterr().out
  record.end(Status.DONE, 0, used_bindings=['B'])
  found = json.loads((tmp_path / 'a' / 'run.json').read_text())
  assert found['attempt'] == 2
  assert found['steps'] == [{'name': 'a'}]
  assert found['used_bindings'] == ['A', 'B']


def test_steps_are_timed_also_when_they_fail(tmp_path, capsys):
  record = make(tmp_path / 'a')
  record.begin()
  run = Run(str(tmp_path / 'a'), recorder=record)
  with run.step('good'):
    run.say('inside')
  with pytest.raises(KeyError), run.step('bad'):
    raise KeyError('x')
  steps = [(s['name'], s['finished']) for s in record.data['steps']]
  assert steps == [('good', True), ('bad', False)]
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == 'good ... '
  assert lines[1] == 'inside'
  assert lines[3].startswith('bad ... stopped after 0.')
  record.end(Status.FAILED, 1)


def test_a_run_can_be_used_from_python_without_a_record(tmp_path, capsys):
  run = Run(str(tmp_path))
  with run.step('one'):
    run.say('two')
  run.record('three', 3)
  assert (run.input_hashes, run.resumed, run.operative_config_text()) == ({}, False, '')


def test_the_record_of_a_run_on_a_remote_file_system():
  place = 'ram://run_record/a'
  record = make(place)
  record.begin()
  with Run(place, recorder=record).step('one'):
    record.say('inside')
  files.write_text(files.join(place, 'results', 'x'), 'x')
  record.end(Status.DONE, 0)
  found = out_dir.look(place)
  assert (found.status, found.has_results) == (Status.DONE, True)
  assert 'inside\n' in files.read_text(files.join(place, 'log.txt'))
  assert out_dir.decide(place, found, CONFIG, {}, outputs=['results/x']) is Action.NOTHING
  assert out_dir.decide(place, found, CONFIG, {}, outputs=['results/y']) is Action.GO_ON  # Control.

  other = make('ram://run_record/b')
  other.begin()
  assert other.discard()
  assert not files.exists('ram://run_record/b/run.json')


def test_origin_names_what_runs_here():
  assert origin.versions()['gin-config']
  state = origin.git_state()
  assert state is None or len(state['commit']) == 40


def test_the_commit_is_that_of_the_beginning(monkeypatch):
  found = {'rev-parse --show-toplevel': gin_index.REPO_ROOT, 'rev-parse HEAD': 'a' * 40,
           'status --porcelain': ''}
  monkeypatch.setattr(origin, '_git', lambda *words: found[' '.join(words)])
  origin.git_state.cache_clear()
  try:
    begun = origin.git_state()
    found['rev-parse HEAD'] = 'b' * 40  # Somebody commits while the run goes on.
    assert origin.git_state() == begun == {'commit': 'a' * 40, 'changed': False}
    origin.git_state.cache_clear()
    assert origin.git_state()['commit'] == 'b' * 40  # Control: the next process sees it.
  finally:
    origin.git_state.cache_clear()
