"""How is a text freed of the paths of one machine before others see it?

Results are committed and published. A path that only one machine has (absolute, or beginning with
`~` or `..`) becomes its last part there, and one in this repository what it is from its root; a
relative path and an address with a scheme are as they were given. What was read is told by
SHA-256 beside it.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import tokenize
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nlp_export.binding import gin_index

_START = r'(?:file://|~\w*/|\.\./|/)'
_OF_A_MACHINE = re.compile(_START + r'+[^/\s]')
_QUOTED = re.compile(rf'''(?P<quote>['"])(?P<path>{_START}[^'"\n]*)(?P=quote)''')
# Not the end of a relative path or of an address; up to what ends a path in a sentence.
_BARE = re.compile(rf'''(?<![\w.~:/%@+\\-]){_START}[^\s'"`,;:()\[\]{{}}<>|=]*''')


def is_of_a_machine(path: str) -> bool:
  """Whether a path means something on one machine only: '/data/me/x', '~/x', '../x'."""
  return bool(_OF_A_MACHINE.match(path))


def path(given: str) -> str:
  """'/data/me/glue' -> 'glue'; 'glue/RTE' and 'gs://b/glue' stay."""
  if not is_of_a_machine(given):
    return given
  if given.startswith(gin_index.REPO_ROOT + '/'):
    return given[len(gin_index.REPO_ROOT) + 1:]
  return given.rstrip('/').rpartition('/')[2]


def text(given: str) -> str:
  """A message or sentence with its paths in public form."""
  def bare(found: re.Match) -> str:
    whole = found[0].rstrip('.')  # A full stop.
    return path(whole) + found[0][len(whole):]

  given = _QUOTED.sub(lambda found: found['quote'] + path(found['path']) + found['quote'], given)
  return _BARE.sub(bare, given)


def value(given: Any) -> Any:
  """JSON values with every text in public form."""
  if isinstance(given, str):
    return path(given) if is_of_a_machine(given) and '\n' not in given else text(given)
  if isinstance(given, Mapping):
    return {key: value(item) for key, item in given.items()}
  if isinstance(given, (list, tuple)):
    return type(given)(value(item) for item in given)
  return given


def command(given: str) -> str:
  """A command line with the paths among its words in public form."""
  words = []
  for word in shlex.split(given):
    name, equals, rest = word.partition('=')
    words.append(f'{name}={path(rest)}' if equals and is_of_a_machine(rest) else
                 path(word) if is_of_a_machine(word) else text(word))
  return shlex.join(words)


def gin_text(given: str, change: Callable[[str], str] = path) -> str:
  """A configuration with `change` made to each of its strings."""
  lines = given.split('\n')
  strings = [token for token in tokenize.generate_tokens(io.StringIO(given).readline)
             if token.type == tokenize.STRING and token.start[0] == token.end[0]]
  for token in reversed(strings):
    before = ast.literal_eval(token.string)
    after = change(before)
    if after != before:
      (row, begin), (_, end) = token.start, token.end
      lines[row - 1] = lines[row - 1][:begin] + repr(after) + lines[row - 1][end:]
  return '\n'.join(lines)


def names(paths: Iterable[str]) -> dict[str, str]:
  """Path -> its folder and name, or as many parts as tell it from the others: 'RTE/dev.tsv'."""
  home = os.path.expanduser('~').rstrip('/') + '/'  # Its name is a person's.
  parts = {given: [part for part in given.removeprefix(home).split('/') if part]
           for given in paths}
  found = {}
  for given, own in parts.items():
    count = min(2, len(own))
    while count < len(own) and any(
        other[-count:] == own[-count:] for one, other in parts.items() if one != given):
      count += 1
    found[given] = '/'.join(own[-count:])
  return found
