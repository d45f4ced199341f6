"""Batches: every row once, reproducible, and the padding that the module's docstring promises."""

from __future__ import annotations

import hashlib
import itertools
import re

import numpy as np
import pytest

from nlp_export import tokenizers
from nlp_export.glue import data, tasks
from nlp_export.glue.fine_tuning import batches, tokenised


@pytest.fixture(scope='module')
def lengths():
  return np.random.default_rng(0).integers(5, 129, 1_000).astype(np.int32)


def rows_of(made):
  return np.concatenate([batch.rows for batch in made])


def as_lists(made):
  return [(batch.rows.tolist(), batch.length) for batch in made]


@pytest.mark.parametrize(('count', 'batch_size', 'window'), [
    (1_000, 32, 16), (1_000, 32, 1), (1_000, 1_000, 16), (1_000, 999, 2), (7, 32, 16), (64, 32, 1),
    (1, 1, 1), (1_000, 1, 10_000), (96, 32, 2)])
def test_every_row_once_and_long_enough(lengths, count, batch_size, window):
  for epoch in range(2):
    made = batches.epoch(lengths[:count], batch_size, window, 5, epoch, 128)
    assert sorted(rows_of(made)) == list(range(count))
    assert [len(batch.rows) for batch in made] == (
        [batch_size] * (count // batch_size) + [count % batch_size] * bool(count % batch_size))
    for batch in made:
      assert lengths[batch.rows].max() <= batch.length <= 128
      assert batch.rows.dtype == np.int32 and isinstance(batch.length, int)
      assert batch.length in batches.static_lengths(128)


def test_no_rows_are_no_batches():
  none = np.zeros(0, np.int32)
  assert batches.epoch(none, 32, 16, 0, 0, 128) == [] == batches.for_evaluation(none, 32, 128)
  assert batches.padding_share(none, []) == 0.0


def test_the_order_depends_on_seed_and_epoch_alone(lengths):
  def made(seed=1, epoch=0, window=4):
    return as_lists(batches.epoch(lengths, 32, window, seed, epoch, 128))

  first = made()
  np.random.seed(3)
  assert made() == first
  for other in (made(seed=2), made(epoch=1), made(window=5)):
    assert other != first
  # Kept for ever: a rerun years later, on another machine, trains on the same batches.
  assert hashlib.sha256(repr(first).encode()).hexdigest()[:16] == 'ef4596e3f2530d2b'


def test_the_smaller_batch_is_the_last_and_has_one_shape(lengths):
  last = [batches.epoch(lengths, 32, 16, seed, epoch, 128)[-1]
          for seed in range(5) for epoch in range(20)]
  assert {(len(batch.rows), batch.length) for batch in last} == {(1_000 % 32, 128)}
  # Rows of all lengths, as often as they are in the data: neither the short nor the long ones.
  drawn = np.concatenate([lengths[batch.rows] for batch in last])
  assert abs(drawn.mean() - lengths.mean()) < 4 * lengths.std() / len(drawn)**0.5


def test_batches_of_a_window_are_of_like_length_and_not_in_their_order(lengths):
  made = batches.epoch(lengths[:960], 32, 10, 0, 0, 128)
  for start in range(0, 30, 10):
    window = sorted(made[start:start + 10], key=lambda batch: lengths[batch.rows].min())
    for one, other in itertools.pairwise(window):
      assert lengths[one.rows].max() <= lengths[other.rows].min()
    assert window != made[start:start + 10]
  # No step of training is known to have the long ones.
  first = [batches.epoch(lengths[:960], 32, 10, seed, 0, 128)[0].length for seed in range(30)]
  assert min(first) < 32 and max(first) == 128


def test_other_rows_meet_in_every_epoch(lengths):
  def neighbours(epoch, window):
    made = batches.epoch(lengths, 32, window, 0, epoch, 128)
    return {frozenset(pair) for batch in made for pair in itertools.pairwise(batch.rows.tolist())}

  def shared(window):
    return len(neighbours(0, window) & neighbours(1, window)) / 1_000

  assert shared(4) < 0.08
  assert shared(10_000) > 2 * shared(4)  # Control: sorting the whole epoch.


def test_static_lengths():
  assert batches.static_lengths(128)[-3:] == (96, 112, 128)
  assert batches.static_lengths(100)[-3:] == (80, 96, 100)
  assert batches.static_lengths(6) == (6,)
  assert batches.static_lengths(1_024)[-2:] == (512, 1_024)
  assert list(batches.LENGTHS) == sorted(batches.LENGTHS)
  too_long = np.array([4, 101])
  with pytest.raises(ValueError, match='a row has 101 tokens, max_seq_length is 100'):
    batches.epoch(too_long, 2, 1, 0, 0, 100)


def test_for_evaluation_sorts_everything(lengths):
  made = batches.for_evaluation(lengths, 32, 128)
  assert sorted(rows_of(made)) == list(range(1_000))
  assert [len(batch.rows) for batch in made] == [8] + [32] * 31
  assert (np.diff(lengths[rows_of(made)]) >= 0).all()
  assert as_lists(made) == as_lists(batches.for_evaluation(lengths, 32, 128))
  assert [len(b.rows) for b in batches.for_evaluation(lengths[:64], 32, 128)] == [32, 32]


def test_padding_share_and_real_tokens():
  lengths = np.array([10, 6, 8], np.int32)
  made = [batches.Batch(np.array([0, 1]), 16), batches.Batch(np.array([2]), 8)]
  assert batches.real_tokens(lengths, made) == 24
  assert batches.padding_share(lengths, made) == pytest.approx(16 / 40)


def table():
  """The docstring's: task -> percent of padding by window, then whole epoch, then always 128."""
  found = re.findall(r'^    (CoLA|MRPC|RTE) \((\d+)\) +([\d ]+)$', batches.__doc__ or '', re.M)
  return {name.lower(): (int(steps), [int(n) for n in values.split()])
          for name, steps, values in found}


@pytest.mark.parametrize('name', ['cola', 'mrpc', 'rte'])
def test_the_padding_of_the_docstring(glue_dir, minilm_dir, name):
  tokenizer = tokenizers.wordpiece(f'{minilm_dir}/vocab.txt', True)
  train = data.load(tasks.get(name), 'train', data.GlueDirectory(glue_dir))
  lengths = tokenised.through_tf_nlp(tokenizer, train.texts, 128).lengths
  steps, shown = table()[name]
  found = []
  for window in (1, 8, 16, 32, 64, 10**6):
    epochs = [batches.epoch(lengths, 32, window, seed, epoch, 128)
              for seed in range(3) for epoch in range(3)]
    assert {len(made) for made in epochs} == {steps}
    found.append(100 * np.mean([batches.padding_share(lengths, made) for made in epochs]))
  found.append(100 * (1 - lengths.mean() / 128))
  np.testing.assert_allclose(found, shown, atol=0.6)
