"""Does a classifier answer as it was trained, whatever the batch, and name its classes?"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification import encoder_variable_checks
from nlp_export.saved_models.verification.classifier_subject import ClassifierSubject
from nlp_export.saved_models.verification.encoder_value_checks import difference_to
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  NotRun,
  Passed,
  Scope,
  check,
)
from nlp_export.saved_models.verification.subject import (
  TOLERANCE,
  as_numpy,
  as_tensors,
  first_line,
  max_difference,
)
from nlp_export.saved_models.verification.traces import training_values

_CLASSIFIER = (Kind.CLASSIFIER,)
_VARIABLES = Scope.VARIABLES


@check('classifier.call', 124, level=Level.MUST, kinds=_CLASSIFIER)
def call(subject: ClassifierSubject) -> Passed:
  """Texts, none at all or empty ones, give float32 logits and probabilities, or a value."""
  regression = names.VALUE in subject.answers
  for texts in ([b'A text.'], [b'', b'A text.'], []):
    try:
      found = subject.call([texts] * subject.segments)
    except Exception as error:
      raise Failed(f'the call with {len(texts)} texts failed: {first_line(error)}') from error
    wanted: dict[str, tuple[int, ...]] = {names.LOGITS: (len(texts), subject.outputs)}
    if regression:
      wanted[names.VALUE] = (len(texts),)
    else:
      wanted[names.PROBABILITIES] = wanted[names.LOGITS]
    if set(found) != set(wanted):
      raise Failed(f'it returns {sorted(found)}, not {sorted(wanted)}')
    for name, shape in wanted.items():
      if found[name].dtype != np.float32 or found[name].shape != shape:
        raise Failed(f'{name} of {len(texts)} texts is {found[name].dtype.name} '
                     f'{list(found[name].shape)}, not float32 {list(shape)}')
  told = subject.told.segments
  if told is not None and told != subject.segments:
    raise Failed(f'it takes {subject.segments} texts an example; it was trained on {told}')
  return Passed(subject.outputs)


@check('classifier.equals_trained', 125, level=Level.REF, kinds=_CLASSIFIER, scope=_VARIABLES)
def equals_trained(subject: ClassifierSubject) -> Passed:
  """On texts that it was scored on, its logits equal those of the model as it was trained."""
  segments, expected = subject.known
  found = subject.logits
  if found.shape != expected.shape:
    raise Failed(f'the logits are {list(found.shape)}, those of the trained model '
                 f'{list(expected.shape)}')
  each = [difference_to(a, b) for a, b in zip(expected, found, strict=True)]
  worst = int(np.argmax(each))
  if not each[worst] <= TOLERANCE:
    text = segments[0][worst].decode('utf-8', 'replace')[:40]
    raise Failed(f'{text!r}: max difference {each[worst]:.2g} from the trained model; '
                 f'{sum(not d <= TOLERANCE for d in each)} of {len(each)} texts differ',
                 each[worst], TOLERANCE)
  return Passed(each[worst], TOLERANCE)


@check('classifier.probabilities', 126, level=Level.MUST, kinds=_CLASSIFIER, scope=_VARIABLES)
def probabilities(subject: ClassifierSubject) -> Passed:
  """probabilities are the softmax of logits; the value of a regression is its only logit."""
  logits = subject.logits.astype(np.float64)
  if not np.all(np.isfinite(logits)):
    raise Failed('the logits hold NaN or infinite values')
  if names.VALUE in subject.answers:
    what, found, expected = names.VALUE, subject.answers[names.VALUE], logits[:, 0]
  else:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    what, found = names.PROBABILITIES, subject.answers[names.PROBABILITIES]
    expected = powers / powers.sum(axis=1, keepdims=True)
  difference = max_difference(found, expected)
  if difference > TOLERANCE:
    raise Failed(f'{what} does not follow from the logits', difference, TOLERANCE)
  return Passed(difference, TOLERANCE)


@check('classifier.batch', 127, level=Level.REF, kinds=_CLASSIFIER)
def batch(subject: ClassifierSubject) -> Passed:
  """The logits of a text do not depend on the other texts of its batch, nor on their order."""
  together = subject.logits
  count = len(together)
  order = list(range(count))[::-1]
  worst = difference_to(together[order], subject.call(subject.some(order))[names.LOGITS])
  for i in sorted({0, 1 % count, count // 2, count - 1}):
    alone = subject.call(subject.some([i]))[names.LOGITS]
    worst = max(worst, difference_to(together[i:i + 1], alone))
  if worst > TOLERANCE:
    raise Failed('a text has other logits in another batch', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('classifier.labels', 128, level=Level.REF, kinds=_CLASSIFIER)
def labels(subject: ClassifierSubject) -> Passed:
  """label_names() and the file `labels` name each class, in the order of the outputs."""
  told = subject.told.labels
  if names.VALUE in subject.answers:
    if hasattr(subject.obj, 'labels') or hasattr(subject.obj, 'label_names'):
      raise Failed('a regression has no labels')
    raise NotApplicable('a regression has no classes')
  found = [name.decode() for name in subject.obj.label_names().numpy()]
  path = subject.obj.labels.asset_path.numpy().decode()
  lines = files.read_text(path).split('\n')
  if lines != [*found, '']:
    raise Failed(f'the file labels says {lines[:5]}, label_names() {found[:5]}')
  if len(found) != subject.outputs or len(set(found)) != len(found):
    raise Failed(f'{len(set(found))} names for {subject.outputs} classes', len(found))
  if told is not None and found != list(told):
    raise Failed(f'the classes are {found[:5]}; it was trained on {list(told)[:5]}')
  return Passed(len(found))


@check('classifier.signatures', 129, level=Level.REF, kinds=_CLASSIFIER)
def signatures(subject: ClassifierSubject) -> Passed:
  """serving_default (text by name) and `tokens` (three ids) give the values of the call."""
  found = getattr(subject.obj, 'signatures', {})
  missing = [name for name in (names.SERVING_DEFAULT, names.TOKENS) if name not in found]
  if missing:
    raise Failed(f'there is no signature {missing[0]}')
  texts = [tf.constant(list(of_segment)) for of_segment in subject.texts]
  by_name = dict(zip((names.TEXT, names.SECOND_TEXT), texts, strict=False))
  inputs = as_numpy(subject.obj.encoder_inputs(*texts))
  worst = 0.0
  for name, given in ((names.SERVING_DEFAULT, by_name), (names.TOKENS, as_tensors(inputs))):
    returned = as_numpy(dict(found[name](**given)))
    if set(returned) != set(subject.answers):
      raise Failed(f'the signature {name} returns {sorted(returned)}')
    worst = max(worst, *(difference_to(subject.answers[k], v) for k, v in returned.items()))
  if worst > TOLERANCE:
    raise Failed('a signature gives other values than the call', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('classifier.classify_tokens', 130, level=Level.GOAL, kinds=_CLASSIFIER)
def classify_tokens(subject: ClassifierSubject) -> Passed:
  """classify_tokens of encoder_inputs is the call; rows are no longer than the longest text."""
  texts = [tf.constant(list(of_segment)) for of_segment in subject.texts]
  inputs = as_numpy(subject.obj.encoder_inputs(*texts))
  mask = inputs[names.INPUT_MASK]
  limit = subject.told.max_seq_length
  wanted = limit if subject.told.pads else int(mask.sum(axis=1).max())
  if mask.shape[1] != wanted or (limit is not None and mask.shape[1] > limit):
    raise Failed(f'rows are {mask.shape[1]} long, not {wanted}; at most are {limit}')
  found = as_numpy(subject.obj.classify_tokens(as_tensors(inputs)))
  worst = difference_to(subject.logits, found[names.LOGITS])
  if worst > TOLERANCE:
    raise Failed('classify_tokens gives other logits than the call', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('classifier.traces', 131, level=Level.REF, kinds=_CLASSIFIER)
def traces(subject: ClassifierSubject) -> Passed:
  """There is one trace for training=True and one for training=False; without it is False."""
  found = sorted(str(value) for value in _training_values(subject))
  if found != ['False', 'True']:
    raise Failed(f'the traces have training={found}', len(found))
  few = subject.some([0])
  default = as_numpy(subject.obj(*(tf.constant(list(t)) for t in few)))[names.LOGITS]
  difference = max_difference(default, subject.call(few)[names.LOGITS])
  if difference > TOLERANCE:
    raise Failed('a call without training differs from training=False', difference, TOLERANCE)
  return Passed(difference, TOLERANCE)


def _training_values(subject: ClassifierSubject) -> list[Any]:
  if subject.segments == 1:
    return training_values(subject.obj)
  from nlp_export.saved_models.verification.traces import concrete_functions

  found = []
  for function in concrete_functions(subject.obj):
    args, kwargs = function.structured_input_signature
    found.append(kwargs.get('training', args[-1]))
  return found


@check('classifier.dropout', 132, level=Level.REF, kinds=_CLASSIFIER)
def dropout(subject: ClassifierSubject) -> Passed:
  """training=True drops, if encoder or head have a dropout rate, and else changes nothing."""
  if subject.told.dropout is None:
    raise NotRun('nobody has said whether it drops anything')
  equal = subject.some([0] * 16)
  spread = float(np.max(np.std(subject.call(equal, training=True)[names.LOGITS], axis=0)))
  if subject.told.dropout != (spread > 1e-6):
    raise Failed('training=True ' + ('drops nothing' if subject.told.dropout else 'drops'), spread)
  return Passed(spread)


@check('classifier.gradients', 133, level=Level.MUST, kinds=_CLASSIFIER)
def gradients(subject: ClassifierSubject) -> Passed:
  """Every trainable variable has a gradient, from the text on."""
  missing: list[str] = []

  def trace(*texts: tf.Tensor) -> None:
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(subject.obj(*texts)[names.LOGITS]**2)
    found = tape.gradient(loss, subject.trainable)
    missing.extend(v.name for v, g in zip(subject.trainable, found, strict=True) if g is None)

  # Whether there is a gradient is known once it is traced.
  tf.function(trace, autograph=False).get_concrete_function(
      *[tf.TensorSpec([None], tf.string)] * subject.segments)
  if missing:
    raise Failed(f'{len(missing)} of {len(subject.trainable)} variables have no gradient: '
                 f'{missing[0]}', len(missing), 0)
  return Passed(0, 0)


@check('classifier.regularization_losses', 135, level=Level.MUST, kinds=_CLASSIFIER)
def regularization_losses(subject: ClassifierSubject) -> Passed:
  """regularization_losses are functions of nothing to a scalar: those of the trained encoder."""
  passed = encoder_variable_checks.regularization_losses(subject)
  if subject.told.regularization is None:
    return passed
  losses = getattr(subject.obj, 'regularization_losses', ())
  found = np.array([loss().numpy() for loss in losses], np.float64)
  expected = np.array(subject.told.regularization, np.float64)
  if found.shape != expected.shape:
    raise Failed(f'there are {len(found)} regularization losses; the trained encoder has '
                 f'{len(expected)} of weights that train here', len(found))
  difference = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected)),
                            initial=0.0))
  if not difference <= TOLERANCE:
    raise Failed('a regularization loss has another value than in the trained encoder', difference,
                 TOLERANCE)
  return Passed(difference, TOLERANCE)


# The claims about variables are those of an encoder's; they look at the same attributes.
check('classifier.trainable', 133, level=Level.MUST, kinds=_CLASSIFIER)(
    encoder_variable_checks.trainable)
check('classifier.weights', 134, level=Level.REF, kinds=_CLASSIFIER, scope=_VARIABLES)(
    encoder_variable_checks.weights)
