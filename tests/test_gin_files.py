"""Every file under gin/: it parses, says what it is, and what it needs is what its head says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.in_process import run_main

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'gin').rglob('*.gin'))
RUNS = [name for name in FILES if name.startswith('gin/runs/')]

# What each run file needs: macro -> fixture key. A run file that is not here needs nothing.
NEEDS = {
    'gin/runs/continue_mlm.gin': ('EXPORT', 'PREPROCESSING', 'TEXT_FILES'),
    'gin/runs/convert_checkpoint.gin': ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE', 'TO'),
    'gin/runs/embed.gin': ('EXPORT', 'PREPROCESSING', 'POOLING', 'TEXT_FILE'),
    'gin/runs/forms.gin': ('EXPORT', 'PREPROCESSING'),
    'gin/runs/finetune.gin': ('EXPORT', 'PREPROCESSING', 'TRAIN_FILE'),
    'gin/runs/export.gin': ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE'),
    'gin/runs/glue_check.gin': ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE', 'GLUE_DIR'),
    'gin/runs/glue_submission.gin': ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE', 'GLUE_DIR'),
    'gin/runs/inspect_checkpoint.gin': ('CHECKPOINT',),
    'gin/runs/package.gin': (
        'EXPORT', 'OWNER', 'NAME', 'LICENCE', 'LANGUAGE', 'TRAINING_DATA', 'FINE_TUNING'),
    'gin/runs/paper_table.gin': ('RESULTS',),
    'gin/runs/pooler_ablation.gin': ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE', 'GLUE_DIR'),
    'gin/runs/prepare_pretraining_data.gin': ('VOCAB_FILE',),
    'gin/runs/pretrain.gin': ('ENCODER_CONFIG', 'VOCAB_FILE'),
    'gin/runs/question_pairs.gin': ('EXPORT', 'PREPROCESSING', 'GLUE_DIR'),
    'gin/runs/verify.gin': ('EXPORT',),
}

# Fragments that bind an experiment's parameters: what their includer imports first.
INCLUDED_AFTER = {
    'gin/export/macros.gin': 'import experiments.export',
    'gin/export/text_embedding.gin': 'import experiments.export',
    'gin/pretraining/macros.gin': 'import experiments.pretrain',
}

PARSE = """
import json, sys
import gin
failures = {}
gin.add_config_file_search_path('.')
try:
  gin.parse_config(sys.argv[2])
  gin.parse_config_files_and_bindings([sys.argv[1]], [], finalize_config=False)
except Exception as error:
  failures = f'{type(error).__name__}: {error}'
print(json.dumps([failures, sorted(set(sys.modules) & {'tensorflow', 'official', 'tf_keras'})]))
"""


def parse(name: str) -> tuple[str, list[str]]:
  """gin's own strict parse of one file, in a process that has imported nothing for it."""
  done = subprocess.run(
      [sys.executable, '-c', PARSE, name, INCLUDED_AFTER.get(name, '')],
      cwd=ROOT, capture_output=True, text=True, check=True,
  )  # fmt: skip
  return tuple(json.loads(done.stdout))


def opening(name: str) -> str:
  """The comment at the head of a file, in one line."""
  lines = []
  for line in (ROOT / name).read_text().splitlines():
    if not line.startswith('#'):
      break
    lines.append(line.lstrip('# ').rstrip())
  return ' '.join(lines)


@pytest.mark.parametrize('name', FILES)
def test_parses_strictly_and_without_tensorflow(name):
  failure, heavy = parse(name)
  assert not failure
  assert not heavy


def test_a_misspelt_name_does_not_parse(tmp_path):  # Control of the test above.
  path = tmp_path / 'wrong.gin'
  path.write_text('import nlp_export.encoders\nX = @encoders.brt\n')
  failure, _ = parse(str(path))
  assert 'brt' in failure


@pytest.mark.parametrize('name', FILES)
def test_opens_with_a_comment(name):
  assert len(opening(name)) > 20


@pytest.mark.parametrize('name', RUNS)
def test_a_run_file_opens_with_a_question_and_its_command(name):
  text = opening(name)
  assert '?' in text.split('python run.py')[0]
  assert f'python run.py {name}' in text


@pytest.mark.parametrize('name', RUNS)
def test_a_run_file_names_what_must_be_set(name):
  text = (ROOT / name).read_text()
  required = re.findall(r'^(\w+) = %gin\.REQUIRED', text, re.M)
  assert set(required) <= set(NEEDS.get(name, ())), f'add to NEEDS: {required}'
  for macro in required:
    assert macro in opening(name)


@pytest.mark.parametrize('name', RUNS)
def test_a_run_file_passes_a_dry_run_given_its_macros(name, stand_in, tmp_path):
  settings = [f'--set={macro}={stand_in(macro)}' for macro in NEEDS.get(name, ())]
  done = run_main(name, *settings, '--dry_run', f'--out_dir={tmp_path / "out"}')
  assert done.status == 0, done.output
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', sorted(set(NEEDS) & set(RUNS)))
def test_a_run_file_says_what_is_missing(name, tmp_path):
  done = run_main(name, '--dry_run', f'--out_dir={tmp_path / "out"}')
  assert done.status == 2, done.output
  missing = re.findall(r'^(\w+) = %gin\.REQUIRED', (ROOT / name).read_text(), re.M)
  assert all(macro in done.output for macro in missing)
