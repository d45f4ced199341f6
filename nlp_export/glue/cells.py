"""What is a cell of the matrix `tasks x arms or poolers x seeds`, and what does a finished one say?

A cell is a pure function of its description: the same description gives the same numbers, so its
hash tells whether a stored result may stand for it. Its place on disk is made of its names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.errors import RequestError

SCHEMA_VERSION = 1

OK = 'ok'
DEGENERATE = 'degenerate'  # It ran, and its numbers say nothing: constant prediction, NaN ...
FAILED = 'failed'
STATUSES = (OK, DEGENERATE, FAILED)

_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')


def derived_seed(seed: int, purpose: str) -> int:
  """A seed of its own for a purpose ('init', 'data'): the first 31 bits of a SHA-256.

  It depends on nothing else, so equal seeds give every arm, pooler and task the same head
  initialisation and the same order of the data: their differences are paired.
  """
  digest = hashlib.sha256(f'{purpose}:{seed}'.encode()).digest()
  return int.from_bytes(digest[:4], 'big') >> 1


def canonical_json(value: Any) -> str:
  """One text for equal JSON values. NaN and infinities are a ValueError, objects a TypeError."""
  return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False,
                    allow_nan=False)


@dataclasses.dataclass(frozen=True)
class Cell:
  """One fine-tuning: a task, an arm, a pooler and a seed.

  Attributes:
    task: name of the task, 'cola'.
    arm: name of a set of bindings over the common recipe, 'export'.
    pooler: the reference as written in gin, '/' as '.': 'random', 'small.random'.
    seed: the one that the user gave.
    pooler_seed: of the random pooler's draw; None where the pooler draws nothing.
    recipe: everything else that the numbers depend on, as JSON values: learning rate, epochs ...
    content_hashes: SHA-256 of what is read, by role ('export', 'train data'). A role, not a path:
      a moved directory is the same input.
    init_seed: of the head's initialisation and dropout; `derived_seed(seed, 'init')` by default.
    data_seed: of the order of the examples; `derived_seed(seed, 'data')` by default.
  """

  task: str
  arm: str
  pooler: str
  seed: int
  pooler_seed: int | None = None
  recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
  content_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
  init_seed: int = -1
  data_seed: int = -1

  def __post_init__(self) -> None:
    for what in ('task', 'arm', 'pooler'):
      name = getattr(self, what)
      if not _NAME.fullmatch(name):
        raise RequestError(
            f'The {what} {name!r} cannot name a directory, and its results lie in one of that '
            "name. Use letters, digits, '_', '-' and '.', not first")
    if self.seed < 0:
      raise RequestError(f'The seed {self.seed} is negative. Seeds are 0, 1, 2 ...')
    for what in ('init', 'data'):
      if getattr(self, f'{what}_seed') < 0:
        object.__setattr__(self, f'{what}_seed', derived_seed(self.seed, what))

  @property
  def name(self) -> str:
    """Relative place, also the name on the screen: 'cola/random/export/seed_3'."""
    return f'{self.task}/{self.pooler}/{self.arm}/seed_{self.seed}'

  @property
  def description(self) -> dict[str, Any]:
    """All that the result depends on, as plain JSON values (tuples become lists)."""
    return json.loads(canonical_json({**dataclasses.asdict(self), 'recipe': dict(self.recipe),
                                      'content_hashes': dict(self.content_hashes)}))

  @property
  def config_hash(self) -> str:
    """SHA-256 of the canonical JSON of `description`."""
    return hashlib.sha256(canonical_json(self.description).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellResult:
  """What came out of a cell; `results.json` is a list of these.

  Attributes:
    task, arm, pooler, seed, init_seed, data_seed, pooler_seed, config_hash: of the cell.
    status: 'ok', 'degenerate' or 'failed'.
    metrics: name -> value on the dev set. A value that is not finite is null in JSON, NaN here.
    main_metric: the name of the one that comparisons use; '' where the cell failed.
    train_seconds: wall time of training, without evaluation and loading [s].
    examples_per_second: training examples by `train_seconds`.
    tokens_per_second: real tokens, without padding, by `train_seconds`.
    padding_share: share of padding among the tokens of the training batches.
    history: one dict for each point of the curves: step, epoch, loss, gradient_norm and
      learning_rate, and the metrics where dev was evaluated.
    predictions_file: relative to out_dir; '' for none.
    gold_sha256: SHA-256 of the gold labels' bytes that the predictions belong to.
    labels: label names in the order of the ids; empty for a regression.
    cause: why it failed.
    degenerate: why its numbers say nothing.
    notes: for the reader, 'dropout not reproducible'.
  """

  task: str
  arm: str
  pooler: str
  seed: int
  init_seed: int
  data_seed: int
  pooler_seed: int | None
  config_hash: str
  status: str
  metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
  main_metric: str = ''
  train_seconds: float = 0.0
  examples_per_second: float = 0.0
  tokens_per_second: float = 0.0
  padding_share: float = 0.0
  history: Sequence[Mapping[str, float]] = ()
  predictions_file: str = ''
  gold_sha256: str = ''
  labels: Sequence[str] = ()
  cause: str = ''
  degenerate: Sequence[str] = ()
  notes: Sequence[str] = ()

  def __post_init__(self) -> None:
    problem = self._problem()
    if problem:
      raise RequestError(f'The result of cell {self.name} is not valid: {problem}')

  def _problem(self) -> str:
    if self.status not in STATUSES:
      return f'status {self.status!r} is none of {", ".join(STATUSES)}'
    wrong = [name for name in _MEASURES if not math.isfinite(getattr(self, name))]
    if wrong:
      return f'{", ".join(wrong)} is not finite'
    if self.status == FAILED:
      return '' if self.cause else 'it failed without a cause'
    if self.main_metric not in self.metrics:
      return (f'main_metric {self.main_metric!r} is not among its metrics '
              f'({", ".join(sorted(self.metrics)) or "none"})')
    if self.status == DEGENERATE:
      return '' if self.degenerate else 'it is degenerate without a reason'
    wrong = sorted(name for name, value in self.metrics.items() if not math.isfinite(value))
    return f"{', '.join(wrong)} is not finite, yet its status is 'ok'" if wrong else ''

  @classmethod
  def of(cls, cell: Cell, **values: Any) -> CellResult:
    """The result of a cell; the cell's own fields are filled in."""
    own = {name: getattr(cell, name) for name in _OF_THE_CELL}
    return cls(**own, **values)

  @property
  def name(self) -> str:
    """See `Cell.name`."""
    return f'{self.task}/{self.pooler}/{self.arm}/seed_{self.seed}'

  def to_json(self) -> dict[str, Any]:
    """JSON values; `from_json` of them is equal to this, NaN aside."""
    values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    values['metrics'] = _finite_or_none(self.metrics)
    values['history'] = [_finite_or_none(entry) for entry in self.history]
    for name in ('labels', 'degenerate', 'notes'):
      values[name] = list(values[name])
    for name in _MEASURES:
      values[name] = float(values[name])
    return {'schema_version': SCHEMA_VERSION, **values}

  @classmethod
  def from_json(cls, value: Any, source: str = 'The JSON') -> CellResult:
    """Reads what `to_json` made.

    Args:
      value: JSON values.
      source: what to call it in a message: the path of the file.

    Raises:
      RequestError: another schema_version, a missing or unknown field, a value of another type.
    """
    if not isinstance(value, Mapping) or 'schema_version' not in value:
      raise RequestError(f'{source} is not the result of a cell: it has no schema_version')
    if value['schema_version'] != SCHEMA_VERSION:
      raise RequestError(
          f'{source} has schema_version {value["schema_version"]!r}, this version of nlp_export '
          f'reads {SCHEMA_VERSION}. Read it with the version that wrote it')
    fields = {field.name: field for field in dataclasses.fields(cls)}
    given = {name: entry for name, entry in value.items() if name != 'schema_version'}
    for what, names in (('lacks', fields.keys() - given.keys()),
                        ('has the unknown', given.keys() - fields.keys())):
      if names:
        raise RequestError(f'{source} {what} {", ".join(sorted(names))}: it is not the result of '
                           f'a cell in schema_version {SCHEMA_VERSION}')
    for name, entry in given.items():
      if not _fits(fields[name].type, entry):
        raise RequestError(f'{source}: {name} is {entry!r}, which is no {fields[name].type}')
    given['metrics'] = _none_to_nan(given['metrics'])
    given['history'] = tuple(_none_to_nan(entry) for entry in given['history'])
    for name in ('labels', 'degenerate', 'notes'):
      given[name] = tuple(given[name])
    return cls(**given)


_OF_THE_CELL = ('task', 'arm', 'pooler', 'seed', 'init_seed', 'data_seed', 'pooler_seed',
                'config_hash')


_MEASURES = ('train_seconds', 'examples_per_second', 'tokens_per_second', 'padding_share')


def belongs_to(result: CellResult, cell: Cell) -> bool:
  """Whether a result carries the names, seeds and hash of a cell."""
  return all(getattr(result, name) == getattr(cell, name) for name in _OF_THE_CELL)


def _finite_or_none(values: Mapping[str, float]) -> dict[str, float | None]:
  return {name: _plain(value) if math.isfinite(value) else None for name, value in values.items()}


def _plain(value: Any) -> int | float:
  """A Python number for one of NumPy's too."""
  return value if isinstance(value, int) else float(value)


def _none_to_nan(values: Mapping[str, float | None]) -> dict[str, float]:
  return {name: math.nan if value is None else value for name, value in values.items()}


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numbers(value: Any) -> bool:
  return isinstance(value, Mapping) and all(v is None or _is_number(v) for v in value.values())


_CHECKS = {
    'str': lambda v: isinstance(v, str),
    'int': lambda v: isinstance(v, int) and not isinstance(v, bool),
    'int | None': lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool)),
    'float': _is_number,
    'Mapping[str, float]': _is_numbers,
    'Sequence[Mapping[str, float]]': lambda v: isinstance(v, list) and all(map(_is_numbers, v)),
    'Sequence[str]': lambda v: isinstance(v, list) and all(isinstance(s, str) for s in v),
}


def _fits(annotation: Any, value: Any) -> bool:
  return _CHECKS[annotation](value)  # Annotations are strings here: `from __future__`.
