"""How does an encoder that was loaded and trained further become an export of its own again?

    root = reexporting.load(export)                      # An encoder of ours or of anybody.
    ...                                                  # Train root.trainable_variables.
    tuning = Tuning('fine-tuned on rte', how='3 epochs ...',
                    scores=(Score('accuracy', 0.7, 'dev, 277 examples'),))

    def write(beside, work):
      return {'model': reexporting.write(
          export, root, tuning, beside['model'], work, label='model', preprocessor=preprocessor)}

    placing.place(run, 'exports', {'model': 'exports/rte/model'}, write)

The graph, the assets and whatever else lies in the export are copied as they are; what is new is
the variables' values, the card and the records. A fresh process must get from it what the trained
object returned here.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nlp_export import files, names, tuning_records
from nlp_export.errors import CheckError, RequestError
from nlp_export.placing import Written
from nlp_export.tuning_records import (
    TUNED_POOLER,
    Score,
    Tuning,
    export_type,
    name_of,
    record_of,
    step_of,
)

if TYPE_CHECKING:
  from nlp_export.saved_models.verification import EncoderExpectation, Job
  from nlp_export.saved_models.verification.subject import EncoderSubject

__all__ = [
    'TUNED_POOLER', 'Score', 'Tuning', 'export_type', 'load', 'max_positions', 'name_of',
    'record_of', 'set_back_dropout', 'step_of', 'write',
]

_SOURCE_CARD = f'SOURCE_{names.CARD_FILE}'


def load(export: str) -> Any:
  """Loads an encoder to train further.

  Args:
    export: local directory of a SavedModel of TF Hub's "Transformer Encoders" API.

  Raises:
    CheckError: it does not load, or trains nothing.
    RequestError: it is something else than an encoder.
  """
  import tensorflow as tf
  import tensorflow_text  # noqa: F401  An encoder may hold text operations, too.

  from nlp_export.saved_models.verification.registry import Kind
  from nlp_export.saved_models.verification.traces import kind_of

  try:
    root = tf.saved_model.load(export)
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise CheckError(f'{export} cannot be loaded: {error}') from error
  kind = kind_of(root)
  if kind != Kind.ENCODER:
    raise RequestError(
        f'{export} cannot be trained further: it is no encoder that is called with '
        f'input_word_ids, but of the kind {kind.value!r}. Name the directory of an encoder, such '
        'as exports/keep/model.')
  if not getattr(root, 'trainable_variables', None):
    raise CheckError(
        f'{export} has no trainable_variables, so there is nothing to train. A Reusable '
        "SavedModel of TF Hub's text API has them: export it with TensorFlow 2's tools")
  return root


def max_positions(root: Any, export: str) -> int | None:
  """The longest row that a loaded encoder takes, in tokens; None if nothing tells."""
  from nlp_export.saved_models.verification import Job
  from nlp_export.saved_models.verification.subject import EncoderSubject

  before = record_of(export)
  known = _known(before) if 'encoder' in before else None
  return EncoderSubject(Job(export, expected=known), root, export).max_positions


def write(
    export: str, root: Any, tuning: Tuning, path: str, work: str, *,
    label: str, preprocessor: Any = None, name: str = '',
) -> Written:
  """Writes an encoder with the values that its variables have now.

  Args:
    export: the local directory that `root` was loaded from; it is only read.
    root: what `load` returned, trained since. `dropout_state` is set back to the export's.
    tuning: what was done.
    path: where to: a local directory, empty or not there yet.
    work: a directory for reference values.
    label: what to call it in reports.
    preprocessor: the loaded preprocessing SavedModel that belongs to it, for real sentences to
      compare on; None: random ids.
    name: what to call the export in card and record; see `name_of` if ''.

  Returns:
    For `placing.place`.

  Raises:
    CheckError: no variable has another value than in the export.
    RequestError: `path` cannot be written.
  """
  from nlp_export.file_errors import explain_failures
  from nlp_export.saved_models import writing

  set_back_dropout(root, export)
  moved, count = writing.changed_variables(root, export)
  if not moved:
    raise CheckError(
        f'{label}: training has changed none of the {count} variables of {files.basename(export)}, '
        'so there is nothing to export again. Were trainable_variables of the loaded object itself '
        'trained, and not those of a copy?')
  with explain_failures('write', path):
    if writing.values_missing(root, export):
      # Tables in a checkpoint, variables out of reach: TensorFlow saves what it has loaded.
      writing.save_loaded(root, path)
    else:
      writing.write_with_present_values(root, export, path)
  before = record_of(export)
  if not before and files.exists(files.join(path, names.CARD_FILE)):
    files.rename(files.join(path, names.CARD_FILE), files.join(path, _SOURCE_CARD))
  return Written(
      path=path,
      provenance=tuning_records.of_tuned(
          export, root, before, tuning, name or name_of(export), len(moved)),
      restore=tuning_records.restore_of_tuned(export, tuning, moved.values()),
      job=_job(export, root, before, path, work, label, preprocessor))


def set_back_dropout(root: Any, export: str) -> None:
  """Training has counted `dropout_state` up; what is published starts where the export started."""
  import tensorflow as tf

  state = getattr(root, names.DROPOUT_STATE, None)
  if state is None:
    return
  reader = tf.train.load_checkpoint(os.path.join(export, 'variables', 'variables'))
  key = f'{names.DROPOUT_STATE}/.ATTRIBUTES/VARIABLE_VALUE'
  stored = reader.get_tensor(key) if reader.has_tensor(key) else [0, 0]
  state.assign(stored)


# Verification.


def _job(
    export: str, root: Any, before: Mapping[str, Any], path: str, work: str, label: str,
    preprocessor: Any,
) -> Job:
  from nlp_export.saved_models.verification import Job, reference
  from nlp_export.saved_models.verification.subject import EncoderSubject

  ours = 'encoder' in before
  known = _known(before) if ours else _known_of_stranger()
  has_mlm = hasattr(root, names.MLM)
  subject = EncoderSubject(Job(export, label, known), root, export)
  batches = reference.with_outputs(
      _batches(subject, preprocessor), subject.call, subject.call_mlm if has_mlm else None)
  place = os.path.join(work, f'{label.replace("/", ".")}.npz')
  reference.save_reference(place, batches)
  assets = files.join(path, 'assets')
  expected = dataclasses.replace(
      known,
      reference_file=place,
      trainable=tuple(reference.describe_variables(subject.trainable)),
      mlm_head=tuple(reference.describe_variables(subject.head)) if has_mlm else None,
      has_mlm=has_mlm,
      asset_sha256={asset: files.sha256(files.join(export, 'assets', asset))
                    for asset in (files.list_dir(assets) if files.is_dir(assets) else ())})
  return Job(path, label, expected, build_paths=(work, os.path.abspath(export)) if ours else (),
             movable=True, strangers=not ours)


def _known(before: Mapping[str, Any]) -> EncoderExpectation:
  """What an export's own record says of the encoder: training has changed none of it."""
  from nlp_export.encoder_config.sequence_form import SequenceForm
  from nlp_export.saved_models.verification import EncoderExpectation
  from nlp_export.tokenizers import SENTENCEPIECE

  encoder, tokenizer = before['encoder'], before['tokenizer']
  fields = [field.name for field in dataclasses.fields(SequenceForm)]
  return EncoderExpectation(
      mlm_activation=before['mlm_activation'],
      pooler='tanh' if before['pooler']['has_pooled_output'] else 'cls',
      num_layers=encoder['num_layers'],
      hidden_size=encoder['hidden_size'],
      max_positions=encoder['max_positions'],
      type_vocab_size=encoder['type_vocab_size'],
      sequence=SequenceForm(**{name: encoder['sequence'][name] for name in fields}),
      inexact_padding=encoder['sequence']['inexact_padding'],
      embeddings_first=encoder['embeddings_first'],
      dropout=encoder['drops'],
      training_effect=encoder['training_effect'],
      dropout_state=True,
      lower_case=tokenizer['lower_case'] if tokenizer['kind'] != SENTENCEPIECE else None,
      tokenizer=tokenizer['kind'] if tokenizer['asset'] else 'none',
  )


def _known_of_stranger() -> EncoderExpectation:
  from nlp_export.saved_models.verification import EncoderExpectation

  return EncoderExpectation()


def _batches(subject: EncoderSubject, preprocessor: Any) -> list[Any]:
  """Sentences as the preprocessing tokenises them, at lengths that the encoder takes."""
  from nlp_export.saved_models import expectations
  from nlp_export.saved_models.verification import reference

  max_positions, types = subject.max_positions or 64, subject.type_vocab_size or 1
  special = _special_tokens(preprocessor)
  if names.START_OF_SEQUENCE_ID not in special:
    batches = reference.random_batches(subject.vocab_size, max_positions, types)
  else:
    ids = [list(_token_ids(preprocessor, example)) for example in reference.SENTENCES]
    batches = reference.sentence_batches(
        ids, start_of_sequence_id=special[names.START_OF_SEQUENCE_ID],
        end_of_segment_id=special[names.END_OF_SEGMENT_ID],
        padding_id=special[names.PADDING_ID], max_positions=max_positions, type_vocab_size=types)
  return expectations.fitting(batches, subject.sequence)


def _special_tokens(preprocessor: Any) -> dict[str, int]:
  get = getattr(getattr(preprocessor, 'tokenize', None), 'get_special_tokens_dict', None)
  return {key: int(value) for key, value in get().items()} if get is not None else {}


def _token_ids(preprocessor: Any, texts: tuple[str, ...]) -> Iterator[list[int]]:
  import tensorflow as tf

  for row in preprocessor.tokenize(tf.constant(list(texts))):
    yield [int(i) for i in (row.flat_values if isinstance(row, tf.RaggedTensor) else row)]
