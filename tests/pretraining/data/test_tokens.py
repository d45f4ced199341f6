"""Text to flat arrays of ids, and which documents are held out."""

from __future__ import annotations

import types

import numpy as np
import pytest

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import tokens
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from tests.pretraining.data import corpus_lab
from tests.sentencepiece_model import sentencepiece_model

DOCUMENTS = [
    types.SimpleNamespace(sentences=('The cat sat.', '  ', 'A dog!'), source='one.txt 1'),
    types.SimpleNamespace(sentences=('', '\t'), source='one.txt 2'),
    types.SimpleNamespace(sentences=('on the mat',), source='two.txt 1'),
    types.SimpleNamespace(sentences=(), source='two.txt 2'),
]


def test_documents_sentences_and_tokens(tiny_vocab):
  tokenizer = tokenizers.wordpiece(tiny_vocab, True)
  corpus = TokenisedCorpus.tokenised(iter(DOCUMENTS), tokenizer)
  words = [tokenizer.vocabulary[number] for number in corpus.tokens]
  assert words == 'the cat sat . a dog ! on the mat'.split()
  assert corpus.sentence_splits.tolist() == [0, 4, 7, 10]
  assert corpus.document_splits.tolist() == [0, 2, 3]
  assert corpus.token_splits.tolist() == [0, 7, 10]
  assert (corpus.sentences, corpus.documents) == (3, 2)
  assert (corpus.dropped_sentences, corpus.dropped_documents) == (3, 2)
  assert corpus.sources == ('one.txt 1', 'two.txt 1')
  assert corpus.document_of(np.array([0, 6, 7, 9])).tolist() == [0, 0, 1, 1]
  arrays = (corpus.tokens, corpus.sentence_splits, corpus.document_splits)
  assert [array.dtype.name for array in arrays] == ['int32', 'int64', 'int64']


def test_chunks_do_not_show(tiny_vocab, monkeypatch):
  tokenizer = tokenizers.wordpiece(tiny_vocab, True)
  whole = TokenisedCorpus.tokenised(DOCUMENTS * 3, tokenizer)
  monkeypatch.setattr(tokens, '_CHUNK_SENTENCES', 4)
  assert TokenisedCorpus.tokenised(DOCUMENTS * 3, tokenizer).sha256() == whole.sha256()


def test_sentencepiece(tmp_path):
  (tmp_path / 'pieces.model').write_bytes(sentencepiece_model())
  tokenizer = tokenizers.sentencepiece(str(tmp_path / 'pieces.model'), True)
  corpus = TokenisedCorpus.tokenised(DOCUMENTS, tokenizer)
  assert corpus.document_splits.tolist() == [0, 2, 3] and corpus.tokens.max() < 90


class Own:
  """A user's tokenizer without `tokenize_flat`: words of two bytes, an id a byte."""

  kind, asset_file, lower_case, vocab_size = 'bytes', None, False, 256

  def build(self, with_offsets):
    return self

  def tokenize(self, sentences):
    import tensorflow as tf

    return tf.ragged.constant([[list(text[at:at + 2]) for at in range(0, len(text), 2)]
                               for text in sentences.numpy()], dtype=tf.int32, ragged_rank=2)


def test_a_tokenizer_of_ones_own():
  corpus = TokenisedCorpus.tokenised([types.SimpleNamespace(sentences=('abc', 'd'), source='')],
                                     Own())
  assert corpus.tokens.tolist() == [97, 98, 99, 100]
  assert corpus.sentence_splits.tolist() == [0, 3, 4]


def test_a_failure_of_ones_own_tokenizer_is_its_authors():
  class Broken(Own):
    def tokenize(self, sentences):
      raise KeyError('no such letter')

  with pytest.raises(RequestError, match=r'^tokenize\(\) of the bytes tokenizer raised KeyError: .*'
                     'Correct it there; --debug shows the traceback.$'):
    TokenisedCorpus.tokenised(DOCUMENTS, Broken())


def test_no_documents_are_an_empty_corpus(tiny_vocab):
  for documents in ([], DOCUMENTS[1:2]):
    corpus = TokenisedCorpus.tokenised(documents, tokenizers.wordpiece(tiny_vocab, True))
    assert (len(corpus.tokens), corpus.sentences, corpus.documents) == (0, 0, 0)
    assert corpus.sha256() == TokenisedCorpus.joined([]).sha256()


def test_the_hash_is_of_tokens_sentences_and_documents():
  first = corpus_lab.of_sizes([3, 2], [4])
  assert first.sha256() == corpus_lab.of_sizes([3, 2], [4]).sha256()
  others = [corpus_lab.of_sizes([2, 3], [4]), corpus_lab.of_sizes([3], [2, 4]),
            corpus_lab.of_sizes([3, 2, 4]), TokenisedCorpus(
                first.tokens + 1, first.sentence_splits, first.document_splits)]
  assert first.sha256() not in {other.sha256() for other in others}


def test_parts_and_joining():
  whole = corpus_lab.corpus(9)
  parts = [whole.only(np.arange(at, at + 3)) for at in (0, 3, 6)]
  again = TokenisedCorpus.joined(parts)
  assert again.sha256() == whole.sha256() and again.sources == whole.sources
  some = whole.only(np.array([7, 2]))
  begin, end = whole.token_splits[7:9]
  assert some.tokens[:end - begin].tolist() == whole.tokens[begin:end].tolist()
  assert some.sources == ('document 7', 'document 2') and some.documents == 2


def test_a_split_is_of_whole_documents_and_near_the_share():
  whole = corpus_lab.corpus(200)
  train, held_out = whole.split(0.1)
  assert sorted(train.sources + held_out.sources) == sorted(whole.sources)
  assert not set(train.sources) & set(held_out.sources)
  assert 0.1 <= len(held_out.tokens) / len(whole.tokens) < 0.12
  assert len(train.tokens) + len(held_out.tokens) == len(whole.tokens)
  larger = whole.split(0.3)[1]
  assert set(held_out.sources) < set(larger.sources)


def test_a_split_depends_on_contents_not_on_places():
  whole = corpus_lab.corpus(50)
  shuffled = whole.only(np.random.default_rng(1).permutation(50))
  other = corpus_lab.corpus(50, seed=1)
  held_out = [set(text.split(0.2)[1].sources) for text in (whole, shuffled, other)]
  assert held_out[0] == held_out[1] != held_out[2]


def test_copies_of_a_document_are_on_one_side():
  whole = corpus_lab.corpus(40)
  twice = TokenisedCorpus.joined([whole, whole])
  train, held_out = twice.split(0.2)
  assert not set(train.sources) & set(held_out.sources)
  assert sorted(held_out.sources) == sorted(list(set(held_out.sources)) * 2)


def test_a_document_that_is_most_of_the_text_is_passed_over():
  for seed in range(5):
    rest = corpus_lab.corpus(30, seed=seed)
    huge = corpus_lab.corpus(1, sentences=(900, 900), seed=seed + 100)
    huge = TokenisedCorpus(huge.tokens, huge.sentence_splits, huge.document_splits, ('huge',))
    train, held_out = TokenisedCorpus.joined([rest, huge]).split(0.1)
    assert 'huge' in train.sources and held_out.documents > 1


def test_what_cannot_be_split_is_refused():
  for share in (0, 1.0, -0.1, float('nan')):
    with pytest.raises(RequestError, match='at most 0.5, such as 0.1$'):
      corpus_lab.corpus(4).split(share)
  end = 'or give the held-out text in files of its own$'
  with pytest.raises(RequestError, match=rf'has 2 documents \(2 different ones\), .*{end}'):
    corpus_lab.of_sizes([9, 9], [8, 8]).split(0.1)
  copies = TokenisedCorpus.joined([corpus_lab.of_sizes([9])] * 9)
  with pytest.raises(RequestError, match=rf'has 9 documents \(1 different ones\), .*{end}'):
    copies.split(0.5)


def test_arrays_that_do_not_fit_are_defects():
  ids = np.arange(5, dtype=np.int32)

  def splits(*values):
    return np.array(values, np.int64)

  TokenisedCorpus(ids, splits(0, 2, 5), splits(0, 2))
  for sentences, documents in (((0, 5), (0, 2)), ((0, 2, 2, 5), (0, 3)), ((1, 5), (0, 1)),
                               ((0, 2, 4), (0, 2)), ((0, 5), (0, 0, 1))):
    with pytest.raises(ValueError, match='has to rise from 0'):
      TokenisedCorpus(ids, splits(*sentences), splits(*documents))
  with pytest.raises(ValueError, match='not int32'):
    TokenisedCorpus(ids.astype(np.int64), splits(0, 5), splits(0, 1))
  with pytest.raises(ValueError, match='2 sources for 1 documents'):
    TokenisedCorpus(ids, splits(0, 5), splits(0, 1), ('a', 'b'))
