"""gin/runs/pretrain_then_export.gin: the whole way with few steps."""

from __future__ import annotations

import json

import pytest

from nlp_export import reports
from tests import pretrain_lab
from tests.in_process import run_main, settings

pytestmark = pytest.mark.extra

RUN = 'gin/runs/pretrain_then_export.gin'


def test_the_plan_goes_from_text_to_a_report(tmp_path):
  done = run_main(RUN, '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  lines = done.stdout.splitlines()
  for pooler in ('copy_nsp', 'random', 'identity', 'keep'):
    for kind in ('model', 'model_with_mlm'):
      assert f'write and verify exports/{pooler}/{kind}' in lines
  assert 'learn 2048 tokens with wordpiece first, uncased' in lines
  assert 'it would start at step 0' in lines


@pytest.mark.parametrize(('values', 'ending'), [
    ({'HEADS': '()', 'PAIRS': 'None'}, 'or leave copy_nsp out'),
    ({'RUNTIME': '@runtime.multi_worker()'},
     'then gin/runs/pooler_ablation.gin with CHECKPOINT'),
])
def test_what_cannot_work_is_refused_first(values, ending, tmp_path):
  done = run_main(RUN, '--gin_params', 'import nlp_export.pretraining.strategies',
                  *settings(**values), '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 2, done.output
  assert done.stderr.strip().endswith(ending)


def test_few_steps_give_verified_exports_and_one_report(tmp_path):
  out = tmp_path / 'out'
  done = run_main(RUN, *settings(
      TEXT_FILES=pretrain_lab.write_text(tmp_path / 'text.txt'),
      TRAIN_STEPS=4, SAVE_EVERY_STEPS=2, SEQ_LENGTH=16, MAX_PREDICTIONS=3, GLOBAL_BATCH_SIZE=4,
      POOLERS='(@poolers.copy_nsp,)', EXPORT_TYPES="('model', 'preprocessing')",
      ARMS="{'export': {}}", SEEDS='(0,)', BATCH_SIZE=8, MAX_SEQ_LENGTH=16, **{
          'recipe.steps': 2, 'encoders.bert.num_layers': 1, 'encoders.bert.hidden_size': 16,
          'encoders.bert.intermediate_size': 24, 'train_recipe.warmup_steps': 1,
          'text.held_out_tokens': 500, 'text.held_out_passes': 1}), '--out_dir', out)
  assert done.status == 0, done.output
  assert done.stdout.splitlines()[-2:] == [f'done: {out}', f'report: {out}/report.html']
  assert 'word embeddings instead of 2048, for the' in done.stdout
  record = json.loads((out / 'run.json').read_text())
  assert record['result']['pretraining']['step'] == 4
  page = (out / 'report.html').read_text()
  assert 'Pre-training: masked-LM loss, nats against step' in page
  assert [cell.pooler for cell in reports.read_results(str(out / 'glue/results.json')).cells] == [
      'copy_nsp']
  provenance = json.loads(
      (out / 'exports/copy_nsp/model/assets.extra/provenance.json').read_text())
  assert 'next_sentence' in provenance['pooler']['origin']
  assert (out / 'vocabulary/uncased_vocab.txt').is_file()
