"""What did verification find, and is it good enough?

Plain data, no TensorFlow: the worker writes it as JSON, the parent reads and judges it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from nlp_export.saved_models.verification.registry import KNOWN_DEFECTS, Level

SCHEMA_VERSION = 1

PASSED = 'passed'
FAILED = 'failed'
NOT_APPLICABLE = 'not_applicable'
NOT_RUN = 'not_run'


@dataclasses.dataclass(frozen=True)
class CheckResult:
  """The answer of one check.

  Attributes:
    name, numbers, level, title: of the check.
    status: passed, failed, not_applicable (by the type of SavedModel) or not_run.
    value: what was measured, JSON-able.
    tolerance: the largest value that passes, or None for exact checks.
    why: what was expected and found, or why it was not run.
    known_defect: number of the reference exporter's defect that this failure is, or None.
  """

  name: str
  numbers: tuple[int, ...]
  level: str
  title: str
  status: str
  value: Any = None
  tolerance: float | None = None
  why: str = ''
  known_defect: int | None = None

  @property
  def excusable(self) -> bool:
    """True if a stranger's export may fail this and still pass."""
    return self.level == Level.GOAL or self.known_defect is not None

  def to_json(self) -> dict[str, Any]:
    """`passed` is true, false, or null where the check was not applicable or not run."""
    passed = {PASSED: True, FAILED: False}.get(self.status)
    fields = dataclasses.asdict(self)
    return {**fields, 'numbers': list(self.numbers), 'passed': passed}

  @classmethod
  def from_json(cls, fields: Mapping[str, Any]) -> CheckResult:
    """The inverse of `to_json`."""
    names = {f.name for f in dataclasses.fields(cls)}
    kept = {k: v for k, v in fields.items() if k in names}
    return cls(**{**kept, 'numbers': tuple(kept['numbers'])})


@dataclasses.dataclass(frozen=True)
class VerificationReport:
  """All answers for one SavedModel.

  Attributes:
    name: what the caller calls it ('keep/model').
    kind: 'encoder', 'preprocessing' or 'unknown'.
    ours: whether everything must pass; else GOALs and known defects may fail.
    checks: one result for each check of that kind.
    seconds: wall time in the worker. Not part of `to_json`: equal runs give equal bytes.
  """

  name: str
  kind: str
  ours: bool
  checks: tuple[CheckResult, ...]
  seconds: float = 0.0

  @property
  def failed(self) -> tuple[CheckResult, ...]:
    """Every check that failed, excusable or not."""
    return tuple(c for c in self.checks if c.status == FAILED)

  @property
  def broken(self) -> tuple[CheckResult, ...]:
    """The failed checks that make the verification fail."""
    return tuple(c for c in self.failed if self.ours or not c.excusable)

  @property
  def passed(self) -> bool:
    """Whether the SavedModel is good."""
    return not self.broken and any(c.status == PASSED for c in self.checks)

  @property
  def known_defects(self) -> dict[int, str]:
    """The reference exporter's defects that this SavedModel shows, by number."""
    numbers = {c.known_defect for c in self.failed if c.known_defect is not None}
    return {n: KNOWN_DEFECTS[n] for n in sorted(numbers)}

  def count(self, status: str) -> int:
    """How many checks have that status."""
    return sum(c.status == status for c in self.checks)

  def to_json(self) -> dict[str, Any]:
    """The content of verification.json."""
    return {
        'schema_version': SCHEMA_VERSION,
        'kind': self.kind,
        'passed': self.passed,
        'known_defects': {str(n): text for n, text in self.known_defects.items()},
        'checks': [c.to_json() for c in self.checks],
    }

  def summary(self) -> str:
    """One line: 'keep/model: passed (41 checks passed, 6 not applicable)'."""
    counts = [f'{self.count(PASSED)} checks passed']
    for status, word in ((FAILED, 'failed'), (NOT_APPLICABLE, 'not applicable'),
                         (NOT_RUN, 'not run')):
      if self.count(status):
        counts.append(f'{self.count(status)} {word}')
    verdict = 'passed' if self.passed else 'FAILED'
    return f'{self.name}: {verdict} ({", ".join(counts)})'

  def lines(self) -> list[str]:
    """The summary, then each failed check with its reason, for the screen and the card."""
    lines = [self.summary()]
    for c in self.failed:
      mark = 'failed'
      if not self.ours and c.known_defect is not None:
        mark = f'known defect {c.known_defect} of the reference exporter'
      elif not self.ours and c.excusable:
        mark = 'goal not met'
      lines.append(f'  {c.level:4} {c.name}: {mark}: {c.why}')
    return lines


def all_passed(reports: Iterable[VerificationReport]) -> bool:
  """True if there is at least one report and every one is good."""
  reports = tuple(reports)
  return bool(reports) and all(r.passed for r in reports)
