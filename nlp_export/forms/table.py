"""How are an export's forms shown side by side: size, speed, difference, and what each needs?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_export.forms import form as forms
from nlp_export.forms.request import FormsRequest

if TYPE_CHECKING:
  from nlp_export.forms.executing import Measured

SCHEMA_VERSION = 1
_CHANGED = 'predictions_changed'
_HEAD = ('form', 'size, MB', 'one row, ms', 'times the SavedModel', 'rows/s',
         'times the SavedModel', 'largest difference', 'least cosine',
         'first call of a shape, s', 'needs')


def results(request: FormsRequest, measured: Mapping[str, Measured],
            baseline: Mapping[str, Any]) -> dict[str, Any]:
  """forms.json."""
  return {
      'schema_version': SCHEMA_VERSION,
      'task': request.task.name if request.task else None,
      'saved_model': {'size_bytes': baseline['size'], 'scores': dict(baseline['scores'])},
      'forms': {name: _entry(request, name, found) for name, found in measured.items()},
  }


def _entry(request: FormsRequest, name: str, found: Measured) -> dict[str, Any]:
  speed, form = found.speed, request.forms[name]
  return {
      'kind': form.kind, 'weights': form.weights, 'seq_length': speed.seq_length,
      'size_bytes': found.size,
      'latency_ms': {'form': speed.latency_ms[0], 'saved_model': speed.latency_ms[1]},
      'rows_per_second': {'form': speed.rows_per_second[0],
                          'saved_model': speed.rows_per_second[1]},
      'first_call_seconds': speed.first_call_seconds,
      'slower': speed.slower(),
      'differences': {output: {'largest': d.largest, 'share': d.share,
                               'least_cosine': d.least_cosine}
                      for output, d in found.differences.items()},
      'scores': dict(found.scores),
      'needs': forms.NEEDS[form.kind],
      'notes': list(found.notes),
  }


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
  found = []
  entries = result['forms'].values()
  for seq_length in sorted({entry['seq_length'] for entry in entries}):
    of_length = {n: e for n, e in result['forms'].items() if e['seq_length'] == seq_length}
    first = next(iter(of_length.values()))
    found.append([f'SavedModel, {seq_length} tokens a row',
                  _mb(result['saved_model']['size_bytes']),
                  f'{first["latency_ms"]["saved_model"]:.2f}', '1',
                  f'{first["rows_per_second"]["saved_model"]:.0f}', '1', '', '', '',
                  forms.NEEDS[forms.SAVED_MODEL]])
    found += [_row(name, entry) for name, entry in of_length.items()]
  return found


def _row(name: str, entry: Mapping[str, Any]) -> list[str]:
  latency, rows = entry['latency_ms'], entry['rows_per_second']
  differences = entry['differences'].values()
  cosines = [d['least_cosine'] for d in differences if d['least_cosine'] is not None]
  return [
      name, _mb(entry['size_bytes']), f'{latency["form"]:.2f}',
      _ratio(latency['saved_model'] / latency['form']), f'{rows["form"]:.0f}',
      _ratio(rows['form'] / rows['saved_model']),
      f'{max(d["largest"] for d in differences):.1e}', f'{min(cosines):.5f}' if cosines else '',
      f'{entry["first_call_seconds"]:.2f}', entry['needs']]


def _mb(size: int) -> str:
  return f'{size / 1e6:.1f}' if size >= 1e5 else f'{size / 1e6:.3f}'


def _ratio(value: float) -> str:
  """As fast as the SavedModel is 1; what is slower stands out."""
  return f'{value:.2f}' if value >= 1 / 1.1 else f'**{value:.2f}, slower**'


def remarks(result: Mapping[str, Any]) -> list[str]:
  """A sentence for each form that is slower than the SavedModel, and the notes of each."""
  entries = result['forms'].items()
  return [*(f'{name} is slower than the SavedModel on this machine: {" and ".join(e["slower"])}.'
            for name, e in entries if e['slower']),
          *(f'{name}: {note}' for name, e in entries for note in e.get('notes', ()))]


def _score_rows(result: Mapping[str, Any]) -> list[list[str]]:
  own = result['saved_model']['scores']
  rows = [['SavedModel', *(f'{value:.4f}' for value in own.values())]]
  for name, entry in result['forms'].items():
    rows.append([name, *(
        f'{value:.2%}' if metric == _CHANGED else f'{value:.4f} ({value - own[metric]:+.4f})'
        for metric, value in entry['scores'].items())])
  return rows


def markdown(export: str, result: Mapping[str, Any]) -> str:
  """report.md."""
  lines = [f'# Forms of {export} for inference', '',
           'On real text, each in a process without nlp_export; times taken in turns with the '
           'SavedModel, median of three rounds. Ratios above 1 are quicker than the SavedModel.',
           '',
           _table(_HEAD, _rows(result)), '']
  lines += [f'- {sentence}' for sentence in remarks(result)]
  if result['task']:
    own = result['saved_model']['scores']
    lines += ['', f'## {result["task"]}', '',
              'The difference to the SavedModel in brackets.', '',
              _table(('form', *(name.replace('_', ' ') for name in own)), _score_rows(result))]
  return '\n'.join(lines).rstrip() + '\n'


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
  return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [
      list(head), ['---'] + ['--:'] * (len(head) - 1), *rows])


def lines(result: Mapping[str, Any]) -> list[str]:
  """For the screen."""
  found = [f'{"form":18} {"MB":>7} {"ms/row":>8} {"rows/s":>8} {"x":>6}  difference']
  for row in _rows(result):
    name = row[0].replace(' tokens a row', '')
    ratio = row[5].strip('*').partition(',')[0]
    found.append(f'{name:18} {row[1]:>7} {row[2]:>8} {row[4]:>8} {ratio:>6}  {row[6]}')
  return [*found, *remarks(result)]
