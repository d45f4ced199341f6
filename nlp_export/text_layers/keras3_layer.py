"""The text layer for Keras 3 on TensorFlow, TF 2.20's tf.keras: `nlp_export.keras3.TextEncoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from nlp_export import declared_losses, names
from nlp_export.errors import RequestError
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


@keras.saving.register_keras_serializable(package='nlp_export')
class TextEncoder(keras.layers.Layer):
  """Texts to vectors by an export, as a layer of Keras 3 whose last blocks train.

      text = keras.Input((), dtype='string')
      encode = nlp_export.keras3.TextEncoder('exports/keep/model', 'exports/preprocessing',
                                             pooling='cls', separator='|||', trainable_layers=3)
      model = keras.Model(text, keras.layers.Dense(1, 'sigmoid')(encode(text)))

  Call, arguments and what is saved: as `nlp_export.TextEncoder`. Keras must run on TensorFlow: a
  SavedModel is a TensorFlow graph. Its variables are those of the loaded SavedModel, wrapped, not
  copied, so that Keras' optimizers change what the graph reads.
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
    """Loads the SavedModels; the arguments are those of `nlp_export.TextEncoder`.

    Raises:
      RequestError: also for another backend than TensorFlow.
    """
    backend = keras.backend.backend()
    if backend != 'tensorflow':
      raise RequestError(
          f'Keras runs on {backend} here, and a SavedModel is a graph of TensorFlow, which '
          f'{backend} cannot train. Set the environment variable KERAS_BACKEND=tensorflow before '
          'Keras is imported')
    _check_strategy(inputs)
    super().__init__(**kwargs)
    settings = Settings(as_string(encoder), as_string(preprocessing), pooling, max_seq_length,
                        separator, inputs, trainable_layers, allowed_ops)
    self._settings = settings
    self.exported = ExportedEncoder(settings, export_sha256)
    self._root = self.exported.root  # Attributes, so that tables and files are saved with a model.
    self._preprocessor = self.exported.preprocessor
    # Keras compiles with XLA by default, which knows no strings and compiles for each length.
    self.supports_jit = False
    warn_of_policy(self.compute_dtype, settings.encoder)
    self._export_variables = [
        keras.Variable(  # Given a tf.Variable, Keras wraps that one.
            variable, dtype=variable.dtype.name, trainable=name in self.exported.trained,
            autocast=False, name=name.replace('/', '_'))
        for name, variable in self.exported.variables.items()]
    if not all(wrapped.value is variable for wrapped, variable in zip(
        self._export_variables, self.exported.variables.values(), strict=True)):
      raise RuntimeError(
          f'Keras {keras.__version__} copies variables that it is given: training would change '
          'copies. Known to work: Keras 3.15')
    self._add_regularization_losses()
    self.built = True

  def _add_regularization_losses(self) -> None:
    """Lets the first weight that trains have the encoder's losses as its regularizer.

    Keras 3 has no losses of a layer but those of a call, which would count once for each call.
    """
    losses = self.exported.regularization_losses
    trained = [v for v in self._export_variables if v.trainable]
    if losses and trained:
      trained[0].regularizer = lambda _: declared_losses.total(losses)

  def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """Keras' own, after a look at whose inputs these are."""
    other_keras.refuse(inputs, 'keras')
    return super().__call__(inputs, *args, **kwargs)

  def build(self, input_shape: Any) -> None:
    """Nothing to do: the variables came with the SavedModel."""

  def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
    """See the class."""
    return self.exported(inputs, bool(training) and bool(self.trainable_weights))

  def preprocess(self, texts: Any) -> dict[str, tf.Tensor]:
    """Encoder inputs of a batch of texts, for Dataset.map: see ExportedEncoder.preprocess."""
    return self.exported.preprocess(texts)

  def compute_output_spec(self, inputs: Any, training: Any = None) -> keras.KerasTensor:
    """float32 [batch, width], or [batch, None, width] for pooling None."""
    del training
    batch = keras.tree.flatten(inputs)[0].shape[0]
    middle = [None] * (self.exported.output_rank - 2)
    return keras.KerasTensor([batch, *middle, self.exported.width], dtype='float32')

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


def _check_strategy(inputs: str) -> None:
  """Keras 3.15 adds up the first batch of all replicas to see its shapes, before any layer."""
  if inputs == TEXT and tf.distribute.get_strategy().num_replicas_in_sync > 1:
    raise RequestError(
        'The text layer takes strings, and model.fit of Keras 3 fails on strings under a strategy '
        "of several replicas. Write inputs='encoder_inputs', and make them in the data: "
        'dataset.map(lambda text, label: (layer.preprocess(text), label))')
