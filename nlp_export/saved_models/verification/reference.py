"""What does the restored encoder return, and how does that reach a process without TF-NLP?

In an .npz of a few sentences with the encoder's outputs on them, and a list of the variables'
SHA-256. The parent, which has the restored encoder, writes both; the worker compares.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from nlp_export import files, names

# Texts of several lengths, one and two segments; what a tokenizer meets: case, accents,
# punctuation, numbers, other scripts.
SENTENCES: tuple[tuple[str, ...], ...] = (
    ('A good film.',),
    ('It is not the best story of the year, but it is one of the warmest.',),
    ('Where was the meeting held?', 'The meeting was held in Zürich on 4 May 1998.'),
    ('She said: "I never meant to stay; the café was closing, the rain had stopped, and there was '
     'nobody left in the whole street to talk to about what had happened that night."',
     'Nobody was left in the street.'),
    ('中国 is written with 2 characters.', 'Déjà vu'),
    ('Yes', 'No'),
)


@dataclasses.dataclass(frozen=True)
class Batch:
  """One batch of inputs and, if the maker gave them, the restored encoder's outputs on it.

  Attributes:
    inputs: the encoder's three, each int32 [batch, seq_length].
    positions: masked_lm_positions, int32 [batch, num_predictions].
    outputs: float32 arrays by name; `encoder_outputs` is a list. {} if there are none.
  """

  inputs: dict[str, np.ndarray]
  positions: np.ndarray
  outputs: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def mlm_inputs(self) -> dict[str, np.ndarray]:
    """The four inputs of `.mlm`."""
    return {**self.inputs, names.MASKED_LM_POSITIONS: self.positions}


def sentence_batches(token_ids: Sequence[Sequence[Sequence[int]]], *, start_of_sequence_id: int,
                     end_of_segment_id: int, padding_id: int, max_positions: int,
                     type_vocab_size: int) -> list[Batch]:
  """Batches for `save_reference`: all sentences padded to one length, then one without padding.

  Args:
    token_ids: for each example (as SENTENCES) the ids of its one or two segments.
    start_of_sequence_id, end_of_segment_id, padding_id: of the tokenizer.
    max_positions: longer examples are cut to this (at most 64 ids are used).
    type_vocab_size: with 1, every token has type 0.
  """
  limit = min(max_positions, 64)
  rows = []
  for segments in token_ids:
    ids, types = [start_of_sequence_id], [0]
    for number, segment in enumerate(segments):
      ids += [*segment, end_of_segment_id]
      types += [min(number, type_vocab_size - 1)] * (len(segment) + 1)
    rows.append((ids[:limit], types[:limit]))
  longest = max(len(ids) for ids, _ in rows)
  padded = _batch(rows, min(longest + 3, limit), padding_id)
  return [padded, _batch(rows[:1], len(rows[0][0]), padding_id)]


def _batch(rows: Sequence[tuple[Any, Any]], seq_length: int,
           padding_id: int) -> Batch:
  shape = (len(rows), seq_length)
  word_ids, mask, types = np.full(shape, padding_id), np.zeros(shape), np.zeros(shape)
  for i, (row_ids, row_types) in enumerate(rows):
    word_ids[i, :len(row_ids)] = row_ids
    mask[i, :len(row_ids)] = 1
    types[i, :len(row_ids)] = row_types
  inputs = dict(zip(names.ENCODER_INPUTS, (word_ids, mask, types), strict=True))
  positions = np.array([[0, seq_length // 2, seq_length - 1]] * len(rows))
  return Batch({k: v.astype(np.int32) for k, v in inputs.items()}, positions.astype(np.int32))


def random_batches(vocab_size: int, max_positions: int, type_vocab_size: int,
                   seed: int = 0) -> list[Batch]:
  """Batches of random ids, for an export about which nothing else is known."""
  rng = np.random.default_rng(seed)
  rows = []
  for length in (3, 9, 16):
    length = min(length, max_positions)
    types = np.zeros(length, int)
    types[length // 2:] = min(1, type_vocab_size - 1)
    rows.append((rng.integers(0, vocab_size, length), types))
  return [_batch(rows, min(20, max_positions), 0), _batch(rows[1:2], len(rows[1][0]), 0)]


def with_outputs(batches: Iterable[Batch], encoder: Callable[[dict[str, Any]], Mapping[str, Any]],
                 mlm: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None) -> list[Batch]:
  """Calls the restored encoder, without dropout, on each batch.

  Args:
    batches: of `sentence_batches`.
    encoder: dict of int32 tensors -> dict with sequence_output, encoder_outputs and, if the export
      has one, pooled_output.
    mlm: dict of the four inputs -> dict with mlm_logits, for an export with `.mlm`.
  """
  import tensorflow as tf

  done = []
  for batch in batches:
    outputs: dict[str, Any] = dict(encoder({k: tf.constant(v) for k, v in batch.inputs.items()}))
    if mlm is not None:
      four = {k: tf.constant(v) for k, v in batch.mlm_inputs.items()}
      outputs[names.MLM_LOGITS] = mlm(four)[names.MLM_LOGITS]
    kept: dict[str, Any] = {
        k: np.asarray(v) for k, v in outputs.items() if k in _TENSOR_OUTPUTS}
    kept[names.ENCODER_OUTPUTS] = [np.asarray(v) for v in outputs.get(names.ENCODER_OUTPUTS, ())]
    done.append(dataclasses.replace(batch, outputs=kept))
  return done


_TENSOR_OUTPUTS = (names.POOLED_OUTPUT, names.SEQUENCE_OUTPUT, names.MLM_LOGITS)


def save_reference(path: str, batches: Sequence[Batch]) -> None:
  """Writes batches with their outputs as an .npz (no pickled objects in it)."""
  arrays = {}
  for i, batch in enumerate(batches):
    arrays.update({f'{i}/inputs/{k}': v for k, v in batch.mlm_inputs.items()})
    for key, value in batch.outputs.items():
      if key == names.ENCODER_OUTPUTS:
        arrays.update({f'{i}/{key}/{layer:04}': v for layer, v in enumerate(value)})
      else:
        arrays[f'{i}/{key}'] = value
  _save(path, arrays)


def load_reference(path: str) -> list[Batch]:
  """The inverse of `save_reference`."""
  arrays = _load(path)
  batches = []
  for i in range(len({key.split('/')[0] for key in arrays})):
    mine = {k.split('/', 1)[1]: v for k, v in arrays.items() if k.split('/')[0] == str(i)}
    inputs = {n: mine[f'inputs/{n}'] for n in names.ENCODER_INPUTS}
    outputs: dict[str, Any] = {k: mine[k] for k in _TENSOR_OUTPUTS if k in mine}
    layers = sorted(k for k in mine if k.startswith(f'{names.ENCODER_OUTPUTS}/'))
    outputs[names.ENCODER_OUTPUTS] = [mine[k] for k in layers]
    batches.append(Batch(inputs, mine[f'inputs/{names.MASKED_LM_POSITIONS}'], outputs))
  return batches


def save_token_ids(path: str, texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> None:
  """Writes texts and the ids that the training-time tokenizer gives for each, as an .npz.

  Args:
    path: where to.
    texts: strings.
    token_ids: for each text the ids of its tokens, words joined.
  """
  lengths = np.array([len(ids) for ids in token_ids], np.int64)
  flat = np.array([i for ids in token_ids for i in ids], np.int32)
  encoded = [t.encode('utf-8', 'surrogatepass') for t in texts]
  text_lengths = np.array([len(t) for t in encoded], np.int64)
  _save(path, {'ids': flat, 'lengths': lengths, 'text_lengths': text_lengths,
               'texts': np.frombuffer(b''.join(encoded), np.uint8)})


def load_token_ids(path: str) -> tuple[list[bytes], list[list[int]]]:
  """The inverse of `save_token_ids`; texts as UTF-8 bytes."""
  arrays = _load(path)
  ids = np.split(arrays['ids'], np.cumsum(arrays['lengths'])[:-1])
  ends = np.cumsum(arrays['text_lengths'])
  whole = arrays['texts'].tobytes()
  texts = [whole[end - n:end] for end, n in zip(ends, arrays['text_lengths'], strict=True)]
  return texts, [list(map(int, row)) for row in ids]


def save_text_vectors(path: str, texts: Sequence[str], token_ids: Sequence[Sequence[int]],
                      vectors: np.ndarray) -> None:
  """Writes texts, the ids of each without special tokens, and the vector of each, as an .npz.

  Args:
    path: where to.
    texts, token_ids: as for `save_token_ids`; ids are not truncated.
    vectors: float32 [len(texts), dim].
  """
  save_token_ids(path, texts, token_ids)
  _save(path, {**_load(path), 'vectors': vectors})


def load_text_vectors(path: str) -> tuple[list[bytes], list[list[int]], np.ndarray]:
  """The inverse of `save_text_vectors`; texts as UTF-8 bytes."""
  return *load_token_ids(path), _load(path)['vectors']


def _save(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  buffer = io.BytesIO()
  np.savez(buffer, **dict[str, Any](arrays))
  files.write_bytes(path, buffer.getvalue())


def _load(path: str) -> dict[str, np.ndarray]:
  with np.load(io.BytesIO(files.read_bytes(path)), allow_pickle=False) as stored:
    return {key: stored[key] for key in stored.files}


def describe_variables(variables: Iterable[Any]) -> list[dict[str, Any]]:
  """Name, shape, dtype and SHA-256 of the values of each tf.Variable, in order.

  Values are read without a copy where TensorFlow allows it; two are hashed at a time (hashing
  leaves the interpreter lock).
  """
  variables = list(variables)
  # TensorFlow is called by this thread alone: what another thread creates takes part in the
  # numbering of functions, so that equal exports would not have equal bytes.
  values = [np.ascontiguousarray(np.asarray(v.read_value())) for v in variables]
  with futures.ThreadPoolExecutor(2) as pool:
    digests = list(pool.map(_sha256, values))
  return [{'name': variable.name, 'shape': [int(n) for n in value.shape],
           'dtype': value.dtype.name, 'sha256': digest}
          for variable, value, digest in zip(variables, values, digests, strict=True)]


def _sha256(value: np.ndarray) -> str:
  return hashlib.sha256(value.view(np.uint8).reshape(-1).data).hexdigest()
