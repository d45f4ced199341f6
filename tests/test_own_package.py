"""A package of someone else's, installed apart, adds a pooler, an encoder and a tokenizer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import own_lab, tiny
from tests.in_process import settings

pytestmark = pytest.mark.extra


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
  """The directory into which pip has installed my-lab; its sources are elsewhere."""
  directory = tmp_path_factory.mktemp('own')
  own_lab.write_package(directory / 'sources')
  subprocess.run(
      [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation',
       '--no-index', '--disable-pip-version-check', '--target', str(directory / 'site'),
       str(directory / 'sources')], check=True, timeout=120)
  return directory / 'site'


@pytest.fixture(scope='module')
def lab(installed, tmp_path_factory) -> Path:
  """Where the researcher works: a gin file, a list of letters, a checkpoint."""
  directory = tmp_path_factory.mktemp('lab')
  (directory / 'my.gin').write_text(own_lab.GIN.lstrip())
  letters = [*tiny.SPECIAL_TOKENS, *'abcdefghijklmnopqrstuvwxyz.']
  (directory / 'letters.txt').write_text('\n'.join(letters) + '\n')
  return directory


@pytest.fixture(scope='module')
def environment(installed) -> dict[str, str]:
  return {'PYTHONPATH': str(installed)}


def command(lab: Path) -> list[str]:
  rows = len((lab / 'letters.txt').read_text().splitlines())
  return ['my.gin', *settings(CHECKPOINT=lab / 'gated-1', ROWS=rows,
                              LETTERS_FILE=lab / 'letters.txt'), '--out_dir', str(lab / 'out')]


def test_an_installed_package_gives_a_verified_export(lab, installed, environment, run_py):
  sys.path.append(str(installed))
  try:
    import tensorflow as tf
    from my_lab import parts
  finally:
    sys.path.remove(str(installed))
  assert Path(parts.__file__).parent.parent == installed
  rows = len((lab / 'letters.txt').read_text().splitlines())
  network = parts.gated(vocab_size=rows)
  network(network.inputs)
  tiny.draw_weights(network)
  tf.train.Checkpoint(encoder=network).save(str(lab / 'gated'))

  before = _sources()
  done = run_py(*command(lab), cwd=lab, env=environment)
  assert done.status == 0, done.output
  assert _sources() == before  # This repository was not touched.

  exports = lab / 'out' / 'exports'
  assert {path.name for path in exports.iterdir()} == {
      'half_identity', 'small.half_identity', 'preprocessing'}
  import tensorflow_text  # noqa: F401

  preprocessing = tf.saved_model.load(str(exports / 'preprocessing'))
  inputs = preprocessing(tf.constant(['A cat, a dog.', 'no']), seq_length=tf.constant(16))
  assert inputs['input_word_ids'].numpy()[1].tolist() == [2, 18, 19, 3] + [0] * 12
  expected = network(inputs)
  for name, scale in (('half_identity', 0.5), ('small.half_identity', 0.1)):
    found = tf.saved_model.load(str(exports / name / 'model'))(inputs)
    np.testing.assert_allclose(
        found['sequence_output'], expected['sequence_output'], atol=1e-5)
    np.testing.assert_allclose(found['pooled_output'],
                               np.tanh(scale * expected['sequence_output'][:, 0]), atol=1e-5)
    card = (exports / name / 'model' / 'README.md').read_text()
    assert f'The pooler is the identity times {scale}.' in card
    assert 'None' not in card
  plain = super(type(network), network).call(inputs)  # Control: the own layer matters.
  assert np.abs(plain['sequence_output'] - expected['sequence_output']).max() > 0.1


def test_without_the_import_the_error_names_it(lab, environment, run_py):
  text = (lab / 'my.gin').read_text()
  (lab / 'without.gin').write_text(text.replace('import my_lab.parts\n', ''))
  done = run_py('without.gin', *command(lab)[1:], cwd=lab, env=environment)
  assert done.status == 2
  first = done.stderr.splitlines()[0]
  assert first.startswith('without.gin:3: There is no @encoders.gated.')
  assert first.endswith('If gated is your own, import its module above that line.')
  missing = run_py(*command(lab), cwd=lab)  # Not installed for this Python.
  assert missing.status == 2
  assert missing.stderr.endswith('or start run.py in the directory that holds my_lab/\n')


def _sources() -> dict[str, float]:
  root = Path(__file__).resolve().parent.parent
  return {os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime
          for top in ('nlp_export', 'experiments', 'gin')
          for folder, _, names in os.walk(root / top) for name in names
          if not name.endswith('.pyc') and '.pyc.' not in name}
