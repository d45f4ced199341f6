"""docs/notebooks/results.ipynb runs from top to bottom and draws what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / 'docs' / 'notebooks' / 'results.ipynb'


@pytest.fixture
def notebook():
  import nbformat

  return nbformat.read(NOTEBOOK, as_version=4)


def executed(notebook, directory: Path, **places: str):
  """The notebook after a run with other places in its second cell."""
  import nbclient

  cell = notebook.cells[1]
  for name, value in places.items():
    cell.source, count = re.subn(rf'^{name} = .*$', f'{name} = {value!r}', cell.source, flags=re.M)
    assert count == 1
  client = nbclient.NotebookClient(notebook, timeout=240, kernel_name='python3',
                                   resources={'metadata': {'path': str(directory)}})
  return client.execute()


def figures(cell) -> int:
  return sum('image/png' in output.get('data', {}) for output in cell.outputs)


@pytest.mark.extra
def test_it_reads_results_and_an_export_and_draws(notebook, uncased_exports, tmp_path):
  done = executed(notebook, tmp_path, EXPORT=uncased_exports['model'],
                  PREPROCESSING=uncased_exports['preprocessing'])
  cells = {cell.id: cell for cell in done.cells if cell.cell_type == 'code'}
  drawn = {name: figures(cell) for name, cell in cells.items()}
  assert drawn == {'places': 0, 'answer': 0, 'runs': 1, 'curves': 1, 'differences': 1,
                   'sentences': 1}
  table = next(output.data['text/markdown'] for output in cells['answer'].outputs
               if 'text/markdown' in output.get('data', {}))
  assert '| keep | 27.9 ± 0.8 |' in table
  assert not [output for cell in cells.values() for output in cell.outputs
              if output.output_type == 'error' or output.get('name') == 'stderr']


@pytest.mark.extra
def test_a_wrong_place_stops_it(notebook, tmp_path):  # Control of the test above.
  import nbclient

  with pytest.raises(nbclient.exceptions.CellExecutionError, match='no_results'):
    executed(notebook, tmp_path, RESULTS=str(tmp_path / 'no_results.json'))


def test_it_is_kept_without_outputs_and_its_default_results_are_there(notebook):
  code = [cell for cell in notebook.cells if cell.cell_type == 'code']
  assert not [cell.id for cell in code if cell.outputs or cell.execution_count]
  results = re.search(r"^RESULTS = root / '(.*)'$", code[0].source, re.M)
  assert results and (ROOT / results[1]).is_file()
