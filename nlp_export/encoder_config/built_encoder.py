"""How does a network that a user's own factory built answer like an EncoderSpec?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import names
from nlp_export.encoder_config import sequence_form, support
from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part


def is_network(value: Any) -> bool:
  """True for a tf_keras layer or model; told by the names of its classes, to import neither."""
  return any(base.__module__.split('.')[0] == 'tf_keras' and base.__name__ == 'Layer'
             for base in type(value).__mro__)


@dataclasses.dataclass(frozen=True, eq=False)
class BuiltEncoder:
  """A network that a user's factory built, with the properties of an EncoderSpec.

  Sizes are read from the network's get_config(), as TF-NLP's networks and their subclasses give
  it; what is not there is None, but for the two that `check_exportable` finds in the outputs.

  Attributes:
    network: the tf_keras network.
    source: which factory made it.
  """
  network: Any
  source: str
  _seen: dict[str, int] = dataclasses.field(default_factory=dict, repr=False)

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

  hidden_size = property(lambda self: self._get('hidden_size') or self._seen.get('hidden_size'))
  num_layers = property(
      lambda self: self._get('num_layers', 'num_blocks') or self._seen.get('num_layers'))
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

  def check_exportable(self, export_types: Sequence[str] = (names.MODEL,)) -> None:
    """Calls the network once, which also makes the variables of one that was not built yet.

    Args:
      export_types: those that were asked for; 'preprocessing' alone needs no network.

    Raises:
      RequestError: it fails, returns something else than an encoder does, or lacks what its
        masked-LM head needs.
    """
    support.check(self, export_types)
    if not set(export_types) - {names.PREPROCESSING}:
      return
    import tensorflow as tf

    what = f'The encoder network from {self.source}'
    length = sequence_form.of(self).length(3)
    with explain_part(self.network, what):
      outputs = self.network(
          {name: tf.ones([1, length], tf.int32) for name in names.ENCODER_INPUTS})
    adding = _adds_losses_of_inputs(self.network)
    if adding:
      raise RequestError(
          f'{what} adds a loss that depends on its inputs, in {", ".join(adding)} (add_loss in '
          'call(), or an activity_regularizer). A SavedModel of TF Hub carries '
          'regularization_losses, functions of nothing, so whoever fine-tunes the export would '
          'train without that loss. '
          'Leave it out of the network that is exported; kernel_regularizer and the like go along')
    if names.MODEL_WITH_MLM in export_types:
      lacking = [name for name in ('inputs', 'get_embedding_table')
                 if getattr(self.network, name, None) is None]
      if lacking:
        raise RequestError(
            f'EXPORT_TYPES asks for {names.MODEL_WITH_MLM!r} of {what[0].lower()}{what[1:]}, whose'
            f' {type(self.network).__name__} has no {" and no ".join(lacking)}: BertPretrainerV2 in'
            ' TF-NLP makes the masked-LM head of both. Give it `inputs`, a dict of tf_keras.Input'
            ' by name, and `get_embedding_table()`, its word embeddings [vocab_size, width]')
    found = {name: _shape(value) for name, value in outputs.items()} if isinstance(
        outputs, Mapping) else _shape(outputs)
    sequence = found.get(names.SEQUENCE_OUTPUT) if isinstance(found, dict) else None
    layers = found.get(names.ENCODER_OUTPUTS) if isinstance(found, dict) else None
    if (not isinstance(sequence, tuple) or sequence[:2] != (1, length) or len(sequence) != 3
        or not isinstance(layers, list) or not layers or set(layers) != {sequence}):
      raise RequestError(
          f'{what} returned {found} for inputs of shape (1, {length}). Let it return a dict with '
          f'{names.SEQUENCE_OUTPUT} [batch, seq_length, width], {names.ENCODER_OUTPUTS}, a list of '
          f'such tensors, one for each layer, and {names.POOLED_OUTPUT} [batch, width] if it has '
          'a pooler.')
    self._seen.update(hidden_size=sequence[2], num_layers=len(layers))

  def build(self, initialise: bool = False) -> Any:
    """The network itself, whatever `initialise`: its factory chose its initial weights."""
    del initialise
    return self.network

  def to_json(self) -> dict[str, Any]:
    """A dict of JSON values for a record; the network cannot be made from it."""
    return {'type': self.type, 'class': type(self.network).__name__, 'source': self.source}


def _adds_losses_of_inputs(network: Any) -> list[str]:
  """Names of the layers that added a loss in the last call, which was not inside of a graph.

  Those of TF-NLP's own layers (routers of experts) are told in the card instead, see support.py.
  """
  layers = [module for module in (network, *network.submodules)
            if getattr(module, '_eager_losses', None) or getattr(module, '_losses', None)]
  return [layer.name for layer in layers
          if type(layer).__module__.partition('.')[0] != 'official']


def _shape(value: Any) -> Any:
  """Of a tensor as a tuple, of several as a list; else the type's name."""
  if isinstance(value, (list, tuple)):
    return [_shape(item) for item in value]
  return tuple(value.shape) if hasattr(value, 'shape') else type(value).__name__
