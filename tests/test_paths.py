"""What files are called where no whole path need stand."""

from __future__ import annotations

import pytest

from nlp_export import paths


@pytest.mark.parametrize(('given', 'called'), [
    (['/mine/x/a.csv', '/mine/x/b.csv'], ['a.csv', 'b.csv']),  # Nothing of anybody's machine.
    (['/mine/train/a.csv', '/mine/dev/a.csv', '/mine/dev/b.csv'],
     ['train/a.csv', 'dev/a.csv', 'b.csv']),
    (['1/x/a.csv', '2/x/a.csv'], ['1/x/a.csv', '2/x/a.csv']),
    (['a.csv', 'x/a.csv', '/a.csv'], ['a.csv', 'x/a.csv', '/a.csv']),
    (['gs://one/a.csv', 'gs://two/a.csv'], ['one/a.csv', 'two/a.csv']),
    (['x/a.csv', 'x/a.csv'], ['a.csv', 'a.csv']),
])
def test_names_tell_files_apart(given, called):
  found = paths.names_apart(given)
  assert [found[path] for path in given] == called
