"""Binding gin files: what is accepted, and the last clause of what is said otherwise."""

from __future__ import annotations

import functools
import os
import pathlib
import sys

import gin
import pytest

from nlp_export import config
from nlp_export.config import GinText, bind
from nlp_export.errors import RequestError
from tests import run_lab
from tests.run_lab import write

SOUND = ['SEED=3']


@pytest.fixture(scope='session')
def _lab(tmp_path_factory):
  """bind_lab.study, importable once for the process: gin's registry is for good.

  The experiment is called as no part of the library is, whatever other tests have imported.
  """
  directory = tmp_path_factory.mktemp('lab')
  run_lab.write_lab(directory, 'bind_lab', 'survey')
  sys.path.append(str(directory))
  yield directory
  sys.path.remove(str(directory))


@pytest.fixture
def lab(_lab, tmp_path, monkeypatch):
  """A working directory with study.gin."""
  (tmp_path / 'study.gin').write_text((_lab / 'study.gin').read_text())
  monkeypatch.chdir(tmp_path)
  yield tmp_path
  gin.clear_config()


def refusal(gin_files, settings=()):
  with pytest.raises(RequestError) as caught:
    bind(gin_files, settings)
  return caught.value.message


def value_of(setting):
  """What the root gets for `tasks`, through --set TASKS."""
  bound = bind(['study.gin'], [*SOUND, setting])
  return bound.bindings[('TASKS', 'gin.macro', 'value')].value


# --set.


@pytest.mark.parametrize(('setting', 'expected'), [
    ('CHECKPOINT=bert/ckpt-1000', 'bert/ckpt-1000'),
    ('CHECKPOINT=gs://bucket/a=b', 'gs://bucket/a=b'),
    ('CHECKPOINT=./ckpt', './ckpt'),
    ('CHECKPOINT=/a b/ckpt', '/a b/ckpt'),
    ('CHECKPOINT=', ''),
    ('CHECKPOINT=Nonesuch', 'Nonesuch'),
    ('CHECKPOINT=None', None),
    ('CHECKPOINT="None"', 'None'),
    ("CHECKPOINT='2024/ckpt'", '2024/ckpt'),
])
def test_a_plain_value_is_a_string_and_the_rest_is_gin(lab, setting, expected):
  bound = bind(['study.gin'], [*SOUND, setting])
  assert bound.bindings[('CHECKPOINT', 'gin.macro', 'value')].value == expected


@pytest.mark.parametrize(('setting', 'expected'), [
    ("TASKS=('cola', 'rte')", ('cola', 'rte')),
    ("TASKS=['cola']", ['cola']),
    ('TASKS=()', ()),
])
def test_brackets_are_gin(lab, setting, expected):
  assert value_of(setting) == expected


def test_numbers_signs_and_booleans_are_gin(lab):
  bound = bind(['study.gin'], ['SEED=-3', 'survey.rate=1e-4'])
  assert bound.bindings[('SEED', 'gin.macro', 'value')].value == -3
  assert bound.bindings[('', 'experiments.survey', 'rate')].value == 1e-4


def test_a_later_setting_wins_over_an_earlier_and_over_files(lab):
  bound = bind(['study.gin'], ['SEED=1', GinText('SEED = 2'), 'SEED=4'])
  assert bound.bindings[('SEED', 'gin.macro', 'value')].value == 4


@pytest.mark.parametrize(('setting', 'clause'), [
    ('CHECKPOINT=2024/ckpt', '''quote it twice: --set CHECKPOINT="'2024/ckpt'"'''),
    ("TASKS=('cola'", '''quote it twice: --set TASKS="\\"('cola'\\""'''),
    ('RATE=+1', '''quote it twice: --set RATE="'+1'"'''),
    ('CHECKPOINT', 'Write for example --set CHECKPOINT=bert/ckpt-1000'),
    ('CHECK POINT=x', 'Write for example --set CHECKPOINT=bert/ckpt-1000'),
])
def test_a_setting_that_is_not_one_is_refused(lab, setting, clause):
  message = refusal(['study.gin'], [*SOUND, setting])
  assert message.startswith(f'--set {setting}: ')
  assert message.endswith(clause.replace('\\"', '"'))


# What nothing reads.


@pytest.mark.parametrize(('setting', 'message'), [
    ('CHECKPIONT=x', '--set CHECKPIONT=x: nothing reads a macro CHECKPIONT. '
                     'Did you mean CHECKPOINT?'),
    ('QUITE_OTHER=x', 'INPUTS, NOISES, SEED, TASKS, VOCAB_FILE. Use one of these, or leave it '
                      'out.'),
    ('noises.silence.width=3', '--set noises.silence.width=3: nothing uses noises.silence. '
                               'Refer to @noises.silence somewhere, or leave it out.'),
    ('smal/noises.noise.seed=3', 'noises.noise is not called in scope smal (it is in: no scope, '
                                 'small). Did you mean small?'),
    ('far/noises.noise.seed=3', 'Correct the scope, or leave it out.'),
])
def test_a_setting_that_nothing_reads_is_refused(lab, setting, message):
  assert refusal(['study.gin'], [*SOUND, setting]).endswith(message)


def test_settings_of_parts_that_are_referred_to_are_taken(lab):
  for place, settings in (  # The control of the above.
      (('small', 'noises.noise', 'seed'), ['small/noises.noise.seed=3']),
      (('', 'noises.noise', 'seed'), ['noises.noise.seed=3']),
      (('', 'noises.silence', 'width'),
       ['NOISES=(@noises.silence,)', 'noises.silence.width=3'])):
    assert bind(['study.gin'], [*SOUND, *settings]).bindings[place].value == 3


def test_a_setting_that_a_scope_hides_is_refused(lab):
  message = refusal(['study.gin'], [*SOUND, 'NOISES=(@small/noises.noise,)',
                                    'noises.noise.stddev=0.5'])
  assert message.endswith('small/noises.noise.stddev (study.gin:22) comes first. '
                          'Change that line, or leave this one out.')


def test_a_macro_that_only_an_idle_binding_reads_is_refused(lab):
  write(lab / 'more.gin', 'noises.silence.width = %WIDTH\nWIDTH = 3\n')
  assert refusal(['study.gin', 'more.gin'], [*SOUND, 'WIDTH=4']).endswith(
      '--set WIDTH=4: only noises.silence.width (more.gin:1) reads WIDTH, and nothing reads that. '
      'Bind what is used, or leave it out.')


def test_all_unread_settings_are_told_at_once(lab):
  assert len(refusal(['study.gin'], [*SOUND, 'A=1', 'B=2']).splitlines()) == 2


# Unknown names.


@pytest.mark.parametrize(('line', 'message'), [
    ('noises.nois.seed = 1', 'There is no noises.nois. Did you mean noises.noise?'),
    ('nois.seed = 1', 'There is no nois. Did you mean noises.noise?'),
    ('NOISES = (@noises.noize,)', 'There is no @noises.noize. Did you mean @noises.noise?'),
    ('survei.seed = 1', 'There is no survei. Did you mean survey?'),
    ('noises.noise.sead = 1', 'noises.noise has no parameter sead (it has: width, seed, stddev). '
                              'Did you mean seed?'),
    ('noises.noise.xyz = 1', 'Use one of those, or remove the line.'),
    ('qwertyuiop.x = 1', '`run.py --list` shows the parts of this repository.'),
    ('NOISES = (@silence,)', '@silence could be noises.silence or other_noises.silence. '
                             'Write the prefix: @noises.silence'),
    ('silence.width = 1', 'silence could be noises.silence or other_noises.silence. '
                          'Write the prefix: noises.silence'),
    ('survey.out_dir = "x"', 'survey.out_dir is not bound in gin. Remove the line; run.py gives it '
                            '(--out_dir).'),
    ('import bind_lab.stady', 'there is no module bind_lab.stady. Did you mean bind_lab.study?'),
    ('import nlp_export.pooler', 'there is no module nlp_export.pooler. '
                                 'Did you mean nlp_export.poolers?'),
    ('import her_lab.poolers', 'there is no module her_lab. Install its package, or start run.py '
                               'in the directory that holds her_lab/'),
    ('import __gin__.dynamic_registration', 'Register the part with @gin.register and import its '
                                            'module.'),
    ("include 'gin/encoders/bert_tinny.gin'", 'Did you mean gin/encoders/bert_tiny.gin?'),
])
def test_an_unknown_name_is_refused_with_what_was_meant(lab, line, message):
  write(lab / 'more.gin', f'# A comment.\n{line}\n')
  found = refusal(['study.gin', 'more.gin'], SOUND)
  assert found.startswith('more.gin:2: ')
  assert found.endswith(message)


def test_the_import_that_is_missing_is_named(lab):
  # Of a part that this repository has and this process has not registered, read from the source.
  from nlp_export.binding import gin_index, gin_names

  module, name = 'experiments.inspect_checkpoint', 'inspect_checkpoint'
  assert any(part.module == module for part in gin_index.parts())
  assert gin_names.unknown(name) == (
      f'There is no {name}. Add `import {module}` above that line.')
  assert gin_names.unknown('inspect_chekpoint').endswith(
      'Did you mean inspect_checkpoint (with `import experiments.inspect_checkpoint`)?')


def test_unknown_names_are_told_all_at_once(lab):
  write(lab / 'more.gin', 'a.b = 1\nNOISES = (@c, @d)\n')
  assert len(refusal(['study.gin', 'more.gin'], [*SOUND, 'e.f=1']).splitlines()) == 4


def test_a_module_of_someone_elses_that_fails_is_their_request(lab, _lab):
  write(_lab / 'bind_lab' / 'broken.py', 'import gin\n\nthis_is_no_name\n')
  write(lab / 'more.gin', 'import bind_lab.broken\n')
  message = refusal(['study.gin', 'more.gin'], SOUND)
  assert 'broken.py:3: NameError' in message
  assert message.endswith('Correct bind_lab.broken.')


def test_a_module_that_misses_another_names_that_one(lab, _lab):
  write(_lab / 'bind_lab' / 'needy.py', 'import no_such_package\n')
  write(lab / 'more.gin', 'import bind_lab.needy\n')
  assert "No module named 'no_such_package'" in refusal(['study.gin', 'more.gin'], SOUND)


# Gin that is not gin.


@pytest.mark.parametrize(('text', 'start', 'end'), [
    ('A = 1\nB = bert/ckpt\n', 'more.gin:2: ', "A string needs quotes: B = 'bert/ckpt'"),
    ('A = (1,\n', 'more.gin:', 'Close the one that was opened last.'),
    ('A 1\n', 'more.gin:1: ', "or include 'FILE'."),
    ('A = \n', 'more.gin:1: ', "or include 'FILE'."),
    ('survey.noises = (@, )\n', 'more.gin:1: ', "or include 'FILE'."),
    ("include more\n", 'more.gin:1: ', "or include 'FILE'."),
    ("A = 'x\n", 'more.gin:1: ', ''),
])
def test_a_syntax_error_has_file_and_line(lab, text, start, end):
  write(lab / 'more.gin', text)
  message = refusal(['study.gin', 'more.gin'], SOUND)
  assert message.startswith(start)
  assert message.endswith(end)


# Files.


def test_files_come_from_here_then_from_the_repository(lab):
  from nlp_export.binding import gin_files, gin_index

  path = 'gin/encoders/bert_tiny.gin'
  assert gin_files.find_file(path) == os.path.join(gin_index.REPO_ROOT, path)
  write(lab / path, '')
  assert gin_files.find_file(path) == path


def test_includes_come_from_the_including_files_folder_too(lab):
  write(lab / 'deep' / 'top.gin', "include '../study.gin'\ninclude 'seed.gin'\n")
  write(lab / 'deep' / 'seed.gin', 'SEED = 8\n')
  bound = bind(['deep/top.gin'])
  assert bound.bindings[('SEED', 'gin.macro', 'value')].where == 'deep/seed.gin:1'
  assert bound.run_file == 'deep/top.gin'
  assert bound.default_out_dir == os.path.join('out', 'top')


def test_a_circle_of_includes_is_refused(lab):
  write(lab / 'a.gin', "include 'b.gin'\n")
  write(lab / 'b.gin', "include 'a.gin'\n")
  assert refusal(['a.gin']).endswith('Remove one of these includes.')


def test_the_run_file_is_the_one_that_names_the_experiment(lab):
  write(lab / 'seed.gin', 'SEED = 8\n')
  # A macro needs no import, so the order is free.
  assert bind(['seed.gin', 'study.gin'], ['SEED=2']).run_file == 'study.gin'


def test_a_missing_gin_file_names_where_it_was_looked_for(lab):
  assert refusal(['stady.gin']).startswith('There is no gin file stady.gin (tried stady.gin, ')
  assert refusal([]).endswith('python run.py gin/runs/quickstart.gin')


def test_no_experiment_or_two_are_refused(lab, _lab):
  write(lab / 'none.gin', 'SEED = 8\n')
  assert refusal(['none.gin']).endswith('`run.py --list` shows them.')
  (_lab / 'bind_lab' / 'second.py').write_text(
      'from nlp_export.experiment import experiment\n\n@experiment\ndef second():\n  """Q?"""\n')
  write(lab / 'two.gin', "include 'study.gin'\nimport bind_lab.second\n")
  assert refusal(['two.gin'], SOUND).endswith('one command runs one experiment.')


def test_two_experiments_of_one_name_are_refused(lab, _lab):
  (_lab / 'bind_lab' / 'twin.py').write_text(
      'from nlp_export.experiment import experiment\n\n@experiment\ndef survey():\n  """Q?"""\n')
  write(lab / 'two.gin', "include 'study.gin'\nimport bind_lab.twin\n")
  assert refusal(['two.gin'], SOUND).endswith('rename the function in bind_lab.twin.')


# Open values.


def test_open_values_are_listed_at_once_with_where_to_set_them(lab):
  write(lab / 'more.gin', "NOISES = (@noises.noise, %EXTRA)\nsurvey.size = @sizes.size()\n")
  lines = refusal(['study.gin', 'more.gin']).splitlines()
  assert lines[0] == ('5 values are still open. Add to the command, or bind in a gin file:')
  assert lines[1:] == [
      '  --set SEED=...   (open in study.gin:9)',
      '  --set sizes.size.rows=...',
      '  --set EXTRA=...',
      '  --set CHECKPOINT=...   (perhaps: it depends on what is asked for)',
      '  --set VOCAB_FILE=...   (perhaps: it depends on what is asked for)',
  ]


def test_a_macro_without_a_value_suggests_its_neighbour(lab):
  write(lab / 'more.gin', 'survey.seed = %SEEED\n')
  assert refusal(['study.gin', 'more.gin'], ['NOISES=()']).splitlines()[1] == (
      '  --set SEEED=... Did you mean SEED?')


def test_a_root_decides_which_conditional_values_it_needs(lab):
  plan = bind(['study.gin'], SOUND).plan('out/study')
  assert plan.lines[0].endswith('checkpoint None')
  with pytest.raises(RequestError) as caught:
    bind(['study.gin'], [*SOUND, "TASKS=('model',)"]).plan('out/study')
  assert caught.value.message.splitlines() == [
      "2 values are still open (TASKS has 'model'). Add to the command, or bind in a gin file:",
      '  --set CHECKPOINT=...',
      '  --set VOCAB_FILE=... or --set survey.sp_model_file=...',
  ]
  with_values = bind(['study.gin'], [*SOUND, "TASKS=('model',)", 'CHECKPOINT=c',
                                     'survey.sp_model_file=m'])
  assert with_values.plan('out/study').lines[0].endswith('checkpoint c')


def test_a_conditional_value_of_a_macro_that_nobody_binds_names_the_macro(lab):
  write(lab / 'more.gin', 'survey.checkpoint = %WEIGHTS\n')
  with pytest.raises(TypeError) as caught:
    bind(['study.gin', 'more.gin'], ['SEED=1']).plan('out/study')
  message = config.missing_value(caught.value).message
  assert message.startswith('Something reads the macro WEIGHTS, which has no value')
  assert message.endswith('WEIGHTS = %gin.REQUIRED leaves it open')


def test_an_open_value_of_a_part_that_is_not_used_is_nothing(lab):
  write(lab / 'more.gin', 'noises.silence.width = %gin.REQUIRED\n')
  bind(['study.gin', 'more.gin'], SOUND)
  write(lab / 'more.gin', 'noises.noise.seed = %gin.REQUIRED\n')  # Control.
  assert '--set noises.noise.seed=...' in refusal(['study.gin', 'more.gin'], SOUND)


# Types.


@pytest.mark.parametrize(('setting', 'end'), [
    ('SEED=three', "is 'three' (str), and has to be int. Give SEED another value."),
    ("SEED='3'", "is '3' (str), and has to be int. Write SEED = 3"),
    ('SEED=True', 'is True (bool), and has to be int. Give SEED another value.'),
    ('SEED=1.5', 'is 1.5 (float), and has to be int. Give SEED another value.'),
    ('TASKS=cola', "has to be tuple[str, ...]. Write TASKS = ('cola',)"),
    ('TASKS=(1,)', 'is (1,) (tuple), and has to be tuple[str, ...]. Give TASKS another value.'),
    ('CHECKPOINT=1000', '''Write CHECKPOINT = '1000'; after --set: CHECKPOINT="'1000'"'''),
    ('NOISES=@noises.noise', 'has to be tuple[Callable, ...]. Write NOISES = (@noises.noise,)'),
    ('survey.rate=fast', "is 'fast' (str), and has to be float. Give survey.rate another value."),
    ('survey.size=@sizes.size', 'With parentheses, survey.size = @...() is what the part returns.'),
    ('small/noises.noise.stddev=big', 'has to be float. Give small/noises.noise.stddev another '
                                      'value.'),
])
def test_a_value_of_the_wrong_type_is_refused(lab, setting, end):
  message = refusal(['study.gin'], [*SOUND, setting])
  assert message.endswith(end)
  assert len(message.splitlines()) == 1


def test_values_of_near_types_are_taken(lab):
  bindings = bind(['study.gin'], [*SOUND, 'survey.rate=1', "TASKS=['cola']", 'CHECKPOINT=None',
                                  'survey.size=@sizes.size()', 'sizes.size.rows=2']).bindings
  assert bindings['', 'experiments.survey', 'rate'].value == 1
  assert bindings['TASKS', 'gin.macro', 'value'].value == ['cola']
  assert bindings['CHECKPOINT', 'gin.macro', 'value'].value is None
  assert bindings['', 'sizes.size', 'rows'].value == 2


# Bindings without effect.


def test_bindings_without_effect_are_reported_after_the_run(lab, capsys):
  from nlp_export.experiment import Run

  write(lab / 'more.gin', '''
      smal/noises.noise.seed = 5
      noises.silence.width = 3
      NOSIES = 4
      noises.noise.width = 7
  ''')
  bound = bind(['study.gin', 'more.gin'], SOUND)
  assert len(bound.unread()) == 3  # That code gives the width itself only the run shows.
  bound.plan('out').execute(Run(str(lab)))
  assert bound.unused() == [
      'smal/noises.noise.seed (more.gin:1) had no effect: noises.noise is not called in scope smal '
      '(it is in: no scope, small). Did you mean small?',
      'noises.silence.width (more.gin:2) had no effect: nothing uses noises.silence. '
      'Refer to @noises.silence somewhere, or leave it out.',
      'NOSIES (more.gin:3) had no effect: nothing reads a macro NOSIES. Did you mean NOISES?',
      'noises.noise.width (more.gin:4) had no effect: the code that calls noises.noise gives width '
      'itself. Leave it out.',
  ]
  # What an earlier attempt of the run used counts.
  assert len(bound.unused(earlier=['noises.noise.width'])) == 3


def test_what_a_run_did_not_need_of_an_included_file_is_no_news(lab):
  from nlp_export.experiment import Run

  def unused(*gin_files, settings=()):
    bound = bind(gin_files, [*SOUND, *settings])
    bound.plan('out').execute(Run(str(lab)))
    return bound.unused()

  write(lab / 'more.gin', 'noises.noise.width = 7\nnoises.silence.width = 3\n')
  write(lab / 'own.gin', "include 'study.gin'\ninclude 'more.gin'\n")
  silence = ('noises.silence.width (more.gin:2) had no effect: nothing uses noises.silence. '
             'Refer to @noises.silence somewhere, or leave it out.')
  width = ('noises.noise.width ({}) had no effect: the code that calls noises.noise gives width '
           'itself. Leave it out.')
  assert unused('own.gin') == [silence]  # Nothing could ever read it: it is told all the same.
  # Control: given by the user, in a file or on the command line.
  assert unused('study.gin', 'more.gin') == [width.format('more.gin:1'), silence]
  assert unused('own.gin', settings=['noises.noise.width=7']) == [
      width.format('--set noises.noise.width=7'), silence]
  write(lab / 'own.gin', "include 'study.gin'\ninclude 'more.gin'\nnoises.noise.width = 8\n")
  assert unused('own.gin') == [width.format('own.gin:3'), silence]


def test_a_run_whose_bindings_all_matter_reports_nothing(lab, capsys):
  from nlp_export.experiment import Run

  bound = bind(['study.gin'], SOUND)
  assert bound.unread() == []
  bound.plan('out').execute(Run(str(lab)))
  assert bound.unused() == []
  assert 'small/noises.noise.stddev' in bound.used()


@pytest.mark.parametrize(('settings', 'circle'), [
    (['SEED=%A', 'A=%B', 'B=%A'], ('%A -> %B -> %A', '%B -> %A -> %B')),
    (['SEED=3', 'survey.size=@sizes.size()', 'sizes.size.rows=@sizes.size()'],
     ('@sizes.size() -> @sizes.size()',)),
])
def test_a_value_that_needs_itself_is_refused(lab, settings, circle):
  message = refusal(['study.gin'], settings)
  assert message in [
      f'A value needs itself: {c}. Bind one of these to something else.' for c in circle]


def test_a_byte_order_mark_is_no_mistake(lab):
  (lab / 'study.gin').write_text((lab / 'study.gin').read_text(), encoding='utf-8-sig')
  with_mark = bind(['study.gin'], SOUND).config_text
  (lab / 'study.gin').write_text(
      (lab / 'study.gin').read_text(encoding='utf-8-sig'), encoding='utf-8')
  assert with_mark == bind(['study.gin'], SOUND).config_text


def test_scopes_are_inherited_as_gin_does(lab):
  # An unscoped reference inside of what a scoped part calls is called in that scope.
  write(lab / 'more.gin', '''
      survey.size = @outer/sizes.size()
      sizes.size.rows = 1
      outer/sizes.size.rows = @sizes.double()
      outer/sizes.double.half = 3
      sizes.double.half = 4
  ''')
  bound = bind(['study.gin', 'more.gin'], SOUND)
  assert {key for key in bound.bindings if key not in bound.reach.read} == {
      ('', 'sizes.size', 'rows'), ('', 'sizes.double', 'half')}
  bound.plan('out')
  assert 'outer/double.half = 3' in config.operative_config_text()  # Gin agrees.
  assert '\ndouble.half' not in config.operative_config_text()


# config.gin and operative_config.gin.


def test_config_text_is_complete_and_can_be_bound_again(lab):
  write(lab / 'deep' / 'top.gin', "include '../study.gin'\ninclude 'seed.gin'\n")
  write(lab / 'deep' / 'seed.gin', 'SEED = 8\n')
  long = '/a very long path with spaces' * 10
  first = bind(['deep/top.gin'], [f'CHECKPOINT={long}'])
  write(lab / 'config.gin', first.config_text)
  second = bind(['config.gin'])
  assert second.config_text == first.config_text
  assert 'include' not in first.config_text
  assert second.plan('out').lines == first.plan('out').lines
  assert bind(['config.gin'], ['SEED=9']).config_text != first.config_text  # Control.


def test_binding_again_forgets_what_was_bound(lab):
  bind(['study.gin'], [*SOUND, 'survey.rate=0.5'])
  assert 'survey.rate' not in bind(['study.gin'], SOUND).config_text


def test_the_public_operative_config_has_no_paths(lab, capsys):
  checkpoint = str(lab / 'with a space' / 'ckpt-7')
  bind(['study.gin'], [*SOUND, f'CHECKPOINT={checkpoint}',
                       "TASKS=('https://tfhub.dev/a/b', 'x/y')"]).plan('out')
  private, public = config.operative_config_text(), config.operative_config_text(public=True)
  assert checkpoint in private
  assert "CHECKPOINT = 'ckpt-7'" in public
  assert "TASKS = ('https://tfhub.dev/a/b', 'y')" in public
  assert str(lab) not in public
  assert max(len(line) for line in public.splitlines()) < 200


# References.


def test_references_are_named_as_they_are_written(lab):
  bound = bind(['study.gin'], [*SOUND, 'NOISES=(@noise, @small/noises.noise, @a/b/noises.silence)'])
  assert "['noise', 'small.noise', 'a.b.silence']" in bound.plan('out').lines[0]


def test_plain_functions_are_named_by_themselves():
  def own(width):
    return width

  assert config.reference_name(own) == 'own'
  assert config.reference_name(functools.partial(own, 3)) == 'own'


def test_two_references_of_one_name_are_refused(lab):
  for noises, both in (('(@noises.silence, @other_noises.silence)',
                        '(@noises.silence and @other_noises.silence)'),
                       ('(@noises.silence, @noises.silence)', '(@noises.silence twice)')):
    with pytest.raises(RequestError) as caught:
      bind(['study.gin'], [*SOUND, f'NOISES={noises}']).plan('out')
    assert both in caught.value.message
    assert caught.value.message.endswith('silence')
    assert 'Give one of them a scope of its own: @second/' in caught.value.message
  bind(['study.gin'], [*SOUND, 'NOISES=(@noises.silence, @x/noises.silence)']).plan('out')


def test_no_tensorflow_is_needed(lab, _lab):
  import subprocess

  code = ('import sys; from nlp_export import config, experiment; import run; '
          'print("tensorflow" in sys.modules, "tf_keras" in sys.modules)')
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                        cwd=pathlib.Path(run_lab.REPO), timeout=60)
  assert done.stdout.strip() == 'False False'
