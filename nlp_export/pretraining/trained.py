"""What did a pre-training come to, in numbers and in sentences?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.pretraining.history import History

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
  """A finished pre-training.

  Attributes:
    checkpoints: directory of its checkpoints.
    step: number of steps.
    history: curves.
    metrics: of the held-out text at the end: 'masked_lm_loss' [nats], accuracies.
    intervals: 95 % intervals of some of them, over held-out documents; ends are None where there is
      one document alone.
    unigram: nats, see `loading.Data`.
    majority_share: of the more frequent next-sentence label; None without pairs.
    speed: 'tokens_per_second' (padding counted), 'steps_per_second', 'flops_per_second' of training
      and 'peak_flops_per_second' of this machine's matrix products; None where not known.
    saves: one dict for each of this process: step, blocking_seconds, seconds.
    facts: what was trained on what: JSON.
    notes: sentences.
    is_chief: whether this process is the one that writes.
  """

  checkpoints: str
  step: int
  history: History
  metrics: Mapping[str, float]
  intervals: Mapping[str, Sequence[float | None]]
  unigram: float
  majority_share: float | None
  speed: Mapping[str, float | None]
  saves: Sequence[Mapping[str, float]]
  facts: Mapping[str, Any]
  notes: Sequence[str] = ()
  is_chief: bool = True

  @property
  def gain(self) -> float:
    """Nats by which the masked-LM loss is below the unigram cross-entropy."""
    return self.unigram - self.metrics['masked_lm_loss']

  @property
  def peak_share(self) -> float | None:
    """Of the machine's peak."""
    found, peak = (self.speed.get(key) for key in ('flops_per_second', 'peak_flops_per_second'))
    return found / peak if found and peak else None

  @property
  def pairs_metric(self) -> str | None:
    """'next_sentence_accuracy', or what the head is called; None without one."""
    return next((name for name in self.metrics
                 if name.endswith('_accuracy') and name != 'masked_lm_accuracy'), None)

  @property
  def pairs_above_chance(self) -> bool | None:
    """Whether the interval of the accuracy lies above what guessing gives; None without pairs."""
    low = self.intervals.get(self.pairs_metric or '', [None])[0]
    if self.majority_share is None or low is None:
      return None
    return low > max(0.5, self.majority_share)

  def summary(self) -> dict[str, Any]:
    """JSON values, without the curves."""
    return {
        'schema_version': SCHEMA_VERSION, 'step': self.step, 'held_out': dict(self.metrics),
        'intervals': {name: list(ends) for name, ends in self.intervals.items()},
        'unigram_cross_entropy': self.unigram, 'masked_lm_nats_below_unigram': self.gain,
        'majority_share': self.majority_share,
        'pairs_metric': self.pairs_metric, 'pairs_above_chance': self.pairs_above_chance,
        'speed': {**self.speed, 'share_of_peak': self.peak_share},
        'saves': list(self.saves), 'facts': dict(self.facts), 'notes': list(self.notes)}

  def lines(self) -> list[str]:
    """For the end of the screen."""
    loss = self.metrics['masked_lm_loss']
    found = [f'masked LM, held out: loss {loss:.3f} nats, '
             f'{_below(self.gain)} the unigram cross-entropy {self.unigram:.3f}; '
             f'accuracy {_share(self.metrics["masked_lm_accuracy"])}'
             f'{_interval(self.intervals.get("masked_lm_accuracy"))}']
    name = self.pairs_metric
    if name is not None:
      above = {True: 'above chance', False: 'not shown to be above chance',
               None: 'no interval is known'}[self.pairs_above_chance]
      pairs = name.removesuffix('_accuracy').replace('_', ' ')
      found.append(
          f'{pairs}, held out: accuracy {_share(self.metrics[name])}'
          f'{_interval(self.intervals.get(name))}, {above} (the more frequent answer: '
          f'{_share(self.majority_share)})')
    rate = self.speed.get('tokens_per_second')
    if rate:
      share = f', {_share(self.peak_share)} of the peak measured here' if self.peak_share else ''
      found.append(f'{rate:.0f} tokens/s{share}')
    return found


def _below(gain: float) -> str:
  return f'{abs(gain):.3f} {"below" if gain >= 0 else "ABOVE"}'


def _share(value: float | None) -> str:
  return '-' if value is None else f'{100 * value:.1f} %'


def _interval(ends: Sequence[float | None] | None) -> str:
  if not ends or ends[0] is None or ends[1] is None:
    return ''
  return f' ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})'
