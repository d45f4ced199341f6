"""What does a WordPiece vocabulary file hold, and is it fit to be published?

Read as TensorFlow's TextFileInitializer reads it (the training-time tables of TF-NLP): one token a
line, the id is the line number from 0, carriage returns are dropped, nothing else is stripped.
"""

from __future__ import annotations

from collections.abc import Sequence

from nlp_export import files
from nlp_export.errors import RequestError

# TPUs like embedding tables padded to a multiple of this; so do many published checkpoints.
EMBEDDING_ROWS_MULTIPLE = 128

_BYTE_ORDER_MARK = b'\xef\xbb\xbf'


def read_vocabulary(path: str, required_tokens: Sequence[str] = ()) -> tuple[str, ...]:
  """Tokens of a WordPiece vocabulary file, in the order of their ids.

  Args:
    path: a UTF-8 text file, one token a line; LF and CRLF line ends are both right.
    required_tokens: tokens without which no text can be encoded, '[UNK]' for one.

  Returns:
    The tokens; their position is their id.

  Raises:
    RequestError: the file is missing, empty, not UTF-8, starts with a byte-order mark, has a blank
      line or a token twice, or lacks a required token. Line numbers in messages count from 1.
  """
  data = files.read_bytes(path)
  if data.startswith(_BYTE_ORDER_MARK):
    raise RequestError(
        f'Vocabulary {path}, line 1: starts with a UTF-8 byte-order mark, which would become part '
        'of the first token. Some Windows editors write it. Save the file as "UTF-8 without BOM".')
  lines = data.replace(b'\r', b'').split(b'\n')
  if not lines[-1]:
    lines.pop()  # What follows the last line end is no line.
  if not any(lines):
    raise RequestError(
        f'Vocabulary {path}: is empty. Give the vocab.txt that the encoder was trained with, one '
        'token a line.')
  tokens = [_decoded(line, path, number) for number, line in enumerate(lines, start=1)]
  _check_lines(tokens, path)
  missing = [token for token in required_tokens if token not in set(tokens)]
  if missing:
    raise RequestError(
        f'Vocabulary {path}, lines 1 to {len(tokens)}: no {", no ".join(missing)}. Without these '
        'tokens text cannot be encoded as the encoder was trained to read it. Is it the '
        "encoder's own vocab.txt? If its special tokens have other names, give them to "
        'tokenizers.wordpiece (unknown, start_of_sequence, end_of_segment, padding).')
  return tuple(tokens)


def _decoded(line: bytes, path: str, number: int) -> str:
  try:
    return line.decode('utf-8')
  except UnicodeDecodeError as error:
    raise RequestError(
        f'Vocabulary {path}, line {number}: not UTF-8 (byte {error.start + 1} of the line is '
        f'0x{line[error.start]:02x}). It was written in another encoding, or is no text file. '
        'Convert it with iconv -f <its encoding> -t utf-8.') from error


def _check_lines(tokens: Sequence[str], path: str) -> None:
  seen: dict[str, int] = {}
  for number, token in enumerate(tokens, start=1):
    if not token:
      raise RequestError(
          f'Vocabulary {path}, line {number}: blank. A line number is a token id, so every line '
          'must hold a token. If the file was edited, take the original; if the encoder was '
          'trained with that row unused, write a placeholder such as [unused0] there.')
    if token in seen:
      raise RequestError(
          f'Vocabulary {path}, line {number}: {token!r} stands on line {seen[token]} already, so '
          'it would have two ids. If the encoder was trained with that row unused, write a '
          'placeholder such as [unused0] on the second line.')
    seen[token] = number


def check_embedding_rows(vocab_size: int, embedding_rows: int, path: str) -> None:
  """Refuses a vocabulary that cannot be the one an embedding table was trained with.

  Args:
    vocab_size: number of tokens.
    embedding_rows: rows of the encoder's word embedding table (`vocab_size` in its configuration).
    path: the vocabulary's file, for the message.

  Raises:
    RequestError: more tokens than rows, or fewer than rows by more than padding explains.
  """
  if vocab_size > embedding_rows:
    raise RequestError(
        f'{path} has {vocab_size} tokens, but the encoder has {embedding_rows} word embeddings: '
        f'ids from {embedding_rows} on would have none. It is the vocabulary of another encoder. '
        'Give the one that this encoder was trained with.')
  padded = -(-vocab_size // EMBEDDING_ROWS_MULTIPLE) * EMBEDDING_ROWS_MULTIPLE
  if embedding_rows > padded:
    raise RequestError(
        f'{path} has {vocab_size} tokens, but the encoder has {embedding_rows} word embeddings; '
        f'padding to a multiple of {EMBEDDING_ROWS_MULTIPLE} would explain {padded} at most. It '
        'is the vocabulary of another encoder, or was cut short. '
        'Give the one that this encoder was trained with.')
