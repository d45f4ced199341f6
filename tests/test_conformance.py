"""docs/conformance.md is up to date, and every check is verified by something."""

from __future__ import annotations

from tests import conformance_table as table


def test_claims_are_numbered_without_a_gap():
  assert list(table.CLAIMS) == list(range(1, len(table.CLAIMS) + 1))
  assert len(table.CLAIMS) > 108  # Those of the specification; what follows is our own.


def test_every_claim_has_a_run_time_check_or_a_test():
  covered = set(table.checks_by_number()) | set(table.tests_by_number())
  assert sorted(set(table.CLAIMS) - covered) == sorted(table.OPEN)
  assert not covered - set(table.CLAIMS)  # Control: no number that there is not.


def test_the_page_is_up_to_date():
  assert table.PAGE.read_text() == table.page(), 'run: python -m tests.conformance_table'
