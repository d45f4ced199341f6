"""What does an encoder learn from text: pre-training, resumable, on any hardware?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gin

from nlp_export import checkpoints, config, encoders
from nlp_export.encoder_config.encoder_blocks import ACTIVATIONS
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Run, experiment, require
from nlp_export.pretraining import heads as head_parts
from nlp_export.pretraining import initial_encoder, planning
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.heads import HeadSpec
from nlp_export.pretraining.recipe import TrainRecipe
from nlp_export.pretraining.request import InitialWeights, Request, VocabularyRequest
from nlp_export.pretraining.saving_options import Saving
from nlp_export.pretraining.strategies import Runtime
from nlp_export.pretraining.texts import Text
from nlp_export.tokenization import choosing, recorded


@experiment(conditional=(
    'encoder', 'encoder_config', 'vocab_file', 'sp_model_file', 'tokenizer', 'vocabulary'))
def pretrain(
    text: Text = gin.REQUIRED,
    data: DataRecipe = gin.REQUIRED,
    training: TrainRecipe = gin.REQUIRED,
    saving: Saving = gin.REQUIRED,
    runtime: Runtime = gin.REQUIRED,
    heads: Sequence[Callable[[], HeadSpec]] = (),
    encoder: Callable[[], Any] | None = None,
    encoder_config: str | None = None,
    tokenizer: Callable[[], Any] | None = None,
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
    other_tokenizer: bool = False,
    vocabulary: Callable[..., Any] | None = None,
    vocab_size: int | None = None,
    mlm_activation: str | None = None,
    start_from_weights: str | None = None,
    resume_from: str | None = None,
) -> planning.PretrainPlan:
  """An encoder pre-trained on text, with checkpoints to go on from and to export.

  Args:
    text: @pretraining.text(): what is trained on, and what is held out.
    data: @pretraining.data_recipe(): length, pairs, masks.
    training: @pretraining.train_recipe(): steps, batch, optimizer, seeds.
    saving: @pretraining.saving(): checkpoints and evaluations.
    runtime: RUNTIME: @runtime.one_device() and others, see gin/runtime.
    heads: HEADS: references such as @pretraining.next_sentence_head; () for the masked LM alone.
    encoder: ENCODER: a factory such as @encoders.bert. An INITIAL_CHECKPOINT may bring it along.
    encoder_config: ENCODER_CONFIG: a configuration file instead.
    tokenizer: TOKENIZER: a factory such as @tokenizers.wordpiece.
    vocab_file: VOCAB_FILE instead, for WordPiece. An INITIAL_CHECKPOINT may bring it along.
    sp_model_file: SP_MODEL_FILE instead, for SentencePiece.
    do_lower_case: DO_LOWER_CASE, for the two files.
    other_tokenizer: OTHER_TOKENIZER: whether the tokenizer may differ from the one that
      INITIAL_CHECKPOINT was trained with, as it records it.
    vocabulary: VOCABULARY: instead of all these, what learns one from the text at the beginning,
      such as @vocabularies.wordpiece.
    vocab_size: VOCAB_SIZE, tokens at most, for that.
    mlm_activation: of the masked-LM head. None: what INITIAL_CHECKPOINT records, for a TensorFlow 1
      checkpoint the configuration's, else 'gelu' (TF-NLP's default).
    start_from_weights: INITIAL_CHECKPOINT: a checkpoint of any format whose weights training
      starts from, at step 0.
    resume_from: RESUME_FROM: directory of another run's checkpoints, of which this one is the
      continuation: on other hardware, say. Nothing in it is changed.
  """
  named = {'vocab_file': vocab_file, 'sp_model_file': sp_model_file, 'tokenizer': tokenizer,
           'vocabulary': vocabulary}
  initial = _initial(start_from_weights, resume_from)
  found = initial.found if initial else None
  brought = initial_encoder.brought(found)
  require(*(() if brought else ({'encoder': encoder, 'encoder_config': encoder_config},)),
          *(() if choosing.has_tokenizer(found) else (named,)),
          why='what is trained, and how it reads text')
  named_here = encoder is not None or encoder_config is not None
  spec = encoders.resolve(encoder, encoder_config, None if named_here else brought)
  made, learned, notes = None, None, tuple(getattr(spec, 'notes', ()))
  if vocabulary is None:
    made, more = choosing.choose(
        found, vocab_file, sp_model_file, do_lower_case, tokenizer, other_tokenizer)
    notes = (*notes, *more)
  else:
    if found and choosing.has_tokenizer(found) and not other_tokenizer:
      raise RequestError(
          f'VOCABULARY learns a vocabulary, but {found.name} (INITIAL_CHECKPOINT) was trained with '
          f'one that it brings along{recorded.unless_asked("the first")}. Leave VOCABULARY = None')
    learned = _vocabulary(vocabulary, vocab_size, do_lower_case,
                          [vocab_file, sp_model_file, tokenizer])
  if mlm_activation is not None and mlm_activation.lower() not in ACTIVATIONS:
    raise RequestError(
        f'pretrain.mlm_activation is {mlm_activation!r}, which is no activation that TF-NLP knows. '
        f'Write one of {", ".join(ACTIVATIONS)}')
  if found and brought:
    initial_encoder.check(found, brought, spec)
  request = Request(
      encoder=spec, tokenizer=made, vocabulary=learned, text=text, data=data, training=training,
      heads=head_parts.made(heads),
      mlm_activation=initial_encoder.mlm_activation(mlm_activation, found, spec), runtime=runtime,
      saving=saving, initial=initial, resume_from=resume_from, notes=notes)
  request.check()

  def execute(run: Run) -> Outcome:
    from nlp_export.pretraining import executing, reporting

    trained = executing.execute(request, run)
    return reporting.outcome(trained, run)

  return planning.plan(request, execute)


def _initial(start_from_weights: str | None, resume_from: str | None) -> InitialWeights | None:
  if start_from_weights is None:
    return None
  if resume_from is not None:
    raise RequestError(
        'INITIAL_CHECKPOINT starts a new training from weights, RESUME_FROM goes on with one from '
        'its last step: both are given. Leave one of them out')
  return InitialWeights(start_from_weights, checkpoints.find_checkpoint(start_from_weights))


def _vocabulary(
    learner: Callable[..., Any], vocab_size: int | None, do_lower_case: bool | None,
    others: Sequence[Any],
) -> VocabularyRequest:
  if any(other is not None for other in others):
    raise RequestError(
        'VOCABULARY learns a vocabulary from the text, but VOCAB_FILE, SP_MODEL_FILE or TOKENIZER '
        'names one. Leave VOCABULARY = None, or that one out')
  if vocab_size is None or do_lower_case is None:
    missing = ' and '.join(name for name, value in (
        ('VOCAB_SIZE', vocab_size), ('DO_LOWER_CASE', do_lower_case)) if value is None)
    raise RequestError(
        f'VOCABULARY learns a vocabulary from the text, for which {missing} is still open. Write '
        'for example --set VOCAB_SIZE=8192 --set DO_LOWER_CASE=True')
  return VocabularyRequest(
      learner, config.reference_names((learner,))[0], vocab_size, do_lower_case)
