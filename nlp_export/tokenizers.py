"""Which tokenizer turns text into the ids that an encoder was trained on?

Light: checks and descriptions need no TensorFlow; `build()` imports it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import gin

from nlp_export import files, names, vocabulary
from nlp_export.errors import RequestError

WORDPIECE = 'wordpiece'
SENTENCEPIECE = 'sentencepiece'


@runtime_checkable
class Tokenizer(Protocol):
  """What an export needs of a tokenizer. Write an own class with these and name it in a gin file.

  Attributes:
    kind: a word for messages and cards; 'wordpiece' and 'sentencepiece' are ours.
    asset_file: path of the vocabulary or model file, or None; goes along with the encoder.
    lower_case: whether text is lower-cased.
    vocab_size: one past the largest id.
  """

  kind: str
  asset_file: str | None
  lower_case: bool

  @property
  def vocab_size(self) -> int: ...

  def special_token_ids(self) -> dict[str, int]:
    """The dict of `tokenize.get_special_tokens_dict()`: keys of names.SPECIAL_TOKEN_KEYS.

    `vocab_size`, `padding_id`, `start_of_sequence_id`, `end_of_segment_id` are needed; the key of
    a token that does not exist (often `mask_id`) is left out.
    """

  def description(self) -> str:
    """One or two sentences for the model card."""

  def check(self, embedding_rows: int | None = None) -> None:
    """Raises RequestError if the files are not fit, or not for so many word embeddings."""

  def build(self, with_offsets: bool) -> Any:
    """A trackable object (tf.Module, say) that holds all tables and assets its functions use.

    Its methods, called while a graph is traced:
      tokenize(sentences): string [batch] -> RaggedTensor int32 [batch, (tokens)] or
        [batch, (words), (pieces)], row_splits int64.
      tokenize_with_offsets(sentences), if `with_offsets`: a list of three such RaggedTensors,
        tokens int32, byte starts and byte limits (exclusive) int64.
      tokenize_flat(sentences), optional, for speed: the same tokens as `values` int32 [tokens] and
        `row_splits` int64 [batch + 1].
    It may have an attribute `why_no_offsets`, a sentence, if it cannot give right offsets.
    """


@dataclasses.dataclass(frozen=True)
class WordPiece:
  """BERT's tokenizer: see `wordpiece`, which makes one."""

  vocab_file: str
  lower_case: bool
  split_at_unicode_spaces: bool = False
  padding_token: str = '[PAD]'
  unknown_token: str = '[UNK]'
  start_token: str = '[CLS]'
  end_token: str = '[SEP]'
  mask_token: str = '[MASK]'

  kind = WORDPIECE
  why_no_offsets = ''

  @property
  def asset_file(self) -> str:
    return self.vocab_file

  @functools.cached_property
  def vocabulary(self) -> tuple[str, ...]:
    """The tokens in the order of their ids; raises RequestError for a file that is not fit."""
    return vocabulary.read_vocabulary(
        self.vocab_file,
        (self.unknown_token, self.start_token, self.end_token, self.padding_token))

  @property
  def vocab_size(self) -> int:
    return len(self.vocabulary)

  def special_token_ids(self) -> dict[str, int]:
    ids = {token: number for number, token in enumerate(self.vocabulary)}
    return _special_token_ids(self, ids.get)

  def description(self) -> str:
    case = ('lower-cases and strips accents (Unicode NFKC case folding, NFD, no marks)'
            if self.lower_case else 'keeps case and accents')
    spaces = ('Words separate at all Unicode spaces, as in the original BERT and Hugging Face.'
              if self.split_at_unicode_spaces else
              'Words separate as in TF-NLP (tf.text.BertTokenizer), which takes '
              + ('U+1680, U+2028 and U+2029' if self.lower_case else
                 'Unicode spaces other than ASCII ones')
              + ' as parts of words.')
    return (f'WordPiece with {self.vocab_size} tokens ({files.basename(self.vocab_file)}); '
            f'{case}. {spaces}')

  def check(self, embedding_rows: int | None = None) -> None:
    if not isinstance(self.lower_case, bool):
      raise RequestError(
          f'tokenizers.wordpiece: lower_case is {self.lower_case!r}, not True or False. '
          'Write --set DO_LOWER_CASE=True for an uncased vocabulary, False for a cased one.')
    if embedding_rows is not None:
      vocabulary.check_embedding_rows(self.vocab_size, embedding_rows, self.vocab_file)
    else:
      self.vocabulary  # noqa: B018 - reading is the check.

  def build(self, with_offsets: bool) -> Any:
    from nlp_export.saved_models import wordpiece_graph  # TensorFlow: seconds to import.

    return wordpiece_graph.WordPieceGraph(self, with_offsets)


@dataclasses.dataclass(frozen=True)
class SentencePiece:
  """ALBERT's tokenizer: see `sentencepiece`, which makes one."""

  model_file: str
  lower_case: bool
  strip_diacritics: bool = True
  padding_token: str = '<pad>'
  start_token: str = '[CLS]'
  end_token: str = '[SEP]'
  mask_token: str = '[MASK]'

  kind = SENTENCEPIECE

  @property
  def asset_file(self) -> str:
    return self.model_file

  @property
  def why_no_offsets(self) -> str:
    """Why offsets into the original bytes cannot be given; '' if they can."""
    changes = [text for applies, text in (
        (self.strip_diacritics, 'strips diacritics (strip_diacritics=True)'),
        (self.lower_case, 'lower-cases (lower_case=True)')) if applies]
    return (f'this SentencePiece tokenizer {" and ".join(changes)} before it counts bytes'
            if changes else '')

  @functools.cached_property
  def model(self) -> bytes:
    """The serialized model; raises RequestError if the file is not one."""
    return files.read_bytes(self.model_file)

  @functools.cached_property
  def _processor(self) -> Any:
    import sentencepiece as sp  # Light, but only needed here.

    try:
      processor = sp.SentencePieceProcessor(model_proto=self.model) if self.model else None
    except (RuntimeError, ValueError, TypeError):
      processor = None  # Told below, with what to do; its own message names a source line.
    if processor is None or not processor.get_piece_size():
      raise RequestError(
          f'{self.model_file}: not a SentencePiece model ({len(self.model)} bytes that do not '
          'parse as one). A WordPiece vocabulary is given as VOCAB_FILE; the text file '
          '*.vocab beside a SentencePiece model is not the model. '
          'Give the *.model (often spiece.model or 30k-clean.model) as SP_MODEL_FILE.')
    return processor

  @property
  def vocab_size(self) -> int:
    return self._processor.get_piece_size()

  def special_token_ids(self) -> dict[str, int]:
    def find(token: str) -> int | None:
      number = self._processor.piece_to_id(token)  # The unknown token's id for what is not there.
      return number if self._processor.id_to_piece(number) == token else None

    return _special_token_ids(self, find)

  def description(self) -> str:
    done = [text for applies, text in (
        (self.strip_diacritics, 'strips diacritics'), (self.lower_case, 'folds case')) if applies]
    before = f'first {" and ".join(done)}' if done else 'takes the text as it is'
    return (f'SentencePiece with {self.vocab_size} pieces ({files.basename(self.model_file)}); '
            f'{before}.')

  def check(self, embedding_rows: int | None = None) -> None:
    needed = {names.PADDING_ID: self.padding_token, names.START_OF_SEQUENCE_ID: self.start_token,
              names.END_OF_SEGMENT_ID: self.end_token}
    found = self.special_token_ids()
    missing = [token for key, token in needed.items() if key not in found]
    if missing:
      raise RequestError(
          f'SentencePiece model {self.model_file}: no piece {", no piece ".join(missing)} among '
          f'its {self.vocab_size}. BERT inputs need them. If they have other names in this model, '
          'give them to tokenizers.sentencepiece (padding_token, start_token, end_token).')
    if embedding_rows is not None:
      vocabulary.check_embedding_rows(self.vocab_size, embedding_rows, self.model_file)

  def build(self, with_offsets: bool) -> Any:
    from nlp_export.saved_models import sentencepiece_graph  # TensorFlow: seconds to import.

    return sentencepiece_graph.SentencePieceGraph(self, with_offsets)


def _special_token_ids(
    tokenizer: WordPiece | SentencePiece, find: Callable[[str], int | None]) -> dict[str, int]:
  """vocab_size and the ids of the special tokens that `find` knows."""
  tokens = {
      names.PADDING_ID: tokenizer.padding_token,
      names.START_OF_SEQUENCE_ID: tokenizer.start_token,
      names.END_OF_SEGMENT_ID: tokenizer.end_token,
      names.MASK_ID: tokenizer.mask_token,
  }
  found = {key: find(token) for key, token in tokens.items()}
  return {names.VOCAB_SIZE: tokenizer.vocab_size,
          **{key: number for key, number in found.items() if number is not None}}


@gin.register(module='tokenizers')
def wordpiece(
    vocab_file: str,
    lower_case: bool,
    split_at_unicode_spaces: bool = False,
    padding_token: str = '[PAD]',
    unknown_token: str = '[UNK]',
    start_token: str = '[CLS]',
    end_token: str = '[SEP]',
    mask_token: str = '[MASK]',
) -> WordPiece:
  """BERT's WordPiece tokenizer, with ids identical to TF-NLP's BertTokenizer layer.

  Args:
    vocab_file: UTF-8 text file, one token a line.
    lower_case: True for an uncased vocabulary: folds case and strips accents.
    split_at_unicode_spaces: True separates words at all Unicode spaces, as the original BERT
      (google-research/bert tokenization.py) and Hugging Face do; False as TF-NLP's layer, which
      takes the spaces beyond ASCII (when lower-casing: U+1680, U+2028, U+2029) as parts of words.
    padding_token, unknown_token, start_token, end_token: tokens that the vocabulary must hold.
    mask_token: token that the vocabulary may hold.

  Source: Devlin et al. 2019 (arXiv 1810.04805); tf.text FastBertTokenizer, Song et al. 2021
  (arXiv 2012.15524).
  """
  return WordPiece(
      vocab_file=vocab_file, lower_case=lower_case,
      split_at_unicode_spaces=split_at_unicode_spaces, padding_token=padding_token,
      unknown_token=unknown_token, start_token=start_token, end_token=end_token,
      mask_token=mask_token)


@gin.register(module='tokenizers')
def sentencepiece(
    model_file: str,
    lower_case: bool,
    strip_diacritics: bool = True,
    padding_token: str = '<pad>',
    start_token: str = '[CLS]',
    end_token: str = '[SEP]',
    mask_token: str = '[MASK]',
) -> SentencePiece:
  """ALBERT's SentencePiece tokenizer, with ids identical to TF-NLP's SentencepieceTokenizer layer.

  Args:
    model_file: serialized SentencePiece model (*.model).
    lower_case: folds case before tokenising.
    strip_diacritics: decomposes (NFD) and drops combining marks first, as ALBERT was trained and
      as TF-NLP's exporter always does; False keeps accents (a cased model that was trained so).
    padding_token, start_token, end_token: pieces that the model must hold.
    mask_token: piece that the model may hold.

  Source: Kudo and Richardson 2018 (arXiv 1808.06226); TF-NLP modeling/layers/text_layers.py.
  """
  return SentencePiece(
      model_file=model_file, lower_case=lower_case, strip_diacritics=strip_diacritics,
      padding_token=padding_token, start_token=start_token, end_token=end_token,
      mask_token=mask_token)


def from_macros(
    vocab_file: str | None = None,
    sp_model_file: str | None = None,
    do_lower_case: bool | None = None,
    tokenizer: Callable[[], Tokenizer] | Tokenizer | None = None,
    recorded: Mapping[str, Any] | None = None,
    recorded_in: str = 'tokenizer_config.json',
) -> tuple[Tokenizer, tuple[str, ...]]:
  """The one tokenizer that a run file's macros ask for, and what was decided on the way.

  Args:
    vocab_file: VOCAB_FILE: a WordPiece vocabulary.
    sp_model_file: SP_MODEL_FILE: a SentencePiece model.
    do_lower_case: DO_LOWER_CASE; None takes what is recorded, else for a WordPiece vocabulary
      looks for "uncased" in the file's own name, and for SentencePiece is True (TF-NLP's default).
    tokenizer: TOKENIZER: a tokenizer, or a function without arguments that makes one.
    recorded: content of a Hugging Face tokenizer_config.json that came with the vocabulary.
    recorded_in: its name, for messages.

  Returns:
    The tokenizer and lines to print and record, one for each thing not said by the request.

  Raises:
    RequestError: not exactly one of the three is given, or the record contradicts the request.
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
  if vocab_file:
    lower_case, notes = _lower_case(vocab_file, do_lower_case, recorded, recorded_in)
    return wordpiece(vocab_file, lower_case), notes
  assert sp_model_file is not None
  if do_lower_case is None:
    return sentencepiece(sp_model_file, True), (
        'do_lower_case = True (not given; the default for SentencePiece models)',)
  return sentencepiece(sp_model_file, do_lower_case), ()


def _made(tokenizer: Callable[[], Tokenizer] | Tokenizer) -> Tokenizer:
  made: Any = tokenizer
  if not isinstance(made, Tokenizer) and callable(made):
    made = made()
  if not isinstance(made, Tokenizer):
    lacks = [name for name in ('kind', 'asset_file', 'lower_case', 'vocab_size',
                               'special_token_ids', 'description', 'check', 'build')
             if not hasattr(made, name)]
    raise RequestError(
        f'TOKENIZER gave {made!r}, which is no tokenizer: it lacks {", ".join(lacks)}. '
        'See the class Tokenizer in nlp_export/tokenizers.py for what one needs.')
  return made


def _lower_case(
    vocab_file: str, do_lower_case: bool | None, recorded: Mapping[str, Any] | None,
    recorded_in: str) -> tuple[bool, tuple[str, ...]]:
  """Whether a WordPiece vocabulary is uncased: as asked, as recorded, or by the file's name."""
  if recorded is not None:
    noted = lower_case_from_record(recorded, recorded_in)
    if noted is not None:
      if do_lower_case is not None and bool(do_lower_case) != noted:
        raise RequestError(
            f'DO_LOWER_CASE is {do_lower_case}, but {recorded_in} says do_lower_case {noted}: the '
            'encoder was trained on text prepared that way. '
            f'Leave DO_LOWER_CASE out, or write --set DO_LOWER_CASE={noted}.')
      return noted, (f'do_lower_case = {noted} (from {recorded_in})',)
  if do_lower_case is not None:
    return do_lower_case, ()
  guess = 'uncased' in files.basename(vocab_file)
  return guess, (
      f'do_lower_case = {guess} (not given; guessed, because the file name '
      f'{files.basename(vocab_file)} has {"" if guess else "no "}"uncased" in it; '
      f'--set DO_LOWER_CASE={not guess} if that is wrong)',)


def lower_case_from_record(recorded: Mapping[str, Any], recorded_in: str) -> bool | None:
  """`do_lower_case` of a Hugging Face tokenizer_config.json, None if it does not say.

  Raises:
    RequestError: it asks for a normalisation that BERT's tokenizer in TensorFlow does not have.
  """
  lower_case = recorded.get('do_lower_case')
  strip_accents = recorded.get('strip_accents')
  if strip_accents is not None and lower_case is not None and strip_accents != lower_case:
    raise RequestError(
        f'{recorded_in} has do_lower_case {lower_case} with strip_accents {strip_accents}: the '
        'WordPiece tokenizer here does both or neither. '
        'Write an own tokenizer and give it as TOKENIZER.')
  if recorded.get('tokenize_chinese_chars') is False:
    raise RequestError(
        f'{recorded_in} has tokenize_chinese_chars false: the WordPiece tokenizer here always '
        'makes a word of each Chinese character. '
        'Write an own tokenizer and give it as TOKENIZER.')
  return None if lower_case is None else bool(lower_case)


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
