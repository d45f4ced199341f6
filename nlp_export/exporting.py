"""How does one checkpoint become verified SavedModels, or nothing at all?

Everything is written beside its destination, loaded by a fresh process, compared, and only
then put in place: a directory under its final name is complete and verified.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlp_export import checkpoints, files, names, placing, poolers
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.experiment import Plan
from nlp_export.export_graphs import Graphs, own_network
from nlp_export.own_parts import explain_part
from nlp_export.placing import Written
from nlp_export.running.run_context import Run
from nlp_export.text_embedding import TextEmbeddingOptions
from nlp_export.tokenizers import Tokenizer

if TYPE_CHECKING:
  from nlp_export.restored_encoder import RestoredEncoder
  from nlp_export.saved_models.verification import Job


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
    text_embedding: what a text becomes, for that export type.
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
  text_embedding: TextEmbeddingOptions = dataclasses.field(default_factory=TextEmbeddingOptions)

  @property
  def encoder_types(self) -> tuple[str, ...]:
    """The export types that hold the encoder, in the order of names.EXPORT_TYPES."""
    return tuple(t for t in names.EXPORT_TYPES
                 if t in self.export_types and t != names.PREPROCESSING)

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
  return placing.place(run, request.exports_dir, request.destinations(),
                       lambda beside, work: _write_all(request, run, beside, work))


def _write_all(
    request: ExportRequest, run: Run, beside: Mapping[str, str], work: str
) -> dict[str, Written]:
  from nlp_export.saved_models import provenance

  staged: dict[str, Written] = {}
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
          # A text embedding is no encoder that takes what preprocessing gives.
          encoder=next((label for label in staged
                        if not label.endswith(f'/{names.TEXT_EMBEDDING}')), ''))
  return staged


def _write_encoders(
    request: ExportRequest, run: Run, beside: Mapping[str, str], work: str,
    tokenizer: Mapping[str, Any], assets: Mapping[str, str],
) -> dict[str, Written]:
  from nlp_export.dropout import DropoutState
  from nlp_export.restored_encoder import restore_encoder
  from nlp_export.saved_models import expectations, provenance, text_expectations

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
  _check_dropout(restored, dropout.install(restored.network))
  source = restored.pooler_source()
  weights = {name: poolers.initialise(pooler, name, restored.spec.hidden_size, source)
             for name, pooler in request.pooler_functions.items()
             if any(f'{name}/{kind}' in beside for kind in request.encoder_types)}
  with own_network(restored):
    expected = expectations.EncoderExpectations(restored, request.tokenizer, assets, work)
  graphs = Graphs(restored, dropout, request.tokenizer, request.text_embedding,
                  dict(request.preprocessing))
  staged = {}
  for pooler_name, pooler_weights in weights.items():
    _set_pooler(restored, pooler_name, pooler_weights)
    for kind in request.encoder_types:
      label = f'{pooler_name}/{kind}'
      if label not in beside:
        continue
      text = request.text_embedding if kind == names.TEXT_EMBEDDING else None
      if text is not None:
        text.check_weights(pooler_name, pooler_weights)
      with run.step(f'write {label}'):
        graphs.write(kind, beside[label], with_pooler=pooler_weights is not None)
        with own_network(restored):
          place = label.replace('/', '.')
          expectation: Any = (
              expected.of(place, pooler_weights, kind == names.MODEL_WITH_MLM) if text is None else
              text_expectations.of_text_embedding(expected, request.tokenizer, text, place))
      staged[label] = Written(
          path=beside[label],
          provenance=provenance.of_encoder(
              kind, restored, pooler_name=pooler_name, weights=pooler_weights,
              tokenizer=tokenizer, preprocessor=_preprocessor_sentence(request, tokenizer),
              input_hashes=run.input_hashes, text=text),
          job=_job(beside[label], label, expectation, request, work),
          restore=restored.report.to_json())
  return staged


def _check_dropout(restored: RestoredEncoder, layers: int) -> None:
  """Raises RequestError if a rate was asked for that none of the network's `layers` gets."""
  spec = restored.spec
  if getattr(spec, 'configured_dropout', None) and spec.dropout_rate and not layers:
    raise RequestError(
        f'export.dropout_rate is {spec.dropout_rate}, but TF-NLP hands the rate to no layer of the '
        f'{spec.type} network, so that training=True would drop nothing. Leave '
        'export.dropout_rate out')


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
) -> Written:
  from nlp_export.file_errors import explain_failures
  from nlp_export.saved_models import expectations, preprocessing, provenance

  options = dict(request.preprocessing)
  with explain_part(request.tokenizer, f'The {request.tokenizer.kind} tokenizer'):
    root = preprocessing.build(request.tokenizer, **options)
  with explain_failures('write', path):
    preprocessing.save(root, path)
  expectation = expectations.of_preprocessing(request.tokenizer, options, assets, work)
  return Written(
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


def _preprocessor_sentence(request: ExportRequest, tokenizer: Mapping[str, Any]) -> str:
  from nlp_export.saved_models import provenance

  which = provenance.fitting_preprocessor(tokenizer)
  if names.PREPROCESSING in request.export_types:
    return f'`../../{names.PREPROCESSING}`, exported in the same run; {which} is the same.'
  return f'{which}.'


def _belongs_sentence(request: ExportRequest) -> str:
  if request.checkpoint is None:
    return 'every encoder that was trained with this vocabulary and these settings.'
  return (f'the encoders exported from {request.checkpoint.name}, and every other one that was '
          'trained with this vocabulary and these settings.')
