"""How fast are texts embedded beside TF Hub's documented calls and PyTorch?

    GLUE_DIR=... python -m benchmarks.embedding [--rounds 5] [--corpora sst2 rte] [--json FILE]

MiniLM (6 layers, 384 wide, the weights of all-MiniLM-L6-v2), mean pooling, at most 128 tokens, all
of SST-2's dev sentences, and RTE's dev premises with their hypotheses. Every contestant
(benchmarks/contestants/embedding_*.py) runs in a process of its own that waits while another is
measured; they take turns in every round. Texts go in, vectors come out: tokenising is counted,
starting, loading and compiling is not. Ratios are taken within a round; their median is printed.

PyTorch is needed: pip install -c constraints.txt -e '.[benchmarks]'.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fine_tuning, machine, tables
from benchmarks.contestants import (
    EMBED_BFLOAT16,
    EMBED_EXACT,
    EMBED_FLOAT32,
    EMBED_PYTORCH,
    EMBED_PYTORCH_BFLOAT16,
    EMBED_TF_HUB,
    TF_HUB,
    Given,
)
from benchmarks.contestants.embedding_texts import CORPORA, SST2
from benchmarks.contestants.worker import Worker

MEASURED = (EMBED_TF_HUB, EMBED_PYTORCH, EMBED_PYTORCH_BFLOAT16, EMBED_FLOAT32, EMBED_BFLOAT16)
CALLED: Mapping[str, str] = {
    EMBED_TF_HUB: 'TF Hub\'s documented calls, padded to 128',
    EMBED_PYTORCH: 'PyTorch, sorted by length, float32',
    EMBED_PYTORCH_BFLOAT16: 'the same, bfloat16 autocast',
    EMBED_FLOAT32: 'here, `float32`',
    EMBED_BFLOAT16: 'here, `bfloat16`',
}
SCHEMA_VERSION = 1
_PACKAGES = ('python', 'tensorflow', 'tf-models-official', 'tensorflow-hub', 'tensorflow-text',
             'torch', 'transformers')


def run(
    given: Given, corpora: Sequence[str], rounds: int, exports: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
  """All of the benchmark; see the file's docstring.

  Args:
    given: all but the exports and out_dir.
    corpora: of CORPORA.
    rounds: times that each contestant is measured on each corpus.
    exports: directory to keep the exports in, or to find them; None for a temporary one.
    say: is told what is being done.

  Returns:
    JSON values: 'machine', 'settings', and 'corpora': by name 'texts' (their number) and
    'contestants': name -> {'tokens', 'seconds' and 'processor_seconds' of each round,
    'largest_difference' and 'least_cosine' to the exact vectors}.
  """
  about = machine.describe()
  found: dict[str, Any] = {corpus: {'contestants': {}} for corpus in corpora}
  with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
    given = dataclasses.replace(given, out_dir=directory)
    given = fine_tuning.with_exports(given, [TF_HUB], Path(exports or directory))
    say('exact vectors')
    exact = _exact(given, corpora)
    workers = {}
    for name in MEASURED:
      say(f'{name} starts')
      workers[name] = Worker(name, given, Path(directory) / f'{name}.log')
      stack.callback(workers[name].close)
    for corpus in corpora:
      entries = found[corpus]['contestants']
      for name, worker in workers.items():
        entries[name] = {**worker.ask('prepare', corpus=corpus), 'seconds': [],
                         'processor_seconds': []}
      for number in range(rounds):
        for name in list(workers)[::1 if number % 2 else -1]:
          passed = workers[name].ask('measure', corpus=corpus, round=number)
          for key in ('seconds', 'processor_seconds'):
            entries[name][key].append(passed[key])
          say(f'{corpus}: {name} {passed["texts"] / passed["seconds"]:.0f} texts/s')
          if number == 0:
            entries[name] |= _compared(np.load(passed['vectors']), exact[corpus])
      found[corpus]['texts'] = len(exact[corpus])
  about['load_average_after'] = round(os.getloadavg()[0], 2)
  return {'schema_version': SCHEMA_VERSION, 'machine': about, 'corpora': found,
          'settings': {'rounds': rounds, 'batch_size': given.batch_size,
                       'max_seq_length': given.max_seq_length}}


def _exact(given: Given, corpora: Sequence[str]) -> dict[str, np.ndarray]:
  """Of the export itself, called without anything of this project's but the export."""
  worker = Worker(EMBED_EXACT, given, Path(given.out_dir) / 'exact.log')
  try:
    return {corpus: np.load(worker.ask('measure', corpus=corpus)['vectors'])
            for corpus in corpora}
  finally:
    worker.close()


def _compared(vectors: np.ndarray, exact: np.ndarray) -> dict[str, float]:
  norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(exact, axis=1)
  return {'largest_difference': float(np.abs(vectors - exact).max()),
          'least_cosine': float(((vectors * exact).sum(axis=1) / norms).min())}


def times(
    entries: Mapping[str, Any], name: str, other: str, seconds: str = 'seconds') -> float:
  """How many times as fast as another one: the median of the rounds' ratios."""
  return statistics.median(b / a for a, b in zip(
      entries[name][seconds], entries[other][seconds], strict=True))


def targets(result: Mapping[str, Any]) -> list[tuple[str, float, float, bool]]:
  """(what, measured, to reach, whether it is), all at least."""
  entries = result['corpora'].get(SST2, {}).get('contestants')
  if not entries:
    return []
  found = []
  for name, other, wanted in ((EMBED_FLOAT32, EMBED_TF_HUB, 4.5),
                              (EMBED_FLOAT32, EMBED_PYTORCH, 1.1),
                              (EMBED_BFLOAT16, EMBED_TF_HUB, 7.5)):
    value = times(entries, name, other)
    found.append((f'SST-2: {CALLED[name]}, times {CALLED[other]}', value, wanted, value >= wanted))
  return found


def markdown(result: Mapping[str, Any]) -> str:
  """The tables."""
  rows = []
  for corpus, found in result['corpora'].items():
    entries = found['contestants']
    for name, entry in entries.items():
      speed = found['texts'] / statistics.median(entry['seconds'])
      rows.append([
          f'{corpus}, {found["texts"]} texts', CALLED[name], f'{speed:.0f}',
          f'{speed * entry["tokens"] / found["texts"]:,.0f}',
          f'{times(entries, name, EMBED_TF_HUB):.2f}', f'{times(entries, name, EMBED_PYTORCH):.2f}',
          f'{times(entries, name, EMBED_TF_HUB, "processor_seconds"):.2f}',
          f'{entry["largest_difference"]:.1e}', f'{entry["least_cosine"]:.5f}'])
  entries = result['corpora'].get(SST2, {}).get('contestants', {})
  facts = []
  if entries:
    difference = entries[EMBED_FLOAT32]['largest_difference']
    cosine = entries[EMBED_BFLOAT16]['least_cosine']
    facts = [['SST-2: largest difference of `float32`, at most', f'{difference:.1e}', '1e-05',
              'yes' if difference <= 1e-5 else '**no**'],
             ['SST-2: least cosine of `bfloat16`', f'{cosine:.5f}', '0.9995',
              'yes' if cosine >= 0.9995 else '**no**']]
  about = result['machine']
  return '\n\n'.join([
      f'{tables.conditions(about, _PACKAGES)}. {result["settings"]["rounds"]} rounds. '
      f'{tables.load(about)}',
      tables.table(['texts', 'by', 'texts/s', 'real tokens/s', 'times TF Hub', 'times PyTorch',
                    'processor time: times TF Hub', 'largest difference', 'least cosine'], rows),
      tables.verdicts(targets(result)) + ''.join(
          '\n| ' + ' | '.join(fact) + ' |' for fact in facts)])


def main() -> None:
  """Measures, prints the table, writes the JSON."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--glue_dir', default=os.environ.get('GLUE_DIR'))
  parser.add_argument('--corpora', nargs='+', default=list(CORPORA), choices=CORPORA)
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--exports', help='directory to keep the exports in, or to find them in')
  parser.add_argument('--json', help='file to write')
  options = parser.parse_args()
  if not options.glue_dir:
    sys.exit('Set GLUE_DIR to a directory with SST-2/ and RTE/.')
  result = run(
      Given(hugging_face=fine_tuning.minilm(), glue_dir=options.glue_dir), options.corpora,
      options.rounds, options.exports,
      lambda line: print(f'{time.strftime("%H:%M:%S")} {line}', file=sys.stderr))
  if options.json:
    Path(options.json).write_text(json.dumps(result, indent=1) + '\n')
  print(markdown(result))


if __name__ == '__main__':
  main()
