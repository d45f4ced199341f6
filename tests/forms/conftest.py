"""One tiny export in every form, made once for all tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.in_process import run_main, settings

RUN = 'gin/runs/forms.gin'
SEQ_LENGTH = 16
NAMES = ('frozen_graph', 'bfloat16', 'onnx', 'litert', 'litert_float16', 'litert_int8', 'xla')


def convert(out: Path, **macros: Any) -> Any:
  """Runs forms.gin in this process."""
  return run_main(RUN, *settings(MAX_SEQ_LENGTH=SEQ_LENGTH, **macros), '--out_dir', out)


@pytest.fixture(scope='session')
def encoder_macros(uncased_exports) -> dict[str, str]:
  """EXPORT and PREPROCESSING of a tiny encoder."""
  return {'EXPORT': uncased_exports['model'], 'PREPROCESSING': uncased_exports['preprocessing']}


@pytest.fixture(scope='session')
def encoder_forms(encoder_macros, tmp_path_factory) -> Path:
  """out_dir of a run with all forms of the encoder, and a task. Do not change it."""
  out = tmp_path_factory.mktemp('forms') / 'out'
  done = convert(out, TASK='builtin_word_order', **encoder_macros)
  assert done.status == 0, done.output
  return out


@pytest.fixture(scope='session')
def results(encoder_forms) -> dict[str, Any]:
  """forms.json of that run."""
  return json.loads((encoder_forms / 'forms.json').read_text())
