"""What vectors does an export give to texts, fast?

Texts are tokenised, sorted by length, cut into batches of about as many tokens each, which run on
every core at once, each core one batch; then put back into their order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the preprocessor's operations.

from nlp_export import names, poolings, text_inputs, vocabularies
from nlp_export.embedding import fast_call
from nlp_export.embedding.request import BFLOAT16, DEFAULT_MAX_SEQ_LENGTH, FLOAT32, Model
from nlp_export.errors import CheckError, RequestError
from nlp_export.glue.fine_tuning import one_length, recipe, runtime
from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts
from nlp_export.running import interrupts

# A batch of so many tokens stays in the caches of a core, and its operations are large enough.
TOKENS_IN_BATCH = 1024
_CHUNK_TEXTS = 1_000  # Tokenised at a time.
_LEAST_COSINE = 0.999  # Between bfloat16 and float32 on the probe.
_PROBE = ('', 'A short text.', 'A text that is longer than the two others, so that rows differ.')


def use_cores() -> None:
  """One thread for each operation, one batch for each core; if TensorFlow has not begun here."""
  with contextlib.suppress(RuntimeError):  # It has.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(cores())


def cores() -> int:
  """Cores that this process may use."""
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # Not on Linux.
    return os.cpu_count() or 1


class Embedder:
  """An export, loaded.

  Attributes:
    dim: length of a vector.
    notes: what a user should know of how it computes.
  """

  def __init__(self, model: Model, precision: str = FLOAT32):
    """Loads and compiles.

    Args:
      model: what to load, with the paths of directories that are safe to load.
      precision: 'float32' or 'bfloat16'.

    Raises:
      CheckError: it cannot be loaded, or bfloat16 is too coarse for it.
      RequestError: it is not what `model` says.
    """
    root = _load(model.export)
    encode, embed, length, preprocessor = _parts(root, model)
    self._encode, self._length = encode, length
    self._padding_id = _padding_id(preprocessor) if length is not None else 0
    self._tokenising = futures.ThreadPoolExecutor(cores())
    # Threads of their own: TensorFlow keeps the precision that a thread's first call has met.
    self._computing = futures.ThreadPoolExecutor(cores())
    probe = _as_inputs(encode(_PROBE))
    self._call, why = fast_call.make(embed, probe, length)
    self.notes: tuple[str, ...] = (f'{model.export} is used as it is: {why}',) if why else ()
    exact = self._call(probe).numpy()
    self.dim = int(exact.shape[1])
    self._precision = recipe.FLOAT32
    if precision == BFLOAT16:
      self._precision = recipe.MIXED_BFLOAT16
      self.notes += self._check_bfloat16(model.export, probe, exact)

  def _check_bfloat16(
      self, export: str, probe: fast_call.Inputs, exact: np.ndarray) -> tuple[str, ...]:
    if not runtime.has_bfloat16():
      return ('bfloat16 had no effect: this processor computes in float32',)
    with runtime.precision(self._precision):
      coarse = self._call(probe).numpy()
    cosine = least_cosine(coarse, exact)
    if not cosine >= _LEAST_COSINE:
      raise CheckError(
          f'In bfloat16 {export} gives vectors whose cosine to those in float32 is {cosine:.4f} '
          f'on {len(_PROBE)} texts, and less than {_LEAST_COSINE} is too coarse. Write --set '
          'PRECISION=float32')
    return ()

  def embed(
      self, texts: Sequence[str | bytes], progress: Callable[[int], None] = lambda done: None
  ) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of texts.

    Args:
      texts: any number; all of them, tokenised, and their vectors are kept in memory.
      progress: is told how many texts are done.

    Returns:
      float32 [len(texts), dim], and int32 [len(texts)]: tokens of each, special ones included.
    """
    starts = range(0, len(texts), _CHUNK_TEXTS)
    chunks = self._tokenising.map(lambda s: _rows(self._encode(texts[s:s + _CHUNK_TEXTS])), starts)
    rows = _joined(list(chunks))
    vectors = np.zeros([len(texts), self.dim], np.float32)
    done = 0
    with runtime.precision(self._precision):
      running = {self._computing.submit(self._one_batch, rows, batch): batch
                 for batch in batches(rows.lengths, self._length)}
      try:
        for finished in futures.as_completed(running):
          interrupts.check()
          batch = running.pop(finished)
          vectors[batch] = finished.result()
          done += len(batch)
          progress(done)
      finally:
        for waiting in running:
          waiting.cancel()
        futures.wait(running)  # Within the precision that they began with.
    return vectors, rows.lengths

  def _one_batch(self, rows: TokenisedTexts, batch: np.ndarray) -> np.ndarray:
    length = self._length or max(1, int(rows.lengths[batch].max()))
    return self._call(with_padding(rows.padded(batch, length), self._padding_id)).numpy()

  def close(self) -> None:
    """Ends the threads."""
    for pool in (self._tokenising, self._computing):
      pool.shutdown(wait=True, cancel_futures=True)


def embed(
    model: str, preprocessing: str, texts: Sequence[str], max_seq_length: int = 128) -> np.ndarray:
  """Unit vectors of texts, by mean pooling.

  Args:
    model: directory of an encoder's SavedModel.
    preprocessing: directory of its preprocessing SavedModel.
    texts: any number.
    max_seq_length: tokens; longer texts are cut.

  Returns:
    float32 [len(texts), width], each row of length 1.
  """
  embedder = Embedder(Model(
      model, preprocessing, poolings.MEAN, normalize=True, max_seq_length=max_seq_length))
  try:
    return embedder.embed(texts)[0]
  finally:
    embedder.close()


def batches(lengths: np.ndarray, fixed: int | None = None) -> Iterator[np.ndarray]:
  """Rows of like length together, the longest first, so that no core is left with them at the end.

  Args:
    lengths: int32 [N], tokens.
    fixed: the length that every row is padded to, if it is.

  Yields:
    Positions of rows; padded to the longest of them they have at most TOKENS_IN_BATCH tokens, or
    there is only one.
  """
  order = np.argsort(-lengths, kind='stable')
  start = 0
  while start < len(order):
    longest = max(1, int(fixed or lengths[order[start]]))
    count = max(1, TOKENS_IN_BATCH // longest)
    yield order[start:start + count]
    start += count


def with_padding(inputs: dict[str, np.ndarray], padding_id: int) -> dict[str, np.ndarray]:
  """Encoder inputs with this id at padding, for encoders that have no mask to see it by."""
  ids, mask = inputs[names.INPUT_WORD_IDS], inputs[names.INPUT_MASK]
  return {**inputs, names.INPUT_WORD_IDS: np.where(mask > 0, ids, np.int32(padding_id))}


def least_cosine(some: np.ndarray, others: np.ndarray) -> float:
  """The least cosine between rows of the same number; 1 for no rows."""
  norms = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
  return float(np.min(np.sum(some * others, axis=1) / np.maximum(norms, 1e-30), initial=1.0))


def _load(path: str) -> Any:
  try:
    return tf.saved_model.load(path)
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise CheckError(f'{path} cannot be loaded: {error}') from error


def _padding_id(preprocessor: Any) -> int:
  tokens: dict[str, Any] = getattr(preprocessor.tokenize, 'get_special_tokens_dict', dict)()
  return int(tokens.get(names.PADDING_ID, 0))


def _parts(
    root: Any, model: Model) -> tuple[Callable[..., Any], fast_call.Call, int | None, Any]:
  """What a loaded export can do.

  Returns:
    texts -> encoder inputs; encoder inputs -> vectors; the only length of a row or None; what has
    `tokenize`.
  """
  whole = callable(getattr(root, 'embed_tokens', None)) and hasattr(root, 'encoder_inputs')
  if whole != (model.preprocessing is None):
    raise RequestError(_wrong_kind(model, whole))
  normalize = model.normalize

  def finished(vectors: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(vectors, axis=-1) if normalize else vectors

  if whole:
    encode = root.encoder_inputs
    # A text without tokens is [CLS] and [SEP]; where more comes back, rows have one length.
    least = int(encode(tf.constant(['']))[names.INPUT_WORD_IDS].shape[1])
    return (lambda texts: encode(tf.constant(texts, tf.string)),
            lambda inputs: finished(root.embed_tokens(inputs, training=False)),
            least if least > 2 else None, root)
  vocabularies.refuse_other(model.export, str(model.preprocessing))
  preprocessor, pooling = _load(str(model.preprocessing)), model.pooling or poolings.MEAN
  length, most = one_length.of_signature(root), model.max_seq_length or DEFAULT_MAX_SEQ_LENGTH
  if length is not None and most != length:
    raise RequestError(
        f'MAX_SEQ_LENGTH is {most}, but {model.export} takes rows of {length} tokens and no '
        f'others. Write --set MAX_SEQ_LENGTH={length}')
  if text_inputs.needs_whole_rows(model.export, model.max_seq_length):
    length = most

  def encode_texts(texts: Sequence[str | bytes]) -> Any:
    return text_inputs.encoder_inputs(
        preprocessor, [tf.constant(texts, tf.string)], most, fixed=length is not None)

  def embed_tokens(inputs: fast_call.Inputs) -> tf.Tensor:
    return finished(poolings.pool(
        pooling, root(dict(inputs), training=False), inputs[names.INPUT_MASK]))

  return encode_texts, embed_tokens, length, preprocessor


def _wrong_kind(model: Model, whole: bool) -> str:
  if whole:
    return (f'EXPORT {model.export} is a text_embedding, which has its preprocessing and pooling '
            'inside. Leave PREPROCESSING, POOLING and MAX_SEQ_LENGTH out')
  return (f'EXPORT {model.export} is no text_embedding, so that its texts must be preprocessed and '
          'its outputs pooled. Write --set PREPROCESSING=... --set POOLING=mean, or give what '
          "EXPORT_TYPES = ('text_embedding',) writes")


def _as_inputs(packed: Any) -> dict[str, Any]:
  return {name: packed[name] for name in names.ENCODER_INPUTS}


def _rows(packed: Any) -> TokenisedTexts:
  """Packed rows without their padding, which has to be at their end."""
  values = {name: np.asarray(packed[name]) for name in names.ENCODER_INPUTS}
  mask = values[names.INPUT_MASK] > 0
  if (mask[:, 1:] & ~mask[:, :-1]).any():
    raise RequestError(
        'The preprocessing pads rows in front or between tokens, not at their end, so that rows '
        "cannot be cut to their length. Use one that pads at the end, as TF Hub's text API has it")
  return TokenisedTexts(
      values[names.INPUT_WORD_IDS][mask].astype(np.int32),
      values[names.INPUT_TYPE_IDS][mask].astype(np.int32),
      np.concatenate([[0], np.cumsum(mask.sum(axis=1), dtype=np.int64)]))


def _joined(parts: Sequence[TokenisedTexts]) -> TokenisedTexts:
  lengths = [np.zeros(0, np.int64), *(part.lengths for part in parts)]
  return TokenisedTexts(
      np.concatenate([np.zeros(0, np.int32), *(part.word_ids for part in parts)]),
      np.concatenate([np.zeros(0, np.int32), *(part.type_ids for part in parts)]),
      np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)]))
