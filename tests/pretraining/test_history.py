"""Curves over several attempts, and what someone who waits sees of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nlp_export.pretraining.history import History
from nlp_export.pretraining.progress import Progress, told
from nlp_export.pretraining.trained import Trained


@dataclasses.dataclass
class Result:
  """As loop.LoopResult."""

  values: np.ndarray
  seconds: float = 0.5
  names: tuple[str, ...] = ('masked_lm_loss', 'learning_rate')

  @property
  def steps_done(self):
    return len(self.values)

  def column(self, name):
    return self.values[:, self.names.index(name)]


def result(*rows, seconds=0.5):
  return Result(np.array(rows, np.float32).reshape(-1, 2), seconds)


def test_a_point_is_the_mean_of_its_steps_and_the_last_learning_rate():
  history = History()
  history.add(2, result((8.0, 0.25), (6.0, 0.5)), traced=True)
  assert history.add(2, result(), traced=False) is None
  assert history.training == [{'step': 2, 'steps': 2, 'seconds': 0.5, 'traced': True,
                               'masked_lm_loss': 7.0, 'learning_rate': 0.5}]


def test_the_speed_leaves_tracing_out():
  history = History()
  history.add(1, result((8.0, 0.5), seconds=9.0), traced=True)
  assert history.steps_per_second() is None
  history.add(3, result((8.0, 0.5), (8.0, 0.5), seconds=0.5), traced=False)
  history.add(5, result((8.0, 0.5), (8.0, 0.5), seconds=1.5), traced=False)
  assert history.steps_per_second() == 2.0


def test_what_is_trained_again_is_dropped(tmp_path):
  path = str(tmp_path / 'curves.json')
  history = History()
  for step in (2, 4, 6):
    history.add(step, result((8.0, 0.5), (8.0, 0.5)), traced=False)
    history.add_evaluation(step, {'masked_lm_loss': 9.0 - step})
  history.write(path)
  again = History.read(path, 4)
  assert [entry['step'] for entry in again.training] == [2, 4]
  assert again.evaluation_at(4) == {'masked_lm_loss': 5.0} and again.evaluation_at(6) is None
  assert History.read(path, 6).to_json() == history.to_json()  # Control: all of it.
  for nothing in (History.read(path, 0), History.read(str(tmp_path / 'none.json'), 4)):
    assert nothing.training == [] and nothing.evaluations == []


def test_lines_come_now_and_then_with_the_time_that_is_left():
  now, said = [0.0], []
  with Progress(100, 10, said.append, terminal=False, clock=lambda: now[0]) as progress:
    now[0] = 5.0
    progress.show(11, {'masked_lm_loss': 8.0})
    for step in range(12, 101):
      now[0] += 1.0
      progress.show(step, {'masked_lm_loss': 7.0, 'masked_lm_accuracy': 0.25})
  assert said[0] == 'step 11 of 100, 5.0 s after the model was built: masked-LM loss 8.000'
  assert said[1] == 'step 21 of 100: masked-LM loss 7.000, accuracy 0.250, about 79 s left'
  assert len(said) == 8 and said[-1] == (
      'step 100 of 100: masked-LM loss 7.000, accuracy 0.250')


def test_only_what_is_known_is_told():
  assert told({'masked_lm_loss': 5.0, 'next_sentence_accuracy': 0.5, 'gradient_norm': 1.0}) == (
      'masked-LM loss 5.000, next-sentence accuracy 0.500')
  assert told({}) == ''


def trained(**changes):
  given = {
      'checkpoints': 'out/checkpoints', 'step': 100, 'history': History(),
      'metrics': {'loss': 5.4, 'masked_lm_loss': 4.7, 'masked_lm_accuracy': 0.2,
                  'next_sentence_loss': 0.69, 'next_sentence_accuracy': 0.57},
      'intervals': {'masked_lm_loss': [4.6, 4.8], 'next_sentence_accuracy': [0.54, 0.6]},
      'unigram': 5.8, 'majority_share': 0.51,
      'speed': {'tokens_per_second': 20000.0, 'steps_per_second': 10.0, 'flops_per_second': 2e9,
                'peak_flops_per_second': 1e10}, 'saves': [], 'facts': {}}
  return Trained(**{**given, **changes})


def test_the_last_lines_say_how_good_beside_what_and_how_sure():
  assert trained().lines() == [
      'masked LM, held out: loss 4.700 nats, 1.100 below the unigram cross-entropy 5.800; accuracy '
      '20.0 %',
      'next sentence, held out: accuracy 57.0 % (54.0 to 60.0), above chance (the more frequent '
      'answer: 51.0 %)',
      '20000 tokens/s, 20.0 % of the peak measured here']


@pytest.mark.parametrize(('changes', 'above', 'words'), [
    ({'intervals': {'next_sentence_accuracy': [0.505, 0.6]}}, False,
     'not shown to be above chance'),
    ({'intervals': {'next_sentence_accuracy': [None, None]}}, None, 'no interval is known'),
    # Below a half the more frequent answer would be the other one.
    ({'majority_share': 0.56, 'intervals': {'next_sentence_accuracy': [0.55, 0.6]}}, False,
     'not shown to be above chance'),
])
def test_what_is_not_shown_is_not_claimed(changes, above, words):
  found = trained(**changes)
  assert found.pairs_above_chance is above and words in found.lines()[1]
  assert found.summary()['pairs_above_chance'] is above


def test_a_loss_above_the_unigram_is_said():
  assert '0.200 ABOVE the unigram' in trained(unigram=4.5).lines()[0]


def test_without_pairs_there_is_nothing_about_them():
  found = trained(metrics={'masked_lm_loss': 4.7, 'masked_lm_accuracy': 0.2}, majority_share=None)
  assert found.pairs_metric is None and len(found.lines()) == 2
