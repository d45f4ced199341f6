"""How are encoders of one sequence length (fnet, sparse_mixer, bigbird) fine-tuned?

Batches are as long as their longest row. Such encoders get them padded to their length, as
preprocessing would have padded them, and their outputs come back at the batch's length. This shares
nothing with what writes SavedModels, which pads bigbird's rows in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning.trainable_encoder import Call, Tokenise


def adapted(
    call: Call, tokenise: Tokenise, length: int | None, what: str) -> tuple[Call, Tokenise]:
  """Both for rows of every length up to `length`.

  Args:
    call: of the encoder.
    tokenise: its rows must fit.
    length: the only one that `call` takes; None: nothing is to be done.
    what: the encoder, for the message.
  """
  if length is None:
    return call, tokenise

  def padded(inputs: dict[str, tf.Tensor], training: bool) -> Mapping[str, Any]:
    size = tf.shape(inputs[names.INPUT_WORD_IDS])[1]
    whole = {}
    for name, value in inputs.items():
      whole[name] = tf.pad(value, [[0, 0], [0, length - size]])
      whole[name].set_shape([None, length])
    outputs = dict(call(whole, training))
    outputs[names.SEQUENCE_OUTPUT] = outputs[names.SEQUENCE_OUTPUT][:, :size]
    outputs[names.ENCODER_OUTPUTS] = [
        layer[:, :size] for layer in outputs.get(names.ENCODER_OUTPUTS, ())]
    return outputs

  def checked(segments: Sequence[Sequence[str]], max_seq_length: int) -> Any:
    if max_seq_length > length:
      raise RequestError(
          f'MAX_SEQ_LENGTH is {max_seq_length}, but {what} takes rows of {length} tokens and no'
          f' longer ones. Write --set MAX_SEQ_LENGTH={length}')
    return tokenise(segments, max_seq_length)

  return padded, checked


def of_signature(root: Any) -> int | None:
  """The static seq_length of a loaded encoder's signature; None if it is open or nothing tells."""
  signature = getattr(root, 'signatures', {}).get(names.SERVING_DEFAULT)
  if signature is None:
    return None
  spec = signature.structured_input_signature[1].get(names.INPUT_WORD_IDS)
  return None if spec is None or spec.shape.rank != 2 else spec.shape[1]
