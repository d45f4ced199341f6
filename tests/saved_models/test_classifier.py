"""The SavedModel of a classifier, and its checks: each fault is seen by its checks alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_export import names, tokenizers
from nlp_export.saved_models.verification import ClassifierExpectation, Job, reference
from nlp_export.saved_models.verification import report as reports

TEXTS = ('the cat sat on the mat', 'Hello world', '', 'a dog of the world and a bank', 'cats, so!')
LENGTH = 8

# What is wrong -> the checks that must see it. All others must not.
FAULTS = {
    'perturbed_head': {'classifier.weights', 'classifier.equals_trained'},
    'longer_texts': {'classifier.equals_trained', 'classifier.classify_tokens'},
    'padding_seen': {'classifier.equals_trained', 'classifier.batch'},
    'labels_turned': {'classifier.labels'},
    'other_labels_file': {'classifier.labels', 'files.assets'},
    'no_dropout': {'classifier.dropout'},
    'sigmoid': {'classifier.probabilities'},
    'no_tokens': {'classifier.signatures'},
    'wrong_tokens': {'classifier.signatures'},
    'stopped_gradient': {'classifier.gradients'},
    'left_out': {'classifier.trainable'},
    'no_regularization': {'classifier.regularization_losses'},
    'doubled_regularization': {'classifier.regularization_losses'},
    'regularization_of_a_text': {'classifier.regularization_losses'},
}


@pytest.fixture(scope='module', autouse=True)
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for models as small as these."""
  import tensorflow as tf

  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


class Tiny:
  """A bag of words with a head, between the preprocessing and the classes."""

  def __init__(self, preprocessor: Any, segments: int = 1,
               labels: tuple[str, ...] | None = ('no', 'yes'), bad: str = ''):
    import tensorflow as tf

    from nlp_export.dropout import DropoutState

    rng = np.random.default_rng(0)
    self.preprocessor = preprocessor
    self.segments, self.labels, self.bad = segments, labels, bad
    self.state = DropoutState()
    outputs = len(labels) if labels else 1
    self.table = tf.Variable(rng.normal(size=(105, 6)), dtype=tf.float32,
                             name='word_embeddings/embeddings')
    self.kernel = tf.Variable(rng.normal(size=(6, outputs)), dtype=tf.float32, name='head/kernel')
    self.unread = tf.Variable(np.ones(3), dtype=tf.float32, name='pooler_transform/bias')
    self.losses = [
        tf.function(lambda: 0.5 * tf.reduce_sum(self.unread**2), input_signature=[]),
        tf.function(lambda: 0.25 * tf.reduce_sum(self.table**2), input_signature=[])]

  def logits(self, inputs: dict[str, Any], training: bool) -> Any:
    import tensorflow as tf

    table = tf.stop_gradient(self.table) if self.bad == 'stopped_gradient' else self.table
    words = tf.gather(table, inputs[names.INPUT_WORD_IDS])
    words *= tf.cast(1 + inputs[names.INPUT_TYPE_IDS], tf.float32)[:, :, None]
    mask = tf.cast(inputs[names.INPUT_MASK], tf.float32)[:, :, None]
    if self.bad == 'padding_seen':
      mask = tf.ones_like(mask)
    vector = tf.reduce_sum(words * mask, 1) / tf.reduce_sum(mask, 1)
    if training and self.bad != 'no_dropout':
      with self.state.training_call(inputs):
        vector = self.state.dropout(vector, 0.5)
    return tf.matmul(vector, self.kernel)

  def texts(self) -> list[list[str]]:
    return [list(TEXTS), list(TEXTS[::-1])][:self.segments]

  def expected(self) -> np.ndarray:
    """The logits of each text alone."""
    import tensorflow as tf

    rows = []
    for texts in zip(*self.texts(), strict=True):
      tokens = [self.preprocessor.tokenize(tf.constant([text])) for text in texts]
      rows.append(self.logits(self.preprocessor.bert_pack_inputs(tokens, LENGTH), False))
    return np.concatenate(rows)

  def save(self, directory: Path) -> tuple[str, ClassifierExpectation]:
    """Writes it, with its fault, and what was to be expected without."""
    from nlp_export import files
    from nlp_export.saved_models import classifier, writing

    bad, self.bad = self.bad, ''
    logits = self.expected()
    self.bad = bad
    labels_file = directory / 'labels.txt'
    labels_file.write_text(''.join(f'{label}\n' for label in self.labels or ()))
    flat = [text for texts in self.texts() for text in texts]
    reference.save_text_vectors(str(directory / 'told.npz'), flat, [[] for _ in flat], logits)
    given = self.labels and (self.labels[::-1] if bad == 'labels_turned' else self.labels)
    told = ClassifierExpectation(
        reference_file=str(directory / 'told.npz'),
        trainable=tuple(reference.describe_variables([self.table, self.kernel])), dropout=True,
        segments=self.segments, labels=self.labels, max_seq_length=LENGTH,
        regularization=(0.25 * float(np.sum(np.square(self.table))),))
    if bad == 'perturbed_head':
      self.kernel.assign_add(np.full(self.kernel.shape, 0.01) * [[1, -1]])
    if bad == 'other_labels_file':
      labels_file.write_text('yes\nno\nmaybe\n')
    saved = classifier.ClassifierSavedModel(
        self.logits, self.preprocessor, segments=self.segments,
        max_seq_length=LENGTH + 1 if bad == 'longer_texts' else LENGTH, label_names=given,
        labels_file=str(labels_file) if self.labels else None,
        trainable_variables=[self.table, self.kernel, self.unread],
        other_variables=[self.state.variable], regularization_losses=self.losses)
    self.saved = saved
    path = str(directory / 'model')
    if bad == 'labels_turned':
      labels_file.write_text(''.join(f'{label}\n' for label in given))
    spoil(saved, bad)
    writing.write(saved, path)
    assets = {name: files.sha256(f'{path}/assets/{name}') for name in files.list_dir(
        f'{path}/assets')}
    if bad == 'other_labels_file':
      assets['labels.txt'] = '0' * 64
    return path, dataclasses.replace(told, asset_sha256=assets)


def spoil(saved: Any, bad: str) -> None:
  """Faults of what lies around the logits."""
  import tensorflow as tf

  if bad == 'left_out':
    saved.variables = saved.variables[1:]
  if bad == 'no_regularization':
    saved.regularization_losses = []
  if bad == 'doubled_regularization':
    once, = saved.regularization_losses
    saved.regularization_losses = [tf.function(lambda: 2.0 * once(), input_signature=[])]
  if bad == 'regularization_of_a_text':
    saved.regularization_losses = [tf.function(
        lambda text: tf.cast(tf.size(text), tf.float32),
        input_signature=[tf.TensorSpec([None], tf.string)])]
  signatures = dict(saved.serving_signatures())
  if bad == 'no_tokens':
    del signatures[names.TOKENS]
  if bad == 'wrong_tokens':
    right = signatures[names.TOKENS]

    @tf.function(input_signature=right.input_signature, autograph=False)
    def tokens(input_word_ids, input_mask, input_type_ids):
      found = right(input_word_ids, input_mask, input_type_ids)
      return {name: value + 0.01 for name, value in found.items()}

    signatures[names.TOKENS] = tokens
  saved.__dict__['serving_signatures'] = lambda: signatures


def check(path: str, told: Any, elsewhere: Path, wanted: str = '') -> reports.VerificationReport:
  """All checks, in this process, on a copy at another place."""
  from nlp_export.saved_models.verification import checking

  shutil.copytree(path, elsewhere)
  subject = checking.load(Job(path, 'x', told), str(elsewhere))
  known = {} if wanted else {'files.resaved': reports.CheckResult(
      'files.resaved', (), 'REF', '', reports.PASSED)}
  return checking.run_checks(subject, known)


@pytest.fixture(scope='module')
def preprocessor(tiny_vocab):
  from nlp_export.saved_models import preprocessing

  tokenizer = tokenizers.wordpiece(tiny_vocab, lower_case=True)
  assert tokenizer.vocab_size == 105
  return preprocessing.build(tokenizer, default_seq_length=LENGTH)


def make(preprocessor: Any, directory: Path, wanted: str = '', **options: Any) -> Any:
  tiny = Tiny(preprocessor, **options)
  path, told = tiny.save(directory)
  return tiny, path, check(path, told, directory / 'moved', wanted)


RIGHT = {'single': {}, 'pair': {'segments': 2, 'labels': ('a', 'b c', 'd')},
         'regression': {'labels': None}}


@pytest.fixture(scope='module')
def right(preprocessor, tmp_path_factory):
  """For each kind the parts, the path and the report of one without a fault."""
  return {kind: make(preprocessor, tmp_path_factory.mktemp(kind), 'files.resaved', **options)
          for kind, options in RIGHT.items()}


@pytest.mark.conformance(124, 131)
@pytest.mark.parametrize('kind', RIGHT)
def test_a_right_one_passes_every_check(right, kind):
  _, _, report = right[kind]
  assert report.kind == 'classifier'
  assert not report.failed, '\n'.join(report.lines())
  left = {c.name for c in report.checks if c.status != reports.PASSED}
  assert left == ({'classifier.labels'} if kind == 'regression' else set())


@pytest.mark.conformance(125, 127, 128, 129, 130, 132, 133, 134, 135)
@pytest.mark.parametrize('bad', [bad for bad in FAULTS if bad != 'sigmoid'])
def test_each_fault_is_seen_by_its_checks_alone(preprocessor, tmp_path, bad):
  _, _, report = make(preprocessor, tmp_path, bad=bad)
  assert {c.name for c in report.failed} == FAULTS[bad], '\n'.join(report.lines())


@pytest.mark.conformance(126)
def test_probabilities_that_are_none_are_seen(preprocessor, tmp_path, monkeypatch):
  import tensorflow as tf

  monkeypatch.setattr(tf.nn, 'softmax', tf.sigmoid)
  _, _, report = make(preprocessor, tmp_path, bad='sigmoid')
  assert {c.name for c in report.failed} == FAULTS['sigmoid']


def test_it_answers_by_name_and_lists_its_labels(right):
  import tensorflow as tf

  tiny, path, _ = right['single']
  loaded = tf.saved_model.load(path)
  found = loaded(tf.constant(TEXTS))
  np.testing.assert_allclose(found['logits'], tiny.expected(), atol=1e-6)
  np.testing.assert_allclose(np.sum(found['probabilities'], 1), 1, atol=1e-6)
  served = loaded.signatures['serving_default'](text=tf.constant(TEXTS))
  assert set(served) == {'logits', 'probabilities'}
  assert loaded.label_names().numpy().tolist() == [b'no', b'yes']
  with open(loaded.labels.asset_path.numpy()) as f:
    assert f.read() == 'no\nyes\n'
  # What the head does not read is not trained with it, and is still there.
  assert [v.name for v in loaded.trainable_variables] == [tiny.table.name, tiny.kernel.name]
  assert tiny.unread.name in [v.name for v in loaded.variables]
  loss, = loaded.regularization_losses  # Nor does its regularizer count.
  assert float(loss()) == pytest.approx(0.25 * np.sum(np.square(tiny.table)))
  table = loaded.trainable_variables[0]
  with tf.GradientTape() as tape:
    value = loss()
  np.testing.assert_allclose(tape.gradient(value, table), 0.5 * tiny.table, rtol=1e-5)
  for texts, length in ((['cat'], 3), (['cat', 'the cat sat'], 5), (['a ' * 20], LENGTH)):
    assert loaded.encoder_inputs(tf.constant(texts))['input_mask'].shape == (len(texts), length)


def test_a_pair_is_two_texts_in_their_order(right):
  import tensorflow as tf

  tiny, path, _ = right['pair']
  loaded = tf.saved_model.load(path)
  first, second = map(tf.constant, tiny.texts())
  np.testing.assert_allclose(loaded(first, second)['logits'], tiny.expected(), atol=1e-6)
  served = loaded.signatures['serving_default'](text=first, second_text=second)
  np.testing.assert_allclose(served['logits'], tiny.expected(), atol=1e-6)
  turned = loaded(second, first)['logits']
  assert np.abs(turned - tiny.expected()).max() > 1e-3  # Control.
