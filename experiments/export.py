"""Which TF Hub SavedModels does a checkpoint give, proved equal to it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gin

from nlp_export import (
    checkpoints,
    config,
    encoders,
    exporting,
    files,
    names,
    poolings,
    staging,
    text_embedding,
    tokenizers,
)
from nlp_export import poolers as pooler_strategies
from nlp_export import pretrainer as pretrainers
from nlp_export.checkpoints import beside
from nlp_export.encoder_config import sequence_form, support
from nlp_export.encoder_config.encoder_blocks import ACTIVATIONS
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Run, experiment, require
from nlp_export.own_parts import explain_part
from nlp_export.tokenization import choosing, hf_settings, recorded

_DEFAULT_MLM_ACTIVATION = 'gelu'  # PretrainerConfig.mlm_activation in TF-NLP.


@experiment(conditional=('checkpoint', 'vocab_file', 'sp_model_file', 'tokenizer'))
def export(
    checkpoint: str | None = gin.REQUIRED,
    encoder: Callable[[], Any] | None = None,
    encoder_config: str | None = None,
    tokenizer: Callable[[], Any] | None = None,
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
    other_tokenizer: bool = False,
    poolers: Sequence[Callable[..., Any]] = gin.REQUIRED,
    export_types: Sequence[str] = gin.REQUIRED,
    checkpoint_items: Mapping[str, str] | None = None,
    mlm_activation: str | None = None,
    default_seq_length: int = 128,
    tokenize_with_offsets: bool | None = None,
    truncator: Literal['round_robin', 'waterfall'] = 'round_robin',
    num_segments: int = 2,
    disable_assert: bool = False,
    dropout_seed: int = 0,
    dropout_rate: float | None = None,
    pooling: str | Sequence[str] = poolings.MEAN,
    normalize: bool = False,
    max_seq_length: int = text_embedding.DEFAULT_MAX_SEQ_LENGTH,
    exports_dir: str = names.EXPORTS_DIR,
) -> exporting.ExportPlan:
  """Verified TF Hub SavedModels of a pre-trained encoder and of its text preprocessing.

  Args:
    checkpoint: CHECKPOINT: a prefix or directory of TensorFlow's (TF2 or TF1), an Orbax directory,
      or a Hugging Face directory.
    encoder: ENCODER: a factory such as @encoders.bert.
    encoder_config: ENCODER_CONFIG: a configuration file instead. A Hugging Face directory and an
      Orbax one of a pre-training run bring their own along; what is given besides is checked
      against it.
    tokenizer: TOKENIZER: a factory such as @tokenizers.wordpiece.
    vocab_file: VOCAB_FILE instead, for WordPiece. The same directories bring it along.
    sp_model_file: SP_MODEL_FILE instead, for SentencePiece. Likewise.
    do_lower_case: DO_LOWER_CASE, for the two files.
    other_tokenizer: OTHER_TOKENIZER: whether the tokenizer may differ from the one that the
      checkpoint was trained with, as it records it; the cards then say how.
    poolers: POOLERS: one export each; see nlp_export/poolers.py.
    export_types: EXPORT_TYPES: of 'model', 'model_with_mlm', 'preprocessing', 'text_embedding'.
    checkpoint_items: what the checkpoint calls the pretrainer's items
      (@pretrainer.checkpoint_items()).
    mlm_activation: of the masked-LM head. None: what the checkpoint records, the configuration's
      activation for a TF1 checkpoint or a Hugging Face directory, else 'gelu' (the default of
      TF-NLP's PretrainerConfig).
    default_seq_length: DEFAULT_SEQ_LENGTH, tokens, of the preprocessing.
    tokenize_with_offsets: whether preprocessing has it; None: where offsets can be right.
    truncator: 'round_robin' or 'waterfall', of the preprocessing.
    num_segments: the most segments that preprocessing packs.
    disable_assert: preprocessing without Assert nodes.
    dropout_seed: first number of the exports' `dropout_state`.
    dropout_rate: of hidden layers and attention in the exported graph for training. None: as the
      configuration has them.
    pooling: POOLING, of a text embedding: of nlp_export/poolings.py, one or several.
    normalize: NORMALIZE: whether its vectors are scaled to length 1.
    max_seq_length: MAX_SEQ_LENGTH: tokens to which it cuts texts.
    exports_dir: where below out_dir they are put.
  """
  types = _checked_types(export_types)
  wants_encoder = types != (names.PREPROCESSING,)
  _check_values(poolers if wants_encoder else None, mlm_activation, num_segments, dropout_seed)
  found = None
  if checkpoint is not None:
    found = checkpoints.find_checkpoint(checkpoint)
  named = {'vocab_file': vocab_file, 'sp_model_file': sp_model_file, 'tokenizer': tokenizer}
  brings_tokenizer = choosing.has_tokenizer(found)
  if wants_encoder and found:
    beside.require(found, encoder=not (encoder or encoder_config or found.encoder_config),
                   tokenizer=not (brings_tokenizer or any(named.values())))
  if found and found.kind == checkpoints.HUGGING_FACE and not (
      brings_tokenizer or any(named.values())):
    hf_settings.refuse_tokenizer_json(found.path)
  require(*(() if brings_tokenizer else (named,)),
          **({'checkpoint': checkpoint} if wants_encoder else {}),
          why=f'EXPORT_TYPES is {types!r}')
  pooler_functions = dict(zip(config.reference_names(poolers), poolers, strict=True))
  spec = brought = None
  if wants_encoder and found and found.encoder_config:
    brought = encoders.from_file(found.encoder_config)
  if wants_encoder or encoder or encoder_config:
    spec = encoders.resolve(encoder, encoder_config, brought)
    spec.check_exportable(types)
    if wants_encoder:
      support.check_poolers(spec, pooler_functions)
      if spec.hidden_size:
        pooler_strategies.check_arguments(pooler_functions, spec.hidden_size)
  made_tokenizer, notes = tokenizer_of(
      tokenizer, vocab_file, sp_model_file, do_lower_case, found, other_tokenizer)
  text = text_embedding.TextEmbeddingOptions(pooling, normalize, max_seq_length)
  if wants_encoder and spec and names.TEXT_EMBEDDING in types:
    text.check(spec, pooler_functions)
    notes = (*notes, *text.notes(pooler_functions))
  if wants_encoder and found and spec:
    spec, more = _with_dropout(spec, dropout_rate)
    notes = (*notes, *more)
    notes = (*found.notes, *notes, *spec.notes)
    mlm_activation = mlm_activation_of(mlm_activation, found, brought or spec)
    if names.MODEL_WITH_MLM in types:
      found.check_masked_lm()
  with explain_part(made_tokenizer, f'The {made_tokenizer.kind} tokenizer'):
    made_tokenizer.check(spec.vocab_size if spec else None)
    tokenizer_line = f'tokenizer: {made_tokenizer.description()}'
  if names.PREPROCESSING in types:
    tokenizers.check_default_seq_length(default_seq_length, None, num_segments)
    if spec:  # Where there is one length only, "or less" would be wrong.
      sequence_form.check_default_seq_length(spec, default_seq_length)
      tokenizers.check_default_seq_length(default_seq_length, spec.max_positions, num_segments)
    if spec and spec.type_vocab_size and spec.type_vocab_size < num_segments:
      notes = (*notes, f'the encoder was trained on {spec.type_vocab_size} segment type, and the'
               f' preprocessing packs up to {num_segments} segments: pack no more than that')
  request = exporting.ExportRequest(
      tokenizer=made_tokenizer,
      export_types=types,
      checkpoint=found if wants_encoder else None,
      encoder=spec if wants_encoder else None,
      pooler_functions=pooler_functions,
      item_names=checkpoint_items or pretrainers.checkpoint_items(),
      mlm_activation=mlm_activation or _DEFAULT_MLM_ACTIVATION,
      preprocessing={
          'default_seq_length': default_seq_length,
          'tokenize_with_offsets': (
              not getattr(made_tokenizer, 'why_no_offsets', '')
              if tokenize_with_offsets is None else tokenize_with_offsets),
          'truncator': truncator,
          'num_segments': num_segments,
          'disable_assert': disable_assert,
      },
      dropout_seed=dropout_seed,
      exports_dir=exports_dir,
      text_embedding=text,
      tokenizer_remarks=tuple(note for note in notes if note.startswith(recorded.ANOTHER)),
  )
  inputs = [*(found.files if found and wants_encoder else ()),
            *([made_tokenizer.asset_file] if made_tokenizer.asset_file else ()),
            *([encoder_config] if encoder_config and wants_encoder else ())]
  return exporting.ExportPlan(
      request=request,
      notes=notes,
      lines=[*_plan_lines(request, tokenizer_line), *notes],
      inputs=tuple(dict.fromkeys(inputs)),
      outputs=tuple(files.join(path, staging.MARKER) for path in request.destinations().values()),
      execute=lambda run: _execute(request, run, notes),
  )


def _checked_types(export_types: Sequence[str]) -> tuple[str, ...]:
  known = names.EXPORT_TYPES
  if isinstance(export_types, str):
    export_types = (export_types,)
  unknown = [t for t in export_types if t not in known]
  if unknown or not export_types:
    found = f'{unknown[0]!r} is no export type' if unknown else 'there is nothing to export'
    raise RequestError(
        f'EXPORT_TYPES is {tuple(export_types)!r}: {found}. The types are {", ".join(known)}: '
        "write --set EXPORT_TYPES=\"('model', 'preprocessing')\".")
  return tuple(t for t in known if t in export_types)


def _check_values(
    poolers: Sequence[Any] | None, mlm_activation: str | None, num_segments: int, dropout_seed: int
) -> None:
  """What the types of the parameters do not say; `poolers` None if no encoder is exported."""
  if poolers is not None and not poolers:
    raise RequestError(
        'POOLERS is empty, so there is no encoder to export: each pooler gives one. Write --set '
        "POOLERS='(@poolers.keep,)', or --set EXPORT_TYPES=\"('preprocessing',)\" alone.")
  if mlm_activation is not None and mlm_activation.lower() not in ACTIVATIONS:
    raise RequestError(
        f'export.mlm_activation is {mlm_activation!r}, which is no activation that TF-NLP knows. '
        f'Write one of {", ".join(ACTIVATIONS)}')
  if num_segments < 1:
    raise RequestError(f'export.num_segments is {num_segments}, but a row has one segment or more. '
                       'Write --set export.num_segments=2, as BERT has it.')
  if not -2**63 <= dropout_seed < 2**63:
    raise RequestError(f'export.dropout_seed is {dropout_seed}, which has more than 64 bits. '
                       'Write --set export.dropout_seed=0.')


def _with_dropout(
    spec: encoders.EncoderSpec | encoders.BuiltEncoder, rate: float | None
) -> tuple[encoders.EncoderSpec | encoders.BuiltEncoder, tuple[str, ...]]:
  """The encoder with export.dropout_rate, and what the log says of it."""
  if rate is None:
    return spec, ()
  if isinstance(rate, bool) or not 0 <= rate < 1:
    raise RequestError(f'export.dropout_rate is {rate!r}, which is no dropout rate: these lie in '
                       '[0, 1). Write --set export.dropout_rate=0.1')
  if isinstance(spec, encoders.BuiltEncoder):
    raise RequestError(
        f'export.dropout_rate is {rate}, but the encoder network from {spec.source} is built '
        'already, with its own rates. Leave export.dropout_rate out, and set them in your factory')
  return spec.with_dropout(rate), (
      f'dropout: rate {rate} in hidden layers and attention (export.dropout_rate), instead of '
      f'{spec.dropout_rate} and {spec.attention_dropout_rate}',)


def mlm_activation_of(
    asked: str | None, found: checkpoints.FoundCheckpoint,
    spec: encoders.EncoderSpec | encoders.BuiltEncoder | None,
) -> str:
  """The activation of the masked-LM head: as asked, as recorded, or as the format has it."""
  if asked and found.mlm_activation and asked.lower() != found.mlm_activation:
    raise RequestError(
        f'export.mlm_activation is {asked!r}, but the masked LM head of {found.name} was trained '
        f'with {found.mlm_activation!r}. Leave export.mlm_activation out.')
  if asked or found.mlm_activation:
    return str(asked or found.mlm_activation)
  # There the original code takes one activation for the layers and for the head.
  one_for_both = found.kind in (checkpoints.HUGGING_FACE, checkpoints.TF1)
  if one_for_both and spec and isinstance(spec.hidden_activation, str):
    return spec.hidden_activation
  return _DEFAULT_MLM_ACTIVATION


def tokenizer_of(
    tokenizer: Callable[[], Any] | None, vocab_file: str | None, sp_model_file: str | None,
    do_lower_case: bool | None, found: checkpoints.FoundCheckpoint | None,
    other_tokenizer: bool = False,
) -> tuple[tokenizers.Tokenizer, tuple[str, ...]]:
  """The tokenizer; what the checkpoint itself records of it is honoured."""
  return choosing.choose(
      found, vocab_file, sp_model_file, do_lower_case, tokenizer, other_tokenizer)


def _plan_lines(request: exporting.ExportRequest, tokenizer_line: str) -> list[str]:
  lines = []
  if request.checkpoint is not None and request.encoder is not None:
    spec = request.encoder
    lines.append(f'restore {request.checkpoint.path} ({request.checkpoint.kind}) into {spec.type}: '
                 f'{spec.num_layers} layers, {spec.hidden_size} wide, from {spec.source}')
  lines.append(tokenizer_line)
  return lines + [f'write and verify {path}' for path in request.destinations().values()]


def _execute(request: exporting.ExportRequest, run: Run, notes: Sequence[str]) -> Outcome:
  for note in notes:
    run.say(note)
  places = exporting.export(request, run)
  return Outcome(
      lines=[f'{label}: {path}' for label, path in places.items()],
      result={'exports': places})
