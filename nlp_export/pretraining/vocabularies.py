"""Which vocabulary does a text give: WordPiece or SentencePiece, the same bytes each time?

WordPiece is learned by tensorflow-text's own tool (BERT's rules for words, then pieces by counts),
SentencePiece by its trainer, with one thread: its result depends on the number of threads. Light:
the gin parts import TensorFlow when they are called.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import gin

from nlp_export.corpora.text_files import Document
from nlp_export.errors import RequestError
from nlp_export.tokenization.tokenizer_types import (
    SENTENCEPIECE,
    WORDPIECE,
    SentencePiece,
    Tokenizer,
    WordPiece,
)

# [PAD] comes first: TF-NLP pads with 0 without asking.
WORDPIECE_RESERVED = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
_SUFFIX = '##'
_MAX_BYTES_PER_WORD = 100  # Longer words are unknown to the tokenizer.
_BATCH = 1000  # Sentences.
_SMALLER_BY = 0.1  # A size that misses VOCAB_SIZE by more is said.


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """What was learned.

  Attributes:
    kind: 'wordpiece' or 'sentencepiece'.
    data: the file's bytes.
    size: number of tokens.
    lower_case: whether the text was lower-cased first, as the tokenizer must do.
    options: all that it depends on besides the text.
    text: sentences read and used, SHA-256 of those used.
    unknown_share: of the words that were counted, those that are [UNK]; None where not known.
    notes: what its user should know.
  """

  kind: str
  data: bytes
  size: int
  lower_case: bool
  options: dict[str, Any]
  text: dict[str, Any]
  unknown_share: float | None = None
  notes: tuple[str, ...] = ()

  @property
  def file_name(self) -> str:
    """Says 'uncased' where that is so, which tokenizers.from_macros looks for."""
    if self.kind == SENTENCEPIECE:
      return 'spm.model'
    return 'uncased_vocab.txt' if self.lower_case else 'vocab.txt'

  def to_json(self) -> dict[str, Any]:
    """All but the bytes, which it has the hash of."""
    value = dataclasses.asdict(self)
    del value['data']
    return {'schema_version': 1, **value, 'notes': list(self.notes), 'file': self.file_name,
            'sha256': hashlib.sha256(self.data).hexdigest()}


def tokenizer_of(record: Mapping[str, Any], path: str) -> Tokenizer:
  """The tokenizer that a learned vocabulary is for: it does to text what was done in learning.

  Args:
    record: of `Vocabulary.to_json`.
    path: of the file.
  """
  lower_case = record['lower_case']
  if record['kind'] == SENTENCEPIECE:
    return SentencePiece(
        path, lower_case, strip_diacritics=record['options'].get('strip_diacritics', True))
  return WordPiece(path, lower_case)


@gin.register(module='vocabularies')
def wordpiece(
    documents: Iterable[Document],
    vocab_size: int,
    lower_case: bool,
    lower_thresh: int = 2,
    upper_thresh: int | None = None,
    num_iterations: int = 4,
    max_unique_chars: int = 1000,
    reserved_tokens: Sequence[str] = WORDPIECE_RESERVED,
    sentence_share: float = 1.0,
) -> Vocabulary:
  """A WordPiece vocabulary: reserved tokens, characters, then pieces by their counts.

  Args:
    documents: the text.
    vocab_size: tokens at most. A small text gives fewer.
    lower_case: folds case and strips accents first.
    lower_thresh: least count of a piece that the search for the size may come down to.
    upper_thresh: where that search begins; None for the most frequent word's count. Smaller is
      faster (100 halves the time for the embedded text) and must be above the count that is found.
    num_iterations: of the learner.
    max_unique_chars: characters that are kept; words with rarer ones are [UNK].
    reserved_tokens: come first, in this order.
    sentence_share: of the sentences, chosen by a hash of their text, that are counted: for large
      texts. Counting reads about 1 MB in 4 s; learning takes time by distinct words.

  Raises:
    RequestError: no text, or not even the characters fit into vocab_size.

  Source: Schuster and Nakajima 2012; tensorflow_text/tools/wordpiece_vocab.
  """
  from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

  _check(vocab_size, lower_case, sentence_share)
  reserved = list(reserved_tokens)
  text = _Text(documents, sentence_share)
  counts = _count_words(text, lower_case)
  # Sorted, so that nothing depends on the order of the text.
  learned = learner.learn(
      sorted(counts.items()), vocab_size, reserved, upper_thresh=upper_thresh,
      lower_thresh=lower_thresh, num_iterations=num_iterations, max_unique_chars=max_unique_chars)
  tokens = _cut(learned, reserved, vocab_size)
  known = set(tokens)
  unknown = sum(count for word, count in counts.items()
                if len(word.encode()) > _MAX_BYTES_PER_WORD or not known.issuperset(word))
  return Vocabulary(
      WORDPIECE, ''.join(f'{token}\n' for token in tokens).encode(), len(tokens), lower_case,
      {'vocab_size': vocab_size, 'lower_thresh': lower_thresh, 'upper_thresh': upper_thresh,
       'num_iterations': num_iterations, 'max_unique_chars': max_unique_chars,
       'reserved_tokens': reserved, 'sentence_share': sentence_share},
      text.facts(), unknown / counts.total(), _notes(len(tokens), vocab_size, lower_thresh))


@gin.register(module='vocabularies')
def sentencepiece(
    documents: Iterable[Document],
    vocab_size: int,
    lower_case: bool,
    strip_diacritics: bool = True,
    model_type: Literal['unigram', 'bpe'] = 'unigram',
    character_coverage: float = 0.9995,
    sentence_share: float = 1.0,
) -> Vocabulary:
  """A SentencePiece model with ALBERT's special pieces: <pad> <unk> [CLS] [SEP] [MASK], ids 0 to 4.

  Args:
    documents: the text; it is held in memory.
    vocab_size: pieces at most. A small text gives fewer.
    lower_case, strip_diacritics: done before, as the tokenizer does; give it the same.
    model_type: 'unigram' or 'bpe'.
    character_coverage: share of the text's characters that have pieces.
    sentence_share: of the sentences, chosen by a hash of their text, that it is trained on.

  Raises:
    RequestError: no text, or vocab_size is too small or too large for it.

  Source: Kudo and Richardson 2018 (arXiv 1808.06226); Lan et al. 2020 (arXiv 1909.11942).
  """
  import sentencepiece as sp

  _check(vocab_size, lower_case, sentence_share)
  text = _Text(documents, sentence_share)
  lines = [line for batch in text.batches() for line in _normalized(
      batch, lower_case, strip_diacritics)]
  text.check()
  written = io.BytesIO()
  try:
    sp.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=written, vocab_size=vocab_size,
        model_type=model_type, character_coverage=character_coverage,
        pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece='<pad>', unk_piece='<unk>',
        control_symbols=['[CLS]', '[SEP]'], user_defined_symbols=['[MASK]'],
        hard_vocab_limit=False,  # Fewer pieces instead of a failure, where the text has no more.
        num_threads=1, input_sentence_size=0,  # No draws.
        max_sentence_length=max(len(line.encode()) for line in lines) + 1,  # Skips longer ones.
        minloglevel=2)
  except (RuntimeError, OSError) as error:
    said = str(error).strip().rpartition('] ')[2] or str(error).strip()
    raise RequestError(
        f'SentencePiece cannot make VOCAB_SIZE={vocab_size} pieces of {len(lines)} sentences: '
        f'{said}. Write another --set VOCAB_SIZE=..., or give more text') from error
  data = written.getvalue()
  size = sp.SentencePieceProcessor(model_proto=data).get_piece_size()
  return Vocabulary(
      SENTENCEPIECE, data, size, lower_case,
      {'vocab_size': vocab_size, 'strip_diacritics': strip_diacritics, 'model_type': model_type,
       'character_coverage': character_coverage, 'sentence_share': sentence_share},
      text.facts(), None, _notes(size, vocab_size))


def _check(vocab_size: int, lower_case: bool, sentence_share: float) -> None:
  if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < 1:
    raise RequestError(f'VOCAB_SIZE is {vocab_size!r}, which is no number of tokens. '
                       'Write for example --set VOCAB_SIZE=30000')
  if not isinstance(lower_case, bool):
    raise RequestError(f'DO_LOWER_CASE is {lower_case!r}, not True or False. '
                       'Write --set DO_LOWER_CASE=True for an uncased vocabulary')
  if not 0 < sentence_share <= 1:
    raise RequestError(f'sentence_share is {sentence_share}, but a share of the sentences lies '
                       'above 0 and is 1 at most. Write 1.0 for all of them')


class _Text:
  """The sentences that are learned from, and what is said of them."""

  def __init__(self, documents: Iterable[Document], share: float):
    self._documents = documents
    self._limit = share * 2**32
    self._read = self._used = 0
    self._digest = hashlib.sha256()

  def batches(self) -> Iterator[list[str]]:
    batch: list[str] = []
    for document in self._documents:
      for sentence in document.sentences:
        self._read += 1
        data = sentence.encode()
        if zlib.crc32(data) < self._limit:
          self._used += 1
          self._digest.update(data + b'\n')
          batch.append(sentence)
      if len(batch) >= _BATCH:
        yield batch
        batch = []
    if batch:
      yield batch

  def facts(self) -> dict[str, Any]:
    return {'sentences': self._read, 'used_sentences': self._used,
            'sha256': self._digest.hexdigest()}

  def check(self, words: bool = True) -> None:
    """Raises RequestError if there is nothing to learn from."""
    if not (self._used and words):
      raise RequestError(
          f'There is no word to learn a vocabulary from: {self._read} sentences were read and '
          f'{self._used} used. Give text in TEXT_FILES, or a larger sentence_share')


def _count_words(text: _Text, lower_case: bool) -> collections.Counter[str]:
  """Words as TF-NLP's tokenizer separates them, and how often each comes."""
  import tensorflow as tf
  from tensorflow_text.python.ops.bert_tokenizer import BasicTokenizer

  split = tf.function(
      BasicTokenizer(lower_case=lower_case).tokenize,
      input_signature=[tf.TensorSpec([None], tf.string)])
  found: collections.Counter[bytes] = collections.Counter()
  for batch in text.batches():
    found.update(split(tf.constant(batch)).flat_values.numpy().tolist())
  text.check(bool(found))
  return collections.Counter({word.decode('utf-8', 'replace'): n for word, n in found.items()})


def _cut(learned: Sequence[str], reserved: Sequence[str], vocab_size: int) -> list[str]:
  """At most `vocab_size` tokens, without the rarest; every character stays in both its forms."""
  def stays(token: str) -> bool:
    return token in reserved or len(token.removeprefix(_SUFFIX)) <= 1

  fixed = sum(map(stays, learned))
  if fixed > vocab_size:
    raise RequestError(
        f'VOCAB_SIZE is {vocab_size}, but {len(reserved)} reserved tokens and the characters of '
        f'this text, each at the beginning and inside of words, are {fixed}. '
        f'Write --set VOCAB_SIZE={fixed} or more, or a smaller max_unique_chars')
  room = vocab_size - fixed
  tokens = []
  for token in learned:
    if not stays(token):
      if not room:
        continue
      room -= 1
    tokens.append(token)
  return tokens


def _normalized(batch: list[str], lower_case: bool, strip_diacritics: bool) -> list[str]:
  """Sentences as the tokenizer hands them to the model."""
  import tensorflow as tf

  from nlp_export.tokenization import sentencepiece_graph

  sentences = sentencepiece_graph.normalized(tf.constant(batch), lower_case, strip_diacritics)
  return [sentence.decode('utf-8') for sentence in sentences.numpy().tolist()]


def _notes(size: int, vocab_size: int, lower_thresh: int = 1) -> tuple[str, ...]:
  if size >= (1 - _SMALLER_BY) * vocab_size:
    return ()
  lower = f' lower_thresh = {lower_thresh - 1} or' if lower_thresh > 1 else ''
  return (f'{size} tokens instead of {vocab_size}: the text has no more pieces that come often '
          f'enough;{lower} more text gives more',)
