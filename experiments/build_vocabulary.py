"""Which vocabulary does a text give?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gin

from nlp_export import config, files, names
from nlp_export.corpora import english, text_files
from nlp_export.corpora.text_files import Document
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment
from nlp_export.own_parts import explain_part
from nlp_export.pretraining.vocabularies import Vocabulary, tokenizer_of
from nlp_export.tokenizers import SentencePiece, Tokenizer

_RECORD = 'vocabulary.json'


@experiment
def build_vocabulary(
    vocabulary: Callable[..., Vocabulary] = gin.REQUIRED,
    vocab_size: int = gin.REQUIRED,
    do_lower_case: bool = gin.REQUIRED,
    text: str | Sequence[str] | None = None,
) -> Plan:
  """A WordPiece or SentencePiece vocabulary of text files, the same bytes each time.

  Args:
    vocabulary: VOCABULARY: what learns it, such as @vocabularies.wordpiece.
    vocab_size: VOCAB_SIZE: tokens at most.
    do_lower_case: DO_LOWER_CASE: whether it is for an uncased tokenizer.
    text: TEXT_FILES: paths and patterns; None for the embedded corpus.
  """
  paths = () if text is None else text_files.expand(text)
  name = config.reference_names((vocabulary,))[0]
  lines = [f'learn {vocab_size} tokens with {name} from '
           + (f'{len(paths)} text files, {sum(map(files.size, paths))} bytes' if paths
              else 'the embedded corpus'),
           f'lower-case the text first: {do_lower_case}']

  def documents() -> Iterable[Document]:
    return text_files.read(paths) if paths else english.documents()

  def execute(run: Run) -> Outcome:
    with run.step(f'learn with {name}'), explain_part(vocabulary, f'The vocabulary {name}'):
      found = vocabulary(documents(), vocab_size=vocab_size, lower_case=do_lower_case)
      if not isinstance(found, Vocabulary):
        raise RequestError(f'VOCABULARY is {name}, which gave {type(found).__name__}. It has to '
                           'give a Vocabulary, see nlp_export/pretraining/vocabularies.py')
    hashes = {files.basename(path): run.input_hashes.get(path) for path in paths}
    return _written(found, hashes or {'the embedded corpus': english.sha256()}, run)

  return Plan(lines, inputs=paths, execute=execute, outputs=(_RECORD,))


def _written(found: Vocabulary, hashes: dict[str, Any], run: Run) -> Outcome:
  path = files.join(run.out_dir, found.file_name)
  files.write_bytes(path, found.data)
  tokenizer = tokenizer_of(found.to_json(), path)
  tokenizer.check()
  notes = list(found.notes)
  if names.MASK_ID not in tokenizer.special_token_ids():
    notes.append('it has no [MASK], without which there is no masked-LM pre-training')
  if found.unknown_share:
    notes.append(f'{found.unknown_share:.2%} of the words that were counted are [UNK]')
  record = {**found.to_json(), 'notes': notes, 'text_files': hashes}
  files.write_json(files.join(run.out_dir, _RECORD), record)
  return Outcome(
      lines=[f'{found.kind}: {found.size} tokens in {path}', *(f'note: {note}' for note in notes),
             f'use it: {_use(tokenizer, path)}'],
      result=record)


def _use(tokenizer: Tokenizer, path: str) -> str:
  """The settings that a run needs to take the vocabulary as it was learned."""
  case = tokenizer.lower_case
  if not isinstance(tokenizer, SentencePiece):
    return f'--set VOCAB_FILE={path} --set DO_LOWER_CASE={case}'
  if tokenizer.strip_diacritics:
    return f'--set SP_MODEL_FILE={path} --set DO_LOWER_CASE={case}'
  return ('gin/tokenizers/sentencepiece_cased.gin --set tokenizers.sentencepiece.model_file='
          f'{path} --set tokenizers.sentencepiece.lower_case={case}')
