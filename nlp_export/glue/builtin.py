"""Which tasks can be made on any machine, without a download?

    builtin_word_order      is this sentence's word order intact?
    builtin_next_sentence   does the second sentence follow the first one?

Made at run time from the prose of the Python installation, always alike for one Python version.
Neither can be told from words, length or punctuation, and that by construction. Each sentence of
builtin_word_order is there twice, intact and with the same words in another order. In
builtin_next_sentence two pairs of neighbours (a, b) and (c, d) give also (a, d) and (c, b): every
first and every second sentence occurs once under each label. For a linear model of counts the
labels then cancel exactly. (How many words the two sentences share does tell, 74 % right on
Python 3.11: no count of words shows that, and following each other looks like it.)

The labels have equal shares in every split, and no sentence is in two splits. Both versions of a
sentence stand in the same split, so its examples are not independent: an interval over examples
is only roughly right.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.glue import prose
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import Split, Task

# (segments, label): an example before it has a place.
_Example = tuple[tuple[str, ...], int]
# Examples that must stay in one split.
_Group = list[_Example]

# The small splits take what they need first, since a Python version with less text then has a
# shorter training set and comparable scores.
_ORDER = ('dev', 'test', 'train')
_MIN_MOVED = 4  # Words out of their place in a sentence that counts as shuffled.


def read(task: Task, split: Split) -> Examples:
  """One split of a builtin task.

  Args:
    task: a builtin one.
    split: 'train', 'dev' or 'test', all with labels.

  Returns:
    Examples in a fixed mixed order.

  Raises:
    RequestError: this Python carries too little text.
  """
  chosen = _splits(task)[split.name]
  texts = tuple(zip(*(segments for segments, _ in chosen), strict=True))
  origin = {
      'kind': 'builtin', 'text_sha256': prose.sha256(),
      'text': 'docstrings, comments and help() topics of the standard library',
      'python': platform.python_version(),
  }
  return Examples(
      task, split.name, texts, np.array([label for _, label in chosen], np.int32),
      np.arange(len(chosen), dtype=np.int32), origin, f'{task.name} {split.name}')


@functools.cache
def _splits(task: Task) -> Mapping[str, tuple[_Example, ...]]:
  found = {}
  groups = _MAKERS[task.name]()
  for name in _ORDER:
    wanted = task.split(name).rows
    examples: list[_Example] = []
    while len(examples) < wanted:
      group = next(groups, None)
      if group is None:
        raise RequestError(
            f'{task.name} needs {wanted} {name} examples, but the texts of Python '
            f'{platform.python_version()} give {len(examples)}. Parts of its standard library are '
            'missing: install them, or use a task of GLUE with GLUE_DIR.')
      examples.extend(group)
    found[name] = tuple(_mixed(examples, lambda example: '\0'.join((task.name, *example[0]))))
  return found


def _word_order() -> Iterator[_Group]:
  """Groups of a sentence and its shuffled version."""
  sentences = [sentence for document in prose.documents() for passage in document.passages
               for sentence in passage]
  for sentence in _mixed(sentences):
    shuffled = shuffle_words(sentence)
    if shuffled is not None:
      yield [((shuffled,), 0), ((sentence,), 1)]


def shuffle_words(sentence: str) -> str | None:
  """The sentence with its plain words between the first and the last one in another order.

  Words with capitals, punctuation or digits stay, so that no sign at a wrong place tells.

  Returns:
    The same for the same sentence, on every Python; None if too few words can move.
  """
  words = sentence.split(' ')
  movable = [at for at in range(1, len(words) - 1) if words[at].isalpha() and words[at].islower()]
  for attempt in range(20):
    order = _mixed(movable, lambda at, salt=attempt: f'{salt} {at} {sentence}')
    shuffled = list(words)
    for target, source in zip(movable, order, strict=True):
      shuffled[target] = words[source]
    moved = sum(old != new for old, new in zip(words, shuffled, strict=True))
    if moved >= max(_MIN_MOVED, 0.8 * len(movable)):
      return ' '.join(shuffled)
  return None


def _next_sentence() -> Iterator[_Group]:
  """Groups of two pairs of neighbours and the two pairs that cross them."""
  pairs = []
  for document in prose.documents():
    for passage in document.passages:
      # Disjoint pairs: a sentence is in one group, thus in one split.
      pairs += [(document.name, *passage[at:at + 2]) for at in range(0, len(passage) - 1, 2)]
  waiting = _mixed(pairs, lambda pair: '\0'.join(pair))
  while waiting:
    one = waiting.pop(0)
    at = next((at for at, other in enumerate(waiting) if other[0] != one[0]), None)
    if at is None:
      return
    (_, a, b), (_, c, d) = one, waiting.pop(at)
    yield [((a, b), 1), ((c, d), 1), ((a, d), 0), ((c, b), 0)]


_MAKERS: Mapping[str, Callable[[], Iterator[_Group]]] = {
    'builtin_word_order': _word_order,
    'builtin_next_sentence': _next_sentence,
}


def _mixed(items: list, key: Callable[..., str] = str) -> list:
  """In the order of the SHA-256 of their keys: mixed, and no generator of random numbers."""
  return sorted(items, key=lambda item: hashlib.sha256(key(item).encode()).digest())
