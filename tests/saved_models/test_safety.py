"""SavedModels of strangers: what does more than compute is not loaded, all that computes is."""

from __future__ import annotations

import re
import shutil

import pytest

from nlp_export.errors import RequestError
from nlp_export.experiment import Run
from nlp_export.handles import resolved
from nlp_export.saved_models import op_effects, safety
from tests.saved_models import dangerous_models, dangerous_names
from tests.sentencepiece_model import sentencepiece_model

DANGEROUS = {**dangerous_models.DANGEROUS, **dangerous_names.DANGEROUS}
HARMLESS = (*dangerous_models.HARMLESS, *dangerous_names.HARMLESS)


def name_of(make) -> str:
  return make.__name__


@pytest.mark.parametrize('make', DANGEROUS, ids=name_of)
def test_what_does_more_than_compute_is_refused(make, tmp_path):
  op, why = DANGEROUS[make]
  path, mark = str(tmp_path / 'model'), str(tmp_path / 'mark')
  make(path, mark)
  with pytest.raises(RequestError, match=re.escape(why)) as caught:
    safety.refuse_dangerous(path)
  assert f'  {op} ' in caught.value.message
  # Control: allowed by name, what is there passes. Another name does not help.
  found = re.findall(r'^  (\S+) ', caught.value.message, re.M)
  safety.refuse_dangerous(path, allowed_ops=tuple(found))
  with pytest.raises(RequestError):
    safety.refuse_dangerous(path, allowed_ops=('Assert',))


@pytest.mark.parametrize('make', HARMLESS, ids=name_of)
def test_what_only_seems_to_is_not(make, tmp_path):
  path = str(tmp_path / 'model')
  make(path, str(tmp_path / 'mark'))
  assert resolved(path) == path


def test_the_danger_is_real_and_comes_with_loading(tmp_path):
  import tensorflow as tf

  path, mark = str(tmp_path / 'model'), tmp_path / 'mark'
  dangerous_models.writes_in_an_initialiser(path, str(mark))
  mark.unlink(missing_ok=True)
  with pytest.raises(RequestError):
    resolved(path)
  assert not mark.exists()
  tf.saved_model.load(resolved(path, allowed_ops=('WriteFile',)))
  assert mark.exists()  # Control.


@pytest.mark.parametrize('make', [
    make for make in dangerous_names.DANGEROUS if make.__name__.startswith('saves')], ids=name_of)
def test_a_saver_that_saves_elsewhere_does_so_when_loaded(make, tmp_path):
  import tensorflow as tf

  path = tmp_path / 'model'
  make(str(path), str(tmp_path / 'mark'))
  with pytest.raises(RequestError):
    resolved(str(path))
  assert not list(tmp_path.glob('mark*'))
  tf.saved_model.load(resolved(str(path), allowed_ops=('SaveV2', 'MergeV2Checkpoints')))
  assert list(tmp_path.glob('mark*'))  # Control: the danger is real.


def test_the_message_ends_with_the_line_to_write(tmp_path):
  path = str(tmp_path / 'model')
  dangerous_models.writes(path, str(tmp_path / 'mark'))
  with pytest.raises(RequestError) as caught:
    safety.refuse_dangerous(path)
  assert caught.value.message.endswith(
      'trust its maker, allow that by name: --set ALLOWED_OPS="(\'WriteFile\',)", or from Python '
      "allowed_ops=('WriteFile',).")
  with pytest.raises(RequestError, match=re.escape('--set ALLOWED_OPS="(\'WriteFile\',)"') + '$'):
    safety.refuse_dangerous(path, 'WriteFile')


def test_assets_lie_inside(tmp_path):
  path = str(tmp_path / 'model')
  dangerous_models.names_an_asset_outside(path, str(tmp_path / 'mark'))
  with pytest.raises(RequestError, match=re.escape("'../../../mark'")) as caught:
    safety.refuse_dangerous(path, allowed_ops=('ReadFile', 'InitializeTableFromTextFileV2'))
  assert caught.value.message.endswith('Ask its maker for another one.')


def test_what_is_looked_at_is_what_is_loaded(tmp_path):
  path = tmp_path / 'model'
  dangerous_models.harmless(str(path), '')
  safety.refuse_dangerous(str(path))
  (path / 'saved_model.pbtxt').write_text('')
  with pytest.raises(RequestError, match='Remove saved_model.pbtxt if it is not needed.$'):
    safety.refuse_dangerous(str(path))


def test_a_changed_graph_is_looked_at_again(tmp_path):
  path, mark = str(tmp_path / 'model'), str(tmp_path / 'mark')
  dangerous_models.harmless(path, mark)
  safety.refuse_dangerous(path)
  shutil.rmtree(path)
  dangerous_models.writes(path, mark)
  with pytest.raises(RequestError):
    safety.refuse_dangerous(path)


@pytest.mark.parametrize('content', [None, b'', b'not a graph'])
def test_what_is_no_saved_model_is_said(content, tmp_path):
  path = tmp_path / 'model'
  with pytest.raises(RequestError, match='Name the directory that holds saved_model.pb.$'):
    resolved(str(path))
  path.mkdir()
  if content is None:
    with pytest.raises(RequestError, match='Name the directory that holds saved_model.pb.$'):
      resolved(str(path))
    return
  (path / 'saved_model.pb').write_bytes(content)
  with pytest.raises(RequestError, match='Copy it again from where it came from.$'):
    resolved(str(path))


# Controls: what people really publish.


def test_our_exports_pass(uncased_exports, cased_exports):
  for path in (*uncased_exports.values(), *cased_exports.values()):
    assert resolved(path) == path


def test_the_reference_encoder_passes(tfhub_export):
  # Its preprocessing with WordPiece: test_verification_reference.
  assert resolved(tfhub_export) == tfhub_export


@pytest.mark.extra
def test_the_reference_preprocessing_with_sentencepiece_passes(tmp_path):
  from official.nlp.tools import export_tfhub_lib

  pieces = tmp_path / 'pieces.model'
  pieces.write_bytes(sentencepiece_model())
  path = str(tmp_path / 'sentencepiece')
  export_tfhub_lib.export_preprocessing(
      path, sp_model_file=str(pieces), do_lower_case=True, default_seq_length=16,
      tokenize_with_offsets=False)
  assert resolved(path) == path


def test_what_was_loaded_and_saved_again_passes(uncased_exports, tmp_path):
  import tensorflow as tf
  import tensorflow_text  # noqa: F401

  again = str(tmp_path / 'again')
  tf.saved_model.save(tf.saved_model.load(uncased_exports['preprocessing']), again)
  assert resolved(again) == again


# The tables of operations.


def all_ops():
  import tensorflow_text  # noqa: F401
  from tensorflow.core.framework import op_def_pb2
  from tensorflow.python.client import pywrap_tf_session

  listed = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
  return {op.name: op for op in op_def_pb2.OpList.FromString(listed).op}


def test_every_operation_that_names_a_file_or_an_address_is_known():
  files = re.compile(r'file(name|s|_pattern)?$|(^|_)(dir|path|prefix|address|debug_urls)$|_file$')
  known = {**op_effects._ALWAYS, **op_effects.READ_PATHS, **op_effects.CACHE_PATHS,
           **op_effects.SAVER_PATHS}
  unknown = []
  for name, op in all_ops().items():
    names = [each.name for each in (*op.input_arg, *op.attr)]
    if not any(files.search(each) for each in names) or name in known:
      continue
    node = node_of(name)
    if 'vocab_file' in names:
      node.attr['vocab_file'].s = b'file'
    if not op_effects.effect(node):
      unknown.append(name)
  assert unknown == ['TensorSliceDataset']  # Its `is_files` says what the strings are.


def test_every_operation_in_a_table_exists():
  ops = all_ops()
  elsewhere = {'TRTEngineOp'}  # Of builds for NVIDIA's cards.
  named = {*op_effects._ALWAYS, *op_effects.READ_PATHS, *op_effects.CACHE_PATHS,
           *op_effects.SAVER_PATHS}
  assert named - elsewhere <= ops.keys()
  stateful = {name for name, op in ops.items() if op.is_stateful}
  harmless = {name for name in stateful if not op_effects.effect(node_of(name))}
  assert 150 < len(harmless) < len(stateful) - 150
  assert not harmless & {'TPUExecute', 'CollectiveReduceV2', 'SleepOp', 'RpcCheckStatus'}


def node_of(op: str):
  from tensorflow.core.framework import node_def_pb2

  return node_def_pb2.NodeDef(name='node', op=op)


# Run files.


def test_verify_does_not_load_it(tmp_path):
  from experiments.verify import verify

  path, mark = tmp_path / 'model', tmp_path / 'mark'
  dangerous_models.writes_in_an_initialiser(str(path), str(mark))
  mark.unlink(missing_ok=True)
  plan = verify(export=str(path), preprocessing=None)
  with pytest.raises(RequestError, match='WriteFile writes files'):
    plan.execute(Run(str(tmp_path)))
  assert not mark.exists()


@pytest.mark.extra
def test_verify_loads_what_is_allowed_by_name(tmp_path):  # Control of the test above.
  from experiments.verify import verify

  path, mark = tmp_path / 'model', tmp_path / 'mark'
  dangerous_models.writes_in_an_initialiser(str(path), str(mark))
  mark.unlink(missing_ok=True)
  verify(export=str(path), preprocessing=None, allowed_ops=('WriteFile',)).execute(
      Run(str(tmp_path)))
  assert mark.exists()


def test_glue_does_not_take_it(tmp_path):
  from nlp_export.ablation.sources import Given

  path, mark = str(tmp_path / 'model'), str(tmp_path / 'mark')
  dangerous_models.writes(path, mark)
  with pytest.raises(RequestError, match='WriteFile writes files'):
    Given(path, path).places(str(tmp_path), '')
  assert Given(path, path, allowed_ops=('WriteFile',)).places('', '') == (path, path)
