"""What is a checkpoint in another format: TF2, Orbax or a Hugging Face folder?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import gin

from experiments.export import mlm_activation_of
from nlp_export import checkpoints, encoders, files, staging
from nlp_export import pretrainer as pretrainers
from nlp_export.checkpoints import beside
from nlp_export.converting import hugging_face_files
from nlp_export.converting import request as requests
from nlp_export.converting.request import ConversionRequest
from nlp_export.encoder_config.encoder_blocks import ACTIVATIONS
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment, require
from nlp_export.own_parts import explain_part
from nlp_export.tokenization import choosing, hf_settings, recorded
from nlp_export.tokenizers import Tokenizer


@experiment(conditional=('vocab_file', 'sp_model_file', 'tokenizer'))
def convert_checkpoint(
    checkpoint: str = gin.REQUIRED,
    to: Literal['tf2', 'orbax', 'hugging_face'] = gin.REQUIRED,
    encoder: Callable[[], Any] | None = None,
    encoder_config: str | None = None,
    tokenizer: Callable[[], Any] | None = None,
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
    other_tokenizer: bool = False,
    checkpoint_items: Mapping[str, str] | None = None,
    mlm_activation: str | None = None,
    masked_lm: bool | None = None,
    pooler_from: Literal['encoder', 'next_sentence'] | None = None,
) -> Plan:
  """What is a checkpoint in another format: TF2, Orbax or a Hugging Face folder?

  Args:
    checkpoint: CHECKPOINT, of any format that an export reads.
    to: TO: 'tf2' (tf.train.Checkpoint of TF-NLP's `checkpoint_items`), 'orbax' (a step that
      exports and pre-training read) or 'hugging_face' (a folder for `transformers`).
    encoder: ENCODER: a factory such as @encoders.bert.
    encoder_config: ENCODER_CONFIG: a configuration file instead; checked against what the
      checkpoint brings along.
    tokenizer, vocab_file, sp_model_file, do_lower_case: TOKENIZER, VOCAB_FILE, SP_MODEL_FILE,
      DO_LOWER_CASE, as for an export. It goes along; TF2 can do without.
    other_tokenizer: OTHER_TOKENIZER: whether it may differ from the recorded one.
    checkpoint_items: what the checkpoint calls the pretrainer's items.
    mlm_activation: of the masked-LM head; None: as an export decides it.
    masked_lm: MASKED_LM: whether the masked-LM head is converted; None: if there is one.
    pooler_from: POOLER_FROM: which pooler a Hugging Face folder gets where the encoder's differs
      from that of the next-sentence head.
  """
  found = checkpoints.find_checkpoint(checkpoint)
  named = {'vocab_file': vocab_file, 'sp_model_file': sp_model_file, 'tokenizer': tokenizer}
  brings = choosing.has_tokenizer(found)
  wants_tokenizer = to != requests.TF2 and not brings and not any(named.values())
  beside.require(found, encoder=not (encoder or encoder_config or found.encoder_config),
                 tokenizer=wants_tokenizer)
  if found.kind == checkpoints.HUGGING_FACE and not (brings or any(named.values())):
    hf_settings.refuse_tokenizer_json(found.path)
  if mlm_activation is not None and mlm_activation.lower() not in ACTIVATIONS:
    raise RequestError(
        f'convert_checkpoint.mlm_activation is {mlm_activation!r}, which is no activation that '
        f'TF-NLP knows. Write one of {", ".join(ACTIVATIONS)}')
  if mlm_activation and found.mlm_activation and mlm_activation.lower() != found.mlm_activation:
    raise RequestError(
        f'convert_checkpoint.mlm_activation is {mlm_activation!r}, but the masked LM head of '
        f'{found.name} was trained with {found.mlm_activation!r}. Leave it out.')
  brought = encoders.from_file(found.encoder_config) if found.encoder_config else None
  spec = encoders.resolve(encoder, encoder_config, brought)
  spec.check_exportable()
  made: Tokenizer | None = None
  notes: tuple[str, ...] = ()
  if wants_tokenizer:
    require(named, why=f'TO is {to!r}, which brings its tokenizer along')
  if brings or any(value is not None for value in named.values()):
    made, notes = choosing.choose(
        found, vocab_file, sp_model_file, do_lower_case, tokenizer, other_tokenizer)
    with explain_part(made, f'The {made.kind} tokenizer'):
      made.check(spec.vocab_size)
  elif do_lower_case is not None:
    require(named, why='DO_LOWER_CASE is given')
  request = ConversionRequest(
      checkpoint=found, encoder=spec, tokenizer=made, to=to,
      item_names=checkpoint_items or pretrainers.checkpoint_items(),
      mlm_activation=mlm_activation_of(mlm_activation, found, brought or spec),
      masked_lm=masked_lm, pooler_from=pooler_from,
      remarks=tuple(note for note in notes if note.startswith(recorded.ANOTHER)))
  requests.check(request)
  if made and to == requests.HUGGING_FACE:
    notes = (*notes, *hugging_face_files.tokenizer_notes(made))
  said = (*found.notes, *notes, *spec.notes)
  inputs = [*found.files, *([made.asset_file] if made and made.asset_file else ()),
            *([encoder_config] if encoder_config else ())]
  return Plan(
      lines=[*_plan_lines(request), *said],
      inputs=tuple(dict.fromkeys(inputs)),
      outputs=(files.join(request.destination, staging.MARKER),),
      execute=lambda run: _execute(request, run, said))


def _plan_lines(request: ConversionRequest) -> list[str]:
  spec, made = request.encoder, request.tokenizer
  return [
      f'restore {request.checkpoint.path} ({request.checkpoint.kind}) into {spec.type}: '
      f'{spec.num_layers} layers, {spec.hidden_size} wide, from {spec.source}',
      f'tokenizer: {made.description()}' if made else 'no tokenizer goes along',
      f'write and verify {request.destination}']


def _execute(request: ConversionRequest, run: Run, notes: tuple[str, ...]) -> Outcome:
  from nlp_export.converting import executing

  for note in notes:
    run.say(note)
  place = executing.convert(request, run)
  converted = request.converted(place)
  return Outcome(lines=[f'{request.to}: --set CHECKPOINT={converted}'],
                 result={'to': request.to, 'checkpoint': converted})
