"""What is the answer in large type, and how sure is it? Verdicts as people read them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import nlp_export
from nlp_export.glue.statistics.results import Settings, Verdict
from nlp_export.glue.statistics.words import margin_word
from nlp_export.reports import groups, run_tables, words
from nlp_export.reports.content import Report

_LEADER = re.compile(r'This does not decide it: (\S+) has the highest average')
LEVELS = {'open': 1, 'suggested': 2, 'shown': 3}
_HEADLINES = {
    'any': 'The choice does not matter',
    'open': 'Not decided',
    'equivalent': 'Yes, equivalent',
    'different': 'No, they differ',
    'not enough seeds': 'Not enough seeds to say',
}


@dataclasses.dataclass(frozen=True)
class Answer:
  """A verdict for the top of the page.

  Attributes:
    question: what was asked.
    headline: a few words.
    sentence: the reasons, with numbers.
    sure: 'shown', 'suggested', 'open' or 'not analysed'.
    level: how many of three dots are full.
    meaning: what `sure` means.
  """

  question: str
  headline: str
  sentence: str
  sure: str
  level: int
  meaning: str


def for_templates(report: Report) -> dict[str, Any]:
  """What the page and the Markdown both tell, by the names that their templates use."""
  return {
      'report': report,
      'answers': answers(report),
      'alerts': alerts(report),
      'remarks': remarks(report),
      'sentences': sentences(report),
      'tally': tally(report),
      'version': nlp_export.__version__,
  }


def answers(report: Report) -> list[Answer]:
  """Every verdict, or why there is none; then what pre-training came to."""
  learned = [_of_pretraining(report.pretraining['summary'])] if report.pretraining else []
  return [*(_of_cells(report) if report.cells or not learned else ()), *learned]


def _of_pretraining(summary: Mapping[str, Any]) -> Answer:
  loss, unigram = summary['held_out']['masked_lm_loss'], summary['unigram_cross_entropy']
  high = summary['intervals'].get('masked_lm_loss', [None, None])[1]
  shown = high is not None and high < unigram
  headline = (f'It has: {unigram - loss:.2f} nats below guessing by frequency' if loss < unigram
              else 'It has not: guessing by frequency is no worse')
  sentence = (f'On held-out documents the masked-LM loss is {loss:.3f} nats, where predicting each '
              f'token by its frequency costs {unigram:.3f}.')
  name, chance = summary['pairs_metric'], summary['majority_share']
  if name is not None and chance is not None:
    accuracy, ends = summary['held_out'][name], summary['intervals'].get(name, [None, None])
    told = ('' if ends[0] is None else
            f' (95 % interval {100 * ends[0]:.1f} to {100 * ends[1]:.1f})')
    above = ('above' if summary['pairs_above_chance'] else 'not shown to be above')
    sentence += (f' {words.metric(name).capitalize()} is {100 * accuracy:.1f} %{told}, {above} the '
                 f'{100 * chance:.1f} % of always giving the more frequent answer.')
  return Answer('Has pre-training learned from the context of words?', headline, sentence,
                'shown' if shown else 'open', 3 if shown else 1,
                'the interval over held-out documents lies below the baseline' if shown else
                'the interval over held-out documents is not known, or holds the baseline')


def _of_cells(report: Report) -> list[Answer]:
  analysis = report.analysis
  if analysis is None:
    return [Answer(
        report.question or 'What was found?', 'No verdict',
        'These results were not analysed: without dev predictions nothing is said here of how sure '
        'a difference is. Scores are shown as they came out.', 'not analysed', 0,
        'there is no interval and no test')]
  if not analysis.verdicts:
    return [Answer(
        report.question or 'What was found?', 'Nothing to compare',
        'There is one pooler and no baseline with it, so there is nothing to choose between. '
        'Scores and their intervals are below.', 'not analysed', 0, 'no test was made')]
  # What was shown to be wrong comes first, then the choice that the reader has.
  ranked = sorted(analysis.verdicts, key=lambda v: (
      v.answer != 'different', not v.question.startswith('Which pooler')))
  return [_answer(verdict, analysis.settings) for verdict in ranked]


def _answer(verdict: Verdict, settings: Settings) -> Answer:
  chosen = f'Choose {verdict.answer}'
  if verdict.sentence.startswith(f'{chosen}: '):
    headline, sentence = chosen, verdict.sentence.removeprefix(f'{chosen}: ')
  else:
    headline = _HEADLINES.get(verdict.answer, verdict.answer)
    leader = _LEADER.match(verdict.sentence)
    if verdict.answer == 'open' and leader:
      headline = f'Not decided: {leader[1]} leads, by too little to be sure'
    start, colon, rest = verdict.sentence.partition(': ')
    plain = start in ('This does not decide it', 'The choice does not matter')
    sentence = rest if colon and plain else verdict.sentence
  if verdict.answer == 'equivalent':
    headline += f' within {margin_word(settings.margin_points)}'
  return Answer(verdict.question, headline, sentence[:1].upper() + sentence[1:]
                if sentence.startswith('not ') else sentence, verdict.sure,
                LEVELS.get(verdict.sure, 0), _meaning(verdict.sure, settings))


def _meaning(sure: str, settings: Settings) -> str:
  level = f'{100 * settings.confidence:.3g} %'
  return {
      'shown': f'intervals and tests support it at {level}',
      'suggested': f'supported at {level} if differences are normal; a test that does not assume '
                   'so has not confirmed it',
      'open': 'the runs so far do not decide it',
  }.get(sure, '')


def alerts(report: Report) -> list[str]:
  """What takes the ground from under every other number."""
  found = []
  for check in report.agreement:
    if not check['passed']:
      hint = str(check.get('suggestion') or '')
      found.append(
          f'Before training, the arms differ with pooler {check["pooler"]}: the first quantity '
          f'that differs is {run_tables.first_difference(check)}. They are not the same encoder, '
          'so differences after training say nothing of the export.' + (f' {hint}' if hint else ''))
  return found


def tally(report: Report) -> Mapping[str, int]:
  """Cells by status, for the line below the title."""
  return groups.counts(report)


def remarks(report: Report) -> Sequence[str]:
  """What limits the conclusions."""
  if report.analysis is not None:
    return report.analysis.remarks
  return ()


def sentences(report: Report) -> dict[str, Any]:
  """The statistics' own sentences, by section."""
  analysis = report.analysis
  if analysis is None:
    return {'comparisons': [], 'equivalence': [], 'draws': []}
  several = [c for c in analysis.average_comparisons if len(c.tasks) > 1]
  return {
      'comparisons': [c.sentence for c in [*several, *analysis.comparisons]],
      'equivalence': [test.sentence for test in analysis.equivalence],
      'draws': [f'{d.task}, {d.pooler} ({d.arm}): {d.sentence}' for d in analysis.pooler_draws],
  }
