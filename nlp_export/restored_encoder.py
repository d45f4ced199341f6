"""Which network does a checkpoint become? TF-NLP's own, with every weight restored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_export import checkpoints, names, poolers, pretrainer
from nlp_export.encoder_config import sequence_form
from nlp_export.encoders import BuiltEncoder, EncoderSpec


@dataclasses.dataclass(frozen=True)
class RestoredEncoder:
  """An encoder as it was trained.

  Attributes:
    spec: what was built.
    network: TF-NLP's encoder network; int32 inputs, dict outputs.
    masked_lm: the built masked-LM head on the network's word embeddings, or None.
    pretrainer: TF-NLP's BertPretrainerV2 around both, or None.
    mlm_activation: of the head, or None.
    pooler: the dense layer that makes `pooled_output`, or None.
    checkpoint: the open checkpoint.
    report: what was restored from where.
    item_names: what the checkpoint calls the pretrainer's items.
  """

  spec: EncoderSpec | BuiltEncoder
  network: Any
  masked_lm: Any
  pretrainer: Any
  mlm_activation: str | None
  pooler: Any
  checkpoint: checkpoints.Checkpoint
  report: checkpoints.RestoreReport
  item_names: Mapping[str, str]

  @property
  def form(self) -> sequence_form.SequenceForm:
    """Which sequence lengths the network takes and returns."""
    return sequence_form.of(self.spec)

  def pooler_source(self) -> poolers.PoolerSource:
    """What a pooler strategy may read. Values are copies: the layer will be overwritten."""
    stored, why = None, ''
    if self.pooler is None:
      why = 'this type of encoder has no pooler'
    elif checkpoints.ENCODER_POOLER in self.report.left_out:
      why = 'it was saved without'
    else:
      stored = (np.array(self.pooler.kernel), np.array(self.pooler.bias))
    return poolers.PoolerSource(self.checkpoint, stored, self.item_names, why)


def restore_encoder(
    found: checkpoints.FoundCheckpoint,
    spec: EncoderSpec | BuiltEncoder,
    *,
    item_names: Mapping[str, str],
    mlm_activation: str | None = None,
) -> RestoredEncoder:
  """Builds an encoder and restores it, strictly in both directions.

  Args:
    found: the checkpoint.
    spec: the encoder; its weights are made as zeros, since all are restored.
    item_names: canonical item -> name in the checkpoint (`pretrainer.checkpoint_items`).
    mlm_activation: of the masked-LM head; None restores the encoder alone.

  Returns:
    The encoder. The encoder's own pooler may be absent from the checkpoint (its values are then
    zeros, and `report.left_out` says so).

  Raises:
    RequestError: the checkpoint does not fit, or holds damaged or non-finite values.
  """
  from nlp_export.encoder_config import traceable

  checkpoint = checkpoints.open_checkpoint(found, item_names)
  network = spec.build(initialise=False)
  traceable.make_traceable(network)
  items, masked_lm, model = {names.ENCODER: network}, None, None
  if mlm_activation is not None:
    checkpoint.check_item(names.MASKED_LM)
    form = sequence_form.of(spec)
    model = pretrainer.build(
        network, mlm_activation, takes_any_length=not (form.fixed_length or form.padded_length))
    masked_lm = items[names.MASKED_LM] = model.masked_lm
  report = checkpoints.restore(checkpoint, items, without=(checkpoints.ENCODER_POOLER,))
  return RestoredEncoder(
      spec, network, masked_lm, model, mlm_activation, poolers.layer_of(network), checkpoint,
      report, item_names)


