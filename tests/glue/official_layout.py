"""Small files of every GLUE task under their real headers, with what makes them hard to read."""

from __future__ import annotations

from pathlib import Path

BYTE_ORDER_MARK = '\ufeff'

# Headers of the official files, as published.
_MNLI = ('index', 'promptID', 'pairID', 'genre', 'sentence1_binary_parse', 'sentence2_binary_parse',
         'sentence1_parse', 'sentence2_parse', 'sentence1', 'sentence2')
_STSB = ('index', 'genre', 'filename', 'year', 'old_index', 'source1', 'source2', 'sentence1',
         'sentence2')
HEADERS = {
    'CoLA/train.tsv': None,
    'CoLA/dev.tsv': None,
    'CoLA/test.tsv': ('index', 'sentence'),
    'SST-2/train.tsv': ('sentence', 'label'),
    'SST-2/dev.tsv': ('sentence', 'label'),
    'SST-2/test.tsv': ('index', 'sentence'),
    'MRPC/train.tsv': ('Quality', '#1 ID', '#2 ID', '#1 String', '#2 String'),
    'MRPC/dev.tsv': ('Quality', '#1 ID', '#2 ID', '#1 String', '#2 String'),
    'MRPC/test.tsv': ('index', '#1 ID', '#2 ID', '#1 String', '#2 String'),
    'STS-B/train.tsv': (*_STSB, 'score'),
    'STS-B/dev.tsv': (*_STSB, 'score'),
    'STS-B/test.tsv': _STSB,
    'QQP/train.tsv': ('id', 'qid1', 'qid2', 'question1', 'question2', 'is_duplicate'),
    'QQP/dev.tsv': ('id', 'qid1', 'qid2', 'question1', 'question2', 'is_duplicate'),
    'QQP/test.tsv': ('id', 'question1', 'question2'),
    'MNLI/train.tsv': (*_MNLI, 'label1', 'gold_label'),
    'MNLI/dev_matched.tsv': (*_MNLI, *(f'label{n}' for n in range(1, 6)), 'gold_label'),
    'MNLI/dev_mismatched.tsv': (*_MNLI, *(f'label{n}' for n in range(1, 6)), 'gold_label'),
    'MNLI/test_matched.tsv': _MNLI,
    'MNLI/test_mismatched.tsv': _MNLI,
    'QNLI/train.tsv': ('index', 'question', 'sentence', 'label'),
    'QNLI/dev.tsv': ('index', 'question', 'sentence', 'label'),
    'QNLI/test.tsv': ('index', 'question', 'sentence'),
    'RTE/train.tsv': ('index', 'sentence1', 'sentence2', 'label'),
    'RTE/dev.tsv': ('index', 'sentence1', 'sentence2', 'label'),
    'RTE/test.tsv': ('index', 'sentence1', 'sentence2'),
    'WNLI/train.tsv': ('index', 'sentence1', 'sentence2', 'label'),
    'WNLI/dev.tsv': ('index', 'sentence1', 'sentence2', 'label'),
    'WNLI/test.tsv': ('index', 'sentence1', 'sentence2'),
    'diagnostic/diagnostic.tsv': ('index', 'sentence1', 'sentence2'),
}

LABEL_VALUES = {
    'CoLA': '10', 'SST-2': '01', 'MRPC': '10', 'QQP': '01', 'WNLI': '10',
    'STS-B': ('5.000', '0.000', '2.75', '3.2'),
    'MNLI': ('neutral', 'entailment', 'contradiction'),
    'QNLI': ('not_entailment', 'entailment'), 'RTE': ('entailment', 'not_entailment'),
}  # fmt: skip
TEXT_COLUMNS = ('sentence', 'sentence1', 'sentence2', 'question', 'question1', 'question2',
                '#1 String', '#2 String')
LABEL_COLUMNS = ('label', 'Quality', 'score', 'is_duplicate', 'gold_label')

# Quotation marks that open and never close, spaces at the ends, other scripts, odd line ends.
TEXTS = ('"It opens', 'a "b" c', ' spaces stay ', 'Zoë\u2028said 你好', "don 't", 'a\\tb', 'plain')


def text(column: str, row: int, start: int = 0) -> str:
  """The text of a row: all differ, all are awkward."""
  return f'{TEXTS[(row + start) % len(TEXTS)]} {column} {row}'


def rows(name: str, count: int) -> list[list[str]]:
  """Rows of one file, without header."""
  directory = name.split('/')[0]
  header = HEADERS[name]
  values = LABEL_VALUES.get(directory, ())
  if header is None:
    return [['gj04', values[at % 2], '*' if values[at % 2] == '0' else '', text('sentence', at)]
            for at in range(count)]

  def cell(column: str, at: int) -> str:
    if column in LABEL_COLUMNS:
      return values[at % len(values)]
    if column in TEXT_COLUMNS:
      return text(column, at, len(column))
    if column in ('index', 'id'):
      return str(at)
    return f'{name[0].lower()}{at}{column[:2]}' if column[0] == '#' else 'x'

  return [[cell(column, at) for column in header] for at in range(count)]


def content(name: str, body: list[list[str]]) -> str:
  """A whole file."""
  header = HEADERS[name]
  lines = ([] if header is None else [header]) + body
  mark = BYTE_ORDER_MARK if name in ('MRPC/train.tsv', 'MRPC/dev.tsv') else ''
  return mark + ''.join('\t'.join(fields) + '\n' for fields in lines)


def write(root: Path, count: int = 8) -> Path:
  """Writes every file with `count` rows, the test files with one more."""
  for name in HEADERS:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    more = 'test' in name or 'diagnostic' in name
    path.write_text(content(name, rows(name, count + more)), encoding='utf-8', newline='')
  return root
