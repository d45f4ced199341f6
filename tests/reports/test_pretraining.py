"""What a report says of pre-training: curves, baselines, intervals, in front of everything else."""

from __future__ import annotations

import dataclasses

from nlp_export import reports
from nlp_export.reports import markdown, page
from tests.pretraining.test_history import trained
from tests.reports.parsed import Page, problems

CURVES = {
    'training': [{'step': step, 'steps': 10, 'seconds': 1.0, 'traced': False,
                  'masked_lm_loss': 8.0 - step / 40, 'masked_lm_accuracy': step / 500,
                  'next_sentence_accuracy': 0.5 + step / 1000, 'learning_rate': 1e-5 * step}
                 for step in range(10, 110, 10)],
    'evaluations': [{'step': step, 'masked_lm_loss': 8.0 - step / 33, 'masked_lm_accuracy': 0.1,
                     'next_sentence_accuracy': 0.52} for step in (50, 100)]}


def pretraining(**changes):
  return {'summary': trained(**changes).summary(), 'curves': CURVES}


def alone(**changes):
  return reports.Report(title='Pre-training', question='What was learned?', cells=(),
                        pretraining=pretraining(**changes))


def test_a_page_of_pre_training_alone_is_well_formed_and_has_no_scores():
  html = page.render(alone())
  parsed = Page(html)
  assert problems(parsed) == []
  assert len(parsed.drawings) == 4  # Loss, two accuracies, learning rate.
  assert 'It has: 1.10 nats below guessing by frequency' in parsed.text
  assert 'No cell has a score' not in parsed.text and 'cells:' not in parsed.text
  assert 'dashed: unigram, 5.8' in parsed.text
  assert 'Next sentence accuracy is 57.0 % (95 % interval 54.0 to 60.0), above the 51.0 %' in (
      parsed.text)


def test_a_loss_above_the_baseline_is_the_headline():
  text = Page(page.render(alone(unigram=4.5, intervals={}))).text
  assert 'It has not: guessing by frequency is no worse' in text
  assert 'How sure: open' in text


def test_beside_cells_it_comes_before_the_scores(report):
  html = page.render(dataclasses.replace(report, pretraining=pretraining()))
  parsed = Page(html)
  assert problems(parsed) == []
  assert html.index('<section id="pretraining">') < html.index('<section id="scores">')
  assert '<section id="pretraining">' not in page.render(report)  # Control.


def test_the_markdown_has_the_same_numbers():
  text = markdown.render(alone())
  assert '| unigram cross-entropy, nats | 5.8 |' in text and '## Scores' not in text
  assert '| tokens/s, padding counted | 20000 |' in text
