"""docs/checkpoints.md says what the code does."""

from __future__ import annotations

import re

from nlp_export.checkpoints import report
from tests.checkpoints import written


def test_the_documentation_names_every_form_and_guess(repository):
  text = (repository / 'docs' / 'checkpoints.md').read_text()
  table = text.partition('## TF2')[2].partition('## ')[0]
  others = {'items': '**pretrainer.checkpoint_items', 'trainer': '**items', 'encoder': 'encoder=',
            'pretrainer': 'pretrainer='}
  for form in written.FORMS:
    assert others.get(form, form) in table
  flat = re.sub(r'\s+', ' ', text)
  for _, guess in report._GUESSES.values():
    assert guess.partition(' or ')[0].rstrip('?') in flat
  assert 'checkpoint 21128, config 30522: another vocabulary?' in flat
