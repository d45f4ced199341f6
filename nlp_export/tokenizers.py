"""Which tokenizer turns text into the ids that an encoder was trained on?

The gin parts `tokenizers.wordpiece` and `tokenizers.sentencepiece`, and the choice among a run
file's macros. What a tokenizer is stands in tokenizer_types.py. Light: no TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gin

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part
from nlp_export.tokenization.tokenizer_types import (
    SENTENCEPIECE,
    WORDPIECE,
    SentencePiece,
    Tokenizer,
    WordPiece,
)

__all__ = [
    'SENTENCEPIECE', 'WORDPIECE', 'SentencePiece', 'Tokenizer', 'WordPiece',
    'check_default_seq_length', 'from_macros', 'sentencepiece', 'wordpiece',
]


@gin.register(module='tokenizers')
def wordpiece(
    vocab_file: str,
    lower_case: bool,
    split_at_unicode_spaces: bool = False,
    strip_accents: bool | None = None,
    split_chinese_characters: bool = True,
    split_unknown_characters: bool = False,
    preserve_unused_token: bool = False,
    padding: str = '[PAD]',
    unknown: str = '[UNK]',
    start_of_sequence: str = '[CLS]',
    end_of_segment: str = '[SEP]',
    mask: str = '[MASK]',
) -> WordPiece:
  """BERT's WordPiece tokenizer, with ids identical to TF-NLP's BertTokenizer layer.

  Set what the encoder was trained with; see docs/tokenizers.md.

  Args:
    vocab_file: UTF-8 text file, one token a line.
    lower_case: True for an uncased vocabulary: folds case and strips accents.
    split_at_unicode_spaces: True separates words at all Unicode spaces, as the original BERT
      (google-research/bert tokenization.py) and Hugging Face do; False as TF-NLP's layer, which
      takes the spaces beyond ASCII (when lower-casing: U+1680, U+2028, U+2029) as parts of words.
    strip_accents: False keeps accents while lower-casing (tf.text's
      AccentPreservingBasicTokenizer), True drops them from cased text. None: as lower_case.
    split_chinese_characters: False takes Chinese characters as parts of words, as other letters.
    split_unknown_characters: True makes [UNK] of a character that the vocabulary lacks, and keeps
      the other pieces of its word; False makes [UNK] of the word.
    preserve_unused_token: True takes "[unused0]" in text for the token of that name.
    padding, unknown, start_of_sequence, end_of_segment: tokens that the vocabulary must hold,
      such as '<s>' and '</s>'.
    mask: token that the vocabulary may hold.

  Source: Devlin et al. 2019 (arXiv 1810.04805); tf.text FastBertTokenizer, Song et al. 2021
  (arXiv 2012.15524); the options: tf.text BertTokenizer.
  """
  return WordPiece(
      vocab_file=vocab_file, lower_case=lower_case,
      split_at_unicode_spaces=split_at_unicode_spaces, strip_accents=strip_accents,
      split_chinese_characters=split_chinese_characters,
      split_unknown_characters=split_unknown_characters,
      preserve_unused_token=preserve_unused_token, padding=padding,
      unknown=unknown, start_of_sequence=start_of_sequence, end_of_segment=end_of_segment,
      mask=mask)


@gin.register(module='tokenizers')
def sentencepiece(
    model_file: str,
    lower_case: bool,
    strip_diacritics: bool = True,
    padding: str = '<pad>',
    start_of_sequence: str = '[CLS]',
    end_of_segment: str = '[SEP]',
    mask: str = '[MASK]',
) -> SentencePiece:
  """ALBERT's SentencePiece tokenizer, with ids identical to TF-NLP's SentencepieceTokenizer layer.

  Args:
    model_file: serialized SentencePiece model (*.model).
    lower_case: folds case before tokenising.
    strip_diacritics: decomposes (NFD) and drops combining marks first, as ALBERT was trained and
      as TF-NLP's exporter always does; False keeps accents (a cased model that was trained so).
    padding, start_of_sequence, end_of_segment: pieces that the model must hold.
    mask: piece that the model may hold.

  Offsets count bytes of the text as given, whatever is done to it first.

  Source: Kudo and Richardson 2018 (arXiv 1808.06226); TF-NLP modeling/layers/text_layers.py.
  """
  return SentencePiece(
      model_file=model_file, lower_case=lower_case, strip_diacritics=strip_diacritics,
      padding=padding, start_of_sequence=start_of_sequence, end_of_segment=end_of_segment,
      mask=mask)


def from_macros(
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
    tokenizer: Callable[[], Tokenizer] | Tokenizer | None = None,
) -> tuple[Tokenizer, tuple[str, ...]]:
  """The one tokenizer that a run file's macros ask for, and what was decided on the way.

  Args:
    vocab_file: VOCAB_FILE: a WordPiece vocabulary.
    sp_model_file: SP_MODEL_FILE: a SentencePiece model.
    do_lower_case: DO_LOWER_CASE; None: for a WordPiece vocabulary whether "uncased" stands in the
      file's own name, for SentencePiece True (TF-NLP's default).
    tokenizer: TOKENIZER: a tokenizer, or a function without arguments that makes one.

  Returns:
    The tokenizer and lines to print and record, one for each thing not said by the request.

  Raises:
    RequestError: not exactly one of the three is given.
  """
  given = {'VOCAB_FILE': vocab_file, 'SP_MODEL_FILE': sp_model_file, 'TOKENIZER': tokenizer}
  named = [name for name, value in given.items() if value]
  if len(named) != 1:
    found = f'{" and ".join(named)} are given' if named else 'none of them is given'
    raise RequestError(
        'A tokenizer is one of VOCAB_FILE (WordPiece), SP_MODEL_FILE (SentencePiece) and '
        f'TOKENIZER (your own), but {found}. '
        'Set exactly one, for example --set VOCAB_FILE=bert/vocab.txt.')
  if tokenizer:
    return _made(tokenizer), ()
  made_of, file = (WordPiece, vocab_file) if vocab_file else (SentencePiece, str(sp_model_file))
  if do_lower_case is not None:
    return made_of(str(file), do_lower_case), ()
  if made_of is SentencePiece:
    return made_of(str(file), True), (
        'do_lower_case = True (not given; the default for SentencePiece models)',)
  guess = 'uncased' in files.basename(str(file))
  made = WordPiece(str(file), guess)  # The one that is returned: it has read its vocabulary then.
  if not guess and not _has_capitals(made):
    raise RequestError(
        f'DO_LOWER_CASE is not given, and {files.basename(str(file))} does not say: its name has no'
        ' "uncased" in it, but none of its tokens has a capital letter, so that every word with'
        ' one would be unknown. Write --set DO_LOWER_CASE=True if the encoder was trained on'
        ' lower-cased text, --set DO_LOWER_CASE=False if not.')
  return made, (
      f'do_lower_case = {guess} (not given; guessed, because the file name '
      f'{files.basename(str(file))} has {"" if guess else "no "}"uncased" in it; '
      f'--set DO_LOWER_CASE={not guess} if that is wrong)',)


def _has_capitals(tokenizer: WordPiece) -> bool:
  """Whether a token has a capital letter of ASCII; special ones, [UNK] or <S>, do not count."""
  return any(re.search('[A-Z]', token) and not re.fullmatch(r'\[.*\]|<.*>', token)
             for token in tokenizer.vocabulary)


def _made(tokenizer: Callable[[], Tokenizer] | Tokenizer) -> Tokenizer:
  made: Any = tokenizer
  if not isinstance(made, Tokenizer) and callable(made):
    with explain_part(tokenizer, 'The tokenizer factory TOKENIZER'):
      made = made()
  if not isinstance(made, Tokenizer):
    lacks = [name for name in ('kind', 'asset_file', 'lower_case', 'vocab_size',
                               'special_token_ids', 'description', 'check', 'build')
             if not hasattr(made, name)]
    raise RequestError(
        f'TOKENIZER gave {made!r}, which is no tokenizer: it lacks {", ".join(lacks)}. '
        'See the class Tokenizer in nlp_export/tokenization/tokenizer_types.py for what one needs.')
  return made


def check_default_seq_length(
    default_seq_length: int, max_positions: int | None = None, num_segments: int = 2) -> None:
  """Refuses a DEFAULT_SEQ_LENGTH that the packed inputs or the encoder cannot have.

  Args:
    default_seq_length: tokens in a row of the preprocessor's output.
    max_positions: position embeddings of the encoder; None if there is no encoder to ask, or it
      has no such limit.
    num_segments: most segments that can be packed into a row.

  Raises:
    RequestError: no whole number, too short for the special tokens, or longer than the encoder.
  """
  if isinstance(default_seq_length, bool) or not isinstance(default_seq_length, int):
    raise RequestError(
        f'DEFAULT_SEQ_LENGTH is {default_seq_length!r}, which is no whole number. '
        'Write for example --set DEFAULT_SEQ_LENGTH=128.')
  if default_seq_length < num_segments + 1:
    raise RequestError(
        f'DEFAULT_SEQ_LENGTH is {default_seq_length}, but {num_segments} segments have '
        f'{num_segments + 1} special tokens ([CLS], and [SEP] after each segment), which leaves '
        f'no place for text. Write --set DEFAULT_SEQ_LENGTH=128, at least {num_segments + 1}.')
  if max_positions is not None and default_seq_length > max_positions:
    raise RequestError(
        f'DEFAULT_SEQ_LENGTH is {default_seq_length}, but the encoder has {max_positions} position '
        'embeddings and fails on longer inputs. '
        f'Write --set DEFAULT_SEQ_LENGTH={max_positions} or less.')
