"""EXPORT_TYPES with 'text_embedding', from the command to the vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401

from nlp_export import poolings
from tests import in_process

TEXTS = ['the cat sat on the mat', '', 'a dog ' * 30, 'hello world']


@pytest.fixture(scope='module')
def out(tmp_path_factory, tiny_uncased):
  """out_dir of a run without 'model': two poolers, two poolings, another dropout rate."""
  out = tmp_path_factory.mktemp('text_embedding') / 'out'
  settings = in_process.settings(
      **tiny_uncased, EXPORT_TYPES="('text_embedding', 'preprocessing')",
      POOLERS='(@poolers.keep, @poolers.random)', POOLING="('pooled', 'mean_sqrt_len')",
      NORMALIZE=True, MAX_SEQ_LENGTH=16, **{'export.dropout_rate': '0.0'})
  done = in_process.run_main('gin/runs/export.gin', *settings, '--out_dir', out)
  assert done.status == 0, done.output
  assert 'dropout: rate 0.0 in hidden layers and attention (export.dropout_rate), instead' in (
      done.output)
  again = in_process.run_main('gin/runs/export.gin', *settings, '--out_dir', out)
  assert again.status == 0 and 'done' in again.output.splitlines()[-1]
  return out


def place(out: Path, pooler: str) -> Path:
  return out / 'exports' / pooler / 'text_embedding'


def record(export: Path, name: str):
  return json.loads((export / 'assets.extra' / f'{name}.json').read_text())


def test_it_is_the_encoder_pooled_in_python(uncased_exports):
  embed = tf.saved_model.load(uncased_exports['text_embedding'])
  encoder = tf.saved_model.load(uncased_exports['model'])
  inputs = tf.saved_model.load(uncased_exports['preprocessing'])(tf.constant(TEXTS))
  assert inputs['input_mask'].shape == (4, 16)  # Padded; the embedding cuts to the same length.
  expected = poolings.pool('mean', encoder(inputs), inputs['input_mask'])
  np.testing.assert_allclose(embed(TEXTS), expected, atol=1e-5)
  assert record(Path(uncased_exports['text_embedding']), 'verification')['passed']


def test_exports_that_differ_in_their_pooler_alone(out):
  keep, random = (tf.saved_model.load(str(place(out, name)))(TEXTS).numpy()
                  for name in ('keep', 'random'))
  assert keep.shape == (4, 32)
  np.testing.assert_allclose(np.linalg.norm(keep, axis=1), 1, atol=1e-6)
  half = {name: vectors[:, 16:] / np.linalg.norm(vectors[:, 16:], axis=1, keepdims=True)
          for name, vectors in (('keep', keep), ('random', random))}
  np.testing.assert_allclose(half['keep'], half['random'], atol=1e-5)
  assert np.abs(keep[:, :16] - random[:, :16]).max() > 1e-2
  graphs = [(place(out, name) / 'saved_model.pb').read_bytes() for name in ('keep', 'random')]
  assert graphs[0] == graphs[1]


def test_card_and_record_say_what_a_text_becomes(out):
  card = (place(out, 'random') / 'README.md').read_text()
  for line in ('one float32 vector of 32 numbers out', '**Longest text:** 16 tokens',
               'pooled, mean_sqrt_len: pooled_output of the encoder, then the sum of the vectors',
               '**Length of the vectors:** 1 (L2-normalised)', 'drawn from a truncated normal',
               'called on one text at a time, on real texts, to 1e-05',
               'rows are as long as the longest text of their batch'):
    assert line in card
  provenance = record(place(out, 'random'), 'provenance')
  assert provenance['export_type'] == 'text_embedding'
  assert {key: provenance['text_embedding'][key] for key in (
      'pooling', 'normalize', 'max_seq_length', 'dim', 'pads')} == {
          'pooling': ['pooled', 'mean_sqrt_len'], 'normalize': True, 'max_seq_length': 16,
          'dim': 32, 'pads': False}


def test_a_dropout_rate_that_was_set_at_export_is_said_and_holds(out, uncased_exports):
  card = (place(out, 'keep') / 'README.md').read_text()
  assert 'This encoder has a dropout rate of 0, set when it was exported (the encoder' in card
  assert "configuration has 0.1 in hidden layers and 0.1 in attention)" in card
  encoder = record(place(out, 'keep'), 'provenance')['encoder']
  assert (encoder['dropout_rate'], encoder['configured_dropout']) == (0.0, [0.1, 0.1])
  checks = {c['name']: c for c in record(place(out, 'keep'), 'verification')['checks']}
  assert checks['text_embedding.dropout']['why'] == 'dropout rate 0'
  embed = tf.saved_model.load(str(place(out, 'keep')))
  np.testing.assert_allclose(embed(TEXTS, training=True), embed(TEXTS), atol=1e-6)
  other = tf.saved_model.load(uncased_exports['text_embedding'])  # Control: rate 0.1.
  assert np.abs(other(TEXTS, training=True) - other(TEXTS)).max() > 1e-2
  as_configured = record(Path(uncased_exports['model']), 'provenance')['encoder']
  assert as_configured['configured_dropout'] is None


@pytest.mark.extra  # A fresh process; the checks themselves are tested in saved_models/.
def test_verify_gin_takes_it(uncased_exports, tmp_path):
  done = in_process.run_main(
      'gin/runs/verify.gin', f'--set=EXPORT={uncased_exports["text_embedding"]}',
      '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  found = json.loads((tmp_path / 'out' / 'verification.json').read_text())
  assert found['saved_models']['EXPORT']['kind'] == 'text_embedding'


def test_a_request_that_cannot_be_met_is_refused_before_any_work(tiny_uncased, tmp_path):
  settings = in_process.settings(
      **tiny_uncased, EXPORT_TYPES="('text_embedding',)", MAX_SEQ_LENGTH=1000)
  done = in_process.run_main(
      'gin/runs/export.gin', *settings, '--out_dir', tmp_path / 'out')
  assert done.status == 2 and 'Write --set MAX_SEQ_LENGTH=256 or less' in done.output
  assert not (tmp_path / 'out').exists()


@pytest.mark.extra
def test_real_weights(minilm_dir, tmp_path):
  settings = in_process.settings(
      CHECKPOINT=minilm_dir, EXPORT_TYPES="('text_embedding',)", POOLING=poolings.POOLINGS)
  done = in_process.run_main('gin/runs/export.gin', *settings, '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  checks = {c['name']: c for c in record(place(tmp_path / 'out', 'keep'), 'verification')['checks']}
  assert checks['text_embedding.equals_source']['value'] <= 1e-5
  assert checks['text_embedding.call']['value'] == 5 * 384
