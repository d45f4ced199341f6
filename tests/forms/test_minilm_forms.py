"""The forms of a real encoder: differences as those that are known of others' conversions."""

from __future__ import annotations

import json

import pytest

from tests.forms.conftest import RUN
from tests.in_process import run_main, settings

# Of `default`, tanh of the [CLS] vector, on real text: absolute difference, least cosine.
SEEN = {
    'frozen_graph': (1e-5, 0.99999),
    'onnx': (1e-5, 0.99999),
    'litert_float16': (4e-3, 0.9999),
    'litert_int8': (0.2, 0.97),
}


@pytest.fixture(scope='module')
def results(minilm_dir, tmp_path_factory):
  out = tmp_path_factory.mktemp('minilm_forms')
  done = run_main(
      'gin/runs/export.gin', *settings(CHECKPOINT=minilm_dir, POOLERS='(@poolers.identity,)'),
      '--out_dir', out / 'export')
  assert done.status == 0, done.output
  exports = out / 'export/exports'
  forms = ', '.join(f'@forms.{name}' for name in SEEN)
  done = run_main(RUN, *settings(
      EXPORT=exports / 'identity/model', PREPROCESSING=exports / 'preprocessing',
      FORMS=f'({forms})', MAX_SEQ_LENGTH=32), '--out_dir', out / 'forms')
  assert done.status == 0, done.output
  return json.loads((out / 'forms/forms.json').read_text())


@pytest.mark.extra  # Weights of 90 MB, six times.
@pytest.mark.parametrize('name', SEEN)
def test_a_form_of_real_weights_is_as_close_as_its_precision_allows(results, name):
  difference = results['forms'][name]['differences']['default']
  largest, cosine = SEEN[name]
  assert difference['largest'] <= largest
  assert difference['least_cosine'] >= cosine


@pytest.mark.extra
def test_sizes_of_real_weights(results):
  size = {name: entry['size_bytes'] for name, entry in results['forms'].items()}
  whole = results['saved_model']['size_bytes']
  assert abs(size['onnx'] / whole - 1) < 0.05
  assert size['litert_float16'] / whole == pytest.approx(1 / 2, abs=0.03)
  assert size['litert_int8'] / whole == pytest.approx(1 / 4, abs=0.03)
