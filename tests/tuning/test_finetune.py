"""finetune.gin: an export fine-tuned on a user's file, exported as an encoder and a classifier."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlp_export import files
from tests.in_process import run_main, settings

RUN = 'gin/runs/finetune.gin'
_WORDS = ('the', 'a', 'of', 'and', 'dog', 'sat', 'on', 'mat', 'hello', 'world', 'bank')


def write_reviews(path: Path, count: int = 160) -> str:
  """Rows with a comma or not; half of the texts have a cat in them, and are labelled so."""
  rng = random.Random(0)
  with open(path, 'w', newline='') as f:
    rows = csv.writer(f)
    rows.writerow(['id', 'review', 'animal'])
    for i in range(count):
      words = [rng.choice(_WORDS) for _ in range(rng.randint(2, 6))]
      if i % 2:
        words[rng.randrange(len(words))] = 'cat'
      rows.writerow([i, ' '.join(words) + ', so' * (i % 7 == 0), ('none', 'a cat')[i % 2]])
  return str(path)


@pytest.fixture(scope='module')
def arguments(tmp_path_factory, uncased_exports):
  """The command, with an export that has a masked-LM head."""
  reviews = write_reviews(tmp_path_factory.mktemp('data') / 'reviews.csv')
  return [RUN, *settings(
      EXPORT=uncased_exports['model_with_mlm'], PREPROCESSING=uncased_exports['preprocessing'],
      TRAIN_FILE=reviews, TEXT_COLUMN='review', LABEL_COLUMN='animal', DEV_SHARE=0.25,
      LEARNING_RATE=2e-2, EPOCHS=8, POOLING='mean', MAX_SEQ_LENGTH=16)]


@pytest.fixture(scope='module')
def tuned(tmp_path_factory, arguments):
  """out_dir of a finished run, and what was on the screen."""
  out = tmp_path_factory.mktemp('tuned') / 'out'
  done = run_main(*arguments, '--out_dir', out)
  assert done.status == 0, done.output
  return out, done.output


def test_both_exports_are_verified_and_their_cards_have_the_score(tuned):
  out, screen = tuned
  cell = json.loads((out / 'run.json').read_text())['result']['cell']
  score = cell['metrics']['accuracy']
  assert score > 0.9  # It has learnt, so what follows is about a model that moved.
  assert f'reviews: accuracy {score:.4f}' in screen
  for kind in ('model_with_mlm', 'classifier'):
    place = out / 'exports' / 'reviews' / kind
    report = json.loads((place / 'assets.extra' / 'verification.json').read_text())
    assert report['passed']
    card = (place / 'README.md').read_text()
    assert f'accuracy {score:.4f} on 25 % of reviews.csv, kept out, 40 examples.' in card
    assert 'fine-tuned on reviews' in card
    assert 'Data: reviews.csv, SHA-256 `' in card
    assert 'Always saying the most frequent label scores accuracy 0.5000.' in card
    assert str(out) not in card
  place = out / 'exports/reviews'
  restored = json.loads((place / 'model_with_mlm/assets.extra/restore.json').read_text())
  assert restored['tuned_since'] == ['fine-tuned on reviews']
  assert not (place / 'classifier/assets.extra/restore.json').exists()
  assert not (out / 'trained').exists()
  assert not (out / 'glue' / 'work').exists()


def test_the_classifier_says_what_the_training_predicted(tuned):
  import tensorflow as tf
  import tensorflow_text  # noqa: F401  Registers the ops of preprocessing.

  from nlp_export.glue import prediction_files

  out, _ = tuned
  loaded = tf.saved_model.load(str(out / 'exports' / 'reviews' / 'classifier'))
  (place,) = (out / 'glue' / 'predictions').rglob('*.npz')
  predicted = prediction_files.read(str(place))['dev']
  with open(_reviews_of(out)) as f:
    texts = [row['review'] for row in csv.DictReader(f)]
  found = loaded(tf.constant([texts[i] for i in predicted.ids]))
  np.testing.assert_allclose(found['logits'], predicted.outputs, atol=1e-5)
  assert loaded.label_names().numpy().tolist() == [b'a cat', b'none']
  assert np.argmax(loaded(tf.constant(['hello cat']))['probabilities']) == 0
  assert np.argmax(loaded(tf.constant(['hello dog']))['probabilities']) == 1


def _reviews_of(out: Path) -> str:
  inputs = json.loads((out / 'run.json').read_text())['inputs']
  return next(path for path in inputs if path.endswith('reviews.csv'))


def test_encoder_and_classifier_hold_the_same_trained_encoder(tuned, uncased_exports):
  import tensorflow as tf

  out, _ = tuned
  place = out / 'exports' / 'reviews'
  encoder = tf.saved_model.load(str(place / 'model_with_mlm'))
  classifier = tf.saved_model.load(str(place / 'classifier'))
  source = tf.saved_model.load(uncased_exports['model_with_mlm'])
  mine = {v.name: v.numpy() for v in classifier.variables}
  for variable, before in zip(
      encoder.trainable_variables, source.trainable_variables, strict=True):
    np.testing.assert_array_equal(variable, mine[variable.name])
    if 'pooler' not in variable.name:  # POOLING is 'mean': nothing reaches the pooler.
      assert not np.array_equal(variable, before)
  names = [v.name for v in classifier.trainable_variables]
  assert 'head/kernel:0' in names
  assert not any('pooler' in name for name in names)


def test_the_same_command_again_says_done(tuned, arguments):
  out, _ = tuned
  before = files.sha256(str(out / 'exports'))
  done = run_main(*arguments, '--out_dir', out)
  assert done.status == 0
  assert 'holds this run already' in done.output
  assert files.sha256(str(out / 'exports')) == before


def test_trained_values_are_gone_on_from_and_others_refused(tuned, arguments, tmp_path):
  """As after a kill between the training and the exports: nothing is trained again."""
  from nlp_export.errors import RequestError
  from nlp_export.glue.cells import Cell
  from nlp_export.tuning.trained import Trained

  class Values:
    def __init__(self, *values):
      import tensorflow as tf

      self._variables = {str(i): tf.Variable(value) for i, value in enumerate(values)}

    def variables(self):
      return self._variables

  cell = Cell('reviews', 'export', 'keep', 0)
  kept = Trained(str(tmp_path), cell)
  assert not kept.exists()
  kept.write(Values([1.0, 2.0], [3.0]))
  other = Values([0.0, 0.0], [0.0])
  kept.read_into(other)
  assert [v.numpy().tolist() for v in other.variables().values()] == [[1.0, 2.0], [3.0]]
  for values in (Values([0.0, 0.0]), Values([0.0], [0.0])):
    with pytest.raises(RequestError, match='--out_dir to train anew$'):
      kept.read_into(values)
  with pytest.raises(RequestError, match='it is of another training'):
    (path,) = (tmp_path / 'trained').iterdir()
    other_cell = Trained(str(tmp_path), Cell('reviews', 'export', 'keep', 0, recipe={'x': 1}))
    assert other_cell.exists()
    other_cell.read_into(other)
  path.write_bytes(path.read_bytes()[:-20])
  with pytest.raises(RequestError, match='--out_dir to train anew$'):
    kept.read_into(other)
  kept.remove()
  assert not (tmp_path / 'trained').exists()


@pytest.mark.parametrize(('changed', 'says'), [
    ({'TRAIN_FILE': 'nothing.csv'}, 'as TRAIN_FILE or DEV_FILE'),
    ({'TASK': 'rte'}, 'it is trained on one of the two. Leave the other out'),
    ({'LABEL_COLUMN': 'stars'}, "no column 'stars'"),
    ({'SEED': -1}, 'Seeds are 0, 1, 2 ...'),
    ({'LABELS': 'letters'}, 'letters'),
])
def test_a_wrong_request_is_refused_before_any_work(arguments, tmp_path, changed, says):
  done = run_main(*arguments, *settings(**changed), '--out_dir', tmp_path / 'out', '--dry_run')
  assert done.status == 2, done.output
  assert says in done.output


def test_a_name_for_a_task_of_glue_is_refused(uncased_exports, tmp_path):
  done = run_main(RUN, *settings(
      EXPORT=uncased_exports['model'], PREPROCESSING=uncased_exports['preprocessing'],
      TASK='builtin_word_order', NAME='mine'), '--out_dir', tmp_path / 'out', '--dry_run')
  assert done.status == 2
  assert 'Leave NAME out' in done.output


@pytest.mark.parametrize(('changed', 'says'), [
    ({'MAX_SEQ_LENGTH': 257}, 'Write --set MAX_SEQ_LENGTH=256'),
    ({'EXPORT': 'preprocessing'}, 'such as exports/keep/model.'),
    ({'PREPROCESSING': 'cased'}, 'Give the preprocessing that was exported with it'),
    ({'recipe.trainable_layers': 3}, 'Lower trainable_layers'),
])
def test_what_does_not_fit_the_export_is_refused_before_training(
    arguments, uncased_exports, cased_exports, tmp_path, changed, says):
  if 'EXPORT' in changed:
    changed = {'EXPORT': uncased_exports['preprocessing']}
  if 'PREPROCESSING' in changed:
    changed = {'PREPROCESSING': cased_exports['preprocessing']}
  done = run_main(*arguments, *settings(**changed), '--out_dir', tmp_path / 'out')
  assert done.status == 2, done.output
  assert says in done.output
  assert not (tmp_path / 'out' / 'exports').exists()
  assert not (tmp_path / 'out' / 'glue').exists()


@pytest.mark.extra
def test_a_removed_export_is_made_again_from_the_same_training(tuned, arguments, tmp_path):
  """Training again gives the same values to the last bit, beside an encoder that stayed."""
  out, _ = tuned
  again = tmp_path / 'out'
  shutil.copytree(out, again)
  shutil.rmtree(again / 'exports' / 'reviews' / 'classifier')
  done = run_main(*arguments, '--out_dir', again)
  assert done.status == 0, done.output
  assert 'model_with_mlm: done before' in done.output
  # Not saved_model.pb: TensorFlow numbers the functions of a process, and this is one process.
  for part in ('variables', 'assets', 'README.md'):
    place = f'exports/reviews/classifier/{part}'
    assert files.sha256(str(again / place)) == files.sha256(str(out / place)), part


@pytest.mark.extra
def test_verify_knows_both(tuned, tmp_path):
  out, _ = tuned
  for kind in ('model_with_mlm', 'classifier'):
    done = run_main('gin/runs/verify.gin', *settings(EXPORT=out / 'exports' / 'reviews' / kind),
                    '--out_dir', tmp_path / kind)
    assert done.status == 0, done.output


@pytest.mark.extra
def test_the_classifier_as_a_frozen_graph(tuned, tmp_path):
  """As "Fine-tuning BERT with Keras and tf.Module" ends: a file that needs no code of ours."""
  import tensorflow as tf

  out, _ = tuned
  classifier = str(out / 'exports' / 'reviews' / 'classifier')
  done = run_main('gin/runs/forms.gin', *settings(
      EXPORT=classifier, FORMS='(@forms.frozen_graph,)', MAX_SEQ_LENGTH=16),
      '--out_dir', tmp_path / 'forms')
  assert done.status == 0, done.output
  graph = tf.compat.v1.GraphDef.FromString(
      (tmp_path / 'forms/forms/frozen_graph/frozen_graph.pb').read_bytes())
  loaded = tf.saved_model.load(classifier)
  rows = {name: value.numpy() for name, value in loaded.encoder_inputs(
      tf.constant(['hello cat', 'the dog sat'])).items()}
  with tf.Graph().as_default() as imported, tf.compat.v1.Session(graph=imported) as session:
    tf.graph_util.import_graph_def(graph, name='')
    logits = session.run('logits:0', {f'{name}:0': value for name, value in rows.items()})
  np.testing.assert_allclose(logits, loaded(tf.constant(['hello cat', 'the dog sat']))['logits'],
                             atol=1e-5)
  assert abs(logits[0] - logits[1]).max() > 1e-2  # Control: it tells the two apart.


@pytest.mark.extra
def test_real_weights_on_a_task_of_glue(run_py, minilm_dir, glue_dir, tmp_path):
  """MiniLM on RTE, two steps: a pair of texts, official files, all checks."""
  done = run_py('gin/runs/export.gin', *settings(CHECKPOINT=minilm_dir),
                '--out_dir', tmp_path / 'export')
  assert done.status == 0, done.output
  exports = tmp_path / 'export' / 'exports'
  done = run_py(RUN, *settings(
      EXPORT=exports / 'keep' / 'model', PREPROCESSING=exports / 'preprocessing', TASK='rte',
      GLUE_DIR=glue_dir, MAX_SEQ_LENGTH=64), '--set=EPOCHS=None',
      '--set=recipe.steps=2', '--out_dir', tmp_path / 'out', timeout=500)
  assert done.status == 0, done.output
  card = (tmp_path / 'out' / 'exports' / 'rte' / 'classifier' / 'README.md').read_text()
  assert '- **Classes:** 0 = entailment, 1 = not_entailment.' in card
  assert 'on dev, 277 examples' in card
