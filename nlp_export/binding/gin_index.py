"""Which parts could a gin file name, and which import would define each?

Read from the sources, without importing them: a part can be listed, and the missing import named,
although nothing has been loaded.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import re

import nlp_export
from nlp_export import files
from nlp_export.experiment import GIN_MODULE

# The directory that holds run.py, gin/, experiments/ and nlp_export/.
REPO_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(nlp_export.__file__)))
_PACKAGES = ('nlp_export', 'experiments')
_MENTIONS_GIN = re.compile(r'\bgin\b|\bexperiment\b')


@dataclasses.dataclass(frozen=True)
class Part:
  """A registration found in a source file.

  Attributes:
    selector: as written in gin, with its prefix: `poolers.random`.
    module: what a gin file imports to define it: `nlp_export.poolers`.
    summary: first line of the docstring.
    is_experiment: whether it is a root.
  """

  selector: str
  module: str
  summary: str
  is_experiment: bool = False

  @property
  def name(self) -> str:
    """The selector's last component."""
    return self.selector.rpartition('.')[2]


@functools.cache
def parts() -> tuple[Part, ...]:
  """Every part and experiment of this repository, sorted by selector."""
  found = [part for package in _PACKAGES
           for path in _sources(os.path.join(REPO_ROOT, package))
           for part in _parts_of(path)]
  return tuple(sorted(found, key=lambda part: part.selector))


@functools.cache
def modules() -> tuple[str, ...]:
  """Every module of this repository, as a gin file imports it."""
  return tuple(_module_name(path) for package in _PACKAGES
               for path in _sources(os.path.join(REPO_ROOT, package)))


def _sources(directory: str) -> list[str]:
  if not files.is_dir(directory):
    return []
  return [files.join(directory, name) for name in files.list_tree(directory)
          if name.endswith('.py')]


def _module_name(path: str) -> str:
  name = os.path.relpath(path, REPO_ROOT)[:-len('.py')].replace(os.sep, '.')
  return name.removesuffix('.__init__')


def _parts_of(path: str) -> list[Part]:
  text = files.read_text(path)
  if not _MENTIONS_GIN.search(text):
    return []
  module = _module_name(path)
  found = []
  for node in ast.parse(text, path).body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      for decorator in node.decorator_list:
        part = _decorated(node, decorator, module)
        if part:
          found.append(part)
  return found


def _decorated(
    node: ast.FunctionDef | ast.ClassDef, decorator: ast.expr, module: str
) -> Part | None:
  """The part that `@gin.register(...)`, `@gin.configurable` or `@experiment` makes."""
  call = decorator if isinstance(decorator, ast.Call) else None
  kind = ast.unparse(call.func if call else decorator)
  summary = (ast.get_docstring(node) or '').partition('\n')[0]
  if kind in ('experiment', 'experiment.experiment'):
    return Part(f'{GIN_MODULE}.{node.name}', module, summary, is_experiment=True)
  if kind not in ('gin.register', 'gin.configurable'):
    return None
  name, prefix = node.name, module
  if call and call.args and isinstance(call.args[0], ast.Constant):
    name = str(call.args[0].value)
  for keyword in call.keywords if call else ():
    if keyword.arg == 'module' and isinstance(keyword.value, ast.Constant):
      prefix = str(keyword.value.value)
  return Part(f'{prefix}.{name}', module, summary)
