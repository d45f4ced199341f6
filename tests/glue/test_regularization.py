"""An encoder's regularization losses in fine-tuning: dense where they reach the word embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import declared_losses
from nlp_export.glue.fine_tuning.adamw import AdamW
from nlp_export.glue.fine_tuning.batches import Batch
from nlp_export.glue.fine_tuning.classifier import Classifier
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.fine_tuning.trainer import Trainer
from tests.glue import fine_tuning_lab as lab

WORDS, KERNEL = 'word_embeddings/embeddings', 'transformer/layer_0/output/kernel'
RECIPE = Recipe(learning_rate=1e-2, batch_size=2, max_seq_length=8, weight_decay=0.0,
                head_dropout=0.0, pooling='mean')
TEXTS = lab.packed([[1, 3, 4, 2], [1, 3, 2]])  # Words 5 to 11 do not occur, and 0 is padding.
LABELS = np.array([0, 1], np.int32)
ABSENT = slice(5, None)


def l2(encoder, name, strength=0.5):
  variable = encoder.variables[name]
  return tf.function(lambda: strength * tf.reduce_sum(variable**2), input_signature=[])


def classifier_with(*names, recipe=RECIPE):
  encoder = lab.toy_encoder(rate=0.0)
  encoder.regularization_losses = [l2(encoder, name) for name in names]
  return Classifier(encoder, 2, False, recipe)


def trained(*names, recipe=RECIPE, steps=2):
  """Values after some steps of the trainer, start and the losses that it gave."""
  classifier = classifier_with(*names, recipe=recipe)
  trainer = Trainer(classifier, recipe)
  trainer.prepare(TEXTS, {4})
  trainer.reset(3, None)
  start = {name: v.numpy() for name, v in classifier.variables().items()}
  losses = [trainer.step(TEXTS, LABELS, Batch(np.arange(2), 4), step, 1e-2)[0]
            for step in range(steps)]
  trainer.finish([1e-2] * steps)
  return {name: v.numpy() for name, v in classifier.variables().items()}, start, losses


def by_hand(*names, steps=2):
  """The same by gradients of two tapes, and an AdamW that knows nothing of word embeddings."""
  classifier = classifier_with(*names)
  classifier.reset(3)
  variables = classifier.variables()
  optimizer = AdamW({name.replace('word_', ''): v for name, v in variables.items()}, RECIPE)
  optimizer.reset()
  inputs = {name: tf.constant(value) for name, value in TEXTS.padded(np.arange(2), 4).items()}
  for step in range(steps):
    with tf.GradientTape() as tape:
      loss = classifier.loss(classifier.logits(inputs, True), tf.constant(LABELS))
    gradients = tape.gradient(loss, list(variables.values()))
    # 0.5 * w^2 has the gradient w.
    given = [None if g is None else g + variable if name in names else g
             for g, (name, variable) in zip(
                 map(_dense, gradients), variables.items(), strict=True)]
    optimizer.apply(given, tf.constant(1e-2), [tf.constant(p) for p in optimizer.powers(step)])
  return {name: v.numpy() for name, v in variables.items()}


def _dense(gradient):
  return None if gradient is None else tf.convert_to_tensor(gradient)


@pytest.mark.parametrize('names', [(KERNEL,), (WORDS,), (WORDS, KERNEL)])
def test_the_gradient_is_that_of_task_and_weights(names):
  found, _, losses = trained(*names)
  expected = by_hand(*names)
  for name, values in found.items():
    np.testing.assert_allclose(values, expected[name], atol=2e-6, err_msg=name)
  plain, _, plain_losses = trained()  # Control: it is another one without.
  assert all(np.abs(found[name] - plain[name]).max() > 1e-3 for name in names)
  assert losses[0] == plain_losses[0]  # What is shown is the loss of the task.


def test_words_that_do_not_occur_are_regularized_too():
  """Their gradient is that of the weights alone, which the rows that occur would have left out."""
  found, start, _ = trained(WORDS)
  shrunk = np.abs(found[WORDS][ABSENT]) < np.abs(start[WORDS][ABSENT])
  assert shrunk.mean() > 0.95  # But for those that are next to 0 already.
  for names in ((), (KERNEL,)):  # Control.
    found, start, _ = trained(*names)
    assert found[WORDS][ABSENT].tobytes() == start[WORDS][ABSENT].tobytes()
    assert (found[WORDS][3:5] != start[WORDS][3:5]).all()


def test_without_any_not_a_bit_changes():
  plain, _, _ = trained()
  classifier = classifier_with()
  assert classifier.regularized(loss := tf.constant(1.0)) is loss
  assert classifier.regularized_names() == frozenset()
  frozen, start, _ = trained(WORDS, recipe=Recipe(
      **{**RECIPE.to_json(), 'pooling': 'mean', 'trainable_layers': 1}))
  assert frozen[WORDS].tobytes() == start[WORDS].tobytes()  # What does not train stays.
  again, _, _ = trained()
  assert all(again[name].tobytes() == plain[name].tobytes() for name in plain)


def test_what_losses_read_is_told_from_their_graphs():
  encoder = lab.toy_encoder()
  of_words, of_kernel = l2(encoder, WORDS), l2(encoder, KERNEL)
  assert declared_losses.names_read([of_words, of_kernel], encoder.variables) == {WORDS, KERNEL}
  assert declared_losses.names_read([], encoder.variables) == frozenset()
  # One whose graph nobody knows may read anything.
  assert declared_losses.names_read([lambda: tf.constant(0.0)], encoder.variables) == frozenset(
      encoder.variables)
  words = encoder.variables[WORDS]
  assert declared_losses.reading([of_words, of_kernel], [words]) == [of_words]
