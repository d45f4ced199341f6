"""How does the page for people who look come about: one HTML file that needs nothing else?"""

from __future__ import annotations

import base64
import hashlib

import jinja2
from markupsafe import Markup

from nlp_export.reports import answers
from nlp_export.reports.content import Report
from nlp_export.reports.sections import sections

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader('nlp_export.reports', 'templates'),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=True,
    keep_trailing_newline=True,
)


def render(report: Report) -> str:
  """The text of report.html.

  Its content security policy allows this file's own script by its hash and nothing from outside,
  so neither the page nor a name in it can load or run anything else.
  """
  script = _text('report.js.jinja')
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  return ENVIRONMENT.get_template('report.html.jinja').render(
      **answers.for_templates(report),
      found=sections(report),
      style=Markup(style()),  # noqa: S704 - our own file.
      script=Markup(script),  # noqa: S704 - our own file.
      script_hash=f'sha256-{digest}')


def style() -> str:
  """The page's style sheet, which stands-alone plots use too."""
  return _text('report.css.jinja')


def _text(name: str) -> str:
  return ENVIRONMENT.get_template(name).render().strip()
