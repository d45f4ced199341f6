"""gin/runs/export.gin given nothing but a Hugging Face directory."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests import in_process
from tests.checkpoints import hugging_face_bert as hf
from tests.checkpoints import hugging_face_families as families


def export(directory, tmp_path, *more):
  return in_process.run_main('gin/runs/export.gin', f'--set=CHECKPOINT={directory}',
                             '--out_dir', tmp_path / 'out', *more)


@pytest.fixture
def made(tmp_path):
  """A function: writes a family's directory and returns it."""

  def make(model):
    return model.write(tmp_path / 'model')

  return make


@pytest.mark.parametrize(('model', 'lines'), [
    (families.electra(generator=True),
     ('into bert: 2 layers, 16 wide, from config.json (Hugging Face electra config)',
      "ELECTRA is TF-NLP's bert with factorised embeddings; it has no pooler")),
    (families.distilbert(),
     ('from config.json (Hugging Face distilbert config)', 'input_type_ids change nothing')),
    (families.albert(), ('into albert: 3 layers, 16 wide',)),
    (families.mobilebert(), ('into mobilebert: 2 layers, 16 wide',)),
], ids=['electra', 'distilbert', 'albert', 'mobilebert'])
def test_a_dry_run_says_what_would_be_made(model, lines, made, tmp_path):
  done = export(made(model), tmp_path, '--dry_run')
  assert done.status == 0, done.output
  assert all(line in done.output for line in lines), done.output


def test_a_family_that_cannot_be_read_is_named_first(tmp_path):
  """Before the vocabulary that it does not have either is asked for."""
  directory = hf.write(tmp_path / 'model', {'x': np.ones(1, np.float32)}, model_type='roberta')
  done = export(directory, tmp_path, '--dry_run')
  assert done.status == 2
  assert "describes a 'roberta' model, which cannot be read: it reads byte-level BPE" in done.output


def test_a_vocabulary_in_tokenizer_json_only(made, tmp_path):
  directory = made(families.bert())
  (tmp_path / 'model/vocab.txt').rename(tmp_path / 'vocab.txt')
  vocab = {token: i for i, token in enumerate((tmp_path / 'vocab.txt').read_text().split())}
  (tmp_path / 'model/tokenizer.json').write_text(
      json.dumps({'model': {'type': 'WordPiece', 'vocab': vocab}}))
  done = export(directory, tmp_path, '--dry_run')
  assert done.status == 2 and 'Write one, then repeat the command:' in done.output
  # Control: given by itself, the same vocabulary will do.
  done = export(directory, tmp_path, '--dry_run', f'--set=VOCAB_FILE={tmp_path / "vocab.txt"}')
  assert done.status == 0, done.output


def test_an_activation_of_the_head_that_it_was_not_trained_with(made, tmp_path):
  done = export(made(families.electra(generator=True)), tmp_path, '--dry_run',
                '--set', "export.mlm_activation='relu'")
  assert done.status == 2 and 'Leave export.mlm_activation out.' in done.output


def test_mobilebert_s_masked_lm_head_is_refused_before_any_work(made, tmp_path):
  directory = made(families.mobilebert())
  done = export(directory, tmp_path, '--dry_run', "--set=EXPORT_TYPES=('model_with_mlm',)")
  assert done.status == 2 and 'multiplies with weights beside the word embeddings' in done.output
  assert "Take EXPORT_TYPES = ('model', 'preprocessing')." in done.output


def test_distilbert_has_no_pooler_to_keep(made, tmp_path):
  directory = made(families.distilbert())
  done = export(directory, tmp_path, "--set=EXPORT_TYPES=('model',)")
  assert done.status == 2
  assert "Pooler keep needs the encoder's own pooler, but model holds none" in done.output
  assert '@poolers.identity or @poolers.none.' in done.output
  assert not (tmp_path / 'out/exports').exists()
