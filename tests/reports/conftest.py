"""The made-up matrix, its analysis and its page, made once."""

from __future__ import annotations

import pytest

from nlp_export.reports import page
from tests.reports import made_up
from tests.reports.parsed import Page


@pytest.fixture(scope='session')
def matrix():
  """52 cells with their predictions."""
  return made_up.matrix()


@pytest.fixture(scope='session')
def report(matrix):
  """A report of them with everything in it."""
  return made_up.report(matrix)


@pytest.fixture(scope='session')
def html(report) -> str:
  """report.html."""
  return page.render(report)


@pytest.fixture(scope='session')
def parsed(html) -> Page:
  """The same, read."""
  return Page(html)
