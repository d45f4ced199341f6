"""Which TensorFlow prefix does a path mean, are its files there, and did TF1 or TF2 write them?

The latest of a directory, or the only `-N` of a name. A checkpoint is an index and data files.
"""

from __future__ import annotations

import difflib
import re

from nlp_export import files
from nlp_export.errors import RequestError

STATE_FILE = 'checkpoint'  # A text-format CheckpointState proto that tf.train writes.
_LATEST = re.compile(r'^\s*model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
_SHARD = re.compile(r'\.data-(\d{5})-of-(\d{5})$')
# Key of the object graph, by which tf.train.Checkpoint (TF2) is told from TF1's Saver.
GRAPH_KEY = '_CHECKPOINTABLE_OBJECT_GRAPH'
_TABLE_MAGIC = bytes.fromhex('57fb808b247547db')  # Ends every .index file (an SSTable).


def latest(directory: str) -> tuple[str, tuple[str, ...]]:
  """The prefix that the state file of a directory names, or its only one, and a note that says so.

  Raises:
    RequestError: several prefixes and no state file; the state file's one is not there.
  """
  state = files.join(directory, STATE_FILE)
  prefixes = _prefixes(directory)
  if files.exists(state):
    found = _LATEST.search(files.read_text(state))
    if not found:
      raise RequestError(
          f"Cannot read {state}: it has no line 'model_checkpoint_path: \"...\"'. Name one of "
          f'{_listed(prefixes)}.'
      )
    # A moved directory: the file may hold the absolute path of another machine.
    name = files.basename(found[1])
    if name in prefixes:
      return files.join(directory, name), (f'{name} is the latest of {files.basename(directory)}.',)
    raise RequestError(
        f"{state} names '{name}' as the latest checkpoint, but it is not in the directory. Name "
        f'one of {_listed(prefixes)}.'
    )
  if len(prefixes) == 1:
    name = prefixes[0]
    return files.join(directory, name), (f'{name} is the only one of {files.basename(directory)}.',)
  raise RequestError(
      f"Cannot tell which checkpoint of {directory} is meant: there are several and no file "
      f"'{STATE_FILE}' that says which is the latest. Name one of {_listed(prefixes)}."
  )


def prefix(path: str) -> tuple[str, tuple[str, ...]]:
  """The prefix that a path which is no file means, and notes on how it was understood.

  Raises:
    RequestError: none, or several with a `-N` and none without.
  """
  if files.exists(path + '.index'):
    return path, ()
  directory, name = files.dirname(path), files.basename(path)
  if not files.is_dir(directory):
    raise RequestError(
        f'There is no checkpoint {path}: there is no directory {directory}. Correct CHECKPOINT.'
    )
  prefixes = _prefixes(directory)
  numbered = [p for p in prefixes if re.fullmatch(re.escape(name) + r'-\d+', p)]
  if len(numbered) == 1:
    return files.join(directory, numbered[0]), (f'{numbered[0]} was taken for {name}.',)
  if numbered:
    raise RequestError(
        f'There is no checkpoint {path}, but there are {_listed(numbered)} (tf.train.Checkpoint.'
        f'save adds a number). Name one of them.'
    )
  data = [n for n in files.list_dir(directory) if n.startswith(name + '.data-')]
  if data:
    raise RequestError(
        f'Cannot read checkpoint {path}: there is {data[0]}, but no {name}.index. A checkpoint is '
        'both: copy the index too.'
    )
  choice = prefixes or [n for n in files.list_dir(directory) if not n.startswith('.')]
  near = difflib.get_close_matches(name, choice, n=3, cutoff=0.4) or choice[:3]
  there = f'The nearest in {directory}: {", ".join(near)}.' if near else f'{directory} is empty.'
  raise RequestError(f'There is no checkpoint {path}. {there} Correct CHECKPOINT.')


def has_object_graph(prefix: str) -> bool:
  """Whether tf.train.Checkpoint wrote the files of a prefix, told from the index alone.

  The keys of an index are stored plain, each without what it has in common with the one before
  it, here an underscore at most. (TensorBundle.has_object_graph is the reader's own answer.)
  """
  return GRAPH_KEY[1:].encode() in files.read_bytes(prefix + '.index')


def prefix_files(prefix: str) -> tuple[str, ...]:
  """The index of a prefix and its data files.

  Raises:
    RequestError: one of them is not there, or the index is not one.
  """
  index = prefix + '.index'
  if not files.read_bytes(index).endswith(_TABLE_MAGIC):
    raise RequestError(
        f'Cannot read {index}: it is not the index of a TensorFlow checkpoint, or it was cut '
        'short. Copy the file again or name another checkpoint.'
    )
  directory, name = files.dirname(prefix), files.basename(prefix)
  found = {n: m for n in files.list_dir(directory)
           if n.startswith(name + '.data-') and (m := _SHARD.fullmatch(n[len(name):]))}
  if not found:
    raise RequestError(
        f'Cannot read checkpoint {prefix}: there is {files.basename(index)}, but no data file '
        f'{name}.data-00000-of-00001 beside it. A checkpoint is both: copy the '
        'data file too.'
    )
  total = max(int(match[2]) for match in found.values())
  whole = {f'{name}.data-{i:05d}-of-{total:05d}' for i in range(total)}
  if set(found) != whole:
    absent = ', '.join(sorted(whole - set(found))) or 'a consistent set'
    raise RequestError(
        f'Cannot read checkpoint {prefix}: of its {total} data files {absent} is not there. Copy '
        'the missing files too.'
    )
  return (index, *(files.join(directory, n) for n in sorted(found)))


def _prefixes(directory: str) -> list[str]:
  names = files.list_dir(directory)
  found = [n.removesuffix('.index') for n in names if n.endswith('.index')]
  return sorted(found, key=lambda n: [int(p) if p.isdigit() else p for p in re.split(r'(\d+)', n)])


def _listed(names: list[str]) -> str:
  shown = names[-6:]
  return ('... ' if len(names) > 6 else '') + ', '.join(shown) if shown else '(none)'
