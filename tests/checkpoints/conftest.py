"""Pretrainers and their checkpoints in every form, made once a session."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from nlp_export import tokenizers
from tests import tiny
from tests.checkpoints import written


@pytest.fixture(scope='session')
def sources():
  """A function: encoder type -> the pretrainer whose weights lie in the checkpoints."""
  made: dict[str, Any] = {}

  def get(kind: str) -> Any:
    if kind not in made:
      made[kind] = tiny.build_pretrainer(tiny.Size(type=kind, seed=1))
    return made[kind]

  return get


@pytest.fixture(scope='session')
def _targets():
  return {}


@pytest.fixture
def target(_targets):
  """A function: encoder type -> a pretrainer with other weights, to restore into."""

  def get(kind: str) -> Any:
    if kind not in _targets:
      _targets[kind] = tiny.build_pretrainer(tiny.Size(type=kind), head=None)
    tiny.draw_weights(_targets[kind], seed=99)
    return _targets[kind]

  return get


@pytest.fixture(scope='session')
def form(sources, tmp_path_factory):
  """A function: encoder type, form of `written.FORMS` -> prefix."""
  made: dict[tuple[str, str], str] = {}
  directory = tmp_path_factory.mktemp('forms')

  def get(kind: str, name: str) -> str:
    if (kind, name) not in made:
      prefix = directory / f'{kind}-{name.replace("=", "_")}.ckpt'
      made[kind, name] = written.FORMS[name](sources(kind), prefix)
    return made[kind, name]

  return get


@pytest.fixture(scope='session')
def orbax_root(sources, tiny_vocab, tmp_path_factory):
  """Root of steps 500 and 1000 of `sources('bert')`, as pre-training writes them. Do not change."""
  from tests.checkpoints import orbax_written

  pretrainer = sources('bert')
  size = tiny.Size(seed=1)
  return orbax_written.write(
      tmp_path_factory.mktemp('orbax') / 'checkpoints', pretrainer, size,
      tokenizers.wordpiece(tiny_vocab, lower_case=True, split_at_unicode_spaces=True),
      changed=lambda step: tiny.draw_weights(pretrainer, size.seed if step == 1000 else step))


@pytest.fixture
def orbax_copy(orbax_root, tmp_path):
  """A copy of `orbax_root` to spoil."""
  return Path(shutil.copytree(orbax_root, tmp_path / 'checkpoints'))


@pytest.fixture
def outputs():
  """A function: pretrainer, whether with its masked LM head -> outputs as a list of arrays."""
  import numpy as np
  import tensorflow as tf

  def get(pretrainer: Any, with_mlm: bool = True) -> list[Any]:
    inputs = tiny.encoder_inputs()
    network = pretrainer.encoder_network(inputs)
    found = [network['sequence_output'], network['pooled_output']]
    if with_mlm:
      positions = np.array([[1, 0], [2, 3], [0, 0]], np.int32)
      found.append(pretrainer.masked_lm(found[0], masked_positions=tf.constant(positions)))
    return [x.numpy() for x in found]

  return get
