"""Random numbers that belong to places."""

from __future__ import annotations

import numpy as np

from nlp_export.pretraining.data.draws import Purpose, below, draws, heads, unit

MANY = np.arange(200_000)


def test_a_place_has_one_number_for_ever():
  # A run that is resumed in years, on another machine, has to go on as it began.
  assert draws(7, 0, 3, Purpose.COIN).item() == 4_878_301_924_861_215_278
  assert draws(2**63 - 1, 10**12).item() == 17_994_455_522_735_262_108
  found = draws(7, MANY, Purpose.ORDER)
  assert found.dtype == np.uint64 and found[12_345] == draws(7, 12_345, Purpose.ORDER)
  np.testing.assert_array_equal(draws(7, MANY[:, None], np.arange(3))[:, 1], draws(7, MANY, 1))


def test_no_two_places_share_a_number():
  assert len(np.unique(draws(np.arange(400)[:, None], np.arange(400)))) == 160_000
  assert draws(1, 2) != draws(2, 1)
  assert draws(0) != draws(0, 0)
  assert len(set(Purpose)) == len(Purpose.__members__)


def test_they_are_uniform_and_neighbours_are_independent():
  for values in (unit(draws(3, MANY)), unit(draws(MANY, 3)), unit(draws(draws(MANY), 1))):
    assert values.min() >= 0 and values.max() < 1
    counts = np.histogram(values, 100, (0, 1))[0]
    chi_square = ((counts - 2_000) ** 2 / 2_000).sum()
    assert chi_square < 99 + 5 * (2 * 99) ** 0.5
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5 / len(MANY) ** 0.5
  counts = np.histogram(unit(MANY.astype(np.uint64) << np.uint64(40)), 100, (0, 1))[0]
  assert ((counts - 2_000) ** 2 / 2_000).sum() > 1_000  # Control: numbers that are no draws.


def test_every_bit_is_a_fair_coin():
  bits = np.unpackbits(draws(5, MANY).view(np.uint8).reshape(-1, 8), axis=1)
  assert (abs(bits.mean(axis=0) - 0.5) < 5 * 0.5 / len(MANY) ** 0.5).all()


def test_below_takes_every_number_and_none_more():
  found = below(draws(1, MANY), 7)
  assert found.dtype == np.int64
  np.testing.assert_allclose(np.bincount(found), len(MANY) / 7, rtol=0.03)
  largest = np.array([2**64 - 1], np.uint64)
  for limit in (1, 2, 3, 7, 1_000, 2**31 - 1, 2**52 + 1):
    assert below(largest, limit) == limit - 1 and below(np.zeros(1, np.uint64), limit) == 0
  np.testing.assert_array_equal(below(draws(1, np.arange(3)), np.array([1, 1, 1])), 0)


def test_heads_are_binomial():
  key = draws(9, MANY)
  for tosses in (1, 5, 63, 64, 65, 200):
    found = heads(key, Purpose.CUT_OF_FIRST, np.full(len(MANY), tosses))
    assert found.min() >= 0 and found.max() <= tosses
    assert abs(found.mean() - tosses / 2) < 5 * (tosses / 4 / len(MANY)) ** 0.5
    assert abs(found.var() / (tosses / 4) - 1) < 0.03
  assert heads(key[:0], Purpose.COIN, np.zeros(0, np.int64)).shape == (0,)


def test_heads_of_different_numbers_of_tosses():
  tosses = np.array([0, 3, 0, 130, 64, 0])
  found = heads(draws(9, np.arange(6)), Purpose.CUT_OF_FIRST, tosses)
  assert found.dtype == np.int64 and (found[tosses == 0] == 0).all()
  # Alone they are the same: a place's draws do not depend on who else is asked.
  alone = [heads(draws(9, np.array([i])), Purpose.CUT_OF_FIRST, tosses[i:i + 1])[0]
           for i in range(6)]
  assert found.tolist() == alone
