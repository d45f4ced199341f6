"""How much of the spread over seeds is the random pooler's draw, as far as the design can tell?

With one draw a seed, the draw changes together with everything else that the seed changes: its
part cannot be had from those runs alone. It can where draws are repeated with other training
seeds, or beside runs of the same pooler with one fixed draw; beside other poolers, only if the
rest of the spread is the same for them, which is an assumption. What is known is said, no more.

Variance components by analysis of variance (Searle, Casella and McCulloch 1992, chapters 3, 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nlp_export.glue.statistics.results import Interval, PoolerDraw, Settings
from nlp_export.glue.statistics.runs import Run
from nlp_export.glue.statistics.words import listed, percent

SHARE_OF = 'the draw'


def pooler_draw(
    runs: Sequence[Run],
    others: Sequence[Sequence[Run]],
    settings: Settings,
) -> PoolerDraw | None:
  """The draw's part of the variance of one task, pooler and arm.

  Args:
    runs: those that have a score and are not degenerate.
    others: runs of the same task and arm with other poolers (or the same under another scope).
    settings: confidence.

  Returns:
    None if nothing is drawn: no run has a pooler seed.
  """
  runs = [run for run in runs if run.pooler_seed is not None]
  if not runs:
    return None
  values = np.array([run.value for run in runs], float)
  draws = sorted({run.pooler_seed for run in runs if run.pooler_seed is not None})
  total = float(values.std(ddof=1)) if len(values) > 1 else None
  trainings = {(run.init_seed, run.data_seed) for run in runs}
  if len(draws) == 1:
    return _result(runs, 'fixed', total, None, None, None, None, None,
                   f'The draw was the same in all {len(runs)} runs, so their spread holds nothing '
                   'of it, and nothing is known of other draws.')
  if len(draws) < len(runs):
    cells = {(run.pooler_seed, run.init_seed, run.data_seed) for run in runs}
    if len(runs) == len(cells) == len(draws) * len(trainings) and len(trainings) > 1:
      return _crossed(runs, draws, sorted(trainings, key=str), total, settings)
    return _repeated(runs, draws, total, settings)
  return _confounded(runs, values, others, total, settings)


def _crossed(
    runs: Sequence[Run], draws: Sequence[int], trainings: Sequence[tuple], total: float | None,
    settings: Settings,
) -> PoolerDraw:
  place = {(run.pooler_seed, (run.init_seed, run.data_seed)): run.value for run in runs}
  table = np.array([[place[draw, training] for training in trainings] for draw in draws], float)
  rows, columns = table.shape
  grand = table.mean()
  by_draw = columns * ((table.mean(1) - grand) ** 2).sum() / (rows - 1)
  by_training = rows * ((table.mean(0) - grand) ** 2).sum() / (columns - 1)
  rest = table - table.mean(1, keepdims=True) - table.mean(0) + grand
  df = (rows - 1) * (columns - 1)
  residual = (rest ** 2).sum() / df
  training = max(0.0, (by_training - residual) / rows)
  return _components(runs, 'crossed', total, by_draw, residual, rows - 1, df, columns, training,
                     settings, f'{rows} draws, each trained with the same {columns} seeds')


def _repeated(
    runs: Sequence[Run], draws: Sequence[int], total: float | None, settings: Settings
) -> PoolerDraw:
  groups = [np.array([run.value for run in runs if run.pooler_seed == draw], float)
            for draw in draws]
  sizes = np.array([len(group) for group in groups])
  count, df = int(sizes.sum()), int(sizes.sum() - len(groups))
  grand = np.concatenate(groups).mean()
  between = sum(len(g) * (g.mean() - grand) ** 2 for g in groups) / (len(groups) - 1)
  within = sum(((g - g.mean()) ** 2).sum() for g in groups) / df
  size = (count - (sizes ** 2).sum() / count) / (len(groups) - 1)
  return _components(runs, 'repeated', total, between, within, len(groups) - 1, df, float(size),
                     0.0, settings, f'{len(groups)} draws in {count} runs')


def _components(
    runs: Sequence[Run], design: str, total: float | None, between: float, residual: float,
    df_between: int, df_residual: int, size: float, training: float, settings: Settings, told: str,
) -> PoolerDraw:
  from scipy import stats

  drawn = max(0.0, (between - residual) / size)
  rest = residual + training
  tail = settings.alpha / 2
  if residual > 0:
    ratio = between / residual
    p_value = float(stats.f.sf(ratio, df_between, df_residual))
    ends = [max(0.0, (ratio / stats.f.ppf(q, df_between, df_residual) - 1) / size) * residual
            for q in (1 - tail, tail)]
    low, high = (end / (end + rest) for end in ends)
  else:
    p_value, low, high = (0.0, 1.0, 1.0) if between > 0 else (1.0, 0.0, 0.0)
  share = drawn / (drawn + rest) if drawn + rest > 0 else 0.0
  interval = Interval(float(low), float(high), settings.confidence, SHARE_OF)
  sentence = (
      f'{told}: the draw accounts for {percent(share)} of the variance '
      f'({percent(settings.confidence)} interval {percent(low)} to {percent(high)}); standard '
      f'deviation {100 * math.sqrt(drawn):.1f} points from the draw, {100 * math.sqrt(rest):.1f} '
      'from the rest.')
  return _result(runs, design, total, math.sqrt(drawn), math.sqrt(rest), share, interval, p_value,
                 sentence)


def _confounded(
    runs: Sequence[Run], values: np.ndarray, others: Sequence[Sequence[Run]], total: float | None,
    settings: Settings,
) -> PoolerDraw:
  from scipy import stats

  own = runs[0].pooler.rsplit('.', 1)[-1]
  still = [list(group) for group in others
           if len(group) > 1 and len({run.pooler_seed for run in group}) == 1]
  same = [group for group in still
          if group[0].pooler_seed is not None and group[0].pooler.rsplit('.', 1)[-1] == own]
  design = 'against a fixed draw' if same else 'against other poolers'
  used = same or [group for group in still if group[0].pooler_seed is None]
  told = ('Each run has its own draw, so draw and training vary together and these runs alone '
          'cannot tell them apart')
  cure = ('Repeat draws with other training seeds, or add a pooler with a fixed pooler_seed, to '
          'find out.')
  if not used or total is None:
    return _result(runs, 'confounded', total, None, None, None, None, None, f'{told}. {cure}')
  df_rest = sum(len(group) - 1 for group in used)
  rest = sum(float(np.var([run.value or 0.0 for run in group], ddof=1)) * (len(group) - 1)
             for group in used) / df_rest
  names = listed(sorted({group[0].pooler for group in used}))
  if rest == 0:
    return _result(runs, 'confounded', total, None, None, None, None, None,
                   f'{told}. The runs of {names} do not vary at all, so they are no measure.')
  df, ratio, tail = len(values) - 1, total ** 2 / rest, settings.alpha / 2
  low, high = (min(1.0, max(0.0, 1 - stats.f.ppf(q, df, df_rest) / ratio))
               for q in (1 - tail, tail))
  share = max(0.0, 1 - 1 / ratio) if ratio > 0 else 0.0
  drawn = math.sqrt(share) * total
  assumption = (
      f'Beside {names}, whose draw is fixed' if same else
      f'If training alone varied as much here as with {names}, which draw nothing (an assumption)')
  if high == 0:  # Even the upper end of the interval is below nothing.
    return _result(runs, design, total, 0.0, math.sqrt(rest), 0.0, None, 1.0,
                   f'{told}. {assumption}, they would vary more than they do: nothing is to be '
                   'seen of the draw.')
  sentence = (
      f'{told}. {assumption}: the draw accounts for {percent(share)} of the variance '
      f'({percent(settings.confidence)} interval {percent(low)} to {percent(high)}).' +
      ('' if same else f' {cure}'))
  return _result(runs, design, total, drawn, math.sqrt(rest), share,
                 Interval(float(low), float(high), settings.confidence, SHARE_OF),
                 float(stats.f.sf(ratio, df, df_rest)), sentence)


def _result(
    runs: Sequence[Run], design: str, total: float | None, drawn: float | None,
    rest: float | None, share: float | None, interval: Interval | None, p_value: float | None,
    sentence: str,
) -> PoolerDraw:
  first = runs[0]
  return PoolerDraw(first.task, first.pooler, first.arm, design, total, drawn, rest, share,
                    interval, p_value, sentence)
