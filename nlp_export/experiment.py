"""What does an experiment promise to run.py, and what does run.py give it?

An experiment is a function, its parameters filled by gin. It resolves what it was given, cheaply
and without TensorFlow, and returns a `Plan`; run.py prints the plan (--dry_run) or executes it:

    @experiment(conditional=('checkpoint',))
    def export(checkpoint: str | None = gin.REQUIRED, seed: int = gin.REQUIRED) -> Plan:
      \"\"\"One line: the question it answers (shown by --list).\"\"\"
      require(checkpoint=checkpoint)
      return Plan(lines=[f'would export {checkpoint}'], inputs=(checkpoint,), execute=...)

The module that holds it is imported by the gin file; exactly one such import decides what runs.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gin

from nlp_export.errors import RequestError
from nlp_export.running.run_context import Run

__all__ = ['Experiment', 'Outcome', 'Plan', 'Run', 'experiment', 'experiments', 'require']

GIN_MODULE = 'experiments'


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came out of a run.

  Attributes:
    lines: the last lines on the screen.
    passed: False ends the run with exit status 1: a check failed, or some cells did.
    result: JSON values for run.json.
    report: path of what to look at, the very last line; '' for none.
  """

  lines: Sequence[str] = ()
  passed: bool = True
  result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  report: str = ''


@dataclasses.dataclass(frozen=True)
class Plan:
  """What an experiment would do, decided and not yet begun.

  Attributes:
    lines: the plan for a human, printed by --dry_run.
    inputs: files and directories that the result depends on. They must exist; their SHA-256 goes
      into run.json, and a repeated command with other contents is refused.
    execute: does the work; TensorFlow is imported in here, not before.
    outputs: paths below out_dir that a finished run has. If one was removed since, the repeated
      command makes it again instead of saying 'done'.
    preview: given out_dir, more lines for --dry_run: what it would find there. Not called by a
      run, so it may read a lot.
    shared: whether several processes may execute it at once in one out_dir. `execute` then sees
      to it that they do not disturb each other; see nlp_export/running/sharing.py.
  """

  lines: Sequence[str]
  inputs: Sequence[str]
  execute: Callable[[Run], Outcome]
  outputs: Sequence[str] = ()
  preview: Callable[[str], Sequence[str]] | None = None
  shared: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A registered root.

  Attributes:
    name: name of the function; its gin selector is `experiments.<name>`.
    module: Python module that a gin file imports to run it.
    root: the function as gin fills it.
    summary: first line of its docstring.
    conditional: parameters that are needed or not depending on the others (see `experiment`).
  """

  name: str
  module: str
  root: Callable[..., Plan]
  summary: str
  conditional: tuple[str, ...] = ()

  @property
  def selector(self) -> str:
    """The complete gin selector."""
    return f'{GIN_MODULE}.{self.name}'

  @property
  def takes_out_dir(self) -> bool:
    """Whether the function asks for `out_dir`, to plan around what lies there already."""
    return 'out_dir' in inspect.signature(self.root).parameters


_EXPERIMENTS: dict[str, Experiment] = {}


def experiments() -> Mapping[str, Experiment]:
  """Every experiment registered in this process, by name."""
  return dict(_EXPERIMENTS)


def experiment(
    function: Callable[..., Plan] | None = None, *, conditional: Sequence[str] = ()
) -> Callable[..., Any]:
  """Registers a function as an experiment; its parameters are bound as `<name>.<parameter>`.

  A parameter called `out_dir` is given by run.py and not bound in gin: the plan may depend on what
  a started run has left there.

  Args:
    function: returns a `Plan`. Without TensorFlow, in well under 3 s.
    conditional: parameters whose need depends on the values of others ('preprocessing alone needs
      no checkpoint'). Left open - no value, or %gin.REQUIRED, directly or through macros - they
      arrive as None instead of stopping the run; the function then calls `require` with those it
      needs. Every other open value stops the run before the function is called.

  Returns:
    The function, with gin filling its parameters.
  """
  if function is None:
    return lambda f: experiment(f, conditional=conditional)
  name, module = function.__name__, function.__module__
  unknown = [p for p in conditional if p not in inspect.signature(function).parameters]
  if unknown:
    raise TypeError(f'{module}.{name} has no parameter {unknown[0]!r} to be conditional')
  other = _EXPERIMENTS.get(name)
  if other and other.module != module:
    raise RequestError(
        f'Two experiments are called {name}: one in {other.module}, one in {module}. Gin binds '
        f'parameters by that name, so it has to be unique: rename the function in {module}.')
  root = gin.configurable(name, module=GIN_MODULE, denylist=_run_given(function))(function)
  summary = (inspect.getdoc(function) or '').partition('\n')[0]
  _EXPERIMENTS[name] = Experiment(name, module, root, summary, tuple(conditional))
  return root


def _run_given(function: Callable[..., Any]) -> list[str] | None:
  return ['out_dir'] if 'out_dir' in inspect.signature(function).parameters else None


# Parameter of the running root -> the name that --set takes for it.
_SETTING_NAMES: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar(
    'setting_names', default=None)


@contextlib.contextmanager
def setting_names(names: Mapping[str, str]) -> Iterator[None]:
  """Lets `require` say `--set CHECKPOINT=...` for a parameter that is bound to %CHECKPOINT."""
  token = _SETTING_NAMES.set(names)
  try:
    yield
  finally:
    _SETTING_NAMES.reset(token)


def require(*one_of: Mapping[str, Any], why: str = '', **values: Any) -> None:
  """Refuses to go on while a conditional parameter that turned out to be needed is None.

  All of them are named in one message, so call it once:

      require({'vocab_file': vocab_file, 'sp_model_file': sp_model_file},
              checkpoint=checkpoint, why="EXPORT_TYPES has 'model'")

  Args:
    *one_of: groups of parameters of which at least one is needed.
    why: what makes them necessary, for the message.
    **values: parameters, by their names in the experiment, that are each needed.

  Raises:
    RequestError: lists what is open and where to set it.
  """
  groups = [{name: value} for name, value in values.items()]
  groups += [dict(group) for group in one_of]
  missing = [list(group) for group in groups if all(v is None for v in group.values())]
  if missing:
    raise open_values([' or '.join(_setting(name) for name in names) for names in missing], why)


def open_values(settings: Sequence[str], why: str = '') -> RequestError:
  """The error that lists values that are still open.

  Args:
    settings: what to write for each, such as '--set CHECKPOINT=...'; perhaps with alternatives.
    why: what makes them necessary.
  """
  count = '1 value is' if len(settings) == 1 else f'{len(settings)} values are'
  because = f' ({why})' if why else ''
  listed = '\n'.join(f'  {setting}' for setting in settings)
  return RequestError(f'{count} still open{because}. Add to the command, or bind in a gin file:'
                      f'\n{listed}')


def _setting(parameter: str) -> str:
  names = _SETTING_NAMES.get() or {}
  return f'--set {names[parameter]}=...' if parameter in names else f'{parameter}=...'
