"""Which experiment do these gin files ask for, with which values, and is that request sound?

Strict: a name that nothing has, a value of the wrong type, a --set that nothing reads, a value
still open - each ends the run before any work, with the line to write instead. The only file of
the package that binds gin's (process-wide) configuration; everything else is plain Python.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import gin

from nlp_export.binding import gin_effect, gin_imports, gin_index, gin_names, gin_reach, gin_types
from nlp_export.binding.gin_files import Reader
from nlp_export.binding.gin_reach import Bindings, Reach
from nlp_export.binding.gin_text import GinText
from nlp_export.errors import RequestError
from nlp_export.experiment import Experiment, Plan, experiments, open_values, setting_names
from nlp_export.running import public_form

__all__ = ['Bound', 'GinText', 'bind', 'operative_config_text', 'reference_name',
           'reference_names']

_HEADER = '# The complete configuration of a run. It can be given to run.py as it is.\n\n'
# Never reached: lines are not to break, or a long path would become two strings.
_LINE_LENGTH = 10_000


@dataclasses.dataclass(frozen=True)
class Bound:
  """A sound request: gin is bound with it until the next `bind`.

  Attributes:
    experiment: what runs.
    run_file: the given gin file that names the experiment.
    gin_files: every gin file that was read, includes too.
    config_text: all bindings and imports as one gin file without includes: config.gin.
    own_modules: modules imported from outside of this repository -> their source files.
    bindings: each with its place.
    reach: what of it will be read.
  """

  experiment: Experiment
  run_file: str
  gin_files: tuple[str, ...]
  config_text: str
  own_modules: Mapping[str, str]
  bindings: Bindings
  reach: Reach

  @property
  def default_out_dir(self) -> str:
    """out/<name of the run file>."""
    name = os.path.splitext(os.path.basename(self.run_file))[0]
    return os.path.join('out', name)

  def plan(self, out_dir: str) -> Plan:
    """Calls the experiment's function, which resolves everything and does nothing yet.

    Args:
      out_dir: given to a function that asks for it; it need not exist.

    Raises:
      RequestError: a value is open or the function refuses.
    """
    names = self._setting_names()
    given: dict[str, Any] = dict.fromkeys(self.reach.conditional)
    if self.experiment.takes_out_dir:
      given['out_dir'] = out_dir
    with setting_names(names):
      plan = self.experiment.root(**given)
    if not isinstance(plan, Plan):
      raise RequestError(
          f'Experiment {self.experiment.name} ({self.experiment.module}) returned '
          f'{type(plan).__name__}. Let it return nlp_export.experiment.Plan.')
    return plan

  def _setting_names(self) -> dict[str, str]:
    """Of this experiment's parameters, and of those of an experiment that it goes on from."""
    names: dict[str, str] = {}
    for other in experiments().values():
      if any(selector == other.selector for _, selector, _ in self.bindings):
        names |= gin_reach.setting_names(self.bindings, other)
    return names | gin_reach.setting_names(self.bindings, self.experiment)

  def unread(self) -> list[str]:
    """Bindings of the gin files that cannot have an effect, one line each."""
    return gin_effect.unread(self.bindings, self.reach)

  def used(self) -> list[str]:
    """Bindings that had an effect so far, as written in gin: for run.json."""
    keys = gin_effect.used(self.bindings, gin_names.operative())
    return sorted(gin_names.shown(key) for key in keys)

  def unused(self, earlier: Collection[str] = ()) -> list[str]:
    """Bindings that had no effect, one line each, once the work is done.

    Args:
      earlier: what `used` gave in earlier attempts at this run.
    """
    keys = {key for key in self.bindings if gin_names.shown(key) in set(earlier)}
    return gin_effect.unused(self.bindings, gin_names.operative(), self.reach, keys)


def bind(gin_files: Sequence[str], settings: Sequence[str] = ()) -> Bound:
  """Binds gin files and command-line settings, in order; what was bound before is forgotten.

  Args:
    gin_files: paths, tried from the working directory, then from the repository root; includes
      also from the including file's folder.
    settings: 'NAME=VALUE' each, or `GinText`; they come after the files.

  Raises:
    RequestError: anything that does not depend on what the experiment itself decides. All
      unknown names are told at once, likewise all wrong types, unread settings, open values.
  """
  if not gin_files:
    raise RequestError('No gin file was named. `run.py --list` shows the run files; write for '
                       'example: python run.py gin/runs/quickstart.gin')
  gin.clear_config()
  gin_imports.add_working_directory_to_path()
  reader = Reader()
  for path in gin_files:
    reader.read_file(path)
  for setting in settings:
    reader.read_setting(setting)
  reader.finish()
  experiment, run_file = _chosen(reader)
  bindings = dict(reader.bindings)
  reach = gin_reach.follow(bindings, experiment)
  gin_effect.check_settings(bindings, reach)
  wrong = gin_types.problems(bindings)
  if wrong:
    raise RequestError('\n'.join(wrong))
  if reach.open:
    raise _open_values(reach, bindings, experiment)
  text = _HEADER + _short_rules(gin.config_str(max_line_length=_LINE_LENGTH))
  return Bound(experiment, run_file, tuple(reader.files), text,
               gin_imports.own_modules(reader.imports), bindings, reach)


def _chosen(reader: Reader) -> tuple[Experiment, str]:
  """The one experiment whose module the gin files import, and the given file that does."""
  found = [e for e in experiments().values() if e.module in reader.imports]
  if len(found) == 1:
    return found[0], reader.imports[found[0].module]
  if found:
    named = ', '.join(f'{e.name} (import {e.module}, {reader.imports[e.module]})' for e in found)
    raise RequestError(f'These gin files name {len(found)} experiments: {named}. '
                       'Keep one of these imports; one command runs one experiment.')
  options = [part.module for part in gin_index.parts() if part.is_experiment]
  raise RequestError(
      f'{" and ".join(reader.files)} bind values but name no experiment to run. Add one of: '
      + ', '.join(f'`import {module}`' for module in options)
      + '; or give a file of gin/runs first: `run.py --list` shows them.')


def _open_values(reach: Reach, bindings: Bindings, experiment: Experiment) -> RequestError:
  settings = []
  for key in reach.open:
    place = f'   (open in {bindings[key].where})' if key in bindings else ''
    if key[1] == gin_names.MACRO and key not in bindings:
      place = gin_names.did_you_mean(
          key[0], (k[0] for k in bindings if k[1] == gin_names.MACRO))
    settings.append(f'--set {gin_names.shown(key)}=...{place}')
  names = gin_reach.setting_names(bindings, experiment)
  settings += [f'--set {names[p]}=...   (perhaps: it depends on what is asked for)'
               for p in reach.conditional]
  return open_values(settings)


def missing_value(error: BaseException) -> RequestError | None:
  """Gin's two ways of saying that a part was called without a value, as a RequestError."""
  text = str(error)
  if isinstance(error, TypeError) and 'No values supplied by Gin or caller' in text:
    names = ast.literal_eval(
        text.partition('by Gin or caller for arguments: ')[2].partition('\n')[0])
    part = text.partition("In call to configurable '")[2].partition("'")[0]
    macro = text.partition(" in scope '")[2].partition("'")[0]
    if part == gin_names.MACRO.rpartition('.')[2] and macro:
      return RequestError(f'Something reads the macro {macro}, which has no value. Write '
                          f'--set {macro}=..., or bind it in the gin file: {macro} = %gin.REQUIRED '
                          'leaves it open')
    return RequestError(f'The part {part} was called without {" and ".join(names)}, which it has '
                        f'no default for. Bind it: {part}.{names[0]} = ...')
  if isinstance(error, RuntimeError) and text.startswith('Required bindings for'):
    return RequestError(text.partition('\n')[0] + '. Bind them in a gin file or with --set.')
  return None


def operative_config_text(public: bool = False) -> str:
  """What parts were called with so far, defaults included, as gin text.

  Args:
    public: with paths (strings with a '/', unless they are web addresses) as base names.
  """
  text = _short_rules(gin.operative_config_str(max_line_length=_LINE_LENGTH))
  return public_form.gin_text(text, _last_part) if public else text


def _short_rules(text: str) -> str:
  """Gin draws its rules ('# =====') as wide as a line may be."""
  return re.sub('^# =+$', '# ' + '=' * 78, text, flags=re.MULTILINE)


def _last_part(text: str) -> str:
  address = text.startswith(('http://', 'https://'))
  return text if address else text.rstrip('/').rpartition('/')[2]


def reference_name(part: Callable[..., Any]) -> str:
  """What a reference is called in file names: as written in gin, '/' as '.', without the prefix.

  `@poolers.random` is 'random', `@small/poolers.random` is 'small.random'. A plain function that
  did not come through gin is called by its own name.
  """
  if isinstance(part, functools.partial):
    return reference_name(part.func)
  *scopes, selector = _reference(part).split('/')
  return '.'.join([*scopes, selector.rpartition('.')[2]])


def _reference(part: Callable[..., Any]) -> str:
  reference: str | None = vars(part).get('gin_reference') if hasattr(part, '__dict__') else None
  return (reference or gin_names.selector_of(part)
          or str(getattr(part, '__name__', type(part).__name__)))


def reference_names(parts: Iterable[Callable[..., Any]]) -> list[str]:
  """The name of each reference, see `reference_name`.

  Raises:
    RequestError: two are equal, and their results would have the same place.
  """
  named: dict[str, str] = {}
  for part in parts:
    name, reference = reference_name(part), _reference(part)
    if name in named:
      base = reference.rpartition('/')[2]
      both = (f'@{reference} twice' if named[name] == reference
              else f'@{named[name]} and @{reference}')
      raise RequestError(
          f'Two references have the name {name} ({both}), and a name is the folder of a result. '
          f'Give one of them a scope of its own: @second/{base}')
    named[name] = reference
  return list(named)
