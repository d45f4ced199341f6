"""What is compared, on which tasks, with how many seeds? The options that run files bind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from nlp_export.ablation.arms import NamedArm, read_arms
from nlp_export.errors import RequestError
from nlp_export.glue import tasks
from nlp_export.glue.data import Source, source_for, training_splits
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.published_rows import ENCODERS


@gin.register('study', module='ablation')
@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
  """Tasks, arms, seeds and recipe of a matrix of fine-tunings.

  Attributes:
    tasks: TASKS: names of GLUE's tasks, or builtin ones.
    seeds: SEEDS: each gives every task, arm and pooler a fine-tuning.
    recipe: @fine_tuning.recipe(): what all arms have in common.
    arms: ARMS: name -> what is different in it, see nlp_export/ablation/arms.py.
    pooler_seed: POOLER_SEED: one draw of random poolers for all seeds; None: a new one for each.
    glue_dir: GLUE_DIR: the official TSV files.
    tfds_data_dir: TFDS_DATA_DIR: prepared by tensorflow_datasets, instead.
    leave_out_malformed: LEAVE_OUT_MALFORMED: go on without rows of a wrong number of fields.
    margin_points: MARGIN: differences below it do not matter, in points.
    published_encoder: name of the encoder in nlp_export/glue/published_rows.py if these are just
      its weights: its published scores then stand beside ours.
  """

  tasks: Sequence[str]
  seeds: Sequence[int]
  recipe: Recipe
  arms: Mapping[str, Mapping[str, Any]]
  pooler_seed: int | None = None
  glue_dir: str | None = None
  tfds_data_dir: str | None = None
  leave_out_malformed: bool = False
  margin_points: float = 1.0
  published_encoder: str | None = None

  def __post_init__(self) -> None:
    for name, what in (('TASKS', self.tasks), ('SEEDS', self.seeds)):
      if not what or len(set(what)) != len(what):
        problem = 'names nothing' if not what else 'names something twice'
        example = "('cola', 'rte')" if name == 'TASKS' else '(0, 1, 2)'
        raise RequestError(f'{name} is {tuple(what)!r}, which {problem}. Write for example '
                           f'--set "{name}={example}"')
    if min(self.seeds) < 0 or (self.pooler_seed or 0) < 0:
      raise RequestError(f'SEEDS is {tuple(self.seeds)!r} and POOLER_SEED {self.pooler_seed!r}, '
                         'but seeds are 0, 1, 2 ...')
    if not self.margin_points > 0:
      raise RequestError(f'MARGIN is {self.margin_points!r}, which no difference is within. '
                         'Give points: --set MARGIN=1')
    if self.published_encoder is not None and self.published_encoder not in ENCODERS:
      raise RequestError(
          f'study.published_encoder is {self.published_encoder!r}, of which no published scores '
          f'are known. Leave it out, or write one of {", ".join(ENCODERS)}')
    for name in self.tasks:
      training_splits(tasks.get(name))
    _ = self.named_arms

  @property
  def named_arms(self) -> tuple[NamedArm, ...]:
    """The arms, checked."""
    return read_arms(self.arms, self.recipe)

  def source(self, task: str) -> Source:
    """Where a task's data comes from."""
    return source_for(tasks.get(task), self.glue_dir, self.tfds_data_dir, self.leave_out_malformed)

  def inputs(self) -> tuple[str, ...]:
    """Files and directories of the data.

    Raises:
      RequestError: a task has none; or a file is missing.
    """
    found: list[str] = []
    for name in self.tasks:
      task = tasks.get(name)
      found += self.source(name).inputs(task, training_splits(task))
    return tuple(dict.fromkeys(found))
