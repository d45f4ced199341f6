"""Which random number belongs to a place, such as (seed, epoch, document, chunk, purpose)?

A hash of the place, so there is no state: any number can be had at once, in any order, by any
process. Not a NumPy generator, whose streams may change between versions (NEP 19): a run that is
resumed next year has to go on as it began.

Source: splitmix64's finaliser (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number
Generators"; constants of Stafford's variant 13).
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

_U64 = np.uint64
_START = _U64(0x243F6A8885A308D3)  # Digits of pi: nothing special.
_GAMMA = _U64(0x9E3779B97F4A7C15)


class Purpose(enum.IntEnum):
  """What a number is drawn for; the last key, so that no two draws of one place are the same."""

  IS_SHORT = 1
  SHORT_LENGTH = 2
  CHUNK = 3
  END_OF_FIRST = 4
  COIN = 5
  OTHER_DOCUMENT = 6
  OTHER_SENTENCE = 7
  ORDER = 8
  WINDOW = 9
  CUT_OF_FIRST = 11
  CUT_OF_SECOND = 12
  RESAMPLE = 13


def draws(*keys: Any) -> np.ndarray:
  """Random bits for places.

  Args:
    *keys: integers, or arrays of them that broadcast against each other.

  Returns:
    uint64 of the broadcast shape: for each place always the same number, uniform over 2^64.
  """
  bits = np.asarray(_START)
  with np.errstate(over='ignore'):  # Arithmetic modulo 2^64 is the method.
    for key in keys:
      bits = _mixed(bits + _GAMMA + _mixed(np.asarray(key).astype(_U64) + _GAMMA))
  return bits


def _mixed(bits: np.ndarray) -> np.ndarray:
  bits = (bits ^ (bits >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
  bits = (bits ^ (bits >> _U64(27))) * _U64(0x94D049BB133111EB)
  return bits ^ (bits >> _U64(31))


def unit(bits: np.ndarray) -> np.ndarray:
  """float64 in [0, 1), multiples of 2^-53, of random bits."""
  return (bits >> _U64(11)).astype(np.float64) * 2.0**-53


def below(bits: np.ndarray, limit: Any) -> np.ndarray:
  """int64 from 0 to `limit` - 1 of random bits; `limit` is at least 1 and less than 2^53."""
  return (unit(bits) * limit).astype(np.int64)


def heads(key: np.ndarray, purpose: Purpose, tosses: np.ndarray) -> np.ndarray:
  """How many of so many tosses of a fair coin show heads.

  Args:
    key: uint64 [n], a place each.
    purpose: of the draws.
    tosses: int64 [n], at least 0.

  Returns:
    int64 [n], binomially distributed.
  """
  words = -(-tosses // 64)
  place = np.repeat(np.arange(len(tosses)), words)
  word = np.arange(len(place)) - np.repeat(np.cumsum(words) - words, words)
  bits = draws(key[place], purpose, word)
  used = np.minimum(tosses[place] - 64 * word, 64)
  # Shifting out what is not used; a shift by 64 is not defined, and `used` is never 0.
  bits = bits >> (64 - used).astype(_U64)
  counts = np.unpackbits(bits[:, None].view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)
  return np.bincount(place, weights=counts, minlength=len(tosses)).astype(np.int64)
