"""What must an export do, as told by the encoder and the tokenizer it was made from?

Made before the SavedModels are read again, from TF-NLP's own network and tokenizers.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export import dropout, names, poolers
from nlp_export.encoder_config import sequence_form, support
from nlp_export.restored_encoder import RestoredEncoder
from nlp_export.saved_models.verification import (
    EncoderExpectation,
    PreprocessingExpectation,
    reference,
)
from nlp_export.tokenizers import SENTENCEPIECE, Tokenizer


class EncoderExpectations:
  """Expectations of the exports of one restored encoder; what they share is computed once.

  Attributes:
    restored: the encoder.
    encoder: dict of int32 inputs -> its outputs, for inference; a graph.
    assets: base name -> SHA-256 of the tokenizer's file.
    directory: where reference values are written.
  """

  def __init__(self, restored: RestoredEncoder, tokenizer: Tokenizer | None,
               assets: Mapping[str, str], directory: str):
    """Runs nothing yet.

    Args:
      restored: the encoder.
      tokenizer: whose ids of real sentences are the inputs; None: random ids.
      assets: base name -> SHA-256 of the files in the exports' assets.
      directory: where reference values are written.
    """
    self.restored = restored
    self._tokenizer = tokenizer
    self.assets = dict(assets)
    self.directory = directory
    spec = restored.spec
    form = restored.form
    self._batches = fitting(_input_batches(tokenizer, spec), form)
    # As graphs, traced once for all poolers: the operations are then grouped as in the exports,
    # and what is compared is the weights and not the rounding of another order of additions.
    self.encoder = _as_graph(restored.network, names.ENCODER_INPUTS, form)
    self._mlm = restored.pretrainer and _as_graph(restored.pretrainer, names.MLM_INPUTS, form)
    body = _without(restored.network.trainable_variables, restored.pooler)
    self._described = dict(zip(map(id, body), reference.describe_variables(body), strict=True))
    if restored.masked_lm is not None:
      head = [v for v in restored.masked_lm.trainable_variables if id(v) not in self._described]
      self._head = reference.describe_variables(head)

  def of(self, label: str, weights: poolers.PoolerWeights | None, with_mlm: bool
         ) -> EncoderExpectation:
    """The expectation of one export; the network's pooler holds `weights` already.

    Args:
      label: a file name for its reference values.
      weights: of the pooler; None for an export without pooled_output.
      with_mlm: whether the export has `.mlm`.
    """
    restored = self.restored
    batches = reference.with_outputs(
        self._batches, self.encoder, self._mlm if with_mlm else None)
    if weights is None:
      for batch in batches:
        batch.outputs.pop(names.POOLED_OUTPUT, None)
    path = os.path.join(self.directory, f'{label}.npz')
    reference.save_reference(path, batches)
    trainable = self.trainable(with_pooler=weights is not None)
    spec = restored.spec
    return EncoderExpectation(
        reference_file=path,
        trainable=trainable,
        mlm_head=tuple(self._head) if with_mlm else None,
        has_mlm=with_mlm,
        mlm_activation=restored.mlm_activation if with_mlm else None,
        pooler='cls' if weights is None else 'tanh',
        num_layers=spec.num_layers,
        hidden_size=spec.hidden_size,
        max_positions=spec.max_positions,
        type_vocab_size=spec.type_vocab_size,
        sequence=restored.form,
        inexact_padding=support.inexact_padding(spec),
        embeddings_first=support.of(spec.type).embeddings_first,
        dropout=dropout.drops(restored.network),
        training_effect=support.training_effect(spec),
        dropout_state=True,
        asset_sha256=self.assets,
        lower_case=(self._tokenizer.lower_case
                    if self._tokenizer and self._tokenizer.kind != SENTENCEPIECE else None),
        tokenizer=(self._tokenizer.kind if self._tokenizer and self.assets else 'none'),
    )

  @property
  def text_assets(self) -> dict[str, str]:
    """Base name -> SHA-256 of what preprocessing inside an export has in its assets."""
    # A SentencePiece model is embedded in the graph, as in the reference's exports.
    embedded = self._tokenizer is None or self._tokenizer.kind == SENTENCEPIECE
    return {} if embedded else self.assets

  def trainable(self, with_pooler: bool) -> tuple[Mapping[str, Any], ...]:
    """Name, shape, dtype and SHA-256 of the trainable variables, in order."""
    network, pooler = self.restored.network, self.restored.pooler
    variables = (network.trainable_variables if with_pooler
                 else _without(network.trainable_variables, pooler))
    new = [v for v in variables if id(v) not in self._described]
    described = {**self._described,
                 **dict(zip(map(id, new), reference.describe_variables(new), strict=True))}
    return tuple(described[id(v)] for v in variables)


def of_preprocessing(
    tokenizer: Tokenizer,
    options: Mapping[str, Any],
    assets: Mapping[str, str],
    directory: str,
) -> PreprocessingExpectation:
  """The expectation of a preprocessing export: the ids of TF-NLP's own layer among it.

  Args:
    tokenizer: of the export.
    options: default_seq_length, truncator, num_segments, tokenize_with_offsets, disable_assert.
    assets: base name -> SHA-256 of the file in its assets, if there is one.
    directory: where the ids are written.
  """
  layer = _tfnlp_layer(tokenizer)
  path = ''
  if layer is not None:
    texts = [*(text for example in reference.SENTENCES for text in example), *ODD_TEXTS]
    ids = _merged(layer(texts))
    path = os.path.join(directory, 'token_ids.npz')
    reference.save_token_ids(path, texts, ids)
  return PreprocessingExpectation(
      reference_file=path,
      tokenizer=tokenizer.kind,
      lower_case=tokenizer.lower_case,
      default_seq_length=options['default_seq_length'],
      offsets=options['tokenize_with_offsets'],
      truncator=options['truncator'],
      num_segments=options['num_segments'],
      no_assert=options['disable_assert'],
      special_tokens=tokenizer.special_token_ids(),
      unknown_token=getattr(tokenizer, 'unknown', None),
      # A SentencePiece model is embedded in the graph, as in the reference's exports.
      asset_sha256={} if tokenizer.kind == SENTENCEPIECE else dict(assets),
  )


# What tokenizers get wrong: accents, other scripts, unknown words, literal special tokens.
ODD_TEXTS = (
    '', ' \t\n', 'CAFÉ café Cafe\u0301', '中國 and 日本', '[CLS] [MASK] ##ing', 'a\u200bb\u00a0c',
    'x' * 150, 'naïve—coöperate', '1,234.56 $9', 'Ünïcödé ŁÓDŹ ΑΒΓ абв', '👍🏽 ok', "don't won't")


def _tfnlp_layer(tokenizer: Tokenizer) -> Any:
  """TF-NLP's tokenizer layer with the same settings; None where it has no such tokenizer."""
  from nlp_export.tokenization import tf_nlp_layers

  return tf_nlp_layers.layer_of(tokenizer)


def _input_batches(tokenizer: Tokenizer | None, spec: Any) -> list[reference.Batch]:
  special = tokenizer.special_token_ids() if tokenizer else {}
  layer = _tfnlp_layer(tokenizer) if tokenizer else None
  if layer is None or names.START_OF_SEQUENCE_ID not in special:
    return reference.random_batches(
        spec.vocab_size or (tokenizer.vocab_size if tokenizer else 1),
        spec.max_positions or 64, spec.type_vocab_size or 1)
  token_ids = [_merged(layer(list(example))) for example in reference.SENTENCES]
  return reference.sentence_batches(
      token_ids,
      start_of_sequence_id=special[names.START_OF_SEQUENCE_ID],
      end_of_segment_id=special[names.END_OF_SEGMENT_ID],
      padding_id=special[names.PADDING_ID],
      max_positions=spec.max_positions or 64,
      type_vocab_size=spec.type_vocab_size or 1)


# Tokens in a batch of rows that the network needs at full length: BigBird's attention takes some
# 100 kB a token and layer.
_LONG_BATCH = 1 << 14


def fitting(
    batches: Sequence[reference.Batch], form: sequence_form.SequenceForm) -> list[reference.Batch]:
  """Batches for an encoder that has one length, outside or inside; unchanged for any other."""
  length = form.fixed_length or form.padded_length
  if length is None:
    return list(batches)
  rows = max(2, _LONG_BATCH // length)
  first = batches[0]
  fitted = [dataclasses.replace(
      batch, inputs={k: v[:rows] for k, v in batch.inputs.items()}, positions=batch.positions[:rows]
  ) for batch in batches]
  if form.fixed_length is not None:
    fitted = [dataclasses.replace(batch, inputs=to_length(batch.inputs, length))
              for batch in fitted]
  # Rows without padding, as long as there are, and half: they reach what short ones do not.
  real = first.inputs[names.INPUT_MASK].astype(bool)
  tokens = {name: value[real] for name, value in first.inputs.items()}
  for size in (length,) if form.fixed_length is not None else (length, length // 2 + 3):
    fitted.append(reference.Batch(
        {name: np.resize(value, (1, size)) for name, value in tokens.items()},
        np.array([[0, size // 2, size - 1]], np.int32)))
  return fitted


def ids_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
  """Ids of each text by TF-NLP's layer; by the tokenizer itself where TF-NLP has no such one."""
  layer = _tfnlp_layer(tokenizer)
  if layer is None:
    layer = tokenizer.build(False).tokenize
  return _merged(layer(list(texts)))


def to_length(inputs: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
  """Inputs padded with zeros, under mask 0."""
  return {name: np.pad(value, ((0, 0), (0, length - value.shape[1])))
          for name, value in inputs.items()}


def _as_graph(
    network: Any, input_names: Sequence[str], form: sequence_form.SequenceForm) -> Any:
  import tensorflow as tf

  length = form.fixed_length or form.padded_length
  specs = {name: tf.TensorSpec(
      [None, length if name in names.ENCODER_INPUTS else None], tf.int32) for name in input_names}
  graph = tf.function(lambda inputs: network(inputs, training=False), input_signature=[specs],
                      autograph=False)
  return graph if form.padded_length is None else _padded_before(graph, form.padded_length)


def _padded_before(graph: Any, length: int) -> Any:
  """A call that pads the inputs before `graph` sees them, as users of TF-NLP's network do."""

  def call(inputs: Mapping[str, Any]) -> dict[str, Any]:
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    size = arrays[names.INPUT_WORD_IDS].shape[1]
    whole = to_length({name: arrays[name] for name in names.ENCODER_INPUTS}, length)
    outputs = graph({name: whole.get(name, value) for name, value in arrays.items()})

    def cut(value: Any) -> Any:
      value = np.asarray(value)
      return value[:, :size] if value.ndim == 3 and value.shape[1] == length else value

    return {name: [cut(v) for v in value] if isinstance(value, (list, tuple))
            else value if name == names.MLM_LOGITS else cut(value)
            for name, value in outputs.items()}

  return call


def _merged(ragged: Any) -> list[list[int]]:
  """Token ids of each text, the words of WordPiece joined."""
  return (ragged.merge_dims(1, 2) if ragged.ragged_rank == 2 else ragged).to_list()


def _without(variables: Sequence[Any], pooler: Any) -> list[Any]:
  left_out = {id(v) for v in pooler.variables} if pooler is not None else set()
  return [v for v in variables if id(v) not in left_out]
