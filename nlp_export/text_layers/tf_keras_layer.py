"""The text layer for tf_keras (Keras 2): `nlp_export.TextEncoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from nlp_export import names
from nlp_export.text_layers import other_keras
from nlp_export.text_layers.exported_encoder import ExportedEncoder
from nlp_export.text_layers.settings import (
    TEXT,
    Handle,
    Pooling,
    Settings,
    as_string,
    warn_of_policy,
)


@tf_keras.saving.register_keras_serializable(package='nlp_export')
class TextEncoder(tf_keras.layers.Layer):
  """Texts to vectors by an export, as a layer whose last blocks train.

      text = tf_keras.Input((), dtype=tf.string)
      encode = nlp_export.TextEncoder('exports/keep/model', 'exports/preprocessing',
                                      pooling='cls', separator='|||', trainable_layers=3)
      model = tf_keras.Model(text, tf_keras.layers.Dense(1, 'sigmoid')(encode(text)))

  Call:
    inputs: with inputs='text', string [batch] or [batch, 1], or two such tensors for pairs; with
      inputs='encoder_inputs', a dict of `input_word_ids`, `input_mask`, `input_type_ids`, int32
      [batch, seq_length], as `preprocess` gives it.
    training: True turns dropout on, unless nothing in the layer trains.
  Returns:
    float32 [batch, width], or [batch, seq_length, width] for pooling None.

  XLA knows no strings: for model.compile(jit_compile=True) make the layer with
  inputs='encoder_inputs' and map `preprocess` over the dataset.

  Its weights are the variables of the loaded SavedModel. model.save() stores their values, and in
  the config the SavedModel's path, which must still be there, with the same graph and vocabulary,
  when the model is loaded (see text_layers/identity.py).
  """

  def __init__(
      self,
      encoder: Handle,
      preprocessing: Handle | None = None,
      *,
      pooling: Pooling = names.DEFAULT,
      max_seq_length: int | None = None,
      separator: str | None = None,
      inputs: str = TEXT,
      trainable_layers: int | None = None,
      allowed_ops: Sequence[str] = (),
      export_sha256: Mapping[str, Mapping[str, str]] | None = None,
      **kwargs: Any,
  ):
    """Loads the SavedModels. Under tf.distribute: inside the strategy's scope.

    Args:
      encoder: directory of an encoder's SavedModel (`model`, `model_with_mlm` or
        `text_embedding`, ours or a stranger's), a string or path object; or a handle that
        tensorflow_hub resolves.
      preprocessing: of the preprocessing SavedModel that belongs to it; not needed for a
        text_embedding, or where encoder inputs are given.
      pooling: 'default' for the export's own answer, None for one vector for each token, one of
        'pooled', 'cls', 'mean', 'max', 'mean_sqrt_len', or a tuple of them to concatenate.
      max_seq_length: most tokens of a text or pair; None for 128, or for what a text_embedding
        has inside. Batches are as long as their longest text.
      separator: between the two texts of a pair in one string, such as '|||'; the first one
        counts, and a string without it is a single text. None: strings are never taken apart.
      inputs: 'text' or 'encoder_inputs'.
      trainable_layers: only the last n Transformer layers train, and the pooler if it is read;
        None for all, 0 for none.
      allowed_ops: ops for which the SavedModel would be refused otherwise.
      export_sha256: of the config of a saved layer; not to be given by hand.
      **kwargs: of every Keras layer: name, trainable.

    Raises:
      RequestError: the arguments or the SavedModels do not fit each other.
    """
    super().__init__(**kwargs)
    settings = Settings(as_string(encoder), as_string(preprocessing), pooling, max_seq_length,
                        separator, inputs, trainable_layers, allowed_ops)
    self._settings = settings
    self.exported = ExportedEncoder(settings, export_sha256)
    self._root = self.exported.root  # Attributes, so that tables and files are saved with a model.
    self._preprocessor = self.exported.preprocessor
    warn_of_policy(self.compute_dtype, settings.encoder)
    for name, variable in self.exported.variables.items():
      self.add_weight(
          name=name, shape=variable.shape, dtype=variable.dtype,
          trainable=name in self.exported.trained, experimental_autocast=False,
          getter=lambda *_, _variable=variable, **__: _variable)
    for loss in self.exported.regularization_losses:  # As hub.KerasLayer: while something trains.
      self.add_loss(lambda _loss=loss: _loss() if self.trainable_weights else 0.0)

  def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """Keras' own, after a look at whose inputs these are."""
    other_keras.refuse(inputs, 'tf_keras')
    return super().__call__(inputs, *args, **kwargs)

  def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
    """See the class."""
    if training is None:
      training = tf_keras.backend.learning_phase()
    if not self.trainable_weights:
      training = False  # As hub.KerasLayer: what is frozen gives the same vectors in training.
    return self.exported(inputs, training)

  def preprocess(self, texts: Any) -> dict[str, tf.Tensor]:
    """Encoder inputs of a batch of texts, for Dataset.map: see ExportedEncoder.preprocess."""
    return self.exported.preprocess(texts)

  def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
    """[batch, width], or [batch, None, width] for pooling None."""
    batch = tf.TensorShape(_first(input_shape))[0]
    middle = [None] * (self.exported.output_rank - 2)
    return tf.TensorShape([batch, *middle, self.exported.width])

  def get_config(self) -> dict[str, Any]:
    """Everything that the layer can be made of again, but for its weights."""
    return {**super().get_config(), **self._settings.to_config(),
            'export_sha256': self.exported.sha256}

  def save_own_variables(self, store: Any) -> None:
    """The values of all variables, by name: whichever train, the file is the same."""
    self.exported.to_store(store)

  def load_own_variables(self, store: Any) -> None:
    """The counterpart of `save_own_variables`."""
    self.exported.from_store(store)


def _first(shapes: Any) -> Any:
  while isinstance(shapes, (dict, list)) and shapes:
    shapes = next(iter(shapes.values())) if isinstance(shapes, dict) else shapes[0]
  return shapes
