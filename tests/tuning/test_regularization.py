"""finetune.gin on an export with weight regularizers, as TF Hub's interface wants one trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.in_process import run_main, settings
from tests.tuning.test_finetune import RUN, write_reviews

pytestmark = pytest.mark.extra

STRENGTH = 0.05
WORDS, POOLER = 'word_embeddings/embeddings:0', 'pooler_transform/kernel:0'


def regularized(source: str, path: Path, *endings: str) -> str:
  """An export of ours with L2 on the variables of these names, as a re-export of it has them."""
  import tensorflow as tf

  root = tf.saved_model.load(source)

  def l2(ending):
    variable, = (v for v in root.trainable_variables if v.name.endswith(ending))
    return tf.function(lambda: STRENGTH * tf.reduce_sum(variable**2), input_signature=[])

  root.regularization_losses = [l2(ending) for ending in endings]
  tf.saved_model.save(root, str(path), signatures=dict(root.signatures))
  shutil.copytree(Path(source) / 'assets.extra', path / 'assets.extra')
  return str(path)


@pytest.fixture(scope='module')
def runs(tmp_path_factory, uncased_exports):
  """A function from an export and settings to out_dir of a finished run."""
  reviews = write_reviews(tmp_path_factory.mktemp('data') / 'reviews.csv', 64)

  def run(export: str, **others: object) -> Path:
    out = tmp_path_factory.mktemp('tuned') / 'out'
    done = run_main(RUN, *settings(
        EXPORT=export, PREPROCESSING=uncased_exports['preprocessing'], TRAIN_FILE=reviews,
        TEXT_COLUMN='review', LABEL_COLUMN='animal', DEV_SHARE=0.25, LEARNING_RATE=1e-2, EPOCHS=2,
        POOLING='mean', MAX_SEQ_LENGTH=16, **{'recipe.weight_decay': 0.0, **others}),
        '--out_dir', out)
    assert done.status == 0, done.output
    return out / 'exports' / 'reviews'

  return run


@pytest.fixture(scope='module')
def with_l2(tmp_path_factory, uncased_exports):
  return regularized(uncased_exports['model'], tmp_path_factory.mktemp('l2') / 'export',
                     WORDS, POOLER)


@pytest.fixture(scope='module')
def added(runs, with_l2):
  return runs(with_l2)


@pytest.fixture(scope='module')
def left_out(runs, with_l2):
  return runs(with_l2, REGULARIZATION_LOSSES=False)


def loaded(path):
  import tensorflow as tf
  import tensorflow_text  # noqa: F401  Registers the ops of preprocessing.

  return tf.saved_model.load(str(path))


def values(path) -> dict[str, np.ndarray]:
  return {v.name: v.numpy() for v in loaded(path).trainable_variables}


def still_words(reference: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> np.ndarray:
  """Rows of words that are in no text: a training without regularization leaves them alone."""
  rows = (reference[WORDS] == before[WORDS]).all(axis=1)
  assert rows.sum() > 20
  return rows


def test_they_move_the_weights(added, with_l2):
  before, found = values(with_l2), values(added / 'model')
  shares = {name: np.sum(np.square(found[name])) / np.sum(np.square(before[name]))
            for name in (WORDS, POOLER)}  # The task does not reach the pooler: POOLING is 'mean'.
  assert max(shares.values()) < 0.9
  moved = (found[WORDS] != before[WORDS]).all(axis=1)
  assert moved.mean() > 0.95  # Words that are in no text shrink, too.


def test_without_them_a_training_is_that_of_an_export_that_has_none(
    added, left_out, runs, with_l2, uncased_exports):
  """The control of the test above, bit by bit."""
  before, found, without = map(values, (with_l2, added / 'model', left_out / 'model'))
  plain = values(runs(uncased_exports['model']) / 'model')
  assert all(without[name].tobytes() == plain[name].tobytes() for name in plain)
  assert (without[POOLER] == before[POOLER]).all()
  rows = still_words(without, before)
  assert (found[WORDS][rows] != before[WORDS][rows]).mean() > 0.9


def test_the_card_says_that_they_were_added(added):
  total = STRENGTH * sum(np.sum(np.square(v)) for name, v in values(added / 'model').items()
                         if name in (WORDS, POOLER))
  for kind in ('model', 'classifier'):
    card = (added / kind / 'README.md').read_text()
    assert ("The export's 2 regularization_losses were added to the loss of every batch; with the "
            f'trained weights they come to {total:.4g}.') in card
    assert 'rows of words that are not in the training texts have moved too.' in card
  record = json.loads((added / 'model/assets.extra/provenance.json').read_text())
  assert record['tuning'][-1]['settings']['regularization_losses'] is True


def test_the_card_says_that_they_were_left_out(left_out):
  for kind in ('model', 'classifier'):
    card = (left_out / kind / 'README.md').read_text()
    assert "The export's regularization_losses were not added to the loss." in card
    assert 'were added' not in card and 'have moved too' not in card


@pytest.mark.conformance(135)
@pytest.mark.parametrize('case', [
    'added', 'left_out'])
def test_both_exports_declare_them_for_who_trains_them_further(case, request):
  place = request.getfixturevalue(case)
  encoder, classifier = loaded(place / 'model'), loaded(place / 'classifier')
  of_words, of_pooler = (float(loss()) for loss in encoder.regularization_losses)
  assert of_words == pytest.approx(STRENGTH * np.sum(np.square(values(place / 'model')[WORDS])))
  assert of_pooler > 0
  # The head reads no pooler, so that is not trained with the classifier, nor regularized.
  loss, = classifier.regularization_losses
  assert float(loss()) == pytest.approx(of_words)
  words, = (v for v in classifier.trainable_variables if v.name == WORDS)
  words.assign(2 * words)
  assert float(loss()) == pytest.approx(4 * of_words)  # Its own variables, not copies.
  report = json.loads((place / 'classifier/assets.extra/verification.json').read_text())
  check, = (c for c in report['checks'] if c['name'] == 'classifier.regularization_losses')
  assert check['status'] == 'passed'


def test_a_layer_of_tensorflow_hub_adds_the_classifier_s(added):
  import tensorflow_hub as hub

  layer = hub.KerasLayer(str(added / 'classifier'), trainable=True, output_key='logits')
  loss, = layer.losses
  classifier = loaded(added / 'classifier')
  assert float(loss) == pytest.approx(float(classifier.regularization_losses[0]()))
  layer.trainable = False  # Control.
  assert [float(loss) for loss in layer.losses] == [0.0]


def test_losses_that_are_no_functions_are_refused():
  import tensorflow as tf

  from nlp_export import declared_losses
  from nlp_export.errors import RequestError

  root = tf.Module()
  assert declared_losses.of(root, 'x') == []  # Control.
  root.regularization_losses = [tf.constant(1.0)]
  with pytest.raises(RequestError, match='on it for what else is wrong$'):
    declared_losses.of(root, 'x')
