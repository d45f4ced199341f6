"""How does a network that a user's own factory built answer like an EncoderSpec?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def is_network(value: Any) -> bool:
  """True for a tf_keras layer or model; told by the names of its classes, to import neither."""
  return any(base.__module__.split('.')[0] == 'tf_keras' and base.__name__ == 'Layer'
             for base in type(value).__mro__)


@dataclasses.dataclass(frozen=True, eq=False)
class BuiltEncoder:
  """A network that a user's factory built, with the properties of an EncoderSpec.

  Sizes are read from the network's get_config(), as TF-NLP's networks and their subclasses give
  it; what is not there is None.

  Attributes:
    network: the tf_keras network.
    source: which factory made it.
  """
  network: Any
  source: str

  type = 'own'
  notes = ()

  @property
  def config(self) -> Mapping[str, Any]:
    """What the network says of itself; {} if nothing."""
    get_config = getattr(self.network, 'get_config', None)
    try:
      return dict(get_config()) if get_config else {}
    except NotImplementedError:  # Keras' way to say that a subclass did not write one.
      return {}

  def _get(self, *names: str) -> Any:
    config = self.config
    return next((config[name] for name in names if config.get(name) is not None), None)

  hidden_size = property(lambda self: self._get('hidden_size'))
  num_layers = property(lambda self: self._get('num_layers', 'num_blocks'))
  num_attention_heads = property(lambda self: self._get('num_attention_heads'))
  intermediate_size = property(lambda self: self._get('intermediate_size', 'inner_dim'))
  vocab_size = property(lambda self: self._get('vocab_size', 'word_vocab_size'))
  max_positions = property(
      lambda self: self._get('max_sequence_length', 'max_position_embeddings'))
  type_vocab_size = property(lambda self: self._get('type_vocab_size'))
  embedding_size = property(
      lambda self: self._get('embedding_width', 'embedding_size', 'hidden_size'))
  hidden_activation = property(lambda self: self._get('inner_activation', 'activation'))
  dropout_rate = property(lambda self: self._get('output_dropout', 'dropout_rate'))
  attention_dropout_rate = property(
      lambda self: self._get('attention_dropout', 'attention_dropout_rate'))

  @property
  def num_parameters(self) -> int:
    """Number of trainable weights."""
    return sum(variable.shape.num_elements() for variable in self.network.trainable_variables)

  def check_exportable(self) -> None:
    """Nothing is known of it before it is run: verification decides."""

  def build(self, initialise: bool = False) -> Any:
    """The network itself, whatever `initialise`: its factory chose its initial weights."""
    del initialise
    return self.network

  def to_json(self) -> dict[str, Any]:
    """A dict of JSON values for a record; the network cannot be made from it."""
    return {'type': self.type, 'class': type(self.network).__name__, 'source': self.source}
