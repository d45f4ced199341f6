"""Which published scores may stand beside one of ours, and how near is what they were made from?

A score is comparable if it is of the same encoder (the user says which: sizes alone do not make
two encoders one), on the same split, in the same metric, by a recipe like ours. What differs in
one of these is shown for orientation, with what differs, and makes no band.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from nlp_export.errors import RequestError
from nlp_export.glue.published_rows import ENCODERS, ROWS, Recipe, Row

COMPARABLE = 'comparable'
OTHER_RECIPE = 'same encoder, other or unstated recipe'
SAME_SIZE = 'same size, other weights'


@dataclasses.dataclass(frozen=True)
class Setting:
  """What a run did, as far as published scores can be compared with it.

  Attributes:
    encoder: a name of ENCODERS if the run fine-tuned just these weights, else None.
    num_layers, hidden_size: of the encoder, for scores of other encoders of that size.
    recipe: its epochs, learning rate, batch size and sequence length.
  """

  encoder: str | None = None
  num_layers: int | None = None
  hidden_size: int | None = None
  recipe: Recipe = dataclasses.field(default_factory=Recipe)

  def __post_init__(self) -> None:
    if self.encoder is not None and self.encoder not in ENCODERS:
      raise RequestError(
          f'No published scores are known for an encoder {self.encoder!r}, only for '
          f'{", ".join(ENCODERS)}. Name one of these if the weights are just these, else None.')


@dataclasses.dataclass(frozen=True)
class Score:
  """One published score.

  Attributes:
    low, high: the score as a fraction of 1; equal unless a range or a spread was published.
    relation: COMPARABLE, OTHER_RECIPE or SAME_SIZE.
    why: what is the same and what differs.
  """

  encoder: str
  low: float
  high: float
  source: str
  chosen: str
  relation: str
  why: str


@dataclasses.dataclass(frozen=True)
class Beside:
  """What stands beside a score.

  Attributes:
    low, high: the band of the comparable scores, 0 to 1; None if none is comparable.
    scores: comparable ones first, then those for orientation.
    note: why there is no band, or what it is made of.
  """

  task: str
  metric: str
  low: float | None
  high: float | None
  scores: tuple[Score, ...]
  note: str

  def to_json(self) -> dict[str, Any]:
    """Plain dicts and lists."""
    return {**dataclasses.asdict(self), 'scores': [dataclasses.asdict(s) for s in self.scores]}


def beside(task: str, metric: str, setting: Setting, split: str = 'dev') -> Beside:
  """The published scores to show beside a score.

  Args:
    task: 'cola'.
    metric: 'matthews_correlation': another metric of the task is another number.
    setting: what the run did.
    split: 'dev' or 'test'.

  Returns:
    Scores and the band of the comparable ones.
  """
  found = []
  for row in ROWS:
    if row.split == split and (task, metric) in row.scores:
      related = _relation(row, task, setting)
      if related:
        found.append(_score(row, (task, metric), *related))
  order = (COMPARABLE, OTHER_RECIPE, SAME_SIZE)
  found.sort(key=lambda score: order.index(score.relation))
  band = [score for score in found if score.relation == COMPARABLE]
  if band:
    count = '1 result' if len(band) == 1 else f'{len(band)} results'
    note = f'Published {split} scores of this encoder by a like recipe: {count}.'
  elif found:
    note = ('No published score is comparable (same encoder, like recipe); those listed are for '
            'orientation only.')
  else:
    note = f'No published {split} score of this encoder or size in this metric is known.'
  return Beside(task, metric, min((s.low for s in band), default=None),
                max((s.high for s in band), default=None), tuple(found), note)


def _relation(row: Row, task: str, setting: Setting) -> tuple[str, str] | None:
  if setting.encoder == row.encoder:
    differing = _differences(row.recipes.get(task, row.recipe), setting.recipe)
    if not differing:
      return COMPARABLE, 'same encoder, like recipe'
    return OTHER_RECIPE, 'same encoder; ' + ', '.join(differing)
  size = ENCODERS[setting.encoder] if setting.encoder else (setting.num_layers,
                                                            setting.hidden_size)
  if setting.encoder is None and ENCODERS[row.encoder] == size:
    return SAME_SIZE, f'{size[0]} layers, {size[1]} wide like this one, but other weights'
  return None


def _differences(published: Recipe, ours: Recipe) -> list[str]:
  """What keeps two recipes from being alike: factors that move scores by points."""
  allowed = {'epochs': 1.7, 'learning_rate': 2.6, 'batch_size': 2.0, 'seq_length': 2.0}
  differing = []
  for name, factor in allowed.items():
    theirs, mine = getattr(published, name), getattr(ours, name)
    told = name.replace('_', ' ')
    if theirs is None and name in ('epochs', 'learning_rate'):
      differing.append(f'{told} not stated')
    elif mine is None and name in ('epochs', 'learning_rate'):
      differing.append(f'{told} of this run not known')
    elif theirs and mine and not 1 / factor <= mine / theirs <= factor:
      differing.append(f'{told} {theirs:g} there, {mine:g} here')
  if published.chosen.startswith('best of'):
    differing.append(published.chosen)
  return differing


def _score(row: Row, key: tuple[str, str], relation: str, why: str) -> Score:
  value, spread = row.scores[key], row.sds.get(key, 0.0)
  low, high = value - spread, row.highs.get(key, value + spread)
  recipe = row.recipes.get(key[0], row.recipe)
  chosen = recipe.chosen + (f', plus and minus its standard deviation {spread:g}' if spread else '')
  return Score(row.encoder, low / 100, high / 100, row.source, chosen, relation, why)
