"""How are all cells of a matrix finished, each once, by one process or several, killed or not?

    outcome = run_matrix(cells, run_cell, out_dir, say=run.say)

The rules. What is stored is never made again. Whoever works on a cell has a claim to it (claims.py)
and is the only one to touch its work directory. A cell's file is written last, and only by who
still has the claim; whoever gets a claim looks for the file again before it begins. So a process
may be killed between any two operations: what is left is a finished cell, or one to go on with.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence

from nlp_export import files
from nlp_export.errors import NlpExportError, RequestError
from nlp_export.glue import cell_files
from nlp_export.glue.cell_files import StoredCell
from nlp_export.glue.cells import (
  DEGENERATE,
  FAILED,
  Cell,
  CellResult,
  belongs_to,
)
from nlp_export.glue.grid import check_places
from nlp_export.glue.progress import Estimate, Progress
from nlp_export.glue.work import Work, check_work, discard_work, has_work, open_work, remove_empty
from nlp_export.running import interrupts
from nlp_export.running.claims import Claim, ClaimLost, Claims
from nlp_export.running.durations import about, duration

POLL_SECONDS = 2.0


RunCell = Callable[[Cell, Work], CellResult]


@dataclasses.dataclass(frozen=True)
class MatrixOutcome:
  """How a matrix ended.

  Attributes:
    results: of every cell, in the order of the cells.
    ran: names of the cells that this process finished, failures included.
  """

  results: tuple[CellResult, ...]
  ran: tuple[str, ...]

  @property
  def failed(self) -> tuple[CellResult, ...]:
    """The cells that have no numbers."""
    return tuple(result for result in self.results if result.status == FAILED)

  @property
  def passed(self) -> bool:
    """Whether no cell failed: `Outcome(passed=...)` of an experiment."""
    return not self.failed

  def lines(self) -> list[str]:
    """The last lines on the screen."""
    count = len(self.results)
    degenerate = sum(result.status == DEGENERATE for result in self.results)
    lines = [f'{count - len(self.failed)} of {count} cells have results'
             + (f', {degenerate} of them degenerate' if degenerate else '')]
    lines += [f'failed: {result.name}: {result.cause}' for result in self.failed]
    if self.failed:
      lines.append('Repeat the command to try the failed cells again')
    return lines


def run_matrix(
    cells: Sequence[Cell],
    run_cell: RunCell,
    out_dir: str,
    *,
    say: Callable[[str], None] = print,
    before_stored: Callable[[Cell, CellResult], None] | None = None,
    claims: Claims | None = None,
    poll_seconds: float = POLL_SECONDS,
    terminal: bool | None = None,
) -> MatrixOutcome:
  """Works on a matrix until every cell is finished, by this process or by another.

  Any number of processes may run it on one out_dir. Cells that failed before this call are tried
  again, once. Ctrl-C passes through; the cell at work is then free for others.

  Args:
    cells: the matrix, in the order to go through it.
    run_cell: makes a cell's result; what it raises becomes the cause of a failed cell.
    out_dir: of the run.
    say: shows a line.
    before_stored: called with a finished cell before it is stored; may be called again for a cell
      whose process was killed there. For curves.
    claims: those of out_dir by default.
    poll_seconds: between two looks at cells that other processes work on.
    terminal: see `Progress`.

  Returns:
    All results.

  Raises:
    RequestError: a stored cell is damaged or comes from another configuration; nothing was run.
  """
  check_places(cells)
  return _Matrix(cells, run_cell, out_dir, say, before_stored, claims, poll_seconds).run(terminal)


def preview(cells: Sequence[Cell], out_dir: str) -> list[str]:
  """What a call of `run_matrix` would find: 'cells: 6 in all: 2 done, 1 resuming, 3 to do'.

  For --dry_run; nothing is written.
  """
  check_places(cells)
  matrix = _Matrix(cells, _nothing, out_dir, print, None, None, POLL_SECONDS)
  return matrix.summary()


def _nothing(cell: Cell, work: Work) -> CellResult:
  raise AssertionError(f'a preview runs no cell, and was asked for {cell.name}')


class _Matrix:
  """One process's work on a matrix."""

  def __init__(
      self, cells: Sequence[Cell], run_cell: RunCell, out_dir: str, say: Callable[[str], None],
      before_stored: Callable[[Cell, CellResult], None] | None, claims: Claims | None,
      poll_seconds: float,
  ):
    self._cells = list(cells)
    self._run_cell = run_cell
    self._out_dir = out_dir
    self._say = say
    self._before_stored = before_stored
    self._poll_seconds = poll_seconds
    self._alone = files.is_remote(out_dir)
    if claims is None and not self._alone:
      claims = Claims(files.join(out_dir, cell_files.CLAIMS_DIR))
    self._claims = claims
    self._estimate = Estimate()
    self._finished: dict[str, StoredCell] = {}
    self._earlier_failures: dict[str, StoredCell] = {}
    self._ran: list[str] = []
    for cell in self._cells:
      self._look_at_start(cell)

  def _look_at_start(self, cell: Cell) -> None:
    stored = cell_files.read(self._out_dir, cell)
    if stored is not None and stored.result.status == FAILED:
      self._earlier_failures[cell.name] = stored
    elif stored is not None:
      self._note_finished(cell, stored)
    if stored is None:
      check_work(self._out_dir, cell)

  # What there is.

  def _note_finished(self, cell: Cell, stored: StoredCell) -> None:
    self._finished[cell.name] = stored
    if stored.result.status != FAILED:
      self._estimate.add(cell.task, stored.wall_seconds)

  def _is_finished(self, cell: Cell) -> bool:
    """Whether a cell has a result now that needs no further try from us."""
    stored = cell_files.read(self._out_dir, cell)
    if stored is None:
      return False
    earlier = self._earlier_failures.get(cell.name)
    if earlier is not None and earlier.content_sha256 == stored.content_sha256:
      return False
    self._note_finished(cell, stored)
    return True

  def _pending(self) -> list[Cell]:
    return [cell for cell in self._cells if cell.name not in self._finished]

  def _held(self, cells: Sequence[Cell]) -> dict[str, str]:
    """Cells that other processes work on, and who."""
    holders = {cell.name: self._claims.holder(cell.name) for cell in cells} if self._claims else {}
    return {name: str(owner) for name, owner in holders.items() if owner is not None}

  def summary(self) -> list[str]:
    """The lines at the beginning."""
    pending = self._pending()
    held = self._held(pending)
    resuming = [c.name for c in pending if c.name not in held and has_work(self._out_dir, c)]
    again = [c.name for c in pending if c.name in self._earlier_failures
             and c.name not in held and c.name not in resuming]
    counts = {
        'done': len(self._finished),
        'resuming': len(resuming),
        'with another process': len(held),
        'to do': len(pending) - len(held) - len(resuming),
    }
    text = ', '.join(f'{count} {what}' for what, count in counts.items() if count)
    lines = [f'cells: {len(self._cells)} in all: {text}']
    lines += [f'resuming: {name}' for name in resuming]
    lines += [f'{name}: with {owner}' for name, owner in held.items()]
    lines += [f'trying again: {name}: {self._earlier_failures[name].result.cause}'
              for name in again]
    return lines

  # The work.

  def run(self, terminal: bool | None) -> MatrixOutcome:
    for line in self.summary():
      self._say(line)
    if self._alone:
      self._say(f'note: {self._out_dir} has no file locks; let one process alone work on it')
    waiting = False
    with Progress(len(self._cells), len(self._finished), self._say, terminal) as progress:
      self._tidy()
      while pending := self._pending():
        moved = False
        for cell in pending:
          interrupts.check()
          moved = self._advance(cell, progress) or moved
        if not moved and (pending := self._pending()):
          if not waiting:
            held = self._held(pending) or {cell.name: 'another process' for cell in pending}
            self._say('waiting for ' + ', '.join(f'{n} ({who})' for n, who in held.items()))
          progress.end(len(self._finished), self._rest())
          time.sleep(self._poll_seconds)
        waiting = not moved
      self._tidy()
    remove_empty(self._out_dir)
    return MatrixOutcome(tuple(self._finished[cell.name].result for cell in self._cells),
                         tuple(self._ran))

  def _tidy(self) -> None:
    """Finished cells of which a killed process could not remove claims or work any more."""
    for cell in self._cells:
      stored = self._finished.get(cell.name)
      begun = files.exists(cell_files.work_path(self._out_dir, cell))
      if stored is None or (begun and stored.result.status == FAILED):
        continue  # After a failure: the work of another process's next try.
      if begun or (self._claims is not None and self._claims.exist(cell.name)):
        claim = self._claims.acquire(cell.name) if self._claims else None
        if claim is not None or self._alone:
          self._remove_traces(cell, claim)

  def _remove_traces(self, cell: Cell, claim: Claim | None) -> None:
    discard_work(self._out_dir, cell)
    files.remove_stale_staging(cell_files.cell_path(self._out_dir, cell))
    files.remove_stale_staging(files.join(self._out_dir, cell_files.predictions_file(cell)))
    if claim is not None:
      claim.finish()

  def _advance(self, cell: Cell, progress: Progress) -> bool:
    """Finishes a cell, or notes that another process has; False if nothing has changed."""
    if self._is_finished(cell):
      progress.end(len(self._finished), self._rest())
      return True
    if self._claims is None:
      self._work_on(cell, None, progress)
      return True
    claim = self._claims.acquire(cell.name)
    if claim is None:
      return False
    try:
      cell_files.look_again(cell_files.cell_path(self._out_dir, cell))
      if self._is_finished(cell):  # Between our look and our claim.
        if self._finished[cell.name].result.status != FAILED:
          self._remove_traces(cell, claim)
      else:
        self._work_on(cell, claim, progress)
    except (ClaimLost, RequestError) as error:
      if isinstance(error, RequestError) and not claim.lost:
        raise
      self._say(f'{cell.name}: another process has taken it over while this one stood still; '
                'what was done here is dropped')
    finally:
      claim.release()
    return True

  def _work_on(self, cell: Cell, claim: Claim | None, progress: Progress) -> None:
    work = open_work(self._out_dir, cell, claim, progress)
    self._say(f'{cell.name}: {"resuming" if work.resumed else "starting"}')
    progress.begin(cell.name)
    start = time.perf_counter()
    result = self._result(cell, work, claim)
    stored = StoredCell(result, cell.description, self._attempt(cell),
                        time.perf_counter() - start)
    if self._before_stored is not None and result.status != FAILED:
      self._before_stored(cell, result)
    if claim is not None:
      claim.check()
    if result.status == FAILED:  # Its work may be the cause: before the next try can begin.
      discard_work(self._out_dir, cell)
    cell_files.write(self._out_dir, cell, stored)
    self._ran.append(cell.name)
    self._note_finished(cell, stored)
    if result.status != FAILED:
      self._remove_traces(cell, claim)
    self._report(cell, stored, progress)

  def _attempt(self, cell: Cell) -> int:
    earlier = self._earlier_failures.get(cell.name)
    return 1 + (earlier.attempt if earlier is not None else 0)

  def _result(self, cell: Cell, work: Work, claim: Claim | None) -> CellResult:
    try:
      result = self._run_cell(cell, work)
      if not isinstance(result, CellResult):
        raise TypeError(f'run_cell returned {type(result).__name__}, not a CellResult')
      if not belongs_to(result, cell):
        raise ValueError(f'run_cell returned the result of {result.name} or of other seeds')
      missing = result.predictions_file
      if missing and not files.exists(files.join(self._out_dir, missing)):
        raise ValueError(f'run_cell has not written its predictions, {missing}')
      return result
    except ClaimLost:
      raise
    except (Exception, SystemExit) as error:
      interrupts.check()  # A library may have made something else of Ctrl-C.
      if claim is not None:
        claim.check()  # Files that vanish under a lost cell are no failure of it.
      logging.getLogger(__name__).warning('%s failed', cell.name, exc_info=error)
      return CellResult.of(cell, status=FAILED, cause=_cause(error))

  def _report(self, cell: Cell, stored: StoredCell, progress: Progress) -> None:
    result, rest = stored.result, self._rest()
    if result.status == FAILED:
      text = f'failed: {result.cause}'
    else:
      text = f'{result.main_metric} {result.metrics[result.main_metric]:.4f}'
      if result.status == DEGENERATE:
        text += f', degenerate: {"; ".join(result.degenerate)}'
    left = f', {about(rest)}' if rest else ''
    self._say(f'{cell.name}: {text} after {duration(stored.wall_seconds)} '
              f'({len(self._finished)} of {len(self._cells)}{left})')
    progress.end(len(self._finished), rest)

  def _rest(self) -> float | None:
    pending = self._pending()
    return self._estimate.rest([cell.task for cell in pending], 1 + len(self._held(pending)))


def _cause(error: BaseException) -> str:
  return error.message if isinstance(error, NlpExportError) else f'{type(error).__name__}: {error}'
