"""Which vectors does an export give to the texts of a file, of any size?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import gin

from nlp_export.embedding import request as requests
from nlp_export.embedding import text_file as text_files
from nlp_export.experiment import Outcome, Plan, Run, experiment
from nlp_export.handles import is_handle, resolved


@experiment
def embed(
    export: str = gin.REQUIRED,
    text_file: str = gin.REQUIRED,
    preprocessing: str | None = None,
    pooling: str | Sequence[str] | None = None,
    normalize: bool = False,
    max_seq_length: int | None = None,
    text_column: str | None = None,
    file_format: str = requests.PARQUET,
    precision: str = requests.FLOAT32,
    part_texts: int = 20_000,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """Vectors of a file's texts, to Parquet or npy; several processes may share the work.

  Args:
    export: EXPORT: a text_embedding, or an encoder's SavedModel with `preprocessing` and `pooling`;
      a directory, or a handle that tensorflow_hub resolves.
    text_file: TEXT_FILE: one text a line, or a table with `text_column`.
    preprocessing: PREPROCESSING: the one that belongs to an encoder.
    pooling: POOLING: for an encoder: of nlp_export.poolings; several are concatenated.
    normalize: NORMALIZE: whether vectors are scaled to length 1.
    max_seq_length: MAX_SEQ_LENGTH: for an encoder: most tokens of a text; longer ones are cut.
      None: 128.
    text_column: TEXT_COLUMN: of a Parquet, JSON lines, TSV or CSV file.
    file_format: FORMAT: 'parquet' or 'npy'.
    precision: PRECISION: 'float32' or 'bfloat16'.
    part_texts: PART_TEXTS: texts that are sorted, embedded and stored together.
    allowed_ops: ALLOWED_OPS: operations that the SavedModels may hold though they do more than
      compute: the names that a refusal gives.
  """
  model = requests.model_of(export, preprocessing, pooling, normalize, max_seq_length)
  request = requests.Request(
      model, text_file, text_column, file_format, precision, part_texts, tuple(allowed_ops))
  requests.check(request)
  texts = text_files.TextFile(text_file, text_column)
  notes = [f'note: {texts.note}'] if texts.note else []
  given = [path for path in (export, preprocessing) if path]
  from nlp_export.embedding import executing

  def execute(run: Run) -> Outcome:
    for note in notes:
      run.say(note)
    found = dataclasses.replace(
        model, export=resolved(export, request.allowed_ops),
        preprocessing=resolved(preprocessing, request.allowed_ops) if preprocessing else None)
    summary = executing.execute(request, found, run)
    return Outcome(lines=_lines(summary, run.out_dir), result=summary)

  name = executing.vectors_file(file_format)
  return Plan(
      lines=[f'embed the texts of {text_file} ({texts.kind}) with {" and ".join(given)}',
             f'in {precision}, in parts of {part_texts} texts, write {name}', *notes],
      inputs=(*(path for path in given if not is_handle(path)), text_file),
      execute=execute, outputs=(name, executing.SUMMARY), shared=True)


def _lines(summary: dict[str, object], out_dir: str) -> list[str]:
  lines = [f'{summary["texts"]} vectors of {summary["dim"]} numbers: '
           f'{out_dir.rstrip("/")}/{summary["file"]}']
  if summary['texts_of_max_seq_length']:
    lines.append(
        f'note: texts with {summary["max_seq_length"]} tokens (MAX_SEQ_LENGTH), or that had more '
        f'and were cut: {summary["texts_of_max_seq_length"]}')
  return lines
