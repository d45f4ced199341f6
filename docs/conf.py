"""How are the pages made? Sphinx with MyST: `make docs` writes out/docs/index.html."""

from __future__ import annotations

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import nlp_export  # noqa: E402 - found by the line above.

project = 'nlp_export'
release = version = nlp_export.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_theme = 'furo'
html_title = f'nlp_export {version}'
html_copy_source = False
html_show_copyright = False

highlight_language = 'none'  # Commands, gin and output; what is Python says so.
myst_heading_anchors = 3

autodoc_default_options = {'members': True, 'member-order': 'bysource'}
autodoc_preserve_defaults = True  # gin.REQUIRED, and not the address of an object.
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [('Call', 'params_style')]  # Of objects that are called.
suppress_warnings = ['ref.python']  # An attribute is called like one of another class.
default_role = 'literal'  # `word` in a docstring is code, as in Markdown.

_QUOTED = re.compile(r'(``?[^`]+``?)')
# What reStructuredText would take for a sign of its own outside of code.
_SPECIAL = re.compile(r'([*|\\]|(?<=\w)_(?=\W|$))')


def _indent(line: str) -> int:
  return len(line) - len(line.lstrip())


def _as_text(app, what, name, obj, options, lines):
  """Docstrings are plain text with Google's sections: `code`, and blocks of code, indented by 4."""
  code: int | None = None  # The indent of the line before a block of code.
  made: list[str] = []
  for place, line in enumerate(lines):
    if code is not None and (not line or _indent(line) > code):
      made.append(line)
      continue
    code = None
    if line and made and made[-1] and _indent(made[-1]) > _indent(line):
      made.append('')  # What was indented ends here.
    made.append(''.join(part if part.startswith('`') else _SPECIAL.sub(r'\\\1', part)
                        for part in _QUOTED.split(line)))
    following = lines[place + 1 : place + 3]
    if (line and len(following) == 2 and not following[0].strip()
        and _indent(following[1]) >= _indent(line) + 4):
      code = _indent(line)
      if line.endswith(':'):
        made[-1] += ':'
      else:
        made += ['', ' ' * code + '::']
  lines[:] = made


def setup(app):
  """Called by Sphinx. Before napoleon (priority 500), which writes markup of its own."""
  app.connect('autodoc-process-docstring', _as_text, priority=400)
