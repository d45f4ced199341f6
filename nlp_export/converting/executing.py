"""How is a conversion carried out: written, read again, compared, and only then put in place?"""

from __future__ import annotations

import gc
import tempfile
from typing import Any

from nlp_export import files, names, staging
from nlp_export.converting import card, comparing, writers
from nlp_export.converting import source as sources
from nlp_export.converting.comparing import Expected
from nlp_export.converting.request import CONVERTED_DIR, ConversionRequest
from nlp_export.converting.source import Source
from nlp_export.errors import CheckError
from nlp_export.experiment import Run

SCHEMA_VERSION = 1


def convert(request: ConversionRequest, run: Run) -> str:
  """Converts a checkpoint, if that is not done yet.

  Args:
    request: checked (`request.check`).
    run: its out_dir is where to.

  Returns:
    The directory that was put in place.

  Raises:
    RequestError: the source does not fit its configuration, or the target has no place for what
      it holds; the destination cannot be written.
    CheckError: what was written does not compute the same. Nothing was put in place.
  """
  place = files.join(run.out_dir, request.destination)
  if staging.is_complete(place):
    run.say(f'{request.to}: done before')
    return place
  with staging.whole_exports(files.join(run.out_dir, CONVERTED_DIR)), \
       tempfile.TemporaryDirectory(prefix='nlp_export_') as work, \
       staging.staged(place, work) as beside:
    expected, record, restored = _write(request, run, beside)
    gc.collect()  # The source's network, whose layers refer to each other: one model at a time.
    with run.step('verify'):
      report = comparing.compare(request, beside, expected)
    run.say(report.summary())
    if not report.passed:
      raise CheckError('\n'.join(report.lines()) + '\nNothing was put in place.')
    extra = files.join(beside, names.EXTRA_DIR)
    files.make_dirs(extra)
    files.write_text(files.join(beside, names.CARD_FILE), card.render(record, report))
    files.write_json(files.join(extra, names.PROVENANCE_FILE), record)
    files.write_json(files.join(extra, names.RESTORE_FILE), restored)
    files.write_text(files.join(extra, names.OPERATIVE_CONFIG_FILE),
                     run.operative_config_text(public=True))
    files.write_json(files.join(extra, names.VERIFICATION_FILE), report.to_json())
  return place


def _write(
    request: ConversionRequest, run: Run, beside: str
) -> tuple[Expected, dict[str, Any], dict[str, Any]]:
  """What to expect of the written checkpoint, its record, and the report of the restore."""
  with run.step('restore'):
    source = sources.restore(request)
  # What the encoder's restore did not use may be a head, which is converted.
  lines = [line for line in source.restored.report.lines() if not line.startswith('not used')]
  for line in (*lines, f'converted: {", ".join(source.items)}', *source.left_out, *source.notes):
    run.say(f'  {line}')
  with run.step('compute outputs'):
    expected = comparing.expect(source, request)
  with run.step(f'write {request.to}'):
    writers.write(source, request, beside)
  return expected, _record(source, request, run), source.restored.report.to_json()


def _record(source: Source, request: ConversionRequest, run: Run) -> dict[str, Any]:
  """provenance.json: base names and hashes, no paths and no times."""
  from nlp_export.saved_models import provenance

  checkpoint = source.restored.checkpoint
  return {
      'schema_version': SCHEMA_VERSION,
      'kind': comparing.KIND,
      'to': request.to,
      'made_by': provenance.versions(),
      'encoder': request.encoder.to_json(),
      'checkpoint': {
          'name': checkpoint.name,
          'format': checkpoint.format,
          'items': dict(request.item_names),
          'files': {files.basename(path): run.input_hashes[path] for path in checkpoint.files},
      },
      'tokenizer': provenance.of_tokenizer(request.tokenizer) if request.tokenizer else None,
      'mlm_activation': source.restored.mlm_activation,
      'has_pooler': source.has_pooler,
      'items': list(source.items),
      'left_out': [*source.left_out, *source.notes],
  }
