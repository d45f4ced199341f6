"""pretraining/data/shard_plan.py: every document in one place, decided by its content."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export.corpora.text_files import Document, Run
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import shard_plan

HELD_OUT = 'held_out-00000-of-00001.tfrecord'


def scanned(*sizes: int, salt: str = ''):
  """A text of documents of so many bytes; its places are their numbers."""
  return shard_plan.scan(
      (Run(n, n + 1, 1), Document((f'{salt}{n} '.ljust(size, 'x'),), ''))
      for n, size in enumerate(sizes))


def numbers(rows):
  """(text, number of document) of everything in a shard."""
  return [(text, offset + i) for text, offset, _, count in rows for i in range(count)]


def test_every_document_is_in_one_shard_and_shards_are_about_equal():
  scans = [scanned(*range(40, 140), salt='a'), scanned(*[90] * 50, salt='b')]
  found = shard_plan.divide(scans, 6, 0.1)
  everything = [place for rows in found.shards.values() for place in numbers(rows)]
  assert sorted(everything) == [(0, n) for n in range(100)] + [(1, n) for n in range(50)]
  assert (found.documents, found.copies) == (150, 0)
  sizes = {name: sum(40 + n if text == 0 else 90 for text, n in numbers(rows))
           for name, rows in found.shards.items()}
  total = sum(sizes.values())
  assert 0.09 < sizes.pop(HELD_OUT) / total < 0.16
  assert max(sizes.values()) - min(sizes.values()) < 3 * 140
  for rows in found.shards.values():  # In the order of the text, neighbours together.
    assert numbers(rows) == sorted(numbers(rows))
  assert sum(map(len, found.shards.values())) < 50


def test_no_shard_is_empty_however_uneven_the_documents_are():
  for sizes in ([5000, 60, 60, 60, 60], [60, 60, 60, 60, 5000], [60, 5000, 60, 60, 60]):
    found = shard_plan.divide([scanned(*sizes)], 4, 0.01)
    assert [len(numbers(rows)) for rows in found.shards.values()] == [1] * 5


def test_what_is_held_out_depends_on_the_documents_and_not_on_their_places():
  def held_out(order, texts):
    documents = [Document((f'{n} is a sentence of a document.',), '') for n in order]
    scans = [shard_plan.scan((Run(i, i, 1), d) for i, d in enumerate(part))
             for part in np.array_split(np.array(documents, object), texts)]
    rows = shard_plan.divide(scans, 3, 0.2).shards[HELD_OUT]
    starts = np.cumsum([0, *map(len, scans)])
    return {order[starts[text] + n] for text, n in numbers(rows)}

  first = held_out(list(range(60)), 1)
  assert 10 <= len(first) <= 14
  assert held_out(list(range(60))[::-1], 4) == first
  assert held_out([*range(1000, 1060)], 1) != first  # Control.


def test_copies_of_a_document_are_on_one_side():
  documents = [Document((f'{n % 20} is a sentence.',), '') for n in range(60)]
  found = shard_plan.divide(
      [shard_plan.scan((Run(n, n, 1), d) for n, d in enumerate(documents))], 2, 0.2)
  sides = [{n % 20 for _, n in numbers(rows)} for rows in found.shards.values()]
  assert found.copies == 40
  assert sides[0] and not sides[0] & (sides[1] | sides[2])
  assert sides[1] & sides[2]  # Control: between training shards there is no such care.


def test_a_document_much_larger_than_the_share_is_not_held_out():
  for salt in 'abcdef':
    rows = shard_plan.divide([scanned(4000, *[80] * 40, salt=salt)], 2, 0.1).shards[HELD_OUT]
    assert (0, 0) not in numbers(rows) and rows


@pytest.mark.parametrize(('sizes', 'num_shards', 'last'), [
    ([80] * 5, 6, 'Write --set SHARDS=4, or fewer'),
    ([80], 1, 'Separate them, or write a larger --set HELD_OUT_SHARE'),
    ([4000, 4000], 1, 'Separate them, or write a larger --set HELD_OUT_SHARE'),
])
def test_too_few_documents_are_refused(sizes, num_shards, last):
  with pytest.raises(RequestError) as error:
    shard_plan.divide([scanned(*sizes)], num_shards, 0.15)
  assert str(error.value).endswith(last)
  assert shard_plan.divide([scanned(*[80] * 5)], 4, 0.15).documents == 5  # Control: what it says.
