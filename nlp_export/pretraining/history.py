"""How did a pre-training go, step by step, over all attempts at it?

Curves are a file of their own beside the checkpoints. It is written before a checkpoint is begun,
so it knows at least as much as the newest one; what is beyond the checkpoint that a run goes on
from is dropped, since it is trained again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlp_export import files

if TYPE_CHECKING:
  from nlp_export.pretraining.loop import LoopResult

SCHEMA_VERSION = 1
STEP = 'step'
_LAST_VALUE = 'learning_rate'  # Others are means over the steps of a point.


class History:
  """Points of the curves.

  Attributes:
    training: one entry for each loop of steps: 'step' (done at its end), 'steps', 'seconds',
      'traced' (whether it includes the tracing of a process's first step), the means of what a step
      reports and its last learning rate.
    evaluations: one for each: 'step' and the metrics.
  """

  def __init__(
      self, training: Sequence[Mapping[str, Any]] = (),
      evaluations: Sequence[Mapping[str, Any]] = ()):
    self.training: list[Mapping[str, Any]] = list(training)
    self.evaluations: list[Mapping[str, Any]] = list(evaluations)

  @classmethod
  def read(cls, path: str, last_step: int) -> History:
    """What a file holds of the steps up to one; nothing if there is no file."""
    if last_step == 0 or not files.exists(path):
      return cls()
    value = files.read_json(path)
    return cls(*([entry for entry in value[key] if entry[STEP] <= last_step]
                 for key in ('training', 'evaluations')))

  def write(self, path: str) -> None:
    """Writes all of it."""
    files.write_json(path, self.to_json())

  def to_json(self) -> dict[str, Any]:
    """JSON values."""
    return {'schema_version': SCHEMA_VERSION, 'training': self.training,
            'evaluations': self.evaluations}

  def add(self, step: int, result: LoopResult, traced: bool) -> Mapping[str, Any] | None:
    """Adds the steps of a loop.

    Args:
      step: done at its end.
      result: of the loop.
      traced: whether it was the first in this process.

    Returns:
      The entry; None for a loop without a step.
    """
    if not result.steps_done:
      return None
    entry = {STEP: step, 'steps': result.steps_done, 'seconds': round(result.seconds, 4),
             'traced': traced}
    for name in result.names:
      column = result.column(name)
      entry[name] = float(column[-1] if name == _LAST_VALUE else column.mean())
    self.training.append(entry)
    return entry

  def add_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
    """Adds an evaluation."""
    self.evaluations.append({STEP: step, **metrics})

  def evaluation_at(self, step: int) -> Mapping[str, Any] | None:
    """The evaluation at a step, without its step."""
    for entry in self.evaluations:
      if entry[STEP] == step:
        return {name: value for name, value in entry.items() if name != STEP}
    return None

  def steps_per_second(self) -> float | None:
    """Over all loops but those that traced; None if there are no others."""
    counted = [entry for entry in self.training if not entry['traced']]
    seconds = sum(entry['seconds'] for entry in counted)
    return sum(entry['steps'] for entry in counted) / seconds if seconds > 0 else None
