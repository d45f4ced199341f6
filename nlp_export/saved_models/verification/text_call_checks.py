"""Does a text embedding give each text the vector of its source, whatever the batch is?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
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
  first_line,
  max_difference,
)
from nlp_export.saved_models.verification.text_subject import TextEmbeddingSubject
from nlp_export.saved_models.verification.traces import training_values

_TEXT = (Kind.TEXT_EMBEDDING,)
_VARIABLES = Scope.VARIABLES
# Threads may sum in another order from one call to the next.
_REPEAT_TOLERANCE = 1e-6


@check('text_embedding.call', 109, level=Level.MUST, kinds=_TEXT)
def call(subject: TextEmbeddingSubject) -> Passed:
  """string [batch] gives float32 [batch, dim], for no text at all and for an empty one as well."""
  dim = subject.told.dim
  for texts in ([b'A text.'], [b'', b'A text.'], []):
    try:
      found = subject.call(texts)
    except Exception as error:
      raise Failed(f'the call with {len(texts)} texts failed: {first_line(error)}') from error
    dim = dim or found.shape[-1]
    if found.dtype != np.float32 or found.shape != (len(texts), dim):
      raise Failed(f'{len(texts)} texts gave {found.dtype.name} {list(found.shape)}, not float32 '
                   f'{[len(texts), dim]}')
  return Passed(dim)


@check('text_embedding.plain_inputs', 110, level=Level.REF, kinds=_TEXT)
def plain_inputs(subject: TextEmbeddingSubject) -> None:
  """It takes a Python list of strings, and refuses numbers and other ranks than [batch]."""
  try:
    found = as_numpy(subject.obj(['A text.', 'Another']))
  except Exception as error:
    raise Failed(f'a list of strings is refused: {first_line(error)}') from error
  if max_difference(found, subject.call(['A text.', 'Another'])) > _REPEAT_TOLERANCE:
    raise Failed('a list of strings gave other vectors than a tensor')
  for what, wrong in (('a scalar', tf.constant('x')), ('[1, 1]', tf.constant([['x']])),
                      ('int32', tf.constant([1]))):
    if _accepts(functools.partial(subject.obj, wrong)):
      raise Failed(f'{what} was accepted')


def _accepts(function: Callable[[], Any]) -> bool:
  try:
    function()
  except Exception:  # Any error is a refusal; which class it is depends on TensorFlow's version.
    return False
  return True


@check('text_embedding.equals_source', 111, level=Level.REF, kinds=_TEXT, scope=_VARIABLES)
def equals_source(subject: TextEmbeddingSubject) -> Passed:
  """On real texts, one of them too long, its vectors are the restored encoder's, pooled."""
  texts, _, expected = subject.known
  found = subject.vectors
  if found.shape != expected.shape:
    raise Failed(f'the vectors are {list(found.shape)}, those of the source '
                 f'{list(expected.shape)}')
  each = [difference_to(a, b) for a, b in zip(expected, found, strict=True)]
  worst = int(np.argmax(each))
  if each[worst] > TOLERANCE:
    raise Failed(f'{_shown(texts[worst])}: max difference {each[worst]:.2g} from the restored '
                 f'encoder; {sum(d > TOLERANCE for d in each)} of {len(texts)} texts differ',
                 each[worst], TOLERANCE)
  return Passed(each[worst], TOLERANCE)


def _shown(text: bytes) -> str:
  return repr(text.decode('utf-8', 'replace')[:40])


@check('text_embedding.batch', 112, level=Level.REF, kinds=_TEXT)
def batch(subject: TextEmbeddingSubject) -> Passed:
  """The vector of a text does not depend on the other texts of its batch, nor on their order."""
  texts, together = subject.texts, subject.vectors
  order = list(range(len(texts)))[::-1]
  turned = subject.call([texts[i] for i in order])
  worst = difference_to(together[order], turned)
  for i in sorted({0, 1, len(texts) // 2, len(texts) - 1}):
    worst = max(worst, difference_to(together[i:i + 1], subject.call([texts[i]])))
    if worst > TOLERANCE:
      raise Failed(f'{_shown(texts[i])} has another vector when it is alone', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('text_embedding.finite', 109, level=Level.MUST, kinds=_TEXT, scope=_VARIABLES)
def finite(subject: TextEmbeddingSubject) -> None:
  """No vector holds NaN or infinite values."""
  if not np.all(np.isfinite(subject.vectors)):
    raise Failed('a vector holds NaN or infinite values')


@check('text_embedding.normalized', 118, level=Level.REF, kinds=_TEXT, scope=_VARIABLES)
def normalized(subject: TextEmbeddingSubject) -> Passed:
  """Vectors have length 1 where that was asked for."""
  if not subject.told.normalize:
    raise NotApplicable('its vectors are not normalised' if subject.told.normalize is False
                        else 'nobody has said whether its vectors are normalised')
  worst = max_difference(np.linalg.norm(subject.vectors, axis=1), np.ones(len(subject.texts)))
  if worst > TOLERANCE:
    raise Failed('a vector has another length than 1', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('text_embedding.dataset', 113, level=Level.REF, kinds=_TEXT)
def dataset(subject: TextEmbeddingSubject) -> Passed:
  """In Dataset.map it gives the same, and the static shape [batch, dim]."""
  texts = subject.texts[:4]
  batches = tf.data.Dataset.from_tensor_slices(texts).batch(len(texts), drop_remainder=True)
  # As it is: AutoGraph would read this file anew, if it has changed since its import.
  mapped = batches.map(tf.autograph.experimental.do_not_convert(lambda x: subject.obj(x)))
  if mapped.element_spec.shape.as_list() not in ([len(texts), subject.dim], [None, subject.dim]):
    raise Failed(f'in Dataset.map its static shape is {mapped.element_spec.shape}')
  worst = difference_to(subject.vectors[:4], next(iter(mapped)).numpy())
  if worst > TOLERANCE:
    raise Failed('in Dataset.map it gives other vectors', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('text_embedding.traces', 114, level=Level.REF, kinds=_TEXT)
def traces(subject: TextEmbeddingSubject) -> Passed:
  """There is one trace for training=True and one for training=False."""
  if not subject.takes_training and subject.job.expected is None:
    raise NotApplicable("its call has no argument `training`, which TF Hub's API leaves open")
  found = training_values(subject.obj)
  if sorted(map(str, found)) != ['False', 'True']:
    raise Failed(f'the traces have training={found}', len(found))
  return Passed(len(found))


@check('text_embedding.inference_repeats', 114, level=Level.MUST, kinds=_TEXT)
def inference_repeats(subject: TextEmbeddingSubject) -> Passed:
  """Without `training`, and with training=False, every call gives the same."""
  texts, worst = subject.texts[:4], 0.0
  expected = subject.call(texts)
  for how, found in (('a call without training', as_numpy(subject.obj(tf.constant(texts)))),
                     ('the same call again', subject.call(texts))):
    worst = max(worst, max_difference(found, expected))
    if worst > _REPEAT_TOLERANCE:
      raise Failed(f'{how} gave other vectors', worst, _REPEAT_TOLERANCE)
  return Passed(worst, _REPEAT_TOLERANCE)


@check('text_embedding.tokenize', 119, level=Level.GOAL, kinds=_TEXT)
def tokenize(subject: TextEmbeddingSubject) -> Passed:
  """tokenize gives int32 [batch, (tokens)], the ids that the encoder was trained with."""
  found = subject.part('tokenize')(tf.constant(subject.texts, tf.string))
  if not isinstance(found, tf.RaggedTensor) or found.dtype != tf.int32 or found.shape.rank != 2:
    raise Failed(f'tokenize returns {type(found).__name__} {found.dtype.name} {found.shape}')
  if subject.told.special_tokens is not None:
    special = {k: int(v) for k, v in subject.obj.tokenize.get_special_tokens_dict().items()}
    if special != dict(subject.told.special_tokens):
      raise Failed(f'get_special_tokens_dict gives {special}, not '
                   f'{dict(subject.told.special_tokens)}')
  if not subject.told.reference_file:
    raise NotRun('no reference values were given: they come from the checkpoint')
  for text, ids, expected in zip(subject.texts, found.to_list(), subject.known[1], strict=True):
    if ids != expected:
      raise Failed(f'{_shown(text)} has the ids {ids[:12]}, not {expected[:12]}')
  return Passed(len(subject.texts))


@check('text_embedding.encoder_inputs', 120, level=Level.GOAL, kinds=_TEXT)
def encoder_inputs(subject: TextEmbeddingSubject) -> Passed:
  """encoder_inputs gives rows as long as the longest text of the batch, at most max_seq_length."""
  subject.part('encoder_inputs')
  found = subject.inputs
  if set(found) != set(names.ENCODER_INPUTS):
    raise Failed(f'encoder_inputs gives {sorted(found)}')
  mask = found[names.INPUT_MASK]
  for name, value in found.items():
    if value.dtype != np.int32 or value.shape != mask.shape:
      raise Failed(f'{name} is {value.dtype.name} {list(value.shape)}')
  limit = subject.told.max_seq_length
  if limit is not None and mask.sum(axis=1).max(initial=0) > limit:
    raise Failed(f'a text has {mask.sum(axis=1).max()} tokens; at most are {limit}')
  short = as_numpy(subject.obj.encoder_inputs(tf.constant([b'a', b''])))[names.INPUT_MASK]
  for rows in (mask, short):
    if subject.told.pads and rows.shape[1] != limit:
      raise Failed(f'rows are {rows.shape[1]} long, not always {limit}', rows.shape[1])
    if not subject.told.pads and rows.shape[1] != rows.sum(axis=1).max():
      raise Failed(f'rows are {rows.shape[1]} long, while the longest text has '
                   f'{rows.sum(axis=1).max()} tokens', rows.shape[1])
  if any(as_numpy(v).shape[0] for v in subject.obj.encoder_inputs(
      tf.constant([], tf.string)).values()):
    raise Failed('encoder_inputs of no text gives rows')
  return Passed(int(mask.shape[1]), why=(
      'always: in this network padding changes the outputs' if subject.told.pads else ''))


@check('text_embedding.embed_tokens', 121, level=Level.GOAL, kinds=_TEXT)
def embed_tokens(subject: TextEmbeddingSubject) -> Passed:
  """embed_tokens of encoder_inputs is the call; more padding changes nothing."""
  embed = subject.part('embed_tokens')
  worst = difference_to(subject.vectors, as_numpy(embed(_tensors(subject.inputs))))
  if worst > TOLERANCE:
    raise Failed('embed_tokens(encoder_inputs(texts)) is another vector than that of the call',
                 worst, TOLERANCE)
  if subject.told.pads:
    return Passed(worst, TOLERANCE, 'at one length of rows')
  room = 3 if subject.told.max_seq_length is None else (
      subject.told.max_seq_length - subject.inputs[names.INPUT_MASK].shape[1])
  few = {k: np.pad(v[:3], ((0, 0), (0, max(0, min(room, 3))))) for k, v in subject.inputs.items()}
  longest = few[names.INPUT_MASK].sum(axis=1).max()
  for padded in (few, {k: v[:, :longest] for k, v in few.items()}):
    worst = max(worst, difference_to(subject.vectors[:3], as_numpy(embed(_tensors(padded)))))
    if worst > TOLERANCE:
      raise Failed('padding changes the vectors', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


def _tensors(inputs: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
  return {name: tf.constant(value, tf.int32) for name, value in inputs.items()}


@check('text_embedding.signatures', 122, level=Level.REF, kinds=_TEXT)
def signatures(subject: TextEmbeddingSubject) -> Passed:
  """serving_default, and `tokens` if it is there, give the vectors of the call."""
  found = getattr(subject.obj, 'signatures', {})
  wanted = [names.SERVING_DEFAULT] if subject.job.expected is None else [
      names.SERVING_DEFAULT, names.TOKENS]
  missing = [name for name in wanted if name not in found]
  if missing:
    raise Failed(f'there is no signature {missing[0]}', known_defect=None)
  worst = 0.0
  for name in (names.SERVING_DEFAULT, names.TOKENS):
    if name not in found:
      continue
    taken = found[name].structured_input_signature[1]
    given = ({next(iter(taken)): tf.constant(subject.texts)} if name == names.SERVING_DEFAULT
             else _tensors(subject.inputs))
    try:
      returned = found[name](**given)
    except Exception as error:
      raise Failed(f'the signature {name} fails: {first_line(error)}') from error
    worst = max(worst, min(difference_to(subject.vectors, v.numpy()) for v in returned.values()))
    if worst > TOLERANCE:
      raise Failed(f'the signature {name} gives other vectors than the call', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)
