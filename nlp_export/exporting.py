"""How does one checkpoint become verified SavedModels, or nothing at all?

Everything is written beside its destination, loaded by a fresh process, compared, and only
then put in place: a directory under its final name is complete and verified.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlp_export import checkpoints, files, names, poolers, staging
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import CheckError, RequestError
from nlp_export.experiment import Plan
from nlp_export.own_parts import explain_part
from nlp_export.running.run_context import Run
from nlp_export.saved_models import verification
from nlp_export.tokenizers import Tokenizer

if TYPE_CHECKING:
  from nlp_export.restored_encoder import RestoredEncoder
  from nlp_export.saved_models.encoder import EncoderSavedModel
  from nlp_export.saved_models.verification import Job, VerificationReport



@dataclasses.dataclass(frozen=True)
class ExportRequest:
  """What is to be exported, resolved and checked as far as that goes without TensorFlow.

  Attributes:
    tokenizer: of the encoder.
    export_types: of names.EXPORT_TYPES.
    checkpoint: what to restore; None if only preprocessing is asked for.
    encoder: what to build; None likewise.
    pooler_functions: name as written in gin -> strategy.
    item_names: canonical item -> name in the checkpoint.
    mlm_activation: of the masked-LM head.
    preprocessing: default_seq_length, truncator, num_segments, tokenize_with_offsets,
      disable_assert.
    dropout_seed: first number of the exports' `dropout_state`.
    exports_dir: below out_dir.
    tokenizer_remarks: for the cards: how the tokenizer differs from what the checkpoint records.
  """

  tokenizer: Tokenizer
  export_types: tuple[str, ...]
  checkpoint: checkpoints.FoundCheckpoint | None
  encoder: EncoderSpec | BuiltEncoder | None
  pooler_functions: Mapping[str, poolers.Pooler]
  item_names: Mapping[str, str]
  mlm_activation: str
  preprocessing: Mapping[str, Any]
  dropout_seed: int = 0
  exports_dir: str = names.EXPORTS_DIR
  tokenizer_remarks: tuple[str, ...] = ()

  @property
  def encoder_types(self) -> tuple[str, ...]:
    """The export types that hold the encoder, in the order of names.EXPORT_TYPES."""
    return tuple(t for t in (names.MODEL, names.MODEL_WITH_MLM) if t in self.export_types)

  def destinations(self) -> dict[str, str]:
    """Label -> path below out_dir, of every SavedModel asked for."""
    paths = {f'{pooler}/{kind}': files.join(self.exports_dir, pooler, kind)
             for pooler in self.pooler_functions for kind in self.encoder_types}
    if names.PREPROCESSING in self.export_types:
      paths[names.PREPROCESSING] = files.join(self.exports_dir, names.PREPROCESSING)
    return paths


@dataclasses.dataclass(frozen=True)
class ExportPlan(Plan):
  """The plan of an export, for experiments that go on from its SavedModels.

  Attributes:
    request: what will be exported.
    notes: what a reader of the log should know about it.
  """

  request: ExportRequest = dataclasses.field(kw_only=True)
  notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class _Staged:
  """A SavedModel that is written and not yet in place."""

  path: str
  provenance: Mapping[str, Any]
  job: Job
  restore: Mapping[str, Any] | None


def export(request: ExportRequest, run: Run) -> dict[str, str]:
  """Restores, writes, verifies and puts in place what is not there yet.

  Args:
    request: what to export.
    run: its out_dir is where to.

  Returns:
    label ('keep/model', 'preprocessing') -> directory, of everything asked for.

  Raises:
    RequestError: the inputs do not fit together; a destination cannot be written.
    CheckError: a SavedModel is not what it should be. Nothing was put in place then.
  """
  places = {label: files.join(run.out_dir, path) for label, path in request.destinations().items()}
  todo = {label: path for label, path in places.items() if not staging.is_complete(path)}
  for label in places.keys() - todo.keys():
    run.say(f'{label}: done before')
  if not todo:
    return places
  with verification.FreshProcess() as fresh, \
       staging.whole_exports(files.join(run.out_dir, request.exports_dir)), \
       contextlib.ExitStack() as stack:
    work = stack.enter_context(tempfile.TemporaryDirectory(prefix='nlp_export_'))
    # Ends before `work`: what is put in place was staged there if out_dir is remote.
    beside = {label: stack.enter_context(staging.staged(path, work))
              for label, path in todo.items()}
    staged = _write_all(request, run, beside, work)
    with run.step('verify'):
      reports = fresh.verify([item.job for item in staged.values()])
    for report in reports:
      run.say(report.summary())
    failed = [report for report in reports if not report.passed]
    if failed:
      raise CheckError('\n'.join(line for report in failed for line in report.lines()) +
                       '\nNo export was put in place.')
    with run.step('finish'):
      for item, report in zip(staged.values(), reports, strict=True):
        _finish(item, report, run)
  return places


def _write_all(
    request: ExportRequest, run: Run, beside: Mapping[str, str], work: str
) -> dict[str, _Staged]:
  from nlp_export.saved_models import provenance

  staged: dict[str, _Staged] = {}
  if not beside:
    return staged
  with explain_part(request.tokenizer, f'The {request.tokenizer.kind} tokenizer'):
    tokenizer = provenance.of_tokenizer(request.tokenizer, request.tokenizer_remarks)
  assets = {tokenizer['asset']: tokenizer['sha256']} if tokenizer['asset'] else {}
  if any(label != names.PREPROCESSING for label in beside):
    staged |= _write_encoders(request, run, beside, work, tokenizer, assets)
  if names.PREPROCESSING in beside:
    with run.step('write preprocessing'):
      staged[names.PREPROCESSING] = _write_preprocessing(
          request, beside[names.PREPROCESSING], work, tokenizer, assets,
          encoder=next(iter(staged), ''))
  return staged


def _write_encoders(
    request: ExportRequest, run: Run, beside: Mapping[str, str], work: str,
    tokenizer: Mapping[str, Any], assets: Mapping[str, str],
) -> dict[str, _Staged]:
  from nlp_export.dropout import DropoutState
  from nlp_export.restored_encoder import restore_encoder
  from nlp_export.saved_models import expectations, provenance

  if request.checkpoint is None or request.encoder is None:
    raise ValueError('an export of an encoder needs a checkpoint and an encoder')
  with run.step('restore'):
    restored = restore_encoder(
        request.checkpoint, request.encoder, item_names=request.item_names,
        mlm_activation=(request.mlm_activation
                        if names.MODEL_WITH_MLM in request.encoder_types else None))
  for line in restored.report.lines():
    run.say(f'  {line}')
  dropout = DropoutState(request.dropout_seed)
  dropout.install(restored.network)
  source = restored.pooler_source()
  weights = {name: poolers.initialise(pooler, name, restored.spec.hidden_size, source)
             for name, pooler in request.pooler_functions.items()
             if any(f'{name}/{kind}' in beside for kind in request.encoder_types)}
  with _own_network(restored):
    expected = expectations.EncoderExpectations(restored, request.tokenizer, assets, work)
  graphs = _Graphs(restored, dropout, request.tokenizer)
  staged = {}
  for pooler_name, pooler_weights in weights.items():
    _set_pooler(restored, pooler_name, pooler_weights)
    for kind in request.encoder_types:
      label = f'{pooler_name}/{kind}'
      if label not in beside:
        continue
      with_mlm = kind == names.MODEL_WITH_MLM
      with run.step(f'write {label}'):
        graphs.write(beside[label], with_pooler=pooler_weights is not None, with_mlm=with_mlm)
        with _own_network(restored):
          expectation = expected.of(label.replace('/', '.'), pooler_weights, with_mlm)
      staged[label] = _Staged(
          path=beside[label],
          provenance=provenance.of_encoder(
              kind, restored, pooler_name=pooler_name, weights=pooler_weights,
              tokenizer=tokenizer, preprocessor=_preprocessor_sentence(request, tokenizer),
              input_hashes=run.input_hashes),
          job=_job(beside[label], label, expectation, request, work),
          restore=restored.report.to_json())
  return staged


class _Graphs:
  """Each distinct graph is traced and saved once; exports that share it differ in variables."""

  def __init__(self, restored: RestoredEncoder, dropout: Any, tokenizer: Tokenizer):
    self._restored = restored
    self._dropout = dropout
    self._tokenizer = tokenizer
    self._roots: dict[tuple[bool, bool], tuple[EncoderSavedModel, str]] = {}

  def write(self, path: str, *, with_pooler: bool, with_mlm: bool) -> None:
    """Writes the network with the values it has now."""
    from nlp_export.file_errors import explain_failures
    from nlp_export.saved_models import writing

    known = self._roots.get((with_pooler, with_mlm))
    if known:
      with explain_failures('write', path):
        writing.write_with_present_values(*known, path)
      return
    with _own_network(self._restored):
      root = self._trace(with_pooler, with_mlm)
    with explain_failures('write', path):
      writing.write(root, path)
    self._roots[with_pooler, with_mlm] = (root, path)

  def _trace(self, with_pooler: bool, with_mlm: bool) -> EncoderSavedModel:
    from nlp_export.saved_models.encoder import EncoderSavedModel, TokenizerFile

    asset = self._tokenizer.asset_file
    file = (TokenizerFile(asset, self._tokenizer.kind, self._tokenizer.lower_case)
            if asset else None)
    return EncoderSavedModel(
        self._restored.network, self._dropout, tokenizer=file, pooler=self._restored.pooler,
        with_pooler=with_pooler, masked_lm=self._restored.masked_lm if with_mlm else None,
        form=self._restored.form)


def _own_network(restored: RestoredEncoder) -> contextlib.AbstractContextManager[None]:
  """Names the network in what goes wrong inside, if it is not one of TF-NLP's."""
  if isinstance(restored.spec, BuiltEncoder):
    return explain_part(restored.network, f'The encoder network from {restored.spec.source}')
  return contextlib.nullcontext()


def _set_pooler(
    restored: RestoredEncoder, name: str, weights: poolers.PoolerWeights | None) -> None:
  if weights is None:
    return
  if restored.pooler is None:
    raise RequestError(
        f'Pooler {name} was asked for, but the encoder from {restored.spec.source} has no pooler '
        'to initialise: neither an attribute pooler_layer nor a dense layer called '
        f'{" or ".join(names.POOLER_LAYER_NAMES)}. Write --set POOLERS=\'(@poolers.none,)\'.')
  restored.pooler.kernel.assign(weights.kernel)
  restored.pooler.bias.assign(weights.bias)


def _write_preprocessing(
    request: ExportRequest, path: str, work: str, tokenizer: Mapping[str, Any],
    assets: Mapping[str, str], encoder: str,
) -> _Staged:
  from nlp_export.file_errors import explain_failures
  from nlp_export.saved_models import expectations, preprocessing, provenance

  options = dict(request.preprocessing)
  with explain_part(request.tokenizer, f'The {request.tokenizer.kind} tokenizer'):
    root = preprocessing.build(request.tokenizer, **options)
  with explain_failures('write', path):
    preprocessing.save(root, path)
  expectation = expectations.of_preprocessing(request.tokenizer, options, assets, work)
  return _Staged(
      path=path,
      provenance=provenance.of_preprocessing(
          tokenizer=tokenizer, options=options, belongs_to=_belongs_sentence(request)),
      job=_job(path, names.PREPROCESSING, expectation, request, work, encoder=encoder),
      restore=None)


def _job(path: str, label: str, expectation: Any, request: ExportRequest, work: str,
         encoder: str = '') -> Job:
  from nlp_export.saved_models.verification import Job

  sources = [work]
  if request.tokenizer.asset_file:
    sources.append(request.tokenizer.asset_file)
  if request.checkpoint is not None:
    sources.append(request.checkpoint.path)
  return Job(path, label, expectation, build_paths=tuple(_as_written(sources)), movable=True,
             encoder=encoder)


def _as_written(paths: Sequence[str]) -> Iterator[str]:
  """Paths that name a directory: a bare file name is what an export may say."""
  for path in paths:
    if files.dirname(path):
      yield path


def _finish(item: _Staged, report: VerificationReport, run: Run) -> None:
  """Writes the card and the records; the marker last."""
  from nlp_export.saved_models import model_card

  extra = files.join(item.path, names.EXTRA_DIR)
  files.make_dirs(extra)
  files.write_text(files.join(item.path, names.CARD_FILE),
                   model_card.render(item.provenance, report.to_json()))
  files.write_json(files.join(extra, names.PROVENANCE_FILE), item.provenance)
  if item.restore is not None:
    files.write_json(files.join(extra, names.RESTORE_FILE), item.restore)
  files.write_text(files.join(extra, names.OPERATIVE_CONFIG_FILE),
                   run.operative_config_text(public=True))
  files.write_json(files.join(extra, names.VERIFICATION_FILE), report.to_json())


def _preprocessor_sentence(request: ExportRequest, tokenizer: Mapping[str, Any]) -> str:
  which = f'any preprocessing SavedModel made from {tokenizer["asset"]}'
  if tokenizer['sha256']:
    which += f' (SHA-256 `{tokenizer["sha256"]}`)'
  which += f' with do_lower_case {tokenizer["lower_case"]} and the settings above'
  if names.PREPROCESSING in request.export_types:
    return f'`../../{names.PREPROCESSING}`, exported in the same run; {which} is the same.'
  return f'{which}.'


def _belongs_sentence(request: ExportRequest) -> str:
  if request.checkpoint is None:
    return 'every encoder that was trained with this vocabulary and these settings.'
  return (f'the encoders exported from {request.checkpoint.name}, and every other one that was '
          'trained with this vocabulary and these settings.')
