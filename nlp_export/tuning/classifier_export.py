"""What is written of a fine-tuned classifier, and what must the SavedModel answer?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_export import files, names, reexporting
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.placing import Written
from nlp_export.reexporting import Tuning
from nlp_export.tuning.arm import LoadedArm
from nlp_export.tuning.examples import Loaded

if TYPE_CHECKING:
  from nlp_export.glue.examples import Examples
  from nlp_export.glue.fine_tuning.classifier import Classifier

LABELS_FILE = 'labels.txt'
_TEXTS = 192  # That are compared; the longest ones among them.
_BATCH = 32


def write(
    classifier: Classifier, arm: LoadedArm, data: Loaded, recipe: Recipe, tuning: Tuning,
    path: str, work: str, name: str,
) -> Written:
  """Writes a classifier's SavedModel.

  Args:
    classifier: trained.
    arm: whose encoder and preprocessing it is.
    data: that it was trained and scored on.
    recipe: of the training.
    tuning: for card and record.
    path: where to: a local directory, empty or not there yet.
    work: a directory for other files.
    name: what to call the encoder that it was made from.

  Returns:
    For `placing.place`.

  Raises:
    RequestError: `path` cannot be written.
  """
  from nlp_export import declared_losses
  from nlp_export.file_errors import explain_failures
  from nlp_export.saved_models import writing
  from nlp_export.saved_models.classifier import ClassifierSavedModel

  before = reexporting.record_of(arm.model)
  pads = _pads(before)
  reexporting.set_back_dropout(arm.root, arm.model)
  classifier.head_dropout.variable.assign([0, 0])
  labels_file = None
  if data.task.labels is not None:
    labels_file = os.path.join(work, LABELS_FILE)
    files.write_text(labels_file, ''.join(f'{label}\n' for label in data.task.labels))
  dev = data.splits[data.task.dev_splits[0]]
  texts, logits = _expected(classifier, dev, recipe, pads)
  saved = ClassifierSavedModel(
      classifier.logits, arm.preprocessor, segments=data.task.segments,
      max_seq_length=recipe.max_seq_length, label_names=data.task.labels, labels_file=labels_file,
      trainable_variables=list(classifier.variables().values()),
      other_variables=_other_variables(classifier, arm.root), pads=pads,
      # Also where this training went without them: they are the encoder's advice to any training.
      regularization_losses=declared_losses.of(arm.root, arm.model))
  with explain_failures('write', path):
    try:
      writing.write(saved, path)
    except AssertionError:
      # A stranger's function reads a table: a resource that lies in the loaded object alone.
      saved.encoder, saved.preprocessing = arm.root, arm.preprocessor
      writing.write(saved, path)
  return Written(
      path=path,
      provenance=_provenance(saved, arm, before, data, recipe, tuning, name),
      job=_job(saved, arm, before, data, recipe, path, work, texts, logits, pads))


def _pads(before: dict[str, Any]) -> bool:
  sequence = before.get('encoder', {}).get('sequence', {})
  return bool(sequence.get('inexact_padding')) and sequence.get('fixed_length') is None


def _other_variables(classifier: Classifier, root: Any) -> list[Any]:
  trained = {id(v) for v in classifier.variables().values()}
  others = [v for v in getattr(root, 'variables', ()) if id(v) not in trained
            and v is not getattr(root, names.DO_LOWER_CASE, None)]
  return [*others, classifier.head_dropout.variable]


def _expected(
    classifier: Classifier, dev: Examples, recipe: Recipe, pads: bool
) -> tuple[list[list[str]], np.ndarray]:
  """Texts of dev, and what the trained model says of them; tokenised outside of any graph."""
  import tensorflow as tf

  tokenised = classifier.encoder.tokenise(dev.texts, recipe.max_seq_length)
  longest = np.argsort(-tokenised.lengths, kind='stable')[:_TEXTS // 4]
  rows = np.unique(np.concatenate([longest, np.arange(len(dev))[:_TEXTS - len(longest)]]))
  specs = {name: tf.TensorSpec([None, None], tf.int32) for name in names.ENCODER_INPUTS}
  call = tf.function(lambda inputs: classifier.logits(inputs, training=False),
                     input_signature=[specs], autograph=False)
  found = []
  for start in range(0, len(rows), _BATCH):
    batch = rows[start:start + _BATCH]
    length = recipe.max_seq_length if pads else int(tokenised.lengths[batch].max())
    inputs = tokenised.padded(batch, length)
    found.append(call({name: tf.constant(value) for name, value in inputs.items()}).numpy())
  return [[texts[row] for row in rows] for texts in dev.texts], np.concatenate(found)


def _job(
    saved: Any, arm: LoadedArm, before: dict[str, Any], data: Loaded, recipe: Recipe, path: str,
    work: str, texts: list[list[str]], logits: np.ndarray, pads: bool,
) -> Any:
  from nlp_export import declared_losses
  from nlp_export.saved_models.verification import ClassifierExpectation, Job, reference

  place = os.path.join(work, f'{names.CLASSIFIER}.npz')
  flat = [text for of_segment in texts for text in of_segment]
  reference.save_text_vectors(place, flat, [[] for _ in flat], logits)
  ours = 'encoder' in before
  drops = before['encoder']['drops'] if ours else None
  expected = ClassifierExpectation(
      reference_file=place,
      trainable=tuple(reference.describe_variables(saved.trainable_variables)),
      dropout=True if recipe.head_dropout else drops,
      asset_sha256=_sources_of_assets(arm, work) if ours else None,
      segments=data.task.segments, labels=data.task.labels,
      max_seq_length=recipe.max_seq_length, pads=pads,
      regularization=tuple(float(loss()) for loss in declared_losses.reading(
          declared_losses.of(arm.root, arm.model), saved.trainable_variables)))
  paths = (work, os.path.abspath(arm.model)) if ours else ()
  return Job(path, names.CLASSIFIER, expected, build_paths=paths, movable=True, strangers=not ours)


def _sources_of_assets(arm: LoadedArm, work: str) -> dict[str, str]:
  """Base name -> SHA-256 of what its assets are copies of."""
  assets = files.join(arm.preprocessing, 'assets')
  sources = [files.join(assets, name) for name in (
      files.list_dir(assets) if files.is_dir(assets) else ())]
  labels = os.path.join(work, LABELS_FILE)
  return {files.basename(path): files.sha256(path)
          for path in (*sources, *([labels] if files.exists(labels) else []))}


def _provenance(
    saved: Any, arm: LoadedArm, before: dict[str, Any], data: Loaded, recipe: Recipe,
    tuning: Tuning, name: str,
) -> dict[str, Any]:
  from nlp_export.saved_models import provenance

  task = data.task
  return {
      'schema_version': provenance.SCHEMA_VERSION,
      'export_type': names.CLASSIFIER,
      'title': f'{"Regression" if task.is_regression else "Classifier"}: '
               f'{before.get("title", name)}, {tuning.what}',
      'made_by': provenance.versions(),
      'tuning': [*before.get('tuning', ()), reexporting.step_of(tuning, arm.model, name)],
      'classifier': {
          'task': task.name,
          'features': list(task.features),
          'labels': None if task.labels is None else list(task.labels),
          'value_range': None if task.value_range is None else list(task.value_range),
          'max_seq_length': recipe.max_seq_length,
          'pooling': recipe.pooling,
          'main_metric': tuning.scores[0].metric,
      },
      'encoder': before.get('encoder'),
      'checkpoint': before.get('checkpoint'),
      'tokenizer': before.get('tokenizer'),
      'variables': {'trainable': sum(
          v.shape.num_elements() for v in saved.trainable_variables)},
  }
