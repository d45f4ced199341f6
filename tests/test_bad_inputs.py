"""Bad input of every kind: exit status 2, what to do instead, nothing left behind."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nlp_export.encoder_config import encoder_blocks
from tests import run_lab, tiny
from tests.in_process import run_main, settings
from tests.sentencepiece_model import sentencepiece_model

EXPORT = 'gin/runs/export.gin'
POSITIONS = tiny.Size.max_position_embeddings
OTHER_VOCABULARY = 'Give the one that this encoder was trained with.'
OTHER_CONFIG = 'Set ENCODER_CONFIG to the configuration that the checkpoint was trained with.'


class Inputs:
  """Sound inputs to spoil: copies in a directory of the test's own."""

  def __init__(self, directory: Path, macros: dict[str, str]):
    self.directory = directory
    self.macros = macros

  def data_file(self) -> Path:
    return Path(self.checkpoint() + '.data-00000-of-00001')

  def checkpoint(self) -> str:
    """The prefix of a copy."""
    prefix = self.directory / 'bert'
    for end in ('.index', '.data-00000-of-00001'):
      if not Path(f'{prefix}{end}').exists():
        shutil.copy(self.macros['CHECKPOINT'] + end, f'{prefix}{end}')
    return str(prefix)

  def config(self, **fields: object) -> str:
    """The encoder's configuration with other values."""
    text = Path(self.macros['ENCODER_CONFIG']).read_text()
    for name, value in fields.items():
      text, count = re.subn(rf'^  {name}:.*$', f'  {name}: {value}', text, flags=re.MULTILINE)
      assert count == 1
    return self.write('encoder.yaml', text.encode())

  def vocabulary(self, old: bytes, new: bytes) -> str:
    """The vocabulary with something else in it."""
    data = Path(self.macros['VOCAB_FILE']).read_bytes()
    assert old in data
    return self.write('uncased.txt', data.replace(old, new, 1))

  def write(self, name: str, data: bytes) -> str:
    (self.directory / name).write_bytes(data)
    return str(self.directory / name)


@pytest.fixture
def inputs(tmp_path, tiny_uncased) -> Inputs:
  (tmp_path / 'inputs').mkdir()
  return Inputs(tmp_path / 'inputs', tiny_uncased)


def no_such(inputs):
  return {'CHECKPOINT': inputs.checkpoint() + '-7'}


def cut_short(bytes_left):
  def spoil(inputs):
    data = inputs.data_file()
    data.write_bytes(data.read_bytes()[:bytes_left])
    return {'CHECKPOINT': inputs.checkpoint()}
  return spoil


def without(end):
  def spoil(inputs):
    prefix = inputs.checkpoint()
    Path(prefix + end).unlink()
    return {'CHECKPOINT': prefix}
  return spoil


def config(**fields):
  return lambda inputs: {'ENCODER_CONFIG': inputs.config(**fields)}


def vocabulary(old, new):
  return lambda inputs: {'VOCAB_FILE': inputs.vocabulary(old, new)}


def given(**macros):
  return lambda inputs: macros


@pytest.mark.conformance(44, 45, 99, 107, 108)
@pytest.mark.parametrize(('spoil', 'found', 'last_clause'), [
    # Checkpoints.
    (no_such, 'There is no checkpoint', 'Correct CHECKPOINT.'),
    (cut_short(3000), 'cut short or damaged (3,000 bytes of at least',
     'Copy its files again or name another checkpoint.'),
    (cut_short(-5), 'Read less bytes than requested',
     'Copy its files again or name another checkpoint.'),
    (without('.data-00000-of-00001'), 'but no data file bert.data-00000-of-00001',
     'copy the data file too.'),
    (without('.index'), 'but no bert.index', 'copy the index too.'),
    (lambda inputs: {'CHECKPOINT': inputs.write('weights.bin', b'PK not really')},
     'neither a file of a TensorFlow checkpoint nor safetensors',
     'Name a prefix that tf.train.Checkpoint wrote, or a Hugging Face directory.'),
    (lambda inputs: {'CHECKPOINT': str(inputs.directory)}, 'it holds nothing',
     'or a Hugging Face directory with config.json and model.safetensors.'),
    (given(CHECKPOINT="''"), 'No checkpoint was named', 'Set CHECKPOINT to a prefix or a '
     'directory.'),
    # A configuration that is another's.
    (config(num_layers=1), 'layers: checkpoint 2, config 1: another num_layers?', OTHER_CONFIG),
    (config(num_layers=3), 'layers: checkpoint 2, config 3: another num_layers?', OTHER_CONFIG),
    (config(hidden_size=32), 'hidden width: checkpoint 16, config 32: another hidden_size?',
     OTHER_CONFIG),
    (config(num_attention_heads=4),
     'attention heads: checkpoint 2, config 4: another num_attention_heads?', OTHER_CONFIG),
    (config(num_attention_heads=3), 'hidden_size = 16 cannot be divided',
     'or a width that 3 divides'),
    (config(vocab_size=128), f'word embeddings: checkpoint {tiny.Size.vocab_size}, config 128: '
     'another vocabulary?', OTHER_CONFIG),
    (config(max_position_embeddings=512),
     f'position embeddings: checkpoint {POSITIONS}, config 512: another max_position_embeddings?',
     OTHER_CONFIG),
    # Vocabularies.
    (given(VOCAB_FILE='nowhere/vocab.txt'), 'Cannot read nowhere/vocab.txt: there is no such file',
     'Check the path.'),
    (vocabulary(b'\ncat\n', b'\n\n'), 'line 57: blank',
     'a placeholder such as [unused0] there.'),
    (vocabulary(b'\ncat\n', b'\ndog\n'), "'dog' stands on line 57 already",
     'a placeholder such as [unused0] on the second line.'),
    (vocabulary(b'[PAD]', b'\xef\xbb\xbf[PAD]'), 'byte-order mark',
     'Save the file as "UTF-8 without BOM".'),
    (vocabulary(b'[UNK]', b'[???]'), 'no [UNK]',
     '(unknown, start_of_sequence, end_of_segment, padding).'),
    (vocabulary(b'[CLS]', b'[???]'), 'no [CLS]',
     '(unknown, start_of_sequence, end_of_segment, padding).'),
    (vocabulary(b'[PAD]\n', b'[PAD]\nzebra\n'), f'but the encoder has {tiny.Size.vocab_size} word',
     OTHER_VOCABULARY),
    (config(vocab_size=129), 'padding to a multiple of 128 would explain 128 at most',
     OTHER_VOCABULARY),
    # Tokenizers.
    (lambda inputs: {'VOCAB_FILE': None, 'SP_MODEL_FILE': inputs.macros['VOCAB_FILE']},
     'not a SentencePiece model', 'as SP_MODEL_FILE.'),
    (lambda inputs: {'SP_MODEL_FILE': inputs.write('sp.model', sentencepiece_model())},
     'VOCAB_FILE and SP_MODEL_FILE are given',
     'Set exactly one, for example --set VOCAB_FILE=bert/vocab.txt.'),
    (given(VOCAB_FILE=None), 'VOCAB_FILE or SP_MODEL_FILE must be set', 'uncased_vocab.txt'),
    # Values.
    (given(DEFAULT_SEQ_LENGTH=POSITIONS + 1), f'the encoder has {POSITIONS} position embeddings',
     f'Write --set DEFAULT_SEQ_LENGTH={POSITIONS} or less.'),
    (given(DEFAULT_SEQ_LENGTH="'128'"), 'has to be int', 'Write DEFAULT_SEQ_LENGTH = 128'),
    (given(POOLERS='@poolers.keep'), 'is the part @poolers.keep itself',
     'Write POOLERS = (@poolers.keep,)'),
    (given(POOLERS='()'), 'POOLERS is empty',
     "--set EXPORT_TYPES=\"('preprocessing',)\" alone."),
    (given(DO_LOWER_CASE='yes'), 'has to be bool | None', 'Give DO_LOWER_CASE another value.'),
    (given(EXPORT_TYPES="('modle',)"), "'modle' is no export type",
     "write --set EXPORT_TYPES=\"('model', 'preprocessing')\"."),
    (given(**{'export.num_segments': 0}), 'a row has one segment or more', 'as BERT has it.'),
    (given(**{'export.truncator': "'left'"}), "has to be Literal['round_robin', 'waterfall']",
     'Give export.truncator another value.'),
    (given(**{'export.dropout_seed': 2**63}), 'has more than 64 bits',
     'Write --set export.dropout_seed=0.'),
    (given(**{'export.mlm_activation': 'gelo'}), 'is no activation that TF-NLP knows',
     ', '.join(encoder_blocks.ACTIVATIONS)),
    (given(POOLERS='(@poolers.random,)', **{'poolers.random.seed': -1}), 'seeds start at 0',
     'Set random.seed to 0 or a positive whole number.'),
    # Names.
    (given(VOCAB_FIEL='x'), 'nothing reads a macro VOCAB_FIEL', 'Did you mean VOCAB_FILE?'),
    (given(**{'export.default_seq_len': 3}), 'export has no parameter default_seq_len',
     'Did you mean default_seq_length?'),
    (given(POOLERS='(@poolers.randm,)'), 'There is no @poolers.randm',
     'Did you mean @poolers.random?'),
    (given(**{'checkpoint_items.next_sentence': "'sop'"}), "'next_sentence' is called 'sop'",
     'Correct checkpoint_items.next_sentence.'),
])
def test_bad_input_is_status_2_with_what_to_do_and_leaves_nothing(
    spoil, found, last_clause, inputs, tmp_path):
  wrong = spoil(inputs)
  out = tmp_path / 'deep' / 'out'
  done = run_main(EXPORT, *settings(**{**inputs.macros, **wrong}), '--out_dir', out)
  assert done.status == 2, done.output
  assert found in done.stderr
  assert done.stderr.rstrip().endswith(last_clause), done.stderr
  assert 'Traceback' not in done.output
  assert [path.name for path in tmp_path.iterdir()] == ['inputs']


def test_the_same_inputs_unspoilt_are_accepted(inputs, tmp_path):  # Control of the test above.
  done = run_main(EXPORT, *settings(**{**inputs.macros, 'CHECKPOINT': inputs.checkpoint(),
                                       'ENCODER_CONFIG': inputs.config(),
                                       'VOCAB_FILE': inputs.vocabulary(b'cat', b'cow')}),
                  '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.stderr


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_weights_that_are_not_finite(value, inputs, tiny_size, tmp_path):
  pretrainer = tiny.build_pretrainer(tiny_size)
  variable = pretrainer.encoder_network.trainable_variables[5]
  values = variable.numpy()
  values.flat[0] = value
  variable.assign(values)
  prefix = tiny.write_checkpoint(inputs.directory / 'diverged', pretrainer)
  done = run_main(EXPORT, *settings(**{**inputs.macros, 'CHECKPOINT': prefix}),
                  '--out_dir', tmp_path / 'out')
  assert done.status == 2
  assert 'layer 0, attention query kernel' in done.stderr
  assert done.stderr.endswith('Name an earlier checkpoint.\n')
  assert not (tmp_path / 'out').exists()


# Destinations.


@pytest.mark.conformance(10, 108)
def test_a_place_below_a_file_one_that_is_a_file_and_one_of_something_else(inputs, tmp_path):
  (tmp_path / 'thesis').mkdir()
  chapter = tmp_path / 'thesis' / 'chapter.txt'
  chapter.write_text('x')
  for place, last_clause in ((chapter / 'out', 'Name another path.'),
                             (chapter, 'Give a directory, new or of this run.'),
                             (chapter.parent, 'Give an empty or a new directory.')):
    done = run_main(EXPORT, *settings(**inputs.macros), '--out_dir', place)
    assert (done.status, done.stderr.rstrip()[-len(last_clause):]) == (2, last_clause)
    assert [path.name for path in chapter.parent.iterdir()] == ['chapter.txt']
    assert chapter.read_text() == 'x'


@pytest.mark.conformance(10)
def test_a_place_of_another_run(inputs, tmp_path, uncased_exports):
  place = Path(uncased_exports['preprocessing']).parent.parent
  before = {path: path.stat().st_mtime_ns for path in place.rglob('*')}
  done = run_main(EXPORT, *settings(**inputs.macros), '--out_dir', place)
  assert done.status == 2
  assert '-DEFAULT_SEQ_LENGTH = 16' in done.stderr
  assert done.stderr.endswith(f'if it is not needed: --out_dir {place}-2\n')
  assert before == {path: path.stat().st_mtime_ns for path in place.rglob('*')}


def in_own_mounts(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
  """Runs a shell script that may mount file systems, which nobody else sees."""
  unshare = ['unshare', '--map-root-user', '--mount']
  if not shutil.which('unshare') or subprocess.run(
      [*unshare, 'mount', '-t', 'tmpfs', 'none', '/mnt'], capture_output=True).returncode:
    pytest.skip('this machine lets nobody mount a file system of their own (unshare -rm)')
  return subprocess.run([*unshare, 'sh', '-ec', script, 'sh', *map(str, arguments)],
                        capture_output=True, text=True, timeout=120, env=run_lab.environment())


def test_a_place_on_a_read_only_file_system(inputs, tmp_path):
  place = tmp_path / 'place'
  place.mkdir()
  done = in_own_mounts(
      'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"', place,
      sys.executable, run_lab.REPO / 'run.py', EXPORT, *settings(**inputs.macros),
      '--out_dir', place / 'out')
  assert done.returncode == 2
  assert done.stderr == (f'Cannot make {place}/out: the file system is read-only. '
                         'Write elsewhere: --out_dir DIR.\n')


def test_a_disk_that_is_full_while_an_export_is_written(inputs, tmp_path):
  place = tmp_path / 'place'
  place.mkdir()
  done = in_own_mounts(
      'mount -t tmpfs -o size=600k none "$1"; cd "$1"; shift; set +e; "$@"; '
      'echo "status $?, left: $(find .)"', place,
      sys.executable, run_lab.REPO / 'run.py', EXPORT, *settings(**inputs.macros),
      '--out_dir', place / 'out')
  assert done.stdout.endswith('status 2, left: .\n'), done.stdout + done.stderr
  assert f'Cannot write {place}/out/exports/keep/.model.partial-' in done.stderr
  assert done.stderr.endswith(
      'the disk is full. Free some space or write elsewhere: --out_dir DIR.\n')
  assert 'restore ... ' in done.stdout  # It was full in the middle, not from the beginning.


def test_a_full_disk_of_temporary_files_is_told_apart(tmp_path, monkeypatch):
  import errno
  import tempfile

  from nlp_export.file_errors import explained

  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  message = explained('write', f'{tmp_path}/nlp_export_x/a.npz', errno.ENOSPC).message
  assert message.endswith('Free some space or have temporary files elsewhere: TMPDIR=DIR.')
  other = explained('write', f'{tmp_path}/out/a.npz', errno.ENOSPC).message
  assert other.endswith('--out_dir DIR.')
