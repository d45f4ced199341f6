"""What the workers of a session share is made by one of them, and anew after a failure."""

from __future__ import annotations

import threading
import time

import pytest


def test_two_that_ask_at_once_get_what_one_made(made_once):
  made, got = [], []

  def make(place):
    made.append(place)
    place.mkdir()
    time.sleep(0.2)
    (place / 'whole').touch()
    return str(place)

  def ask():
    path = made_once('asked_by_two', make)
    got.append((path, (made[0] / 'whole').exists()))

  threads = [threading.Thread(target=ask) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(made) == 1 and got == [(str(made[0]), True)] * 2


def test_a_failure_leaves_nothing_to_the_next_one(made_once):
  def fail(place):
    place.mkdir()
    (place / 'half').touch()
    raise ValueError('odd')

  with pytest.raises(ValueError, match='odd'):
    made_once('fails', fail)
  assert made_once('fails', lambda place: place.exists()) is False
