"""What Orbax wrote is restored whole, read item by item, and described; no JAX, no Orbax for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlp_export.checkpoints import (
    RestoreError,
    contents,
    find_checkpoint,
    open_checkpoint,
    restore,
)
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError
from tests import tiny
from tests.checkpoints import orbax_written


def items(pretrainer):
  return {'encoder': pretrainer.encoder_network, 'masked_lm': pretrainer.masked_lm}


@pytest.fixture(scope='module')
def albert_root(sources, tmp_path_factory):
  """ALBERT's edges are by position. With Orbax's default handler, and no metadata."""
  root = tmp_path_factory.mktemp('albert')
  pretrainer = sources('albert')
  orbax_written.save(root, 3, orbax_written.trees(pretrainer))
  names = {item: {'/'.join(path): v.name for path, v in found.items()}
           for item, found in orbax_written.items_of(pretrainer).items()}
  orbax_written.save_plain(root / 'named', 3, orbax_written.trees(pretrainer), names)
  return root


@pytest.mark.parametrize('kind, other', [('bert', 'bert'), ('bert', 'bert_v2'),
                                         ('albert', 'albert')])
def test_every_variable_is_restored(kind, other, sources, target, outputs, request):
  root = request.getfixturevalue('orbax_root' if kind == 'bert' else 'albert_root')
  pretrainer, expected = target(other), outputs(sources(kind))
  assert not np.allclose(outputs(pretrainer)[0], expected[0], atol=1e-2)  # Control.
  report = restore(open_checkpoint(str(root)), items(pretrainer))
  for got, want in zip(outputs(pretrainer), expected, strict=True):
    np.testing.assert_allclose(got, want, atol=1e-6)
  assert len(report.matched) == len({id(v) for item in items(pretrainer).values()
                                     for v in item.variables})
  assert (report.complete, report.checkpoint) == (True, 'step 1000' if kind == 'bert' else 'step 3')
  assert sorted(report.unused.heads) == sorted(
      f'next_sentence.{part}/{leaf}' for part in ('out_proj', 'pooler_dense')
      for leaf in ('bias', 'kernel'))
  assert not report.unused.optimizer  # Not even looked at.


def test_each_step_has_its_own_values(orbax_root, target):
  encoder = target('bert').encoder_network
  restore(open_checkpoint(str(orbax_root / '1000')), {'encoder': encoder})
  newest = encoder.get_weights()
  restore(open_checkpoint(str(orbax_root / '500')), {'encoder': encoder})
  assert not any(np.array_equal(a, b) for a, b in zip(newest, encoder.get_weights()))


def test_a_heads_dense_layer(orbax_root, sources):
  kernel, bias = open_checkpoint(str(orbax_root)).dense('next_sentence.pooler_dense')
  dense = sources('bert').classification_heads[0].dense
  np.testing.assert_array_equal(kernel, dense.kernel)
  np.testing.assert_array_equal(bias, dense.bias)


def test_another_number_of_layers_is_a_difference(orbax_root):
  encoder = tiny.build_encoder(tiny.Size(num_layers=3))
  with pytest.raises(RestoreError) as caught:
    restore(open_checkpoint(str(orbax_root)), {'encoder': encoder})
  assert 'layers: checkpoint 2, config 3: another num_layers?' in str(caught.value)
  assert str(caught.value).startswith('step 1000 does not fit')
  assert str(caught.value).endswith(
      'Set ENCODER_CONFIG to the configuration that the checkpoint was trained with.')


def test_the_names_of_variables_tell_more_than_their_places(albert_root):
  named = open_checkpoint(str(albert_root / 'named'))
  assert contents.inspect(named).encoder_type == 'albert'
  assert contents.inspect(named).sizes['embedding_size'] == 8
  assert 'shared layer, attention query kernel' in {str(t) for t in named.tensors}
  # Control: without them there are only places.
  unnamed = open_checkpoint(str(albert_root))
  assert contents.inspect(unnamed).encoder_type is None
  assert any('layer_with_weights-' in str(t) for t in unnamed.tensors)


def test_what_a_step_brings_along(orbax_root, tiny_vocab):
  found, opened = find_checkpoint(str(orbax_root)), open_checkpoint(str(orbax_root))
  step = orbax_root / '1000'
  assert (found.kind, found.name, found.path) == ('Orbax', 'step 1000', str(step))
  assert Path(found.vocab_file).read_bytes() == Path(tiny_vocab).read_bytes()
  assert found.encoder_config == str(step / 'metadata' / 'encoder.yaml')
  assert found.tokenizer_settings == str(step / 'metadata' / 'tokenizer.json')
  assert (found.sp_model_file, found.tokenizer_config) == (None, None)
  assert found.mlm_activation == 'gelu'
  assert (found.files, found.encoder_config, found.vocab_file, found.name) == (
      opened.files, opened.encoder_config, opened.vocab_file, opened.name)
  # What a hash is taken of: whole items, and nothing that an export does without.
  assert [Path(path).name for path in found.files] == [
      'encoder', 'masked_lm', 'next_sentence.out_proj', 'next_sentence.pooler_dense', 'metadata']


@pytest.mark.conformance(97)
def test_the_optimizer_and_the_state_may_be_absent(orbax_copy, target, outputs, sources):
  for name in ('optimizer', 'state', 'progress'):
    shutil.rmtree(orbax_copy / '1000' / name)
  pretrainer = target('bert')
  checkpoint = open_checkpoint(str(orbax_copy))
  assert checkpoint.path == str(orbax_copy / '1000')
  restore(checkpoint, items(pretrainer))
  np.testing.assert_array_equal(outputs(pretrainer)[0], outputs(sources('bert'))[0])
  assert find_checkpoint(str(orbax_copy / '1000')).files == checkpoint.files
  # Control: an item of weights may not.
  shutil.rmtree(orbax_copy / '1000' / 'masked_lm')
  assert open_checkpoint(str(orbax_copy)).path == str(orbax_copy / '500')


def test_inspect_lists_the_optimizer_too(orbax_root, sources):
  held = contents.inspect(open_checkpoint(str(orbax_root), whole=True))
  count = sum(v.shape.num_elements() for v in sources('bert').variables)
  assert held.parameters['optimizer'] == 2 * count + 1
  assert held.parameters['encoder'] == sources('bert').encoder_network.count_params()
  assert held.counters == {
      'progress/step': 1000, 'progress/data_seed': 2**60, 'optimizer/iterations': 7}
  assert (held.encoder_type, held.sizes['num_layers'], held.has_pooler) == ('bert', 2, True)
  assert held.poolers['copy_nsp'].possible and held.export_types['model_with_mlm'].possible
  assert held.lines()[:2] == ['step 1000: Orbax', '1000 is the newest step of checkpoints.']
  assert not held.unexplained
  assert json.loads(json.dumps(held.to_json()))['checkpoint'] == 'step 1000'
  # Control: an export does not ask for it.
  assert 'optimizer' not in contents.inspect(open_checkpoint(str(orbax_root))).parameters


def test_whole_numbers_are_exact(orbax_root):
  stored = {t.key: t for t in open_checkpoint(str(orbax_root), whole=True).tensors}
  assert stored['state/dropout_state'].read().tolist() == [2**62 + 1, 7]
  assert stored['state/dropout_state'].dtype == 'int64'


def test_other_names_of_items(sources, tmp_path, target, outputs):
  trees = orbax_written.trees(sources('bert'))
  orbax_written.save(tmp_path, 1, {
      'params': {'backbone': trees['encoder'], 'mlm': trees['masked_lm']},
      'sop.pooler_dense': trees['next_sentence.pooler_dense']})
  plain = open_checkpoint(str(tmp_path))
  assert plain.items() == ('sop.pooler_dense',)
  with pytest.raises(RequestError) as caught:
    restore(plain, {'encoder': target('bert').encoder_network})
  assert str(caught.value).endswith(
      "Its objects are: params, sop.pooler_dense. If one of them is meant, bind "
      "checkpoint_items.encoder = '...'.")
  named = open_checkpoint(str(tmp_path), {
      'encoder': 'params/backbone', 'masked_lm': 'params/mlm', 'next_sentence': 'sop'})
  pretrainer = target('bert')
  report = restore(named, items(pretrainer))
  np.testing.assert_array_equal(outputs(pretrainer)[2], outputs(sources('bert'))[2])
  assert {m.key.rpartition('/')[0].partition('/')[0] for m in report.matched} == {'params'}
  assert named.items() == ('encoder', 'masked_lm', 'next_sentence.pooler_dense')
  assert named.stored_names['encoder'] == 'params/backbone'
  assert named.dense('sop.pooler_dense')[0].shape == (16, 16)
  for wrong in ({'encoder': 'student'}, {'encoder': 'params/student'}):
    with pytest.raises(RequestError) as caught:
      open_checkpoint(str(tmp_path), wrong)
    assert str(caught.value).endswith(
        'has nothing of that name (its items are: params, sop.pooler_dense). Correct '
        'checkpoint_items.encoder.')


def test_reading_needs_neither_orbax_nor_jax_nor_tensorflow(orbax_root):
  code = (
      'import sys\nfrom nlp_export.checkpoints import find_checkpoint, open_checkpoint\n'
      'heavy = lambda: sorted({"tensorflow", "tensorstore", "orbax", "jax"} & set(sys.modules))\n'
      'found = find_checkpoint(sys.argv[1])\nprint(heavy())\n'
      'print(open_checkpoint(found).dense("next_sentence.pooler_dense")[0].shape, heavy())')
  done = subprocess.run([sys.executable, '-c', code, str(orbax_root)],
                        capture_output=True, text=True, check=False)
  assert (done.stdout.splitlines(), done.stderr) == (['[]', "(16, 16) ['tensorstore']"], '')


STRANGER = '''
import sys, zlib
import orbax.checkpoint as ocp
step = sys.argv[1] + '/1000'
for name in ('encoder', 'next_sentence.pooler_dense', 'state'):
  tree = ocp.StandardCheckpointer().restore(f'{step}/{name}')
  args = ocp.args.Composite(**{name: ocp.args.StandardRestore()})
  again = ocp.CheckpointManager(sys.argv[1]).restore(1000, args=args)[name]
  def leaves(tree): return [x for _, v in sorted(tree.items()) for x in (
      leaves(v) if isinstance(v, dict) else [v])]
  sums = [zlib.crc32(value.tobytes()) for value in leaves(tree)]
  assert sums == [zlib.crc32(value.tobytes()) for value in leaves(again)]
  print(name, len(sums), sum(sums))
print(sorted(ocp.CheckpointManager(sys.argv[1]).restore(1000)))
assert not any(name.startswith(('nlp_export', 'tensorflow')) for name in sys.modules)
'''


def test_a_stranger_reads_the_items_with_orbax_alone(orbax_root, tmp_path):
  """The files that lie beside the JSON of `metadata` do not disturb Orbax's own readers."""
  done = subprocess.run(
      [sys.executable, '-c', STRANGER, str(orbax_root)], cwd=tmp_path, capture_output=True,
      text=True, check=False)
  assert done.returncode == 0, done.stderr
  sums = json.loads((orbax_root / '1000' / 'metadata' / 'checksums.json').read_text())
  assert done.stdout.splitlines() == [
      *(f'{name} {len(sums[name])} {sum(sums[name].values())}'
        for name in ('encoder', 'next_sentence.pooler_dense', 'state')),
      str(sorted([*sums, 'progress', 'metadata']))]


FOREIGN = '''
import os, sys
os.environ['JAX_PLATFORMS'] = 'cpu'
import jax
jax.config.update('jax_num_cpu_devices', 4)
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
root = sys.argv[1]
mesh = jax.make_mesh((4,), ('x',))
spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('x'))
layers = [{'w': jax.device_put(jnp.arange(8.0), spread)}, {'w': jnp.ones(3, jnp.bfloat16)}]
weights = {'layers': layers, 'empty': {}, 'none': None, 'count': 3}
with ocp.CheckpointManager(root + '/spread') as manager:
  manager.save(7, args=ocp.args.Composite(params=ocp.args.StandardSave(weights)))
for name, options in (('zarr3', {'use_zarr3': True}), ('directories', {'use_ocdbt': False})):
  handler = ocp.PyTreeCheckpointHandler(**options)
  registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
  registry.add('params', ocp.args.PyTreeSave, handler)
  with ocp.CheckpointManager(f'{root}/{name}', handler_registry=registry) as manager:
    tree = {'a': {'b': np.arange(12.0).reshape(3, 4)}}
    manager.save(7, args=ocp.args.Composite(params=ocp.args.PyTreeSave(tree)))
'''


@pytest.fixture(scope='module')
def foreign(tmp_path_factory):
  """Roots that JAX users wrote: over four devices, as zarr3, and without a database."""
  directory = tmp_path_factory.mktemp('foreign')
  subprocess.run([sys.executable, '-c', FOREIGN, str(directory)], check=True, capture_output=True)
  return directory


def test_arrays_of_other_devices_and_other_forms_are_read(foreign):
  def read(name):
    return {t.key: t.read().tolist() for t in open_checkpoint(str(foreign / name)).tensors}

  assert read('spread') == {
      'params/layers/0/w': [*range(8)], 'params/layers/1/w': [1, 1, 1], 'params/count': 3}
  for name in ('zarr3', 'directories'):
    assert read(name) == {'params/a/b': np.arange(12.0).reshape(3, 4).tolist()}


def test_a_part_of_an_array_that_is_missing_is_no_zeros(foreign, tmp_path):
  root = Path(shutil.copytree(foreign / 'directories', tmp_path / 'root'))
  (chunk,) = (root / '7' / 'params' / 'a.b').glob('0.0')
  chunk.unlink()
  (tensor,) = open_checkpoint(str(root)).tensors
  with pytest.raises(RequestError, match='Copy its files again, or name another checkpoint.$'):
    tensor.read()


def test_checksums_of_every_dtype():
  import ml_dtypes

  for value in (np.arange(6.0).reshape(2, 3).T, np.asarray(7, np.int64), np.zeros(2, bool),
                np.ones(3, ml_dtypes.bfloat16)):
    import zlib

    assert layout.checksum(value) == zlib.crc32(value.tobytes())
