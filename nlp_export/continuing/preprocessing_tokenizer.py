"""How does a preprocessing SavedModel, anybody's, serve as the tokenizer of a training?"""

from __future__ import annotations

from typing import Any

from nlp_export import files, names, tokenizers
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import words
from nlp_export.tokenization import vocabulary

KIND = 'preprocessing SavedModel'
_NEEDED = (names.PADDING_ID, names.START_OF_SEQUENCE_ID, names.END_OF_SEGMENT_ID)


class PreprocessingTokenizer:
  """What the data of a training asks of a tokenizers.Tokenizer, answered by a SavedModel.

  Attributes:
    loaded: the SavedModel.
    kind: for messages.
    asset_file: the vocabulary or model in its assets/; None if there is not exactly one file.
    vocab_size: one past the largest id.
    lower_case: False: nobody asks a SavedModel's setting, which its graph has.
  """

  kind = KIND
  lower_case = False

  def __init__(self, loaded: Any, path: str):
    """Reads its special tokens.

    Args:
      loaded: the SavedModel.
      path: its directory.

    Raises:
      RequestError: it is no preprocessing SavedModel.
    """
    self.loaded = loaded  # Its tables live as long as it does.
    self._tokenize = getattr(loaded, 'tokenize', None)
    special = getattr(self._tokenize, 'get_special_tokens_dict', None)
    if special is None:
      raise RequestError(
          f'PREPROCESSING {path} has no tokenize.get_special_tokens_dict(), so it is not the '
          "preprocessing of TF Hub's text API. Give the preprocessing SavedModel that belongs to "
          'EXPORT, such as exports/preprocessing of gin/runs/export.gin')
    self._ids = {name: int(value) for name, value in special().items()}
    assets = files.join(path, 'assets')
    found = files.list_dir(assets) if files.is_dir(assets) else []
    self.asset_file = files.join(assets, found[0]) if len(found) == 1 else None
    self.vocab_size = self._ids.get(names.VOCAB_SIZE) or 0
    if not self.vocab_size or any(name not in self._ids for name in _NEEDED):
      lacks = [name for name in (names.VOCAB_SIZE, *_NEEDED) if name not in self._ids]
      raise RequestError(
          f'The special tokens of PREPROCESSING {path} lack {", ".join(lacks)}, without which no '
          "row of text can be made. Export it anew with gin/runs/export.gin and its vocabulary")

  def special_token_ids(self) -> dict[str, int]:
    """What get_special_tokens_dict() gives."""
    return dict(self._ids)

  def description(self) -> str:
    """One sentence."""
    name = files.basename(self.asset_file) if self.asset_file else 'no file'
    return f'{KIND} with {self.vocab_size} tokens ({name}).'

  def check(self, embedding_rows: int | None = None) -> None:
    """Raises RequestError if a table of so many rows does not fit the vocabulary."""
    if embedding_rows is not None:
      vocabulary.check_embedding_rows(
          self.vocab_size, embedding_rows, self.asset_file or 'of PREPROCESSING')

  def build(self, with_offsets: bool) -> Any:
    """An object whose `tokenize` takes string [batch] and gives ragged ids."""
    del with_offsets
    return self

  def tokenize(self, sentences: Any) -> Any:
    """RaggedTensor int32 [batch, (tokens)] or [batch, (words), (pieces)] of string [batch]."""
    assert self._tokenize is not None  # noqa: S101 - __init__ saw to it.
    return self._tokenize(sentences)

  def to_json(self) -> dict[str, Any]:
    """What decides the ids, as far as it can be seen from outside."""
    return {'kind': KIND, 'special_token_ids': dict(sorted(self._ids.items())),
            'asset_sha256': files.sha256(self.asset_file) if self.asset_file else None}


class WithWords(PreprocessingTokenizer):
  """One whose file tells which ids begin a word: whole words can be masked."""

  def __init__(self, loaded: Any, path: str, starts: tuple[bool, ...]):
    """`starts`: a bool for each id."""
    super().__init__(loaded, path)
    self._starts = starts

  def starts_word(self) -> tuple[bool, ...]:
    """Whether a word begins with it, for each id."""
    return self._starts


def load(path: str) -> PreprocessingTokenizer:
  """Loads a preprocessing SavedModel.

  Args:
    path: a local directory.

  Raises:
    RequestError: it cannot be loaded, or is something else.
  """
  import tensorflow as tf
  import tensorflow_text  # noqa: F401 - registers its operations.

  try:
    loaded = tf.saved_model.load(path)
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise RequestError(f'PREPROCESSING {path} cannot be loaded: {error}. '
                       'Check it with gin/runs/verify.gin') from error
  found = PreprocessingTokenizer(loaded, path)
  starts = _starts_word(found)
  return found if starts is None else WithWords(loaded, path, starts)


def _starts_word(found: PreprocessingTokenizer) -> tuple[bool, ...] | None:
  """By the one file in assets/: a WordPiece vocabulary or a SentencePiece model; None: neither."""
  if found.asset_file is None:
    return None
  try:
    if b'\0' in files.read_bytes(found.asset_file):
      starts = words.starts_word(tokenizers.SentencePiece(found.asset_file, False))
    else:
      tokens = vocabulary.read_vocabulary(found.asset_file, ())
      starts = tuple(not token.startswith('##') for token in tokens)
  except RequestError:  # A file of another kind: whole words cannot be masked, all else can.
    return None
  return starts if starts is not None and len(starts) == found.vocab_size else None
