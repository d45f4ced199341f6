"""What is a tokenizer to this project: the protocol, and the two that it brings?

Light: reading, checks and descriptions need no TensorFlow; `build()` imports it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.tokenization import vocabulary

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

  @property
  def kind(self) -> str: ...

  @property
  def asset_file(self) -> str | None: ...

  @property
  def lower_case(self) -> bool: ...

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
  """BERT's tokenizer: see tokenizers.wordpiece, which makes one."""

  vocab_file: str
  lower_case: bool
  split_at_unicode_spaces: bool = False
  padding: str = '[PAD]'
  unknown: str = '[UNK]'
  start_of_sequence: str = '[CLS]'
  end_of_segment: str = '[SEP]'
  mask: str = '[MASK]'
  strip_accents: bool | None = None
  split_chinese_characters: bool = True
  split_unknown_characters: bool = False
  preserve_unused_token: bool = False

  kind = WORDPIECE
  why_no_offsets = ''

  @property
  def asset_file(self) -> str:
    return self.vocab_file

  @property
  def strips_accents(self) -> bool:
    """`strip_accents`, or what `lower_case` brings along where that is None."""
    return self.lower_case if self.strip_accents is None else self.strip_accents

  @property
  def why_classic(self) -> str:
    """Which settings tf.text's fast operations do not have; '' if they have all of them."""
    return ' and '.join(text for applies, text in (
        (not self.split_chinese_characters, 'split_chinese_characters = False'),
        (self.split_unknown_characters, 'split_unknown_characters = True'),
        (self.preserve_unused_token, 'preserve_unused_token = True')) if applies)

  @functools.cached_property
  def vocabulary(self) -> tuple[str, ...]:
    """The tokens in the order of their ids; raises RequestError for a file that is not fit."""
    return vocabulary.read_vocabulary(
        self.vocab_file,
        (self.unknown, self.start_of_sequence, self.end_of_segment, self.padding))

  @property
  def vocab_size(self) -> int:
    return len(self.vocabulary)

  def special_token_ids(self) -> dict[str, int]:
    ids = {token: number for number, token in enumerate(self.vocabulary)}
    return _special_token_ids(self, ids.get)

  def description(self) -> str:
    folds = self.lower_case and self.strips_accents
    unsplit = 'U+1680, U+2028 and U+2029' if folds else 'Unicode spaces other than ASCII ones'
    spaces = ('Words separate at all Unicode spaces, as in the original BERT and Hugging Face.'
              if self.split_at_unicode_spaces else
              'Words separate as in TF-NLP (tf.text.BertTokenizer), which takes '
              f'{unsplit} as parts of words.')
    options = [text for applies, text in (
        (not self.split_chinese_characters,
         'Chinese characters are parts of words like other letters.'),
        (self.split_unknown_characters,
         f'A character without a piece is {self.unknown} by itself; the rest of its word is kept.'),
        (self.preserve_unused_token, 'Text such as [unused0] is the token of that name.'),
        (self.why_classic,
         "Ids come from tf.text's classic operations, which are exact and slower: its fast ones "
         f'do not have {self.why_classic}.')) if applies]
    return ' '.join([
        f'WordPiece with {self.vocab_size} tokens ({files.basename(self.vocab_file)}); '
        f'{_CASES[self.lower_case, self.strips_accents]}.', spaces, *options])

  def check(self, embedding_rows: int | None = None) -> None:
    if not isinstance(self.lower_case, bool):
      raise RequestError(
          f'tokenizers.wordpiece: lower_case is {self.lower_case!r}, not True or False. '
          'Write --set DO_LOWER_CASE=True for an uncased vocabulary, False for a cased one.')
    _check_switches(self, 'tokenizers.wordpiece', _SWITCHES)
    if self.strip_accents is not None and not isinstance(self.strip_accents, bool):
      raise RequestError(
          f'tokenizers.wordpiece: strip_accents is {self.strip_accents!r}, not True, False or '
          'None. Write None to strip accents where lower_case is True, and only there.')
    if embedding_rows is not None:
      vocabulary.check_embedding_rows(self.vocab_size, embedding_rows, self.vocab_file)
    else:
      self.vocabulary  # noqa: B018 - reading is the check.

  def build(self, with_offsets: bool) -> Any:
    if self.why_classic:
      from nlp_export.tokenization import classic_wordpiece_graph

      return classic_wordpiece_graph.ClassicWordPieceGraph(self)
    from nlp_export.tokenization import wordpiece_graph

    return wordpiece_graph.WordPieceGraph(self)


# (lower_case, strips_accents) -> what is done to text first.
_CASES = {
    (True, True): 'lower-cases and strips accents (Unicode NFKC case folding, NFD, no marks)',
    (True, False): 'lower-cases and keeps accents (Unicode lower case)',
    (False, True): 'keeps case and strips accents (NFD, no marks)',
    (False, False): 'keeps case and accents',
}
_SWITCHES = ('split_at_unicode_spaces', 'split_chinese_characters', 'split_unknown_characters',
             'preserve_unused_token')


def settings(tokenizer: WordPiece | SentencePiece) -> dict[str, Any]:
  """All settings but the file, as they are recorded beside checkpoints and prepared text.

  What decides no id is the same: `strip_accents` is left out where it says what `lower_case` says,
  and so are the settings that came later, where they have their defaults: what was recorded before
  stays equal.
  """
  found = {}
  for field in dataclasses.fields(tokenizer):
    value = getattr(tokenizer, field.name)
    if field.name == 'strip_accents' and value == tokenizer.lower_case:
      value = None
    if not field.name.endswith('_file') and not (
        field.name in _LATER and value == field.default):
      found[field.name] = value
  return found


# Settings that earlier records do not have.
_LATER = ('strip_accents', 'split_chinese_characters', 'split_unknown_characters',
          'preserve_unused_token')


def _check_switches(tokenizer: Any, part: str, names_: tuple[str, ...]) -> None:
  for name in names_:
    value = getattr(tokenizer, name)
    if not isinstance(value, bool):
      raise RequestError(f'{part}: {name} is {value!r}, which is neither True nor False. '
                         f'Write --set {part}.{name}=True, or False.')


@dataclasses.dataclass(frozen=True)
class SentencePiece:
  """ALBERT's tokenizer: see tokenizers.sentencepiece, which makes one."""

  model_file: str
  lower_case: bool
  strip_diacritics: bool = True
  padding: str = '<pad>'
  start_of_sequence: str = '[CLS]'
  end_of_segment: str = '[SEP]'
  mask: str = '[MASK]'

  kind = SENTENCEPIECE
  why_no_offsets = ''

  @property
  def asset_file(self) -> str:
    return self.model_file

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
    _check_switches(self, 'tokenizers.sentencepiece', ('lower_case', 'strip_diacritics'))
    needed = {names.PADDING_ID: self.padding, names.START_OF_SEQUENCE_ID: self.start_of_sequence,
              names.END_OF_SEGMENT_ID: self.end_of_segment}
    found = self.special_token_ids()
    missing = [token for key, token in needed.items() if key not in found]
    if missing:
      raise RequestError(
          f'SentencePiece model {self.model_file}: no piece {", no piece ".join(missing)} among '
          f'its {self.vocab_size}. BERT inputs need them. If they have other names in this model, '
          'give them to tokenizers.sentencepiece (padding, start_of_sequence, end_of_segment).')
    if embedding_rows is not None:
      vocabulary.check_embedding_rows(self.vocab_size, embedding_rows, self.model_file)

  def build(self, with_offsets: bool) -> Any:
    from nlp_export.tokenization import sentencepiece_graph

    return sentencepiece_graph.SentencePieceGraph(self)


def _special_token_ids(
    tokenizer: WordPiece | SentencePiece, find: Callable[[str], int | None]) -> dict[str, int]:
  """vocab_size and the ids of the special tokens that `find` knows."""
  tokens = {
      names.PADDING_ID: tokenizer.padding,
      names.START_OF_SEQUENCE_ID: tokenizer.start_of_sequence,
      names.END_OF_SEGMENT_ID: tokenizer.end_of_segment,
      names.MASK_ID: tokenizer.mask,
  }
  found = {key: find(token) for key, token in tokens.items()}
  return {names.VOCAB_SIZE: tokenizer.vocab_size,
          **{key: number for key, number in found.items() if number is not None}}
