"""Does preprocessing turn text into ids as the encoder's training did? (conformance F)"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification import reference
from nlp_export.saved_models.verification.preprocessing_subject import (
  SPECIAL_TOKENS,
  TEXTS,
  WORDPIECE,
  PreprocessingSubject,
  flat_ids,
)
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  NotRun,
  Passed,
  check,
)
from nlp_export.saved_models.verification.subject import first_line

_PREPROCESSING = (Kind.PREPROCESSING,)


@check('preprocessing.root', 60, level=Level.MUST, kinds=_PREPROCESSING)
def root(subject: PreprocessingSubject) -> Passed:
  """string [B] gives exactly the encoder's three inputs, int32 [B, default_seq_length]."""
  count = len(TEXTS)  # The batch of other direct calls: each size is traced and optimised anew.
  try:
    found = subject.obj(tf.constant(TEXTS))
  except Exception as error:
    raise Failed(f'the call on {count} strings failed: {first_line(error)}') from error
  if not isinstance(found, dict) or sorted(found) != sorted(names.ENCODER_INPUTS):
    raise Failed(f'it returns {sorted(found) if isinstance(found, dict) else type(found)}')
  for name, value in found.items():
    if value.dtype != tf.int32 or value.shape.rank != 2 or value.shape[0] != count:
      raise Failed(f'{name} is {value.dtype.name} {value.shape}, not int32 [{count}, seq_length]')
    if value.shape[1] != subject.default_seq_length:
      raise Failed(f'{name} has length {value.shape[1]} instead of {subject.default_seq_length}')
  return Passed(subject.default_seq_length)


@check('preprocessing.root_seq_length', 60, level=Level.GOAL, kinds=_PREPROCESSING)
def root_seq_length(subject: PreprocessingSubject) -> Passed:
  """The root takes seq_length=, as the export guide shows it."""
  try:
    found = subject.obj(tf.constant(TEXTS[:2]), seq_length=9)
  except Exception as error:
    raise Failed(f'seq_length= is refused: {first_line(error)}') from error
  expected = [subject.layout([ids], 9)[names.INPUT_WORD_IDS] for ids in subject.token_ids[:2]]
  if found[names.INPUT_WORD_IDS].numpy().tolist() != expected:
    raise Failed('seq_length=9 gives other ids than packing the tokens to 9')
  return Passed(9)


@check('preprocessing.static_shapes', 60, 72, level=Level.REF, kinds=_PREPROCESSING)
def static_shapes(subject: PreprocessingSubject) -> None:
  """Shapes are known while tracing, for a known and an unknown batch size."""
  rank = subject.token_rank
  for batch in (7, None):
    def trace(text: Any) -> Any:
      tokens = subject.tokenize(text)
      return tokens.shape, subject.obj(text), subject.pack([tokens], 25)

    shapes: list[Any] = []
    tf.function(lambda x: shapes.append(trace(x)), autograph=False).get_concrete_function(  # noqa: B023
        tf.TensorSpec([batch], tf.string))
    tokens, rooted, packed = shapes[0]
    if tokens.rank != rank:
      raise NotRun(f'tokenize has rank {tokens.rank}: see preprocessing.tokenize',
                   after_failure=True)
    if tokens.as_list() != [batch] + [None] * (rank - 1):
      raise Failed(f'tokenize has the static shape {tokens} for a batch of {batch}')
    for what, value, length in (('the root', rooted, subject.default_seq_length),
                                ('bert_pack_inputs', packed, 25)):
      for name in names.ENCODER_INPUTS:
        if value[name].shape.as_list() != [batch, length]:
          raise Failed(f'{name} of {what} has the static shape {value[name].shape} for a batch of '
                       f'{batch}, not [{batch}, {length}]')


@check('preprocessing.tokenize', 63, level=Level.MUST, kinds=_PREPROCESSING)
def tokenize(subject: PreprocessingSubject) -> Passed:
  """tokenize gives int32 ids, ragged by words and pieces (WordPiece) or pieces (SentencePiece)."""
  try:
    found = subject.tokenize(tf.constant(TEXTS))
  except Exception as error:
    raise Failed(f'tokenize failed: {first_line(error)}') from error
  if not isinstance(found, tf.RaggedTensor) or found.dtype != tf.int32:
    raise Failed(f'tokenize returns no ragged int32 but {type(found).__name__}')
  rank = subject.token_rank
  if found.shape.rank != rank or found.ragged_rank != rank - 1:
    raise Failed(f'tokenize has rank {found.shape.rank} for {subject.kind_of_tokenizer}; {rank} '
                 'was expected', found.shape.rank)
  if found.row_splits.dtype != tf.int64:
    raise Failed(f'row_splits are {found.row_splits.dtype.name} instead of int64')
  return Passed(rank)


@check('preprocessing.empty_text', 64, level=Level.REF, kinds=_PREPROCESSING)
def empty_text(subject: PreprocessingSubject) -> None:
  """Nothing and blanks have no tokens; the root gives [CLS] [SEP]."""
  # To a tokenizer of its maker's own a blank may be a token.
  blanks = tf.constant([''] if subject.has_own_tokenizer else ['', ' ', '\t\n'])
  ids = subject.ids_of(blanks)
  if any(ids):
    raise Failed(f'blank text gives the ids {ids}')
  expected = subject.layout([[]], subject.default_seq_length)[names.INPUT_WORD_IDS]
  found = subject.call(blanks)[names.INPUT_WORD_IDS].tolist()
  if found != [expected] * len(found):
    raise Failed(f'blank text is packed as {found[0][:4]} ..., not {expected[:4]} ...')


@check('preprocessing.empty_batch', 65, level=Level.REF, kinds=_PREPROCESSING)
def empty_batch(subject: PreprocessingSubject) -> None:
  """A batch of no strings works in every part."""
  none = tf.constant([], tf.string)
  if subject.ids_of(none):
    raise Failed('tokenize gives rows for no strings')
  tokens = tf.RaggedTensor.from_row_splits(tf.constant([], tf.int32), tf.constant([0], tf.int64))
  for what, found, length in (('the root', subject.call(none), subject.default_seq_length),
                              ('bert_pack_inputs', subject.pack([tokens], 9), 9)):
    shape = list(found[names.INPUT_WORD_IDS].shape)
    if shape != [0, length]:
      raise Failed(f'{what} of no strings has shape {shape}')


@check('preprocessing.id_range', 69, level=Level.REF, kinds=_PREPROCESSING)
def id_range(subject: PreprocessingSubject) -> Passed:
  """Every id of any text lies in [0, vocab_size)."""
  size = subject.special[names.VOCAB_SIZE]
  rng = np.random.default_rng(0)
  # Code points of all planes but surrogates, in short words.
  points = rng.integers(1, 0x2FFFF, 4000)
  points = points[(points < 0xD800) | (points > 0xDFFF)]
  text = ' '.join(''.join(map(chr, points[i:i + 5])) for i in range(0, len(points), 5))
  ids = [i for row in (*subject.token_ids, *subject.ids_of(tf.constant([text])))
         for i in row]
  low, high = min(ids), max(ids)
  if low < 0:
    raise Failed(f'id {low} came out: a word without an id and no [UNK] in the vocabulary', low,
                 known_defect=13)
  if high >= size:
    raise Failed(f'id {high} came out of a vocabulary of {size}', high)
  return Passed([low, high])


@check('preprocessing.literal_special_tokens', 67, level=Level.REF, kinds=_PREPROCESSING)
def literal_special_tokens(subject: PreprocessingSubject) -> None:
  """'[CLS]' and '[MASK]' written in a text are not the special tokens."""
  if subject.kind_of_tokenizer != WORDPIECE:
    raise NotApplicable('a SentencePiece model itself says what its symbols match')
  ids = subject.ids_of(tf.constant(['[CLS] [MASK] [SEP]']))[0]
  special = {v for k, v in subject.special.items() if k != names.VOCAB_SIZE}
  if special & set(ids):
    raise Failed(f'special ids {sorted(special & set(ids))} come out of plain text')


@check('preprocessing.long_word', 68, level=Level.REF, kinds=_PREPROCESSING)
def long_word(subject: PreprocessingSubject) -> Passed:
  """A word of more than 100 bytes is one [UNK]."""
  if subject.unknown_token not in subject.vocab:
    raise NotApplicable('its vocabulary has no [UNK]')
  unknown = subject.vocab.index(subject.unknown_token)
  ids = subject.ids_of(tf.constant(['a' * 101]))[0]
  if ids != [unknown]:
    raise Failed(f'a word of 101 bytes gives {len(ids)} ids ({ids[:3]} ...), not one [UNK]')
  return Passed(unknown)


@check('preprocessing.training', 70, level=Level.MUST, kinds=_PREPROCESSING)
def training(subject: PreprocessingSubject) -> None:
  """`training`, where it is taken, changes nothing."""
  given = tf.constant(TEXTS)
  expected = subject.root_outputs[names.INPUT_WORD_IDS]
  for value in (True, False):
    try:
      found = subject.obj(given, training=value)
    except Exception as error:
      raise Failed(f'training={value} is refused: {first_line(error)}') from error
    if found[names.INPUT_WORD_IDS].numpy().tolist() != expected.tolist():
      raise Failed(f'training={value} changes the result')


@check('preprocessing.equals_training_tokenizer', 62, 66, 71, level=Level.REF,
       kinds=_PREPROCESSING)
def equals_training_tokenizer(subject: PreprocessingSubject) -> Passed:
  """On all kinds of text the ids are those of the tokenizer that training used."""
  if subject.told.reference_file:
    texts, expected = reference.load_token_ids(subject.told.reference_file)
    found = subject.ids_of(tf.constant(texts))
  else:
    if subject.has_own_tokenizer:
      raise NotApplicable('its tokenizer is one of its maker\'s own: there is no other to compare')
    texts, found = list(TEXTS), subject.token_ids
    expected = training_token_ids(subject, texts)
  different = [i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
  if different:
    i = different[0]
    raise Failed(f'{len(different)} of {len(texts)} texts have other ids, first '
                 f'{texts[i][:60].decode(errors="replace")!r}: {found[i][:12]} instead of '
                 f'{expected[i][:12]}', len(different), 0)
  return Passed(0, 0, f'{len(texts)} texts')


def training_token_ids(subject: PreprocessingSubject, texts: list[bytes]) -> list[list[int]]:
  """Ids by TF.Text's own tokenizers on the export's own vocabulary, as TF-NLP trains with them."""
  import tensorflow_text as tf_text

  given = tf.constant(texts)
  if subject.kind_of_tokenizer == WORDPIECE:
    subject.vocab  # Not applicable without one.  # noqa: B018
    tokenizer = tf_text.BertTokenizer(subject.file('assets', subject.asset_names[0]),
                                      lower_case=subject.lower_case, token_out_type=tf.int32)
    return flat_ids(tokenizer.tokenize(given))
  tokenizer = tf_text.SentencepieceTokenizer(subject.sentencepiece_model, out_type=tf.int32)
  given = tf.strings.regex_replace(tf_text.normalize_utf8(given, 'NFD'), r'\p{Mn}', '')
  if subject.lower_case:
    given = tf_text.case_fold_utf8(given)
  return flat_ids(tokenizer.tokenize(given))


@check('preprocessing.special_tokens', 77, level=Level.MUST, kinds=_PREPROCESSING)
def special_tokens(subject: PreprocessingSubject) -> Passed:
  """get_special_tokens_dict() gives scalar int32 under the API's keys, absent tokens left out."""
  try:
    found = subject.tokenize.get_special_tokens_dict()
  except Exception as error:
    raise Failed(f'tokenize.get_special_tokens_dict() failed: {first_line(error)}') from error
  for name, value in found.items():
    if name not in names.SPECIAL_TOKEN_KEYS:
      raise Failed(f'{name} is no key of the API')
    if value.dtype != tf.int32 or value.shape.rank != 0:
      raise Failed(f'{name} is {value.dtype.name} {value.shape}, not a scalar int32')
  required = set(names.SPECIAL_TOKEN_KEYS) - {names.MASK_ID}
  if not required <= set(found):
    raise Failed(f'{sorted(required - set(found))[0]} is missing')
  return Passed({k: int(v) for k, v in found.items()})


@check('preprocessing.special_token_ids', 77, 78, level=Level.REF, kinds=_PREPROCESSING)
def special_token_ids(subject: PreprocessingSubject) -> Passed:
  """The special ids and vocab_size are those of the vocabulary."""
  if subject.told.special_tokens is not None:
    expected = dict(subject.told.special_tokens)
  elif subject.kind_of_tokenizer == WORDPIECE:
    expected = ids_in(subject.vocab, SPECIAL_TOKENS[WORDPIECE])
  else:
    import tensorflow_text as tf_text

    tokenizer = tf_text.SentencepieceTokenizer(subject.sentencepiece_model)
    size = int(tokenizer.vocab_size())
    pieces = tokenizer.id_to_string(tf.range(size)).numpy().tolist()
    expected = ids_in(pieces, SPECIAL_TOKENS[subject.kind_of_tokenizer])
  if subject.special != expected:
    raise Failed(f'found {subject.special}; the vocabulary has {expected}')
  return Passed(expected)


def ids_in(vocabulary: list[bytes], tokens: dict[str, str]) -> dict[str, int]:
  """The dict of special ids that a vocabulary gives."""
  index = {token: i for i, token in enumerate(vocabulary)}
  found = {key: index[t.encode()] for key, t in tokens.items() if t.encode() in index}
  return {names.VOCAB_SIZE: len(vocabulary), **found}


@check('preprocessing.special_tokens_in_graph', 79, level=Level.REF, kinds=_PREPROCESSING)
def special_tokens_in_graph(subject: PreprocessingSubject) -> None:
  """get_special_tokens_dict() works in a tf.function and in another graph's session."""
  expected = subject.special
  traced = tf.function(lambda: subject.tokenize.get_special_tokens_dict(), autograph=False)()
  if {k: int(v) for k, v in traced.items()} != expected:
    raise Failed('in a tf.function it gives other ids')
  with tf.Graph().as_default():
    try:
      tensors = subject.tokenize.get_special_tokens_dict()
      with tf.compat.v1.Session() as session:
        found = {k: int(v) for k, v in session.run(tensors).items()}
    except Exception as error:
      raise Failed(f'in another graph it fails: {first_line(error)}') from error
  if found != expected:
    raise Failed('in another graph it gives other ids')
