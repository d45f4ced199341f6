"""Does bert_pack_inputs cut, join and pad segments as documented? (conformance H)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification.preprocessing_subject import TEXTS, PreprocessingSubject
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  Passed,
  check,
)
from nlp_export.saved_models.verification.subject import first_line

_PREPROCESSING = (Kind.PREPROCESSING,)


def ragged(rows: Sequence[Any], rank: int = 2) -> tf.RaggedTensor:
  """int32 ragged of rank 2 or 3, with int64 row splits."""
  return tf.ragged.constant(rows, tf.int32, ragged_rank=rank - 1, row_splits_dtype=tf.int64)


def _word_ids(found: dict[str, tf.Tensor]) -> list[list[int]]:
  return found[names.INPUT_WORD_IDS].numpy().tolist()


def _compare(subject: PreprocessingSubject, examples: Sequence[Sequence[Sequence[int]]],
             seq_length: int, what: str) -> None:
  """Packs examples (each a list of segments) in one call and compares with the law."""
  segments = [ragged([example[i] for example in examples]) for i in range(len(examples[0]))]
  found = {k: v.numpy().tolist()
           for k, v in subject.pack(segments, seq_length=tf.constant(seq_length)).items()}
  for row, example in enumerate(examples):
    for name, expected in subject.layout(example, seq_length).items():
      if found[name][row] != expected:
        lengths = ' and '.join(str(len(s)) for s in example)
        raise Failed(f'{what}: segments of {lengths} tokens at seq_length {seq_length} give '
                     f'{name} {found[name][row][:16]} instead of {expected[:16]}')


def _ids(subject: PreprocessingSubject, start: int, count: int) -> list[int]:
  """Ordinary ids, all within the vocabulary."""
  return [(start + i) % subject.special[names.VOCAB_SIZE] for i in range(count)]


@check('preprocessing.pack_ranks', 81, level=Level.MUST, kinds=_PREPROCESSING)
def pack_ranks(subject: PreprocessingSubject) -> Passed:
  """One and two segments of rank 2 and 3 are taken; rank 3 is packed as its words joined."""
  # A segment as words and as tokens; each next one is another.
  nested = [[[[5 + i], [6, 7]], [[8]]] for i in range(subject.num_segments)]
  flat = [[[token for word in row for token in word] for row in segment] for segment in nested]
  for count in range(1, subject.num_segments + 1):
    try:
      two = _word_ids(subject.pack([ragged(s) for s in flat[:count]]))
      three = _word_ids(subject.pack([ragged(s, 3) for s in nested[:count]]))
    except Exception as error:
      raise Failed(f'{count} segments are refused: {first_line(error)}') from error
    if two != three:
      raise Failed(f'{count} segments of words are packed otherwise than the words joined')
  return Passed(subject.num_segments)


@check('preprocessing.pack_seq_length', 82, level=Level.MUST, kinds=_PREPROCESSING)
def pack_seq_length(subject: PreprocessingSubject) -> None:
  """seq_length is the default, or an int by position or keyword, or an int32 tensor."""
  given = [ragged([[5, 6, 7]])]
  calls: list[tuple[str, Callable[[], Any], int]] = [
      ('no seq_length', lambda: subject.pack(given), subject.default_seq_length),
      ('seq_length=9', lambda: subject.pack(given, seq_length=9), 9),
      ('9 by position', lambda: subject.pack(given, 9), 9),
      ('a tensor', lambda: subject.pack(given, seq_length=tf.constant(9)), 9),
  ]
  for what, call, length in calls:
    try:
      shape = call()[names.INPUT_WORD_IDS].shape.as_list()
    except Exception as error:
      raise Failed(f'{what} is refused: {first_line(error)}') from error
    if shape != [1, length]:
      raise Failed(f'{what} gives shape {shape}, not [1, {length}]')


@check('preprocessing.pack_layout', 61, 83, 86, level=Level.MUST, kinds=_PREPROCESSING)
def pack_layout(subject: PreprocessingSubject) -> None:
  """[CLS] s1 [SEP] s2 [SEP] and padding, types 0 and 1, mask 1 on tokens; empty segments too."""
  a, b = _ids(subject, 5, 3), _ids(subject, 8, 2)
  _compare(subject, [[a], [[]], [b]], 12, 'one segment')
  _compare(subject, [[a, b], [b, a], [a, []], [[], b], [[], []]], 12, 'two segments')


@check('preprocessing.truncation', 84, 85, level=Level.REF, kinds=_PREPROCESSING)
def truncation(subject: PreprocessingSubject) -> Passed:
  """What does not fit is cut by turns (or as asked for), to exactly seq_length."""
  ids = {n: (_ids(subject, 5, n), _ids(subject, 20, n)) for n in (0, 1, 2, 3, 4, 6, 10)}
  singles = [[ids[n][0]] for n in ids]
  pairs = [[ids[n][0], ids[m][1]] for n in ids for m in ids]
  lengths = (4, 5, 6, 8, 9, 12)
  for seq_length in lengths:
    _compare(subject, singles, seq_length, 'truncation')
    _compare(subject, pairs, seq_length, 'truncation')
  return Passed(len(lengths) * (len(pairs) + len(singles)))


@check('preprocessing.more_segments', 81, 85, level=Level.GOAL, kinds=_PREPROCESSING)
def more_segments(subject: PreprocessingSubject) -> Passed:
  """Where more than two segments were asked for, they follow the same law."""
  if subject.num_segments < 3:
    raise NotApplicable('two segments are the most that it takes')
  for count in range(3, subject.num_segments + 1):
    examples = [[_ids(subject, 5 * i, n + i % 2) for i in range(count)] for n in (0, 1, 3, 6)]
    for seq_length in (count + 4, 32):
      _compare(subject, examples, seq_length, f'{count} segments')
  return Passed(subject.num_segments)


@check('preprocessing.pack_equals_root', 61, 87, level=Level.REF, kinds=_PREPROCESSING)
def pack_equals_root(subject: PreprocessingSubject) -> None:
  """Packing the tokens of a text gives what the root gives, as the layout says."""
  packed = subject.pack([subject.tokens], seq_length=subject.default_seq_length)
  for name, expected in subject.root_outputs.items():
    if packed[name].numpy().tolist() != expected.tolist():
      raise Failed(f'{name} of bert_pack_inputs differs from the root\'s')
  length = subject.default_seq_length
  for row, ids in enumerate(subject.token_ids):
    for name, expected in subject.layout([ids], length).items():
      found = subject.root_outputs[name][row].tolist()
      if found != expected:
        raise Failed(f'the root gives {name} {found[:12]} for {TEXTS[row][:40]!r} instead of '
                     f'{expected[:12]}')


@check('preprocessing.pack_by_hand', 88, level=Level.REF, kinds=_PREPROCESSING)
def pack_by_hand(subject: PreprocessingSubject) -> None:
  """TF.Text's combine_segments and pad_model_inputs with the special ids give the same."""
  import tensorflow_text as tf_text

  special = subject.special
  a, b = ragged([_ids(subject, 5, 3), []]), ragged([_ids(subject, 9, 2), _ids(subject, 4, 4)])
  ids, types = tf_text.combine_segments(
      [a, b], special[names.START_OF_SEQUENCE_ID], special[names.END_OF_SEGMENT_ID])
  by_hand, mask = tf_text.pad_model_inputs(ids, 16, pad_value=special[names.PADDING_ID])
  types, _ = tf_text.pad_model_inputs(types, 16, pad_value=0)
  expected = dict(zip(names.ENCODER_INPUTS, (by_hand, mask, types), strict=True))
  packed = subject.pack([a, b], seq_length=16)
  for name, value in expected.items():
    if packed[name].numpy().tolist() != value.numpy().tolist():
      raise Failed(f'{name} differs from the result of TF.Text\'s own functions')


@check('preprocessing.pack_wrong_inputs', 89, level=Level.REF, kinds=_PREPROCESSING)
def pack_wrong_inputs(subject: PreprocessingSubject) -> None:
  """A segment too many, a bare ragged tensor, and ranks 2 and 3 together are refused."""
  two, three = ragged([[5, 6]]), ragged([[[5], [6]]], 3)
  wrong = (('one segment too many', [two] * (subject.num_segments + 1)),
           ('a bare ragged tensor', two), ('rank 2 and rank 3', [two, three]))
  for what, given in wrong:
    try:
      subject.pack(given)
    except Exception:  # noqa: S112  # Any refusal is right; its class is TensorFlow's matter.
      continue
    raise Failed(f'{what}: accepted')


@check('preprocessing.tiny_seq_length', 90, level=Level.REF, kinds=_PREPROCESSING)
def tiny_seq_length(subject: PreprocessingSubject) -> Passed:
  """A seq_length without room for the special tokens cuts those, or is an error."""
  special = subject.special
  start = [special[names.START_OF_SEQUENCE_ID], special[names.END_OF_SEGMENT_ID]]
  outcomes = []
  for segments, length in ((1, 1), (2, 2)):
    given = [ragged([[5, 6]])] * segments
    try:
      found = _word_ids(subject.pack(given, seq_length=length))
    except tf.errors.InvalidArgumentError:
      outcomes.append('error')
      continue
    if found != [start[:length]]:
      raise Failed(f'{segments} segments at seq_length {length} give {found}', found)
    outcomes.append('cut')
  return Passed(outcomes)
