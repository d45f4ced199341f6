"""The builtin tasks: always alike, without overlap, and without a giveaway."""

from __future__ import annotations

import dataclasses
import hashlib
import string
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from nlp_export.errors import RequestError
from nlp_export.glue import builtin, data, prose, tasks
from nlp_export.glue.examples import Examples

NAMES = ('builtin_word_order', 'builtin_next_sentence')
CHANCE = 0.5


@pytest.fixture(scope='module', params=NAMES)
def splits(request):
  task = tasks.get(request.param)
  found = data.load_for_training(task, data.Builtin())
  return {**found, 'test': data.load(task, 'test', data.Builtin())}


def surface(texts: tuple[str, ...]) -> sparse.csr_matrix:
  """Length and punctuation: characters, words, capitals, each sign's count, the last sign."""
  rows = [[len(text) / 100, len(text.split()) / 10, sum(c.isupper() for c in text),
           *(text.count(sign) for sign in string.punctuation),
           *(text.endswith(sign) for sign in string.punctuation)] for text in texts]
  return sparse.csr_matrix(np.array(rows, float))


def shallow_accuracy(train: Examples, dev: Examples) -> float:
  """Of a logistic regression on unigrams, length and punctuation of each segment."""
  features: list[list] = [[], []]
  for segment in range(train.task.segments):
    unigrams = CountVectorizer(analyzer=str.split).fit(train.texts[segment])
    for kind, examples in zip(features, (train, dev)):
      texts = examples.texts[segment]
      kind += [unigrams.transform(texts), surface(texts)]
  model = LogisticRegression(max_iter=300).fit(sparse.hstack(features[0]), train.labels)
  return model.score(sparse.hstack(features[1]), dev.labels)


def leaky(examples: Examples, change) -> Examples:
  """The same with the last segment of label 0 changed."""
  *first, last = examples.texts
  changed = tuple(change(text) if label == 0 else text
                  for text, label in zip(last, examples.labels))
  return dataclasses.replace(examples, texts=(*first, changed))


def test_no_giveaway(splits):
  for other in ('dev', 'test'):
    assert abs(shallow_accuracy(splits['train'], splits[other]) - CHANCE) <= 0.03


@pytest.mark.parametrize('change', [
    lambda text: text.removesuffix('.'),
    lambda text: text[0].lower() + text[1:],
    lambda text: text.replace(' the ', ' a '),
    lambda text: ' '.join(text.split()[:-2]),
], ids=['a lost full stop', 'a lost capital', 'another article', 'two words less'])
def test_a_giveaway_would_be_seen(splits, change):
  accuracy = shallow_accuracy(leaky(splits['train'], change), leaky(splits['dev'], change))
  assert accuracy > CHANCE + 0.03


def test_unpaired_examples_of_two_sources_would_be_seen():
  # Control of the construction: neighbours against sentences of another kind of text.
  kinds = {kind: [s for d in prose.documents() if d.name.startswith('topic:') == kind
                  for p in d.passages for s in p][:800] for kind in (True, False)}
  task = tasks.get('builtin_word_order')
  texts = tuple(kinds[True] + kinds[False])
  labels = np.repeat(np.array([1, 0], np.int32), [len(kinds[True]), len(kinds[False])])
  mixed = np.random.default_rng(0).permutation(len(texts))
  half = len(texts) // 2

  def some(rows):
    return Examples(task, 'x', (tuple(texts[row] for row in rows),), labels[rows],
                    np.arange(len(rows)), {}, 'x')

  assert shallow_accuracy(some(mixed[:half]), some(mixed[half:])) > CHANCE + 0.1


def test_sizes_and_shares(splits):
  for name, examples in splits.items():
    assert len(examples) == examples.task.split(name).rows
    assert len(set(examples.label_counts().values())) == 1
    assert len(set(zip(*examples.texts))) == len(examples)  # No example twice.
  assert 2000 <= len(splits['train']) <= 4000


def sentences(examples: Examples) -> set:
  """What may not be in two splits: a sentence, or the words of one in any order."""
  return {tuple(sorted(text.lower().split())) for segment in examples.texts for text in segment}


def test_no_sentence_is_in_two_splits(splits):
  found = {name: sentences(examples) for name, examples in splits.items()}
  assert not found['train'] & found['dev']
  assert not found['train'] & found['test']
  assert not found['dev'] & found['test']
  assert found['train'] & sentences(leaky(splits['train'], str.upper))  # Control: it can be seen.


def test_labels_do_not_alternate(splits):
  labels = splits['train'].labels
  assert 0.4 < np.mean(labels[1:] == labels[:-1]) < 0.6


def test_every_sentence_is_there_once_under_each_label(splits):
  for examples in splits.values():
    for segment in examples.texts:
      bags = [{}, {}]
      for text, label in zip(segment, examples.labels):
        words = tuple(sorted(text.split()))
        bags[label][words] = bags[label].get(words, 0) + 1
      assert bags[0] == bags[1]


def test_shuffled_words_are_the_same_words_and_keep_their_signs():
  sentence = 'Print a usage message, with the name of Python, to standard error and exit.'
  shuffled = builtin.shuffle_words(sentence)
  assert shuffled != sentence and sorted(shuffled.split()) == sorted(sentence.split())
  fixed = ('Print', 'message,', 'Python,', 'exit.')
  for word in fixed:
    assert shuffled.split().index(word) == sentence.split().index(word)
  moved = sum(a != b for a, b in zip(sentence.split(), shuffled.split()))
  assert moved >= 7
  assert builtin.shuffle_words('Print it and exit.') is None


def test_neighbours_stand_so_in_the_text():
  task = tasks.get('builtin_next_sentence')
  examples = data.load(task, 'dev', data.Builtin())
  follows = {pair for d in prose.documents() for p in d.passages for pair in pairwise(p)}
  for *pair, label in zip(*examples.texts, examples.labels):
    assert (tuple(pair) in follows) == (task.labels[label] == 'next')


@pytest.mark.parametrize('name', NAMES)
def test_another_process_makes_the_same(name):
  code = ('from nlp_export.glue import data, tasks\n'
          f'e = data.load(tasks.get({name!r}), "train", data.Builtin())\n'
          'print(e.text_sha256(), e.gold_sha256(), e.origin["text_sha256"])')
  done = subprocess.run([sys.executable, '-X', 'utf8', '-c', code], capture_output=True, text=True,
                        check=True, env={'PYTHONHASHSEED': '7', 'LC_ALL': 'C', 'PATH': ''})
  examples = data.load(tasks.get(name), 'train', data.Builtin())
  assert done.stdout.split() == [examples.text_sha256(), examples.gold_sha256(), prose.sha256()]


def test_the_text_is_recorded():
  origin = data.load(tasks.get(NAMES[0]), 'dev', data.Builtin()).origin
  assert origin['kind'] == 'builtin' and origin['python'].startswith('3.')
  lines = ''.join('\n'.join(passage) + '\n\n'
                  for document in prose.documents() for passage in document.passages)
  assert origin['text_sha256'] == hashlib.sha256(lines.encode()).hexdigest()


def test_prose_is_prose():
  found = [s for d in prose.documents() for p in d.passages for s in p]
  assert len(found) > 4000 and len(set(map(str.lower, found))) == len(found)
  assert all(s[0].isupper() and s.endswith('.') and not set(s) & set('=_{}[]<>|\\`') for s in found)


def test_too_little_text_is_said(monkeypatch):
  few = prose.Document('x', (('One two three four five six.', 'Two is not one or three.'),))
  monkeypatch.setattr(prose, 'documents', lambda: (few,))
  task = dataclasses.replace(tasks.get('builtin_next_sentence'))
  builtin._splits.cache_clear()
  with pytest.raises(RequestError, match='give 0. Parts .* or use a task of GLUE with GLUE_DIR.$'):
    builtin.read(task, task.split('dev'))
  builtin._splits.cache_clear()


def test_a_python_without_its_texts_is_said(monkeypatch):
  monkeypatch.setitem(sys.modules, 'pydoc_data', None)
  with pytest.raises(RequestError, match='libpython3-stdlib.*a task of GLUE with GLUE_DIR.$'):
    list(prose._topics())
  monkeypatch.setattr(prose.sysconfig, 'get_paths', lambda: {'stdlib': '/nowhere'})
  with pytest.raises(RequestError, match='/nowhere has no .py files. Use a Python that has them'):
    list(prose._sources())
