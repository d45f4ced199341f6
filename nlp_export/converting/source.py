"""What of a checkpoint is converted: encoder, masked LM head and classification heads, restored.

By the path that an export takes (restored_encoder.py): TF-NLP's own network, strict both ways.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_export import checkpoints, names
from nlp_export.converting import heads as heads_lib
from nlp_export.converting import hugging_face_files
from nlp_export.converting.heads import (
    NEXT_SENTENCE,
    OUT_PROJ,
    POOLER_DENSE,
    Dense,
)
from nlp_export.converting.request import (
    FROM_ENCODER,
    FROM_NEXT_SENTENCE,
    HUGGING_FACE,
    ConversionRequest,
)
from nlp_export.encoders import EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.pretraining.saving.tree import RunVariables, Trees
from nlp_export.restored_encoder import RestoredEncoder, restore_encoder

_POOLER = f'{NEXT_SENTENCE}.{POOLER_DENSE}'
_PROJECTION = f'{NEXT_SENTENCE}.{OUT_PROJ}'


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """What will be written.

  Attributes:
    restored: the encoder with its masked LM head, if that is converted.
    heads: item -> layer, of the classification heads that are converted.
    has_pooler: whether the encoder's own pooler is converted.
    left_out: what the checkpoint holds besides, a line each.
    notes: what was decided, a line each.
  """

  restored: RestoredEncoder
  heads: Mapping[str, Dense]
  has_pooler: bool
  left_out: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()

  @property
  def items(self) -> tuple[str, ...]:
    """Names of what is converted, as `checkpoint_items` has them."""
    masked_lm = (names.MASKED_LM,) if self.restored.masked_lm is not None else ()
    return (names.ENCODER, *masked_lm, *self.heads)

  def objects(self) -> dict[str, Any]:
    """Item -> trackable object, for tf.train.Checkpoint(**objects)."""
    found: dict[str, Any] = {names.ENCODER: self.restored.network}
    if self.restored.masked_lm is not None:
      found[names.MASKED_LM] = self.restored.masked_lm
    return found | {item: head.trackable(item.replace('.', '/'))
                    for item, head in self.heads.items()}

  def trees(self) -> Trees:
    """Item -> nested dict of arrays, without the encoder's pooler if it is not converted."""
    whole = RunVariables(self.objects()).trees()
    if self.has_pooler or self.restored.pooler is None:
      return whole
    own = {v.name.removesuffix(':0') for v in self.restored.pooler.variables}
    paths = [path for path, name in whole.names[names.ENCODER].items() if name in own]
    encoder = dict(whole.items[names.ENCODER])
    for path in paths:
      encoder = _without(encoder, path.split('/'))
    return Trees({**whole.items, names.ENCODER: encoder}, whole.names)


def _without(tree: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
  first, *rest = path
  kept = {key: value for key, value in tree.items() if key != first}
  inner = _without(tree[first], rest) if rest else None
  return {**kept, first: inner} if inner else kept


def restore(request: ConversionRequest) -> Source:
  """Restores what will be converted.

  Raises:
    RequestError: the checkpoint does not fit, or holds damaged or non-finite values; a masked LM
      head was asked for and is not there; the target has one place for two different things.
  """
  opened = checkpoints.open_checkpoint(request.checkpoint, request.item_names)
  with_mlm = names.MASKED_LM in opened.nodes if request.masked_lm is None else request.masked_lm
  if with_mlm and names.MASKED_LM not in opened.nodes:
    raise RequestError(
        f'MASKED_LM is True, but {opened.name} holds no masked LM head ({opened.items_line()}). '
        'Leave MASKED_LM out.')
  if with_mlm:
    try:
      opened.check_item(names.MASKED_LM)
    except RequestError as error:
      raise RequestError(f'{error.message} Here: --set MASKED_LM=False.') from error
  if request.to == HUGGING_FACE and with_mlm and isinstance(request.encoder, EncoderSpec):
    hugging_face_files.check_one_activation(request.encoder, request.mlm_activation)
  restored = restore_encoder(
      request.checkpoint, request.encoder, item_names=request.item_names,
      mlm_activation=request.mlm_activation if with_mlm else None)
  has_pooler = (restored.pooler is not None
                and checkpoints.ENCODER_POOLER not in restored.report.left_out)
  pooler = _values(restored.pooler) if has_pooler else None
  heads = heads_lib.read(restored.checkpoint)
  notes: tuple[str, ...] = ()
  if request.to == HUGGING_FACE:
    whole = heads
    heads, chosen, notes = _for_one_pooler(heads, pooler, request.pooler_from, restored)
    others = sorted({item.partition('.')[0] for item in whole} - {NEXT_SENTENCE})
    if others and not heads:
      notes = (*notes, f'transformers has a name for {NEXT_SENTENCE} alone: if {others[0]} is that '
               f"head, bind checkpoint_items.next_sentence = '{others[0]}'")
    if chosen is not None and restored.pooler is not None:
      restored.pooler.kernel.assign(chosen.kernel)
      restored.pooler.bias.assign(chosen.bias)
      has_pooler = True
  if restored.pooler is not None and not has_pooler:
    notes = (*notes, "the encoder's own pooler is not in the checkpoint, so the result has none")
  return Source(
      restored, heads, has_pooler, _left_out(restored, heads), (*notes, *request.remarks))


def _values(layer: Any) -> Dense:
  return Dense(np.array(layer.kernel), np.array(layer.bias))


def _for_one_pooler(
    heads: Mapping[str, Dense], pooler: Dense | None, choice: str | None, restored: RestoredEncoder,
) -> tuple[dict[str, Dense], Dense | None, tuple[str, ...]]:
  """The heads that a Hugging Face folder can hold, what its pooler is, and lines to say.

  Its BERT has one pooler, which is part of the encoder and which the next-sentence layer reads.
  """
  kept = _that_fit(heads, restored.spec.hidden_size)
  dense = kept.get(_POOLER)
  if choice == FROM_NEXT_SENTENCE and dense is None:
    raise RequestError(
        f"POOLER_FROM is '{FROM_NEXT_SENTENCE}', but {restored.checkpoint.name} holds no {_POOLER} "
        f'as wide as the encoder ({restored.checkpoint.items_line()}). Leave POOLER_FROM out.')
  if choice == FROM_ENCODER and pooler is None:
    raise RequestError(
        f"POOLER_FROM is '{FROM_ENCODER}', but the encoder of {restored.checkpoint.name} holds no "
        'pooler of its own. Leave POOLER_FROM out.')
  if dense is not None and pooler is None:
    return kept, dense, (f'the pooler is {_POOLER}: the encoder holds none of its own',)
  if dense is None or pooler is None or dense.equals(pooler):
    return kept, dense or pooler, ()  # No question: there is one, or both are the same.
  if choice is None:
    raise RequestError(
        f'{restored.checkpoint.name} holds two poolers of different weights: that of the encoder '
        f'and {_POOLER}. A Hugging Face folder has one, which its next-sentence layer reads. '
        "TF-NLP trains the head's and leaves the encoder's as it was initialised: write --set "
        f'POOLER_FROM={FROM_NEXT_SENTENCE}, or POOLER_FROM={FROM_ENCODER} to do without the head.')
  if choice == FROM_NEXT_SENTENCE:
    return kept, dense, (f"the pooler is {_POOLER}; the encoder's own is left out",)
  return {}, pooler, (f"the pooler is the encoder's own; left out: {', '.join(kept)}",)


def _that_fit(heads: Mapping[str, Dense], width: int) -> dict[str, Dense]:
  """The layers that transformers' next-sentence head has: [width, width], and [width, 2]."""
  shapes = {_POOLER: (width, width), _PROJECTION: (width, 2)}
  kept = {item: heads[item] for item, shape in shapes.items()
          if item in heads and heads[item].kernel.shape == shape}
  return kept if _POOLER in kept else {}  # Without the one, the other reads nothing.


def _left_out(restored: RestoredEncoder, heads: Mapping[str, Dense]) -> tuple[str, ...]:
  """What the checkpoint holds and the result will not, a line each."""
  unused = restored.report.unused
  carried = {key for head in heads.values() for key in head.keys}
  kinds = (('of the optimizer', unused.optimizer), ('counters and states', unused.counters),
           ('of heads', [key for key in unused.heads if key not in carried]),
           ('of other objects', [key for key in unused.items if key not in carried]))
  return tuple(f'left out, {len(keys)} {what}: {", ".join(keys[:4])}'
               + (' ...' if len(keys) > 4 else '') for what, keys in kinds if keys)
