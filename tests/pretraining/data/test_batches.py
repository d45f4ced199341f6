"""A batch is a function of (text, recipe, global batch size, step), however it is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.pretraining.data.batches import Batches
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from tests.pretraining.data import corpus_lab
from tests.pretraining.data.corpus_lab import CLS, MASK, SEP, digest, joined, same

SIZE, FIRST, COUNT = 12, 37, 8

KINDS = {
    'next_sentence': {}, 'words': {'whole_word': True},
    'sentence_order': {'pairs': 'sentence_order', 'whole_word': True}, 'single': {'pairs': None},
}
GOLDEN = {'next_sentence': 'e232a75f7d30e3fd', 'words': '7b5d8d48b07b6cc7',
          'sentence_order': 'fedc90e4fbeed90c', 'single': '4231ca91910d418b'}


class Own:
  """Ids without text: every third one continues a word. Special tokens stand at unusual places."""

  kind, asset_file, lower_case, vocab_size = 'numbers', None, False, 3_000

  def special_token_ids(self):
    return {'vocab_size': 3_000, 'padding_id': 1, 'start_of_sequence_id': CLS,
            'end_of_segment_id': SEP, 'mask_id': MASK}

  def starts_word(self):
    return np.arange(self.vocab_size) % 3 > 0


@pytest.fixture(scope='module')
def corpus():
  """All tokens are different, so that they are found again; one document is a single word."""
  text = corpus_lab.corpus()
  place = 10 + np.arange(len(text.tokens))
  alone = 3 * np.arange(4, 4 + text.token_splits[1])
  rest = np.setdiff1d(place, alone)[:len(place) - len(alone)]
  return TokenisedCorpus(np.concatenate([alone, rest]).astype(np.int32), text.sentence_splits,
                         text.document_splits, text.sources)


def make(corpus, size=SIZE, **values):
  return Batches(corpus, Own(), corpus_lab.recipe(**{'data_seed': 6, **values}), size)


def taken(dataset, count):
  return list(dataset.take(count).as_numpy_iterator())


@pytest.fixture(scope='module', params=KINDS)
def kind(request):
  return request.param


@pytest.fixture(scope='module')
def made(kind, corpus):
  """Batches of a kind, and the steps FIRST ... FIRST + COUNT - 1 of a run, one by one."""
  batches = make(corpus, **KINDS[kind])
  return batches, [batches.batch(step) for step in range(FIRST, FIRST + COUNT)]


def all_same(found, expected):
  return len(found) == len(expected) and all(same(a, b) for a, b in zip(found, expected))


def test_shapes_and_types(made, kind):
  batches, steps = made
  expected = {
      'input_word_ids': ((SIZE, 32), 'int32'), 'input_mask': ((SIZE, 32), 'int32'),
      'input_type_ids': ((SIZE, 32), 'int32'), 'masked_lm_positions': ((SIZE, 6), 'int32'),
      'masked_lm_ids': ((SIZE, 6), 'int32'), 'masked_lm_weights': ((SIZE, 6), 'float32'),
      'next_sentence_labels': ((SIZE, 1), 'int32'),
  }
  if kind == 'single':
    del expected['next_sentence_labels']
  assert {name: (values.shape, values.dtype.name) for name, values in steps[0].items()} == expected
  specs = batches._function(SIZE).get_concrete_function().structured_outputs
  assert {name: (tuple(s.shape), s.dtype.name) for name, s in specs.items()} == expected


def test_padding(made):
  for batch in made[1]:
    assert (batch['input_word_ids'][batch['input_mask'] == 0] == 1).all()  # Its id in Own.
    assert (batch['input_type_ids'][batch['input_mask'] == 0] == 0).all()


@pytest.mark.parametrize('kind', ['words'], indirect=True)
def test_a_resumed_run_and_threads_give_the_same_bytes(made, corpus, kind):
  batches, steps = made
  # From the first step on, through tf.data with threads.
  assert all_same(taken(batches.dataset(0), FIRST + COUNT)[FIRST:], steps)
  # Backwards.
  assert all_same([batches.batch(step) for step in range(FIRST + COUNT - 1, FIRST - 1, -1)],
                  steps[::-1])
  # From this step on, by a fresh object, which has planned no epoch before.
  assert all_same(taken(make(corpus, **KINDS[kind]).dataset(FIRST), COUNT), steps)


@pytest.mark.parametrize('kind', ['single'], indirect=True)
def test_workers_and_replicas_share_the_same_global_batch(made):
  batches, steps = made
  # Four replicas of one worker.
  parts = taken(batches.dataset(FIRST, per_replica=3), 4 * COUNT)
  assert all(part['input_mask'].shape == (3, 32) for part in parts)
  assert all_same([joined(parts[at:at + 4]) for at in range(0, 4 * COUNT, 4)], steps)
  # Workers of unequal shares: two replicas, and one.
  first, second, third = (
      taken(batches.dataset(FIRST, rows=rows, per_replica=3), (rows[1] - rows[0]) // 3 * COUNT)
      for rows in ((0, 6), (6, 9), (9, 12)))
  assert all_same([joined([*first[2 * at:2 * at + 2], second[at], third[at]])
                   for at in range(COUNT)], steps)
  # All rows of a worker as one element, as without replicas.
  assert all_same(taken(batches.dataset(FIRST, rows=(0, 12)), COUNT), steps)


@pytest.mark.parametrize('kind', ['single'], indirect=True)
def test_another_seed_or_size_gives_others(made, corpus, kind):
  _, steps = made
  other = make(corpus, **{**KINDS[kind], 'data_seed': 7}).batch(FIRST)
  assert not any(same(other, step) for step in steps)
  # Another text, and other masks: neither of the two is left as it was.
  assert (corpus_lab.original(steps[0]) != corpus_lab.original(other)).mean() > 0.5
  assert (steps[0]['masked_lm_positions'] != other['masked_lm_positions']).mean() > 0.5
  assert not same(steps[0], steps[1])
  larger = make(corpus, 2 * SIZE, **KINDS[kind]).batch(FIRST)
  assert not same({name: values[:SIZE] for name, values in larger.items()}, steps[0])


def test_the_batch_of_years_ago(made, kind):
  assert digest(made[0].batch(1_000)) == GOLDEN[kind]


@pytest.mark.parametrize('kind', ['single'], indirect=True)
def test_the_same_text_has_other_masks_each_time(made):
  batches, seen = made[0], {}
  for step in range(int(6 * batches.instances_per_epoch / SIZE)):
    batch = batches.batch(step)
    for text, chosen in zip(corpus_lab.original(batch), corpus_lab.selected(batch)):
      seen.setdefault(text.tobytes(), []).append(chosen.tobytes())
  twice = [masks for masks in seen.values() if len(masks) > 1]
  assert len(twice) > 40
  assert np.mean([len(set(masks)) == len(masks) for masks in twice]) > 0.9


@pytest.mark.parametrize('kind', ['next_sentence', 'sentence_order'], indirect=True)
def test_labels_say_which_pairs_are_random(made, corpus, kind):
  place = np.zeros(Own.vocab_size, int)
  place[corpus.tokens] = np.arange(len(corpus.tokens))
  labels = []
  for batch in made[1]:
    text, types = corpus_lab.original(batch), batch['input_type_ids']
    real = (batch['input_mask'] == 1) & ~np.isin(text, (CLS, SEP))
    for row in range(SIZE):
      a, b = (place[text[row][real[row] & (types[row] == segment)]] for segment in (0, 1))
      label = batch['next_sentence_labels'][row, 0]
      labels.append(label)
      for segment in (a, b):  # Text as it stands there.
        assert (np.diff(segment) == 1).all() and len(segment)
      document_a, document_b = corpus.document_of(np.array([a[0], b[0]]))
      if kind == 'next_sentence':
        assert (document_a != document_b) == label
      else:
        assert document_a == document_b and (a[0] > b[0]) == label
  assert 0.3 < np.mean(labels) < 0.7


@pytest.mark.parametrize('kind', ['words', 'sentence_order'], indirect=True)
def test_words_that_exceed_every_budget_do_no_harm(made, corpus):
  """The first document is one word: rows of it may have nothing to predict."""
  batches, _ = made
  rows = corpus_lab.joined([batches.batch(step) for step in range(30)])
  predicted = rows['masked_lm_weights'].sum(axis=1)
  assert predicted.min() == 0 and predicted.max() == 5
  text = corpus_lab.original(rows)[predicted == 0]
  inner = text[(text > MASK)]
  assert np.mean(inner % 3 == 0) > 0.8


def operations(graph):
  """Every op of a graph and of the functions it calls, with whether it has a state."""
  from tensorflow.python.framework import op_def_registry

  definition = graph.as_graph_def()
  nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
  found = {}
  for node in nodes:
    definition = op_def_registry.get(node.op)
    found[node.op] = bool(definition and definition.is_stateful)
  return found


STATELESS_RANDOM = 'StatelessRandomUniformFullIntV2'


def drawing(found):
  """Ops that draw, loop, or call Python with a state."""
  words = ('andom', 'huffle', 'Multinomial')
  # `If` is said to have a state because an Assert is in it, whose op is among those found too.
  harmless = ('Placeholder', 'Assert', 'If', 'StatefulPartitionedCall')
  return {op for op in found if any(word in op for word in words)} | {
      op for op, stateful in found.items() if stateful and op not in harmless}


@pytest.mark.parametrize('kind', ['words', 'single'], indirect=True)
def test_no_op_has_a_state(made):
  found = operations(made[0]._function(SIZE).get_concrete_function().graph)
  assert drawing(found) == {STATELESS_RANDOM}
  assert 'PyFuncStateless' in found and 'While' not in found


def test_state_would_be_seen():  # Control: tensorflow-text's own selector and chooser.
  @tf.function(input_signature=[tf.TensorSpec([2, None], tf.int32)])
  def stock(ids):
    return tf_text.mask_language_model(
        tf.RaggedTensor.from_tensor(ids), tf_text.RandomItemSelector(4, 0.15, [2, 3]),
        tf_text.MaskValuesChooser(100, MASK))[0].values

  found = drawing(operations(stock.get_concrete_function().graph))
  assert {'RandomShuffle', 'RandomUniform'} <= found


@pytest.mark.parametrize('kind', ['single'], indirect=True)
def test_the_tokens_are_not_in_the_graph_and_it_is_endless(made):
  batches, _ = made
  graph = batches._function(SIZE).get_concrete_function().graph
  assert any(capture is batches._tokens for capture, _ in graph.captures)
  far = batches.dataset(10**9)
  assert far.cardinality() == tf.data.INFINITE_CARDINALITY
  assert same(taken(far, 1)[0], batches.batch(10**9))


def test_rows_that_do_not_divide_are_defects(corpus):
  wrong = (((0, 13), None), ((6, 6), None), ((-1, 3), None), (None, 5), ((0, 6), 4))
  for rows, per_replica in wrong:
    with pytest.raises(ValueError, match='rows .* of 12 in parts of'):
      make(corpus).dataset(0, rows, per_replica)


def test_what_the_batches_depend_on(corpus):
  batches = make(corpus)
  described = batches.describe()
  assert json.loads(json.dumps(described)) == described
  assert described['corpus_sha256'] == corpus.sha256() and described['seed'] == 6
  assert described == make(corpus).describe()
  assert described != make(corpus, data_seed=5).describe()
  assert described != make(corpus, 24).describe()
  assert batches.tokens_per_epoch == len(corpus.tokens) == described['tokens']
  assert batches.instances_per_epoch == len(corpus.tokens) // 29
  assert batches.epochs(batches.instances_per_epoch * 3) == pytest.approx(3 * SIZE)


def test_requests_that_cannot_be_met(tiny_vocab, corpus):
  for size in (0, -1, 2.5, True, None):
    with pytest.raises(RequestError, match='a whole number of rows from 1, such as 256$'):
      make(corpus, size)
  with pytest.raises(RequestError, match='it is not the one that the text was tokenised with. .*'
                     'anew with gin/runs/prepare_pretraining_data.gin$'):
    Batches(corpus, tokenizers.wordpiece(tiny_vocab, True), corpus_lab.recipe(), 4)
  with pytest.raises(RequestError, match='or write pairs = None$'):
    make(corpus_lab.corpus(sentences=(1, 1)))


def test_instances_that_someone_else_made(tiny_vocab):
  tokenizer = tokenizers.wordpiece(tiny_vocab, True)
  cat, dog, the = (tokenizer.vocabulary.index(word) for word in ('cat', 'dog', 'the'))
  # Two rows of [CLS] a [SEP] b [SEP] [PAD] as TF-NLP's records have them, unmasked.
  tokens = np.array([CLS, cat, SEP, dog, the, SEP, 0, CLS, the, the, SEP, dog, SEP, 0], np.int32)
  rows = np.array([[1, 1, 3, 2, 1], [8, 2, 11, 1, 0]])
  recipe = corpus_lab.recipe(seq_length=7, max_predictions=1)
  batches = Batches.of_instances(tokens, rows, tokenizer, recipe, 2)
  assert batches.instances_per_epoch == 2
  orders = set()
  for step in range(12):
    batch = batches.batch(step)
    text = corpus_lab.original(batch).tolist()
    assert sorted(text) == sorted(tokens.reshape(2, 7).tolist())
    orders.add(text[0] == tokens[:7].tolist())
    types = {tuple(row): kinds for row, kinds in zip(text, batch['input_type_ids'].tolist())}
    assert types[tuple(tokens[:7])] == [0, 0, 0, 1, 1, 1, 0]
    labels = dict(zip(map(tuple, text), batch['next_sentence_labels'][:, 0].tolist()))
    assert labels == {tuple(tokens[:7]): 1, tuple(tokens[7:]): 0}
  assert orders == {True, False}
  assert same(taken(batches.dataset(7), 1)[0], batches.batch(7))
  assert not np.array_equal(batches.batch(0)['masked_lm_positions'],
                            batches.batch(1)['masked_lm_positions'])
  long = corpus_lab.recipe(seq_length=5, max_predictions=1)
  for values, fitting in ((rows, long), (rows * [1, 1, 1, 0, 1], recipe), (rows[:0], recipe)):
    with pytest.raises(ValueError, match='rows do not all have 1 to'):
      Batches.of_instances(tokens, values, tokenizer, fitting, 2)
  reversed_rows = Batches.of_instances(tokens, rows[::-1], tokenizer, recipe, 2)
  assert reversed_rows.describe() != batches.describe()
