"""How does text become what pre-training reads: tokenised once, in shards, with an index?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gin

from nlp_export import files, tokenizers
from nlp_export.corpora import text_files
from nlp_export.experiment import Outcome, Plan, Run, experiment, require
from nlp_export.own_parts import explain_part
from nlp_export.pretraining.data import recipe

_SHARDS_DIR = 'shards'


@experiment(conditional=('vocab_file', 'sp_model_file', 'tokenizer'))
def prepare_pretraining_data(
    shards: int = gin.REQUIRED,
    held_out_share: float = gin.REQUIRED,
    text: str | Sequence[str] | None = None,
    tokenizer: Callable[[], Any] | None = None,
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
) -> Plan:
  """Text tokenised once for many pre-trainings; several processes may share the work.

  Args:
    shards: SHARDS: files of training text.
    held_out_share: HELD_OUT_SHARE: of the bytes; whole documents.
    text: TEXT_FILES: paths and patterns; None for the embedded corpus.
    tokenizer: TOKENIZER: a factory such as @tokenizers.wordpiece.
    vocab_file: VOCAB_FILE instead, for WordPiece.
    sp_model_file: SP_MODEL_FILE instead, for SentencePiece.
    do_lower_case: DO_LOWER_CASE, for the two files.
  """
  from nlp_export.pretraining.data import preparing
  from nlp_export.pretraining.data import shards as shard_files

  require({'vocab_file': vocab_file, 'sp_model_file': sp_model_file, 'tokenizer': tokenizer},
          why='text is stored as the ids of its tokens')
  made, notes = tokenizers.from_macros(vocab_file, sp_model_file, do_lower_case, tokenizer)
  with explain_part(made, f'The {made.kind} tokenizer'):
    made.check()
    # Rows are made when they are trained on, but then it is late to hear that there is no [MASK].
    recipe.check(recipe.DataRecipe(seq_length=128, max_predictions=20), made)
    description = made.description()
  paths = () if text is None else text_files.expand(text)
  asked = preparing.Preparation(paths, made, shards, held_out_share)

  def execute(run: Run) -> Outcome:
    for note in notes:
      run.say(note)
    directory = files.join(run.out_dir, _SHARDS_DIR)
    with run.step('prepare'):
      index = preparing.prepare(asked, directory, hashes=run.input_hashes, say=run.say)
    return Outcome(lines=list(preparing.lines(index, directory)),
                   result={key: value for key, value in index.items() if key != 'shards'})

  names = [shard_files.INDEX, shard_files.shard_name(shard_files.HELD_OUT, 0, 1),
           *(shard_files.shard_name(shard_files.TRAIN, n, shards) for n in range(shards))]
  return Plan(
      lines=['tokenise ' + (f'{len(paths)} text files, {sum(map(files.size, paths))} bytes'
                            if paths else 'the embedded corpus'),
             f'tokenizer: {description}', *notes,
             f'write {shards} shards to train on, and one of {held_out_share:.1%} held out, to '
             f'{_SHARDS_DIR}/'],
      inputs=(*paths, *([made.asset_file] if made.asset_file else ())),
      execute=execute, outputs=tuple(files.join(_SHARDS_DIR, name) for name in names), shared=True)
