"""What do the tables of all benchmarks share?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A Markdown table."""
  lines = [head, ['---'] * len(head), *rows]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def verdicts(targets: Iterable[tuple[str, float, float, bool]]) -> str:
  """The table of (what, measured, to reach, whether it is reached); '' without any."""
  rows = [[what, f'{value:.2f}', f'{wanted:g}', 'yes' if reached else '**no**']
          for what, value, wanted, reached in targets]
  return table(['what', 'measured', 'to reach', 'reached'], rows) if rows else ''


def conditions(machine: Mapping[str, Any], packages: Sequence[str]) -> str:
  """Date, commit, machine and versions, without a full stop.

  Args:
    machine: of `machine.describe()`.
    packages: those to be named, if they are installed.
  """
  versions = machine['versions']
  named = ', '.join(f'{name} {versions[name]}' for name in packages if name in versions)
  changed = ' with changes' if machine['changed_since'] else ''
  return (
      f'{machine["date"]}, commit {machine["commit"][:7] or "unknown"}{changed}; '
      f'{machine["cores"]} cores of {machine["processor"]} '
      f'({", ".join(machine["instructions"])}), {machine["memory_gb"]:.0f} GB, '
      f'{machine["system"]}; {named}')


def load(machine: Mapping[str, Any]) -> str:
  """The load average before and after, a sentence."""
  return (f'Load average {machine["load_average"]} before, '
          f'{machine["load_average_after"]} after.')
