"""What is to be embedded, by what, and into which kind of file?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nlp_export import poolings, text_inputs
from nlp_export.errors import RequestError

FLOAT32, BFLOAT16 = 'float32', 'bfloat16'
PRECISIONS = (FLOAT32, BFLOAT16)
PARQUET, NPY = 'parquet', 'npy'
FORMATS = (PARQUET, NPY)
DEFAULT_MAX_SEQ_LENGTH = 128


@dataclasses.dataclass(frozen=True)
class Model:
  """What makes vectors of texts.

  Attributes:
    export: EXPORT: a text_embedding, or an encoder.
    preprocessing: PREPROCESSING: of an encoder; None for a text_embedding, which has its own.
    pooling: POOLING: likewise.
    normalize: NORMALIZE: whether vectors are scaled to length 1, whatever the export does.
    max_seq_length: MAX_SEQ_LENGTH: as for `preprocessing`.
  """

  export: str
  preprocessing: str | None = None
  pooling: str | Sequence[str] | None = None
  normalize: bool = False
  max_seq_length: int | None = None


@dataclasses.dataclass(frozen=True)
class Request:
  """A whole embedding.

  Attributes:
    model: what makes the vectors.
    text_file: TEXT_FILE.
    text_column: TEXT_COLUMN; None for a text a line.
    format: FORMAT: of FORMATS.
    precision: PRECISION: of PRECISIONS.
    part_texts: PART_TEXTS: texts that are sorted and stored together.
    allowed_ops: ALLOWED_OPS: see nlp_export.handles.
  """

  model: Model
  text_file: str
  text_column: str | None
  format: str
  precision: str
  part_texts: int
  allowed_ops: tuple[str, ...]


def model_of(
    export: str, preprocessing: str | None, pooling: str | Sequence[str] | None,
    normalize: bool, max_seq_length: int | None,
) -> Model:
  """The model that macros describe.

  Raises:
    RequestError: they do not go together.
  """
  if preprocessing is None:
    given = [name for name, value in (('POOLING', pooling), ('MAX_SEQ_LENGTH', max_seq_length))
             if value is not None]
    if given:
      raise RequestError(
          f'{given[0]} is given and PREPROCESSING is not: then EXPORT has to be a text_embedding, '
          f'which has its own. Leave {given[0]} out, or write --set PREPROCESSING=...')
    return Model(export, normalize=normalize)
  if pooling is None:
    raise RequestError(
        'PREPROCESSING is given, so EXPORT is an encoder, and what its outputs become is open. '
        f'The poolings are {", ".join(poolings.POOLINGS)}: write --set POOLING=mean')
  poolings.check(pooling)
  length = DEFAULT_MAX_SEQ_LENGTH if max_seq_length is None else max_seq_length
  text_inputs.check_max_seq_length(length)
  return Model(export, preprocessing, pooling, normalize, length)


def check(request: Request) -> None:
  """Raises RequestError for a value that is none of those that are known."""
  for name, value, known in (('FORMAT', request.format, FORMATS),
                             ('PRECISION', request.precision, PRECISIONS)):
    if value not in known:
      raise RequestError(f'{name} is {value!r}, which is none of {", ".join(known)}. '
                         f'Write --set {name}={known[0]}')
  parts = request.part_texts
  if isinstance(parts, bool) or not isinstance(parts, int) or parts < 1:
    raise RequestError(f'PART_TEXTS is {parts!r}, but a part has one text or more. '
                       'Write --set PART_TEXTS=20000')
