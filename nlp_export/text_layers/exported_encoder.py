"""What do text layers of every Keras do: texts to tokens, tokens to vectors, which variables train?

Everything here is TensorFlow without Keras: the layers are thin around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the preprocessor's operations.

from nlp_export import (
  declared_losses,
  encoder_parts,
  handles,
  names,
  poolings,
  text_inputs,
  vocabularies,
)
from nlp_export.errors import RequestError
from nlp_export.saved_models.verification import traces
from nlp_export.text_layers import identity
from nlp_export.text_layers.segments import segments_of
from nlp_export.text_layers.settings import (
  DEFAULT_MAX_SEQ_LENGTH,
  ENCODER_INPUTS,
  SPELLING,
  TEXT,
  Pooling,
  Settings,
)

# Specs by name of an encoder, or the one of a text_embedding.
Outputs = Mapping[str, Any] | Any


class ExportedEncoder:
  """A loaded encoder, with its preprocessing if there is one.

  Attributes:
    root: the encoder as tf.saved_model.load gives it.
    preprocessor: likewise, or None.
    sha256: of both, see identity.of_export; for the layer's config.
    variables: name -> variable, all of the encoder's, in its own order.
    trained: names of those that train.
    encoder_width: of a token's vector; of a text's, for an encoder from text to vectors.
    width: of the vectors that come out, all poolings together.
    regularization_losses: of the encoder, functions of nothing, to be added to the loss of a model
      in which it trains.
    takes_text: whether the encoder is one from text to vectors (`text_embedding`).
  """

  def __init__(
      self, settings: Settings, expected: Mapping[str, Mapping[str, str]] | None = None):
    """Loads both.

    Args:
      settings: what is asked for.
      expected: `sha256` of a saved layer, to be compared with what is there now.

    Raises:
      RequestError: it cannot be loaded, or does not fit what is asked for.
    """
    self._settings = settings
    self.sha256, self._places = dict[str, dict[str, str]](), dict[str, str]()
    self.root = self._load('encoder', settings.encoder, expected)
    self.preprocessor = None
    if settings.preprocessing is not None:
      self.preprocessor = self._load('preprocessing', settings.preprocessing, expected)
      if not expected:  # Else both are what they were when the layer was made and saved.
        vocabularies.refuse_other(self._places['encoder'], self._places['preprocessing'])
    outputs = _outputs_of(self.root, settings.encoder)
    self.takes_text = not isinstance(outputs, Mapping)
    self._fixed_length = None if self.takes_text else traces.fixed_length(self.root)
    self._whole_rows = text_inputs.needs_whole_rows(
        self._places['encoder'], settings.max_seq_length, SPELLING
    ) or self._fixed_length is not None
    self._pooling = self._chosen_pooling(outputs)
    self._check_inputs()
    self.encoder_width = _last_dimension(outputs)
    self.width = self._width()
    self.variables = encoder_parts.by_name(self._declared())
    self.trained = self._chosen_variables(outputs)
    self.regularization_losses = declared_losses.of(self.root, settings.encoder)

  def _load(
      self, what: str, handle: str, expected: Mapping[str, Mapping[str, str]] | None) -> Any:
    place = handles.resolved(
        identity.present_place(handle), allowed_ops=self._settings.allowed_ops)
    self._places[what], self.sha256[what] = place, identity.of_export(place)
    if expected and what in expected:
      identity.check(handle, expected[what], self.sha256[what])
    try:
      return tf.saved_model.load(place)
    except (OSError, ValueError, tf.errors.OpError) as error:
      raise RequestError(f'{handle} cannot be loaded: {error}. Run gin/runs/verify.gin with '
                         f'--set EXPORT={handle} for what is wrong with it') from error

  # What comes out.

  def _chosen_pooling(self, outputs: Outputs) -> Pooling:
    pooling = self._settings.pooling
    if not isinstance(outputs, Mapping):
      if pooling != names.DEFAULT:
        raise RequestError(
            f'pooling of the text layer is {pooling!r}, but {self._settings.encoder} is a '
            'text_embedding, which pools inside. Leave pooling out, or give a model export and its '
            'preprocessing')
      return names.DEFAULT
    if names.SEQUENCE_OUTPUT not in outputs:
      raise RequestError(
          f'{self._settings.encoder} returns {", ".join(sorted(outputs))}, and no '
          f'{names.SEQUENCE_OUTPUT}: it is no encoder of TF Hub\'s text API. Give the directory '
          'of one, for example .../exports/keep/model')
    if pooling == names.DEFAULT:
      # As the API defines it; exports from before it had `default` mean their pooled_output.
      return poolings.POOLED if names.POOLED_OUTPUT in outputs else poolings.CLS
    if pooling is not None and poolings.POOLED in poolings.parts(pooling) and (
        names.POOLED_OUTPUT not in outputs):
      raise RequestError(
          f'pooling of the text layer is {pooling!r}, but {self._settings.encoder} has no '
          "pooled_output. Write pooling='cls', which is the vector that its pooler would have "
          'been given')
    return pooling

  def _width(self) -> int:
    if self.takes_text or self._pooling is None:
      return self.encoder_width
    return poolings.dim(self._pooling, self.encoder_width)

  @property
  def output_rank(self) -> int:
    """3 for one vector for each token, 2 for one for each text."""
    return 3 if self._pooling is None else 2

  # What trains.

  def _declared(self) -> list[tf.Variable]:
    variables = list(getattr(self.root, 'variables', ()))
    known = {id(variable) for variable in variables}
    return variables + [v for v in getattr(self.root, 'trainable_variables', ())
                        if id(v) not in known]

  def _chosen_variables(self, outputs: Outputs) -> frozenset[str]:
    count = self._settings.trainable_layers
    if count == 0:
      return frozenset()
    by_id = {id(variable): name for name, variable in self.variables.items()}
    trainable = [by_id[id(v)] for v in getattr(self.root, 'trainable_variables', ())]
    if not trainable:
      raise RequestError(
          f'{self._settings.encoder} has no trainable_variables, so there is nothing to train. '
          'Write trainable_layers=0 to use it as it is')
    poolers = {name for name in trainable if encoder_parts.is_pooler(name)}
    if self.takes_text:
      read = poolers  # A text_embedding names what its vector depends on.
    else:
      pools = self._pooling is not None and poolings.POOLED in poolings.parts(self._pooling)
      read = poolers if pools else set()
    chosen = trainable if count is None else encoder_parts.last_layers(
        trainable, count, 'trainable_layers')
    return frozenset(chosen) - poolers | read

  # What goes in.

  def _check_inputs(self) -> None:
    settings = self._settings
    if settings.inputs == TEXT and not self.takes_text and self.preprocessor is None:
      raise RequestError(
          f'The text layer takes strings, but {settings.encoder} takes token ids. Give '
          "preprocessing=..., the SavedModel that belongs to it, or write inputs='encoder_inputs'")
    by_tokens = settings.inputs == ENCODER_INPUTS or self.preprocessor is not None
    if self.takes_text and by_tokens and not hasattr(self.root, 'embed_tokens'):
      raise RequestError(
          f'The text layer would call {settings.encoder} with token ids, but it takes strings '
          "only. Write inputs='text', without preprocessing")
    alone = self.takes_text and self.preprocessor is None
    for name in ('separator', 'max_seq_length'):
      if alone and getattr(settings, name) is not None:
        raise RequestError(
            f'{name} of the text layer is {getattr(settings, name)!r}, but {settings.encoder} is a '
            'text_embedding, which makes tokens of one text inside. Leave it out, or give '
            'preprocessing=... as well')
    length, fixed = settings.max_seq_length, self._fixed_length
    if fixed is not None and length is not None and length != fixed:
      raise RequestError(
          f'max_seq_length of the text layer is {length}, but {settings.encoder} takes rows of '
          f'{fixed} tokens only. Write max_seq_length={fixed}')
    if self.preprocessor is not None:
      text_inputs.check(
          self.preprocessor, 2 if settings.separator else 1, self.max_seq_length, SPELLING)

  @property
  def max_seq_length(self) -> int:
    """Most tokens of a text, where this layer cuts them."""
    return self._settings.max_seq_length or self._fixed_length or DEFAULT_MAX_SEQ_LENGTH

  def preprocess(self, texts: Any) -> dict[str, tf.Tensor]:
    """Encoder inputs of texts; works eagerly, in tf.function and, on batches, in Dataset.map.

    Args:
      texts: string [batch] or [batch, 1]; or two of them for pairs; with a `separator`, strings
        that may hold two texts.

    Returns:
      `input_word_ids`, `input_mask`, `input_type_ids`: int32 [batch, seq_length], as long as the
      longest of them and at most max_seq_length.

    Raises:
      RequestError: there is no preprocessing.
    """
    segments = segments_of(texts)
    if self.preprocessor is None and self.takes_text:
      return dict(self.root.encoder_inputs(self._only(segments)))
    if self.preprocessor is None:
      raise RequestError('The text layer has no preprocessing to make tokens with. Give '
                         f'preprocessing=..., the one that belongs to {self._settings.encoder}')
    if self._settings.separator is None:
      return self._packed(segments, self._whole_rows)
    if len(segments) > 1:
      raise RequestError(
          f'The text layer has separator={self._settings.separator!r} and was given {len(segments)}'
          ' tensors of strings. Give pairs as one string each, or leave the separator out')
    return self._packed_pairs(segments[0])

  def _only(self, segments: Sequence[tf.Tensor]) -> tf.Tensor:
    if len(segments) > 1:
      raise RequestError(
          f'The text layer was given {len(segments)} tensors, but {self._settings.encoder} is a '
          'text_embedding, which makes tokens of one text inside. Give one, or preprocessing=...')
    return segments[0]

  def _packed(self, segments: Sequence[tf.Tensor], fixed: bool) -> dict[str, tf.Tensor]:
    return text_inputs.encoder_inputs(
        self.preprocessor, segments, self.max_seq_length, fixed=fixed)

  def _packed_pairs(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
    """A string with the separator is a pair, one without it a single text: [CLS] text [SEP]."""
    parts = tf.strings.split(texts, self._settings.separator, maxsplit=1)
    is_pair = tf.cast(parts.row_lengths() > 1, tf.bool)[:, tf.newaxis]
    halves = parts.to_tensor('', shape=[None, 2])
    first, second = tf.strings.strip(halves[:, 0]), tf.strings.strip(halves[:, 1])
    pairs, singles = self._packed([first, second], True), self._packed([first], True)
    rows = {name: tf.where(is_pair, pairs[name], singles[name]) for name in pairs}
    if self._whole_rows:
      return rows
    longest = tf.reduce_max(tf.reduce_sum(rows[names.INPUT_MASK], axis=1, keepdims=True))
    longest = tf.clip_by_value(longest, 1, self.max_seq_length)  # Of no rows as well.
    return {name: values[:, :longest] for name, values in rows.items()}

  # The call.

  def __call__(self, inputs: Any, training: Any = False) -> tf.Tensor:
    """Vectors of texts.

    Args:
      inputs: what `preprocess` takes, or, with inputs='encoder_inputs', what it gives.
      training: with dropout; a bool or a bool tensor.

    Returns:
      float32 [batch, width]; [batch, seq_length, width] for pooling None.
    """
    if isinstance(training, tf.Tensor):
      return tf.cond(training, lambda: self(inputs, True), lambda: self(inputs, False))
    training = bool(training)
    if self._settings.inputs == TEXT:
      self._refuse(isinstance(inputs, Mapping), 'a dict', ENCODER_INPUTS)
      if self.takes_text and self.preprocessor is None:
        return self.root(self._only(segments_of(inputs)), training=training)
      inputs = self.preprocess(inputs)
    else:
      self._refuse(not isinstance(inputs, Mapping), 'no dict', TEXT)
      inputs = {name: tf.cast(inputs[name], tf.int32) for name in names.ENCODER_INPUTS}
    if self.takes_text:
      return self.root.embed_tokens(inputs, training=training)
    outputs = self.root(inputs, training=training)
    if self._pooling is None:
      return outputs[names.SEQUENCE_OUTPUT]
    return poolings.pool(self._pooling, outputs, inputs[names.INPUT_MASK])

  def _refuse(self, wrong: bool, found: str, instead: str) -> None:
    if wrong:
      raise RequestError(
          f'The text layer was made with inputs={self._settings.inputs!r} and was called with '
          f'{found}. Make it with inputs={instead!r}')

  # Weights, for Keras' own files.

  def to_store(self, store: Any) -> None:
    """Puts every variable's value into a mapping, by its name."""
    for name, variable in self.variables.items():
      store[_key(name)] = tf.convert_to_tensor(variable).numpy()

  def from_store(self, store: Any) -> None:
    """The counterpart of `to_store`: nothing is assigned unless all of it fits.

    Raises:
      RequestError: other variables, or other shapes.
    """
    saved = {key: store[key] for key in list(store.keys())}
    own = {_key(name): variable for name, variable in self.variables.items()}
    lacking, unknown = sorted(own.keys() - saved.keys()), sorted(saved.keys() - own.keys())
    differing = [key for key in own.keys() & saved.keys()
                 if tuple(own[key].shape) != tuple(saved[key].shape)]
    if lacking or unknown or differing:
      raise RequestError(
          f'The saved weights do not fit {self._settings.encoder}: '
          f'{_some(lacking, "are missing")}; {_some(unknown, "have no variable")}; '
          f'{_some(sorted(differing), "have another shape")}. Rebuild the layer from the encoder '
          'that it was saved with')
    for key, variable in own.items():
      variable.assign(tf.cast(saved[key][...], variable.dtype))


def _outputs_of(root: Any, handle: str) -> Outputs:
  """What an encoder returns, without calling it."""
  for function in traces.concrete_functions(root):
    outputs = function.structured_outputs
    if isinstance(outputs, Mapping) or getattr(outputs, 'shape', tf.TensorShape(None)).rank == 2:
      return outputs
  raise RequestError(
      f'{handle} cannot be called as an encoder of TF Hub\'s text API: it has no traced __call__ '
      'that returns a dict or vectors. Run gin/runs/verify.gin on it for what it is')


def _last_dimension(outputs: Outputs) -> int:
  spec = outputs[names.SEQUENCE_OUTPUT] if isinstance(outputs, Mapping) else outputs
  return int(spec.shape[-1])


def _key(name: str) -> str:
  return name.replace('/', '.')  # '/' would make folders in a weights file.


def _some(keys: Sequence[str], what: str) -> str:
  shown = f' ({", ".join(keys[:3])}{" ..." * (len(keys) > 3)})' if keys else ''
  return f'{len(keys)} {what}{shown}'
