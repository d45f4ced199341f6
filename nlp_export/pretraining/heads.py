"""Which heads does the pretrainer have besides the masked LM? Classifiers that gin files name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import gin

from nlp_export import field_rules
from nlp_export.encoder_config.encoder_blocks import ACTIVATIONS
from nlp_export.errors import RequestError
from nlp_export.field_rules import is_count
from nlp_export.own_parts import explain_part
from nlp_export.pretraining.data.recipe import NEXT_SENTENCE_LABELS


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadSpec:
  """A classification head before it is built.

  Attributes:
    name: of the head. Its items in checkpoints are `<name>.pooler_dense` and `<name>.out_proj`.
    labels: key of its labels in a batch, int32 [batch, 1].
    inner_dim: width of the dense layer on the [CLS] vector; None for the encoder's, without which
      `poolers.copy_nsp` cannot copy it.
    num_classes: of the labels.
    activation: of that layer.
    dropout_rate: between it and the projection.
    initializer_range: standard deviation of initial weights.
  """

  name: str
  labels: str = NEXT_SENTENCE_LABELS
  inner_dim: int | None = None
  num_classes: int = 2
  activation: str = 'tanh'
  dropout_rate: float = 0.1
  initializer_range: float = 0.02

  def __post_init__(self) -> None:
    field_rules.check(self, _RULES, f'The pre-training head {self.name!r} has ', ' = ')

  def build(self, width: int) -> Any:
    """TF-NLP's ClassificationHead, without variables until it is called.

    Args:
      width: hidden size of the encoder.
    """
    import tf_keras
    from official.nlp.modeling import layers

    from nlp_export.encoder_config import activations

    return layers.ClassificationHead(
        inner_dim=self.inner_dim or width, num_classes=self.num_classes,
        activation=activations.registered_name(self.activation), dropout_rate=self.dropout_rate,
        initializer=tf_keras.initializers.TruncatedNormal(stddev=self.initializer_range),
        name=self.name)

  def to_json(self) -> dict[str, Any]:
    """JSON values."""
    return dataclasses.asdict(self)


@gin.register(module='pretraining')
def next_sentence_head(
    name: str = 'next_sentence', inner_dim: int | None = None, activation: str = 'tanh',
    dropout_rate: float = 0.1, initializer_range: float = 0.02,
) -> HeadSpec:
  """Whether the second segment followed the first (or, with such pairs, which came first).

  Args:
    name: of the head: 'sentence_order' for such pairs, say.
    inner_dim: width of its dense layer; None for the encoder's.
    activation: of that layer.
    dropout_rate: between it and the projection to two classes.
    initializer_range: standard deviation of initial weights.

  Source: Devlin et al. 2018, section 3.1; Lan et al. 2020 (sentence order);
    official.nlp.modeling.layers.ClassificationHead.
  """
  return HeadSpec(name=name, inner_dim=inner_dim, activation=activation,
                  dropout_rate=dropout_rate, initializer_range=initializer_range)


def made(heads: Sequence[Callable[[], HeadSpec] | HeadSpec]) -> tuple[HeadSpec, ...]:
  """Calls the factories of HEADS and checks what they return.

  Args:
    heads: references such as @pretraining.next_sentence_head.

  Raises:
    RequestError: one returns something else, or two heads have one name.
  """
  found = []
  for head in heads:
    name = str(getattr(head, '__name__', type(head).__name__))
    spec: Any = head
    if not isinstance(head, HeadSpec) and callable(head):
      with explain_part(head, f'The pre-training head {name}'):
        spec = head()
    if not isinstance(spec, HeadSpec):
      raise RequestError(
          f'HEADS holds {name}, which makes {type(spec).__name__} and no head. Write'
          ' HEADS = (@pretraining.next_sentence_head,), or HEADS = () for none')
    found.append(spec)
  names = [spec.name for spec in found]
  double = next((name for name in names if names.count(name) > 1), None)
  if double:
    raise RequestError(
        f'HEADS holds two heads of the name {double!r}, which would be one item of a checkpoint.'
        " Scope the second and name it: other/next_sentence_head.name = 'sentence_order'")
  return tuple(found)


def _is_item_name(value: Any) -> bool:
  return isinstance(value, str) and value.isidentifier() and value not in ('encoder', 'masked_lm')


_RULES: field_rules.Rules = (
    ('name', _is_item_name, "a name for an item, such as 'next_sentence'"),
    ('inner_dim', lambda v: v is None or is_count(v), "None for the encoder's width, or from 1"),
    ('num_classes', is_count, 'a whole number from 1, such as 2'),
    ('activation', lambda v: v in ACTIVATIONS, f'one of {", ".join(ACTIVATIONS)}'),
    ('dropout_rate', lambda v: isinstance(v, int | float) and 0 <= v < 1, 'from 0 to below 1'),
    ('initializer_range', lambda v: isinstance(v, int | float) and v > 0,
     'a positive number such as 0.02'),
)  # fmt: skip
