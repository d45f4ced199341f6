"""Vectors of texts: right whatever the batch, in the order of the texts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nlp_export import files, names
from nlp_export.embedding import embedder
from nlp_export.embedding.request import Model
from nlp_export.errors import CheckError, RequestError


@pytest.fixture(scope='module')
def model(uncased_exports) -> Model:
  return Model(uncased_exports['model'], uncased_exports['preprocessing'], 'mean',
               max_seq_length=24)


@pytest.fixture(scope='module')
def made(model):
  found = embedder.Embedder(model)
  yield found
  found.close()


def test_vectors_are_those_of_each_text_alone(made, some_texts, expected, monkeypatch):
  monkeypatch.setattr(embedder, 'TOKENS_IN_BATCH', 60)
  monkeypatch.setattr(embedder, '_CHUNK_TEXTS', 7)
  seen: list[int] = []
  vectors, lengths = made.embed(some_texts, seen.append)
  np.testing.assert_allclose(vectors, expected(), atol=1e-5)
  assert made.notes == () and made.dim == 16
  assert seen[-1] == 50 and sorted(seen) == seen and len(seen) > 5
  assert lengths.min() == 2 and lengths.max() == 24
  # Control: the order matters.
  assert np.abs(vectors - expected()[::-1]).max() > 0.1


def test_poolings_are_concatenated_and_scaled(model, some_texts, expected):
  asked = dataclasses.replace(model, pooling=('cls', 'pooled', 'max'), normalize=True)
  found = embedder.Embedder(asked)
  wanted = np.concatenate([expected(name) for name in ('cls', 'pooled', 'max')], axis=1)
  wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
  np.testing.assert_allclose(found.embed(some_texts)[0], wanted, atol=1e-5)
  found.close()


def test_another_vocabulary_is_refused(model, cased_exports):
  with pytest.raises(RequestError) as error:
    embedder.Embedder(dataclasses.replace(model, preprocessing=cased_exports['preprocessing']))
  assert str(error.value).endswith('Give the preprocessing that was exported with it')


def test_no_text_gives_no_vector(made):
  vectors, lengths = made.embed([])
  assert vectors.shape == (0, 16) and lengths.shape == (0,)


def test_bfloat16_is_near(model, some_texts, expected, monkeypatch):
  from nlp_export.glue.fine_tuning import runtime

  if not runtime.has_bfloat16():
    pytest.skip('this processor has no bfloat16')
  monkeypatch.setattr(embedder, '_LEAST_COSINE', 0.99)  # Of 16 random dimensions.
  found = embedder.Embedder(model, 'bfloat16')
  vectors = found.embed(some_texts)[0]
  assert embedder.least_cosine(vectors, expected()) > 0.99
  assert np.abs(vectors - expected()).max() > 1e-4  # Control: it is not float32.
  found.close()
  monkeypatch.setattr(embedder, '_LEAST_COSINE', 1.1)
  with pytest.raises(CheckError) as error:
    embedder.Embedder(model, 'bfloat16')
  assert str(error.value).endswith('Write --set PRECISION=float32')


def test_every_thread_computes_in_bfloat16(model, some_texts, monkeypatch):
  from nlp_export.glue.fine_tuning import runtime

  if not runtime.has_bfloat16():
    pytest.skip('this processor has no bfloat16')
  monkeypatch.setattr(embedder, '_LEAST_COSINE', 0.99)  # Of 16 random dimensions.
  monkeypatch.setattr(embedder, '_CHUNK_TEXTS', 5)  # So that every thread tokenises first.
  texts = [text for text in some_texts if text] * 3
  vectors = {}
  for precision in ('float32', 'bfloat16'):
    found = embedder.Embedder(model, precision)
    vectors[precision] = [found.embed(texts)[0] for _ in range(2)]
    found.close()
  np.testing.assert_allclose(*vectors['float32'], atol=1e-5)  # Control.
  for coarse in vectors['bfloat16']:
    assert np.abs(coarse - vectors['float32'][0]).max(axis=1).min() > 1e-5


def test_a_text_embedding_needs_nothing_else(uncased_exports, some_texts):
  import tensorflow as tf

  path = uncased_exports['text_embedding']
  found = embedder.Embedder(Model(path))
  assert found.notes == ()
  np.testing.assert_allclose(
      found.embed(some_texts)[0], tf.saved_model.load(path)(some_texts).numpy(), atol=1e-5)
  found.close()
  with pytest.raises(RequestError) as error:
    embedder.Embedder(Model(path, uncased_exports['preprocessing'], 'mean', max_seq_length=24))
  assert str(error.value).endswith('Leave PREPROCESSING, POOLING and MAX_SEQ_LENGTH out')


def test_what_is_not_of_the_kind_that_was_said_is_refused(model):
  with pytest.raises(RequestError) as error:
    embedder.Embedder(Model(model.export))
  assert str(error.value).endswith("EXPORT_TYPES = ('text_embedding',) writes")
  with pytest.raises(CheckError) as failed:
    embedder.Embedder(dataclasses.replace(model, export='nowhere'))
  assert str(failed.value).startswith('nowhere cannot be loaded: ')


def test_batches_hold_every_row_once_and_no_more_tokens_than_said(monkeypatch):
  monkeypatch.setattr(embedder, 'TOKENS_IN_BATCH', 100)
  lengths = np.array([3, 120, 5, 50, 50, 2, 7], np.int32)
  found = list(embedder.batches(lengths))
  assert sorted(np.concatenate(found)) == list(range(7))
  assert list(found[0]) == [1]  # Longer than a batch: alone.
  assert all(len(rows) * lengths[rows].max() <= 100 for rows in found[1:])
  assert [len(rows) for rows in embedder.batches(lengths, fixed=25)] == [4, 3]


def test_padding_has_the_tokenizer_s_own_id():
  inputs = {'input_word_ids': np.array([[5, 0, 6, 0]], np.int32),
            'input_mask': np.array([[1, 1, 1, 0]], np.int32)}
  found = embedder.with_padding(inputs, 3)
  assert found['input_word_ids'].tolist() == [[5, 0, 6, 3]]  # A real token may have id 0.
  assert found['input_word_ids'].dtype == np.int32
  assert found['input_mask'] is inputs['input_mask']


def test_embed_gives_unit_vectors(uncased_exports, some_texts, expected):
  vectors = embedder.embed(
      uncased_exports['model'], uncased_exports['preprocessing'], some_texts, max_seq_length=24)
  wanted = expected() / np.linalg.norm(expected(), axis=1, keepdims=True)
  np.testing.assert_allclose(vectors, wanted, atol=1e-5)


def test_where_padding_counts_a_vector_does_not_depend_on_the_other_texts(
    uncased_exports, some_texts, tmp_path):
  from tests.saved_models import other_networks

  path = other_networks.Made(tmp_path, 'mobilebert', with_mlm=False).path
  asked = Model(path, uncased_exports['preprocessing'], 'mean', max_seq_length=24)

  def difference() -> float:
    found = embedder.Embedder(asked)
    together = found.embed(some_texts[:8])[0]
    alone = np.concatenate([found.embed([text])[0] for text in some_texts[:8]])
    found.close()
    return float(np.abs(together - alone).max())

  assert difference() > 1e-3  # Control: a stranger's has no record.
  files.write_json(files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE),
                   {'encoder': {'sequence': {'inexact_padding': 'neighbours'}}})
  assert difference() < 1e-5
