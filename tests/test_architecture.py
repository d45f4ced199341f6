"""The house: one-way imports, gin in its place, light modules light, no traces of a machine."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The steps of the data, in order, and the modules of each (below nlp_export; the longest pattern
# that fits decides). A module imports its own step and earlier ones. A new module needs its place.
STEPS = {
    'ground': ('errors', 'names', 'paths', 'file_errors', 'files', 'spelling', 'installation'),
    # SavedModels of anybody, before they are loaded.
    'arrivals': ('archives', 'handles', 'vocabularies', 'saved_models.safety',
                 'saved_models.graph_walk', 'saved_models.op_effects'),
    'config': ('config', 'binding', 'binding.*', 'experiment', 'running', 'running.*', 'own_parts',
               'field_rules'),
    'text': ('corpora', 'corpora.*'),
    'encoder, tokenizer': (
        'encoders', 'encoders.*', 'encoder_config', 'encoder_config.*', 'encoder_parts', 'dropout',
        'tokenizers',
        'tokenization', 'tokenization.*',
    ),
    'checkpoint restore': ('pretrainer', 'checkpoints', 'checkpoints.*'),
    'pooler': ('declared_losses', 'initial_values', 'poolers', 'poolings', 'restored_encoder',
               'text_embedding', 'text_inputs'),
    'SavedModels': ('saved_models', 'saved_models.*'),
    'verification': (
        'saved_models.verification', 'saved_models.verification.*',
        'saved_models.text_expectations',
        'saved_models.expectations',  # What verification is told about the source.
    ),
    'export': (
        'exporting', 'export_graphs', 'reexporting', 'tuning_records', 'placing', 'staging',
    ),  # All of the steps above for one checkpoint.
    'text layers': ('text_layers', 'text_layers.*', 'keras3'),  # Exports in Keras models.
    'pre-training': ('pretraining', 'pretraining.*'),
    'conversion': ('converting', 'converting.*'),  # It writes as pre-training does.
    'GLUE': ('glue', 'glue.*'),
    'graphs': ('graphs', 'graphs.*'),  # Frozen and written again; embedding and forms use them.
    'embedding': ('embedding', 'embedding.*'),  # Files of texts; tokens and precision as GLUE has.
    'tuning': ('tuning', 'tuning.*'),  # Fine-tuning, then re-exporting.
    'question pairs': ('question_pairs', 'question_pairs.*'),
    'report': ('reports', 'reports.*', 'pretraining.reporting'),
    'continued training': ('continuing', 'continuing.*'),  # Of an export, to an export.
    'ablation': ('ablation', 'ablation.*'),  # All of the steps above for a matrix.
    'submission': ('submitting', 'submitting.*'),
    'publishing': ('publishing', 'publishing.*'),
    'forms': ('forms', 'forms.*'),  # For inference; scores as GLUE has them.
}  # fmt: skip

# What gin files import, and what `run.py --dry_run` needs.
LIGHT = (
    'errors', 'names', 'files', 'config', 'running.run_record', 'experiment', 'encoders',
    'tokenizers',
    'poolers', 'poolings', 'text_embedding', 'text_inputs', 'pretrainer', 'checkpoints',
    'pretraining.data.recipe',
    'pretraining.recipe', 'pretraining.heads', 'pretraining.strategies', 'pretraining.flops',
)  # fmt: skip
HEAVY = (
    'tensorflow', 'tf_keras', 'keras', 'official', 'tensorflow_text', 'tensorflow_hub', 'jax',
    'orbax', 'tensorstore', 'scipy', 'sklearn', 'pandas', 'transformers', 'torch',
)  # fmt: skip

# What a module other than config's may use of gin.
GIN_DECORATIONS = {'register', 'configurable', 'external_configurable', 'REQUIRED', 'constant'}


def modules(package: str) -> dict[str, Path]:
  """Dotted names and files of a package's modules."""
  found = {}
  for path in sorted((ROOT / package).rglob('*.py')):
    parts = path.relative_to(ROOT).with_suffix('').parts
    found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
  return found


LIBRARY = modules('nlp_export')
EXPERIMENTS = modules('experiments')


def imported(source: str, known: set[str]) -> Iterator[str]:
  """Dotted names that a module imports anywhere in it; `from a import b` is a.b if that is one."""
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'relative imports hide the direction of the flow'
      for alias in node.names:
        full = f'{node.module}.{alias.name}'
        yield full if full in known else str(node.module)


def step_of(module: str) -> int | None:
  """The place in STEPS of a module below nlp_export, None if it has none."""
  name = module.removeprefix('nlp_export.')
  fits = [
      (len(pattern), step)
      for step, patterns in enumerate(STEPS.values())
      for pattern in patterns
      if fnmatch.fnmatchcase(name, pattern)
  ]
  return max(fits)[1] if fits else None


def wrong_way(module: str, source: str) -> list[str]:
  """Imports of a library module that go to a later step or out of the library."""
  own, problems = step_of(module), []
  for other in imported(source, set(LIBRARY)):
    outside = other.split('.')[0] in ('experiments', 'run', 'tests', 'benchmarks')
    if outside or (other.startswith('nlp_export.') and (step_of(other) or 0) > (own or 0)):
      problems.append(other)
  return problems


def test_every_module_has_its_step():
  homeless = [name for name in LIBRARY if name != 'nlp_export' and step_of(name) is None]
  assert not homeless, f'add to STEPS: {homeless}'


@pytest.mark.parametrize('module', LIBRARY)
def test_the_library_imports_earlier_steps_only(module):
  assert not wrong_way(module, LIBRARY[module].read_text())


def test_an_import_of_a_later_step_would_be_seen():  # Control of the test above.
  inside = 'def f():\n  from nlp_export.saved_models import encoder'
  assert wrong_way('nlp_export.poolers', inside)
  assert wrong_way('nlp_export.files', 'import experiments.export')
  assert wrong_way('nlp_export.encoders', 'from nlp_export import poolers') == [
      'nlp_export.poolers'
  ]
  assert not wrong_way('nlp_export.poolers', 'from nlp_export import encoders, errors')


@pytest.mark.parametrize('module', EXPERIMENTS)
def test_experiments_do_not_import_run(module):
  names = set(imported(EXPERIMENTS[module].read_text(), set(LIBRARY)))
  assert not names & {'run', 'tests', 'benchmarks'}


def test_verification_does_not_use_the_code_that_wrote_the_export():
  writers = {name for name in LIBRARY if step_of(name) == list(STEPS).index('SavedModels')}
  for module, path in LIBRARY.items():
    if module.startswith('nlp_export.saved_models.verification'):
      used = set(imported(path.read_text(), set(LIBRARY))) & writers
      assert not used - {'nlp_export.saved_models'}, module


def everything_used(module: str) -> set[str]:
  """Library modules that a module imports, directly or by way of others."""
  found, waiting = set(), [module]
  while waiting:
    name = waiting.pop()
    if name in LIBRARY and name not in found:
      found.add(name)
      waiting += imported(LIBRARY[name].read_text(), set(LIBRARY))
  return found


@pytest.mark.parametrize('module', [
    'baseline_encoder', 'export_encoder', 'finetune', 'arms', 'tokenised', 'trainer'])
def test_no_arm_shares_code_with_what_writes_saved_models(module):
  used = everything_used(f'nlp_export.glue.fine_tuning.{module}')
  assert not {name for name in used if name.startswith('nlp_export.saved_models')}
  assert len(used) > 5
  # Control: what exports would be seen.
  assert 'nlp_export.saved_models.encoder' in everything_used('nlp_export.exporting')


def gin_uses(source: str) -> set[str]:
  """The attributes of gin that a source names: {'register'} for `@gin.register`."""
  tree = ast.parse(source)
  used = {
      node.attr
      for node in ast.walk(tree)
      if isinstance(node, ast.Attribute)
      and isinstance(node.value, ast.Name)
      and node.value.id == 'gin'
  }
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'gin':
      used |= {alias.name for alias in node.names}
  return used


def test_only_config_queries_gin():
  config = list(STEPS).index('config')
  for module, path in {**LIBRARY, **EXPERIMENTS}.items():
    if module.startswith('experiments') or step_of(module) != config:
      assert not gin_uses(path.read_text()) - GIN_DECORATIONS, module
  assert gin_uses('import gin\nx = gin.query_parameter("a.b")') - GIN_DECORATIONS  # Control.


def test_the_gin_folder_is_data():
  # With a .py file or an __init__.py in it, the folder would shadow the package gin-config.
  assert not list((ROOT / 'gin').rglob('*.py'))
  assert not (ROOT / 'tests' / 'gin').exists()
  import gin

  assert gin.configurable


def test_light_modules_import_without_tensorflow():
  names = [f'nlp_export.{name}' for name in LIGHT] + list(EXPERIMENTS) + ['run']
  code = f"""
import importlib, json, sys, time
def heavy(): return sorted(set({HEAVY!r}) & set(sys.modules))
start = time.perf_counter()
found = {{}}
for name in {names!r}:
  importlib.import_module(name)
  found[name] = heavy()
seconds = time.perf_counter() - start
import scipy
print(json.dumps([found, seconds, heavy()]))
"""
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
  )
  found, seconds, control = json.loads(done.stdout)
  assert not {name: heavy for name, heavy in found.items() if heavy}
  assert seconds < 3
  assert 'scipy' in control  # A heavy module would have been seen.


def text_files() -> dict[str, str]:
  """Every text file of the checkout that git would keep, but this one."""
  listed = subprocess.run(
      ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
      cwd=ROOT, capture_output=True, text=True,
  )  # fmt: skip
  names = listed.stdout.splitlines()
  if listed.returncode:  # Not a git checkout: an unpacked archive.
    skipped = {'.git', '.venv', 'out', '__pycache__'}
    paths = [p.relative_to(ROOT) for p in ROOT.rglob('*') if p.is_file()]
    names = [str(p) for p in paths if not skipped & set(p.parts)]
  texts = {}
  for name in names:
    path = ROOT / name
    if path != Path(__file__).resolve() and path.is_file():
      try:
        texts[name] = path.read_text(encoding='utf-8')
      except UnicodeDecodeError:
        continue  # A binary fixture.
  return texts


TRACES = {
    'a path of one machine': re.compile(r'(?<![\w.])/(root|home|work|Users|opt)/'),
    'a package registry': re.compile(r'pypi\.org|pythonhosted|find-links|index-url'),
    'a document that is not in the repository': re.compile(
        r'\bshared/(?!glue)|(?<!docs/)\b(design|style|reference_numbers)\.md'
    ),
}


@pytest.mark.parametrize('what', TRACES)
def test_no_file_names(what):
  hits = {
      name: match.group()
      for name, text in text_files().items()
      if (match := TRACES[what].search(text))
  }
  assert not hits


def test_traces_would_be_seen():  # Control of the test above.
  assert TRACES['a path of one machine'].search("open('/home/ann/x')")
  assert not TRACES['a path of one machine'].search('github.com/google/home/x')
  assert TRACES['a package registry'].search('--index-url x')
  assert len(text_files()) > 20


def test_the_place_of_glue_is_known_to_ci_alone():
  named = [name for name, text in text_files().items() if 'shared/' + 'glue' in text]
  assert named in ([], ['.ci/run'])


def test_files_stay_readable():
  long = {}
  for path in [*LIBRARY.values(), *EXPERIMENTS.values(), ROOT / 'run.py']:
    lines = len(path.read_text().splitlines())
    if lines > 350:
      long[path.name] = lines
  assert not long, 'split by question'


def test_every_module_says_its_question():
  for module, path in {**LIBRARY, **EXPERIMENTS}.items():
    assert ast.get_docstring(ast.parse(path.read_text())), f'{module} has no docstring'
