"""Steps are written in the background, whole or not at all; strangers can read them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import handlers, resume
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import Trees
from tests.pretraining.saving import saving_lab as lab

STRANGER = """
import json, sys
sys.modules['nlp_export'] = None  # An import of it would raise.
import orbax.checkpoint as ocp
root = sys.argv[1]
def describe(value):
  if isinstance(value, dict):
    return {key: describe(inner) for key, inner in value.items()}
  return [str(value.dtype), list(value.shape), value.astype('float64').sum().item()]
items = {}
for item in sys.argv[2:]:
  with ocp.StandardCheckpointer() as checkpointer:
    items[item] = describe(checkpointer.restore(f'{root}/2/{item}'))
manager = ocp.CheckpointManager(root)
whole = manager.restore(2)
state = ocp.StandardCheckpointer().restore(f'{root}/2/state')['dropout_state'].tolist()
texts = {key: whole[key] for key in ('progress', 'metadata')}
arrays = {key: describe(whole[key]) for key in sys.argv[2:]}
print(json.dumps([items, texts, sorted(whole), state, arrays]))
"""


@pytest.fixture
def root(tmp_path):
  return str(tmp_path / 'checkpoints')


@pytest.fixture
def held(monkeypatch):
  """While this is not set, a save in the background stands still."""
  event = threading.Event()
  write = handlers.MetadataHandler._save_fn

  async def wait(self, x, directory):
    while not event.is_set():
      await asyncio.sleep(0.01)
    await write(self, x, directory)

  monkeypatch.setattr(handlers.MetadataHandler, '_save_fn', wait)
  yield event
  event.set()


def test_every_value_comes_back_with_its_dtype(root):
  lab.write(root, 1, 2)
  lab.assert_is(resume.read_step(root, 2), 2)
  lab.assert_is(resume.read_step(root, 1), 1)
  with pytest.raises(AssertionError):  # Control: another step's values would be seen.
    lab.assert_is(resume.read_step(root, 1), 2)


def test_a_stranger_reads_every_item_with_orbax_alone(root):
  lab.write(root, 2)
  done = subprocess.run(
      [sys.executable, '-c', STRANGER, root, *lab.ITEMS], cwd=os.path.dirname(root),
      capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  items, texts, names, state, whole = json.loads(done.stdout.splitlines()[-1])

  def describe(value):
    if isinstance(value, dict):
      return {key: describe(inner) for key, inner in value.items()}
    return [value.dtype.name, list(value.shape), value.astype('float64').sum().item()]

  assert items == whole == {item: describe(tree) for item, tree in lab.arrays(2).items()}
  assert state == [2**62 + 2, 2]  # JAX would have made int32 of it.
  assert texts['progress'] == {**lab.PROGRESS, 'step': 2}
  assert texts['metadata'] == lab.METADATA.to_json()
  assert set(names) == {*lab.ITEMS, 'progress', 'metadata'}


def test_files_of_the_metadata_lie_beside_its_json(root):
  lab.write(root, 1)
  place = f'{root}/1/{layout.METADATA_ITEM}'
  assert set(lab.names_in(place)) - {layout.COMMIT_FILE} == {
      'metadata', 'checksums.json', 'vocab.txt', 'encoder.yaml'}
  assert open(f'{place}/vocab.txt', 'rb').read() == lab.METADATA.files['vocab.txt']
  sums = json.load(open(f'{place}/{layout.CHECKSUMS_FILE}'))
  values = lab.trees(1).values()
  assert sums == {item: {path: layout.checksum(value) for path, value in arrays.items()}
                  for item, arrays in values.items()}
  tree = json.load(open(f'{root}/1/encoder/{layout.TREE_FILE}'))
  assert tree['custom_metadata'] == {layout.NAMES_KEY: {'half': 'half/kernel'}}


def test_save_returns_before_the_step_is_written(root, held):
  said = []
  with lab.open_writer(root, say=said.append) as writer:
    lab.save(writer, 1)
    writer.check()
    assert writer.latest_step == 1
    assert not os.path.exists(f'{root}/1')
    assert lab.unfinished(root) == ['1' + layout.UNFINISHED]
    assert said == ['checkpoint 1: saving'] and not writer.saved
    held.set()
    writer.wait()
    assert layout.is_step(f'{root}/1') and not lab.unfinished(root)
    assert [line.partition(' in ')[0] for line in said] == [
        'checkpoint 1: saving', 'checkpoint 1: saved']
    assert [s.step for s in writer.saved] == [1]
    assert 0 < writer.saved[0].blocking_seconds < writer.saved[0].seconds
  lab.assert_is(resume.read_step(root, 1), 1)


def test_the_end_of_a_save_is_seen_by_check(root):
  said = []
  with lab.open_writer(root, say=said.append) as writer:
    lab.save(writer, 1)
    while not writer.saved:
      writer.check()
    assert 'saved' in said[-1]


def test_the_newest_and_the_best_are_kept(root):
  losses = {1: 5.0, 2: 3.0, 3: 4.0, 4: 6.0, 5: None, 6: 4.5}
  with lab.open_writer(root, keep_last=2, keep_best='masked_lm_loss') as writer:
    for step, loss in losses.items():
      lab.save(writer, step, loss=loss)
  assert lab.names_in(root) == ['2', '5', '6']
  with lab.open_writer(root, keep_last=2, keep_best='masked_lm_loss') as writer:
    lab.save(writer, 7, loss=2.0)  # The best is known after a restart, and is another one now.
  assert lab.names_in(root) == ['6', '7']
  assert json.load(open(f'{root}/7/metrics/metrics')) == {'masked_lm_loss': 2.0}


def test_best_may_be_the_highest(root):
  with lab.open_writer(root, keep_last=1, keep_best='masked_lm_loss',
                       best_is_lowest=False) as writer:
    for step, loss in ((1, 1.0), (2, 9.0), (3, 2.0), (4, 3.0)):
      lab.save(writer, step, loss=loss)
  assert lab.names_in(root) == ['2', '4']


def test_what_orbax_would_refuse_in_the_background_is_refused_at_once(root):
  with lab.open_writer(root, keep_best='masked_lm_loss') as writer:
    good = lab.trees(1)
    for progress in ({'a': float('nan')}, {'a': np.int64(3)}):
      with pytest.raises((ValueError, TypeError)):
        writer.save(1, good, progress, lab.METADATA)
    with pytest.raises(ValueError):
      writer.save(1, good, {}, Metadata({'rate': float('inf')}))
    with pytest.raises(ValueError, match='encoder/a is no array with values'):
      writer.save(1, Trees({'encoder': {'a': np.zeros([0])}}, {}), {}, lab.METADATA)
    with pytest.raises(ValueError):
      lab.save(writer, 1, loss=float('nan'))
    with pytest.raises(ValueError, match='have no masked_lm_loss'):
      writer.save(1, good, {}, lab.METADATA, {'accuracy': 0.5})
    lab.save(writer, 5)
    for step in (5, 4):
      with pytest.raises(ValueError, match=f'Checkpoint {step} cannot follow 5'):
        lab.save(writer, step)
  assert lab.names_in(root) == ['5']


def test_keep_last_needs_a_number(root):
  with pytest.raises(RequestError, match='the newest one may get damaged\\.$'):
    lab.open_writer(root, keep_last=0)
  assert not os.path.exists(root)


def test_a_new_writer_removes_what_a_killed_one_left(root):
  lab.write(root, 1)
  left = f'{root}/2{layout.UNFINISHED}'
  os.makedirs(f'{left}/encoder')
  os.makedirs(f'{root}/0')  # What a killed deletion can leave of an old step.
  lab.write(root, 2, keep_last=2)
  assert lab.names_in(root) == ['1', '2']
