"""docs/conformance.md is up to date, and a test shows every claim."""

from __future__ import annotations

from tests import conformance_table as table


def test_claims_are_numbered_without_a_gap():
  assert list(table.CLAIMS) == list(range(1, len(table.CLAIMS) + 1))
  assert len(table.CLAIMS) > 108  # Those of the specification; what follows is our own.


def test_every_claim_has_a_test():
  tested = set(table.tests_by_number())
  assert sorted(set(table.CLAIMS) - tested) == sorted(table.OPEN)
  # Control: no number that there is not.
  assert not (tested | set(table.checks_by_number())) - set(table.CLAIMS)


def test_the_readme_counts_them():
  assert f': {len(table.CLAIMS)} claims, each with its tests' in (
      table.ROOT / 'README.md').read_text()


def test_the_page_is_up_to_date():
  assert table.PAGE.read_text() == table.page(), 'run: python -m tests.conformance_table'
