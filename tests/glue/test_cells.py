"""Cells, their results and their files."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import cell_files
from nlp_export.glue.cell_files import StoredCell
from nlp_export.glue.cells import Cell, CellResult, derived_seed
from nlp_export.glue.grid import Variant, grid

CELL = Cell('cola', 'export', 'small.random', 3, pooler_seed=3,
            recipe={'learning_rate': 3e-5, 'layers': (1, 2)}, content_hashes={'export': 'a' * 64})


def ok(cell=CELL, **values):
  given = {'status': 'ok', 'metrics': {'matthews_correlation': 0.5, 'accuracy': 0.8},
           'main_metric': 'matthews_correlation', 'train_seconds': 2.5,
           'history': ({'step': 10, 'loss': 0.25},), 'labels': ('0', '1')}
  return CellResult.of(cell, **{**given, **values})


def stored(cell=CELL, result=None):
  return StoredCell(result or ok(cell), cell.description, 1, 12.25)


def test_the_place_of_a_cell_is_the_contract():
  assert cell_files.cell_path('out', CELL) == (
      'out/glue/cells/cola/small.random/export/seed_3.json')


def test_seeds_are_paired_over_tasks_arms_and_poolers_and_differ_by_purpose():
  cells = grid(('cola', 'rte'), [Variant('export', 'keep'), Variant('baseline', 'identity')],
               (0, 1))
  assert len(cells) == 8
  for seed in (0, 1):
    same = {(c.init_seed, c.data_seed) for c in cells if c.seed == seed}
    assert same == {(derived_seed(seed, 'init'), derived_seed(seed, 'data'))}
  assert len({derived_seed(s, p) for s in range(100) for p in ('init', 'data')}) == 200
  assert derived_seed(0, 'init') == 1836061682  # Does not change with the version.
  assert max(derived_seed(s, 'init') for s in range(1000)) < 2**31


def test_only_a_random_pooler_has_a_seed_and_it_follows_the_cells():
  variants = [Variant('export', 'random', draws_pooler=True), Variant('export', 'keep'),
              Variant('export', 'fixed', draws_pooler=True, pooler_seed=0)]
  seeds = {(c.pooler, c.seed): c.pooler_seed for c in grid(('cola',), variants, (0, 5))}
  assert seeds == {('random', 0): 0, ('random', 5): 5, ('keep', 0): None, ('keep', 5): None,
                   ('fixed', 0): 0, ('fixed', 5): 0}


@pytest.mark.parametrize('change', [
    {'task': 'rte'}, {'arm': 'b'}, {'pooler': 'keep'}, {'seed': 4}, {'pooler_seed': None},
    {'init_seed': 1}, {'data_seed': 1}, {'recipe': {'learning_rate': 3.1e-5, 'layers': (1, 2)}},
    {'recipe': {'learning_rate': 3e-5, 'layers': (1,)}}, {'content_hashes': {'export': 'b' * 64}},
])
def test_the_config_hash_depends_on_everything(change):
  assert dataclasses.replace(CELL, **change).config_hash != CELL.config_hash


def test_the_config_hash_depends_on_values_alone():
  again = dataclasses.replace(CELL, recipe={'layers': [1, 2], 'learning_rate': 3e-5})
  assert again.config_hash == CELL.config_hash
  assert json.loads(json.dumps(CELL.description)) == CELL.description
  assert len({CELL, CELL}) == 1  # Usable as a key.
  with pytest.raises(TypeError):
    dataclasses.replace(CELL, recipe={'optimizer': object()}).config_hash


@pytest.mark.parametrize(('values', 'end'), [
    ({'arm': '../x'}, "Use letters, digits, '_', '-' and '.', not first"),
    ({'pooler': '.hidden'}, "Use letters, digits, '_', '-' and '.', not first"),
    ({'task': ''}, "Use letters, digits, '_', '-' and '.', not first"),
    ({'seed': -1}, 'Seeds are 0, 1, 2 ...'),
])
def test_names_that_are_no_directories_are_refused(values, end):
  with pytest.raises(RequestError) as error:
    dataclasses.replace(CELL, **values)
  assert error.value.message.endswith(end)


@pytest.mark.parametrize(('variants', 'seeds'), [
    ([Variant('a', 'keep'), Variant('a', 'keep', {'lr': 1})], (0,)),
    ([Variant('a', 'keep'), Variant('A', 'keep')], (0,)),
    ([Variant('a', 'keep')], (1, 1)),
])
def test_two_cells_in_one_place_are_refused(variants, seeds):
  with pytest.raises(RequestError, match='rename an arm or remove the repetition$'):
    grid(('cola',), variants, seeds)


# CellResult.


def test_a_result_survives_json():
  result = ok(metrics={'matthews_correlation': np.float32(0.5)}, main_metric='matthews_correlation',
              notes=('dropout not reproducible',))
  again = CellResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
  assert again == dataclasses.replace(result, metrics={'matthews_correlation': 0.5})
  assert set(result.to_json()) == set((
      'schema_version task arm pooler seed init_seed data_seed pooler_seed config_hash status '
      'metrics main_metric train_seconds examples_per_second tokens_per_second padding_share '
      'history predictions_file gold_sha256 labels cause degenerate notes').split())


def test_nan_is_null_in_json():
  result = ok(status='degenerate', degenerate=('constant prediction',), main_metric='pearson',
              metrics={'pearson': math.nan}, history=({'step': 1, 'loss': math.inf},))
  text = json.dumps(result.to_json(), allow_nan=False)
  again = CellResult.from_json(json.loads(text))
  assert math.isnan(again.metrics['pearson']) and math.isnan(again.history[0]['loss'])


@pytest.mark.parametrize(('values', 'end'), [
    ({'status': 'fine'}, "status 'fine' is none of ok, degenerate, failed"),
    ({'main_metric': 'f1'},
     "main_metric 'f1' is not among its metrics (accuracy, matthews_correlation)"),
    ({'metrics': {'f1': math.nan}, 'main_metric': 'f1'},
     "f1 is not finite, yet its status is 'ok'"),
    ({'status': 'degenerate'}, 'it is degenerate without a reason'),
    ({'status': 'failed'}, 'it failed without a cause'),
    ({'train_seconds': math.inf}, 'train_seconds is not finite'),
])
def test_results_that_say_nothing_are_refused(values, end):
  with pytest.raises(RequestError) as error:
    ok(**values)
  assert error.value.message == (
      f'The result of cell cola/small.random/export/seed_3 is not valid: {end}')


@pytest.mark.parametrize(('change', 'end'), [
    ({'schema_version': 2}, 'reads 1. Read it with the version that wrote it'),
    ({'schema_version': None}, 'reads 1. Read it with the version that wrote it'),
    ({'speed': 1}, 'x.json has the unknown speed: it is not the result of a cell in '
     'schema_version 1'),
    ({'seed': '3'}, "x.json: seed is '3', which is no int"),
    ({'seed': True}, 'x.json: seed is True, which is no int'),
    ({'metrics': {'f1': 'high'}}, "{'f1': 'high'}, which is no Mapping[str, float]"),
    ({'labels': 'ab'}, "x.json: labels is 'ab', which is no Sequence[str]"),
])
def test_json_of_another_schema_is_refused(change, end):
  with pytest.raises(RequestError) as error:
    CellResult.from_json({**ok().to_json(), **change}, 'x.json')
  assert error.value.message.endswith(end)


def test_json_that_lacks_a_field_is_refused():
  value = ok().to_json()
  del value['gold_sha256'], value['cause']
  with pytest.raises(RequestError, match=r'^x.json lacks cause, gold_sha256: '):
    CellResult.from_json(value, 'x.json')
  with pytest.raises(RequestError, match='it has no schema_version$'):
    CellResult.from_json([], 'x.json')


# Files.


def test_a_stored_cell_is_read_back(tmp_path):
  out = str(tmp_path)
  assert cell_files.read(out, CELL) is None
  cell_files.write(out, CELL, stored())
  again = cell_files.read(out, CELL)
  assert again is not None and again.result == ok()
  assert (again.attempt, again.wall_seconds) == (1, 12.25)
  assert again.description == CELL.description


def corrupt_empty(path):
  path.write_bytes(b'')


def corrupt_half(path):
  path.write_bytes(path.read_bytes()[:200])


def corrupt_zeros(path):
  path.write_bytes(bytes(path.stat().st_size))


def corrupt_number(path):
  text = path.read_text()
  assert '"accuracy": 0.8' in text
  path.write_text(text.replace('"accuracy": 0.8', '"accuracy": 0.9'))


def corrupt_other(path):
  path.write_text('{"schema_version": 1}')


@pytest.mark.parametrize(('corrupt', 'why'), [
    (corrupt_empty, 'it is not JSON (0 bytes; '),
    (corrupt_half, 'it is not JSON (200 bytes; '),
    (corrupt_zeros, 'it is not JSON ('),
    (corrupt_number, 'its content does not fit its content_sha256'),
    (corrupt_other, 'it has no content_sha256'),
])
def test_a_damaged_file_is_named_with_the_cure(tmp_path, corrupt, why):
  cell_files.write(str(tmp_path), CELL, stored())
  path = cell_files.cell_path(str(tmp_path), CELL)
  corrupt(Path(path))
  for read in (lambda: cell_files.read(str(tmp_path), CELL),
               lambda: cell_files.collect(str(tmp_path))):
    with pytest.raises(RequestError) as error:
      read()
    assert error.value.message.startswith(f'{path} is damaged: {why}')
    assert error.value.message.endswith(f'runs the cell again: rm {path}')


def test_missing_predictions_are_damage(tmp_path):
  place = cell_files.predictions_file(CELL)
  assert place == 'glue/predictions/cola/small.random/export/seed_3.npz'
  files.write_bytes(files.join(str(tmp_path), place), b'x')
  cell_files.write(str(tmp_path), CELL, stored(result=ok(predictions_file=place)))
  assert cell_files.collect(str(tmp_path))
  files.remove(files.join(str(tmp_path), place))
  with pytest.raises(RequestError, match='its predictions, glue/predictions/.*, are missing'):
    cell_files.collect(str(tmp_path))


def test_another_configuration_is_refused_with_the_difference(tmp_path):
  cell_files.write(str(tmp_path), CELL, stored())
  now = dataclasses.replace(CELL, recipe={'learning_rate': 5e-5, 'batch_size': 8},
                            content_hashes={'export': 'b' * 64})
  with pytest.raises(RequestError) as error:
    cell_files.read(str(tmp_path), now)
  path = cell_files.cell_path(str(tmp_path), CELL)
  assert error.value.message.splitlines() == [
      f'{path} comes from another configuration of cell cola/small.random/export/seed_3:',
      f"  content_hashes.export: was '{'a' * 64}', is '{'b' * 64}'",
      '  recipe.batch_size: was not there, is 8',
      '  recipe.layers: was [1, 2], is not there now',
      '  recipe.learning_rate: was 3e-05, is 5e-05',
      'Give another --out_dir, or another name to the arm; remove the file if it is not needed']


def test_collect_is_sorted_and_looks_at_places(tmp_path):
  cells = grid(('rte', 'cola'), [Variant('b', 'keep'), Variant('a', 'keep')], (10, 9))
  assert cell_files.collect(str(tmp_path)) == []
  for cell in cells:
    cell_files.write(str(tmp_path), cell, stored(cell))
  root = tmp_path / 'glue' / 'cells'
  (root / 'cola' / 'keep' / 'a' / '.seed_9.json.partial-1-ab').write_text('{')  # Of a kill.
  names = [result.name for result in cell_files.collect(str(tmp_path))]
  assert names == [f'{task}/keep/{arm}/seed_{seed}' for task in ('cola', 'rte')
                   for arm in 'ab' for seed in (9, 10)]
  moved = root / 'cola' / 'keep' / 'a' / 'seed_11.json'
  moved.write_bytes((root / 'cola' / 'keep' / 'a' / 'seed_9.json').read_bytes())
  with pytest.raises(RequestError, match='it holds the cell cola/keep/a/seed_9'):
    cell_files.collect(str(tmp_path))
  moved.rename(root / 'notes.txt')
  with pytest.raises(RequestError, match=r'seed_<n>.json. Remove it$'):
    cell_files.collect(str(tmp_path))
