"""Which items does the pretrainer have, and under which names do they lie in a checkpoint?"""

from __future__ import annotations

from typing import Any

import gin

from nlp_export import names


@gin.register(module='pretrainer')
def checkpoint_items(
    encoder: str = 'encoder',
    masked_lm: str = 'masked_lm',
    next_sentence: str = 'next_sentence',
) -> dict[str, str]:
  """What a checkpoint calls the pretrainer's items, where it differs from BertPretrainerV2.

  For example `checkpoint_items.encoder = 'student'` for a distilled encoder, or
  `checkpoint_items.next_sentence = 'sop'` for a head trained on sentence order.

  Args:
    encoder: name of the encoder.
    masked_lm: name of the masked-LM head.
    next_sentence: name of the classification head whose dense layer is
      `<name>.pooler_dense`.

  Returns:
    canonical name -> name in the checkpoint.

  Source: TF-NLP, BertPretrainerV2.checkpoint_items.
  """
  return {names.ENCODER: encoder, names.MASKED_LM: masked_lm, 'next_sentence': next_sentence}


def build(network: Any, mlm_activation: str, takes_any_length: bool = True) -> Any:
  """TF-NLP's pretrainer around an encoder; its masked-LM head shares the word embeddings.

  Args:
    network: a built TF-NLP encoder.
    mlm_activation: of the head's dense layer (PretrainerConfig.mlm_activation), 'gelu_erf'
      included. It is the pretrainer's own, not the encoder's `hidden_activation`.
    takes_any_length: whether the encoder takes a single token, with which the head is made at
      least cost; False: the head is made from the encoder's declared `inputs`.

  Returns:
    A built BertPretrainerV2. Its `checkpoint_items` are `encoder` and `masked_lm`.
  """
  import tensorflow as tf
  from official.nlp.modeling import models

  from nlp_export.encoder_config import activations

  pretrainer = models.BertPretrainerV2(
      encoder_network=network, mlm_activation=activations.get_activation(mlm_activation))
  if not takes_any_length:
    pretrainer(pretrainer.inputs)
    return pretrainer
  ids = tf.zeros([1, 1], tf.int32)
  pretrainer({**dict.fromkeys(names.ENCODER_INPUTS, ids), names.MASKED_LM_POSITIONS: ids})
  return pretrainer
