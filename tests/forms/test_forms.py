"""Every form computes what the SavedModel does, alone, or nothing is left behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from nlp_export.forms import executing
from nlp_export.forms import reader as readers
from nlp_export.forms.reading import Reader
from nlp_export.graphs import products
from tests.forms.conftest import NAMES, RUN, SEQ_LENGTH, convert
from tests.in_process import run_main, settings

EXACT = ('frozen_graph', 'onnx', 'litert', 'xla')
OUTPUTS = ['default', 'pooled_output', 'sequence_output']


@pytest.mark.parametrize('name', NAMES)
def test_a_form_stands_with_card_and_records(encoder_forms, results, name):
  place = encoder_forms / 'forms' / name
  record = json.loads((place / 'assets.extra/provenance.json').read_text())
  assert json.loads((place / 'assets.extra/verification.json').read_text())['passed']
  assert (place / record['file']).exists()
  assert record['outputs'] == OUTPUTS
  card = (place / 'README.md').read_text()
  assert results['forms'][name]['needs'] in card
  assert str(encoder_forms) not in card + json.dumps(record)  # No path of this machine.


def test_forms_differ_from_the_saved_model_as_much_as_their_precision(results):
  largest = {name: max(d['largest'] for d in entry['differences'].values())
             for name, entry in results['forms'].items()}
  assert max(largest[name] for name in EXACT) < 1e-5
  # Control: what is rounded is not equal.
  assert 1e-4 < largest['litert_float16'] < largest['litert_int8']
  assert 1e-3 < largest['bfloat16'] < 0.3


def test_the_report_shows_each_form_and_says_which_is_slower(encoder_forms, results):
  text = (encoder_forms / 'report.md').read_text()
  for name, entry in results['forms'].items():
    assert f'| {name} |' in text
    assert (f'{name} is slower than the SavedModel' in text) == bool(entry['slower'])
  assert '## builtin_word_order' in text
  own = results['saved_model']['scores']
  assert own['predictions_changed'] == 0
  for name in EXACT:
    assert results['forms'][name]['scores'] == own


def test_the_same_command_again_says_done(encoder_forms, encoder_macros):
  done = convert(encoder_forms, TASK='builtin_word_order', **encoder_macros)
  assert done.status == 0
  assert 'done' in done.output
  assert 'convert onnx ...' not in done.output


@pytest.mark.extra
@pytest.mark.parametrize('name', ['frozen_graph', 'onnx', 'litert'])
def test_the_program_of_the_card_runs(encoder_forms, name):
  place = encoder_forms / 'forms' / name
  program = re.search(r'```python\n(.*?)```', (place / 'README.md').read_text(), re.S)[1]
  bar = 'import sys; sys.modules["nlp_export"] = None\n'
  if name != 'frozen_graph':
    bar += 'sys.modules["tensorflow"] = None\n'
  done = subprocess.run([sys.executable, '-P', '-c', bar + program], cwd=place, text=True,
                        capture_output=True)
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == '(1, 16)'  # default: [batch, width].


def test_a_reader_has_nothing_of_this_package(encoder_forms, tmp_path):
  with Reader(str(tmp_path), ['onnxruntime']) as reader:
    with pytest.raises(Exception, match='onnxruntime is barred in this process'):
      reader.load('onnx', 'onnx', str(encoder_forms / 'forms/onnx/model.onnx'), [], [])
  bar = readers.ImportBar(('nlp_export',))
  with pytest.raises(ModuleNotFoundError, match='nlp_export.forms is barred'):
    bar.find_spec('nlp_export.forms')
  assert bar.find_spec('numpy') is None


def test_a_frozen_graph_that_cannot_be_made_faster_says_so(
    encoder_macros, encoder_forms, tmp_path, monkeypatch):
  def fails(graph):
    raise NotImplementedError('no such op')

  monkeypatch.setattr(products, 'rewrite', fails)
  done = convert(tmp_path / 'out', FORMS='(@forms.frozen_graph,)', **encoder_macros)
  assert done.status == 0, done.output
  note = 'No faster than the SavedModel: it cannot be written again: no such op.'
  assert note in done.output
  assert f'- frozen_graph: {note}' in (tmp_path / 'out/report.md').read_text()
  places = [path / 'forms/frozen_graph' for path in (tmp_path / 'out', encoder_forms)]
  notes = [json.loads((place / 'assets.extra/provenance.json').read_text())['notes']
           for place in places]
  assert notes == [[note], []]
  assert f'- **Note:** {note}' in (places[0] / 'README.md').read_text()
  assert '**Note:**' not in (places[1] / 'README.md').read_text()


def test_a_form_that_is_too_far_off_ends_the_run_and_leaves_nothing(encoder_macros, tmp_path):
  done = convert(tmp_path / 'out', FORMS='(@forms.litert, @forms.litert_int8)',
                 **{'litert_int8.tolerance': 1e-9}, **encoder_macros)
  assert done.status == 1
  assert 'form.sequence_output: failed' in done.output
  assert 'No form was put in place.' in done.output
  assert not (tmp_path / 'out/forms').exists()


@pytest.mark.extra
def test_text_goes_through_the_preprocessing_beside_the_forms(uncased_exports, tmp_path):
  import tensorflow as tf

  done = convert(tmp_path / 'out', EXPORT=uncased_exports['text_embedding'],
                 FORMS='(@forms.onnx,)')
  assert done.status == 0, done.output
  texts = tf.constant(['The cat sat on the mat.', 'hello', ''])
  beside = tf.saved_model.load(str(tmp_path / 'out/forms/preprocessing'))
  rows = {name: value.numpy() for name, value in beside(texts).items()}
  onnx = readers.onnx(str(tmp_path / 'out/forms/onnx/model.onnx'), list(rows), ['embedding'], '')
  expected = tf.saved_model.load(uncased_exports['text_embedding'])(texts)
  np.testing.assert_allclose(onnx(rows)['embedding'], expected, atol=1e-5)
  assert rows['input_word_ids'].shape[1] < SEQ_LENGTH  # Its own length, not that of the run.


def test_another_vocabulary_is_refused(encoder_macros, cased_exports, tmp_path):
  done = convert(tmp_path / 'out', **{**encoder_macros, 'FORMS': '(@forms.xla,)',
                                      'PREPROCESSING': cased_exports['preprocessing']})
  assert done.status == 2 and not (tmp_path / 'out/forms').exists()
  assert done.stderr.endswith('Give the preprocessing that was exported with it\n')


@pytest.mark.parametrize('change, last_clause', [
    ({'EXPORT': 'preprocessing'},
     'keep the preprocessing as a SavedModel beside it: --set EXPORT=... --set PREPROCESSING=...'),
    ({'OUTPUTS': "('deafult',)"}, 'It returns default, encoder_outputs_0, encoder_outputs_1, '
     'pooled_output, sequence_output'),
    ({'PREPROCESSING': None},
     'Name the preprocessing that belongs to it: --set PREPROCESSING=...'),
    ({'FORMS': '()'}, "Write for example --set FORMS='(@forms.frozen_graph, @forms.onnx)'"),
    ({'MAX_SEQ_LENGTH': 400, 'FORMS': '(@forms.litert,)'},
     'It may have fewer positions: write --set MAX_SEQ_LENGTH=64'),
    ({'litert.tolerance': 0}, 'Write a number above 0, such as 1e-5'),
    ({'FORMS': '(@forms.litert_int8,)', 'litert_int8.least_cosine': 2},
     'Write a number from 0 to 1, such as 0.99'),
    ({'litert.seq_length': 1}, 'Write litert.seq_length = 128'),
    ({'TASK': 'rte'}, '--set "TASKS=(\'builtin_word_order\', \'builtin_next_sentence\')"'),
    ({'TASK': 'builtin_word_order', 'OUTPUTS': "('sequence_output',)"},
     "Add 'default' to OUTPUTS, or leave TASK out"),
    ({'FORMS': '(@forms.onnx, @forms.onnx)'},
     'Give one of them a scope of its own: @second/forms.onnx'),
])
def test_refusals_say_what_to_write(
    encoder_macros, uncased_exports, tmp_path, change, last_clause):
  macros = {'MAX_SEQ_LENGTH': SEQ_LENGTH, 'FORMS': '(@forms.litert,)', **encoder_macros, **change}
  if change.get('EXPORT'):
    macros['EXPORT'] = uncased_exports[change['EXPORT']]
  done = run_main(RUN, *settings(**macros), '--out_dir', tmp_path / 'out')
  assert done.status == 2, done.output
  assert last_clause in ' '.join(done.output.split())
  assert not (tmp_path / 'out/forms').exists()


def test_what_one_file_cannot_hold_is_refused_and_xla_is_not(encoder_macros, tmp_path, monkeypatch):
  monkeypatch.setattr(executing, '_MOST_BYTES', 1000)

  def planned(forms):
    return run_main(RUN, *settings(**{**encoder_macros, 'MAX_SEQ_LENGTH': SEQ_LENGTH,
                                      'FORMS': forms}), '--dry_run', '--out_dir', tmp_path / 'out')

  refused = planned('(@forms.xla, @forms.onnx)')
  assert refused.status == 2
  assert "write --set FORMS='(@forms.xla,)'" in ' '.join(refused.output.split())
  assert planned('(@forms.xla,)').status == 0
