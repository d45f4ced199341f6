"""A researcher's package `my_lab`, with own parts, for tests that install it or import it."""

from __future__ import annotations

import textwrap
from pathlib import Path

PYPROJECT = '''
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "my-lab"
version = "0.1.0"
'''

PARTS = '''
"""Our encoder, tokenizer and pooler."""

from __future__ import annotations

import dataclasses

import gin
import numpy as np

from nlp_export import files
from nlp_export.poolers import PoolerWeights


@gin.register(module='poolers')
def half_identity(width: int, scale: float = 0.5) -> PoolerWeights:
  """pooled_output = tanh(scale * [CLS])."""
  return PoolerWeights(scale * np.eye(width), np.zeros(width),
                       origin=f'The pooler is the identity times {scale}.',
                       arguments={'scale': scale})


@gin.register(module='encoders')
def gated(vocab_size: int, hidden_size: int = 16):
  """TF-NLP's BertEncoderV2 with a layer of our own after the last one."""
  from my_lab import networks

  return networks.GatedEncoder(
      vocab_size=vocab_size, hidden_size=hidden_size, num_layers=2, num_attention_heads=2,
      inner_dim=24, max_sequence_length=64, type_vocab_size=2)


@dataclasses.dataclass(frozen=True)
class Letters:
  """Every character is a token; those that the file does not list are [UNK]."""

  file: str

  kind = 'letters'
  lower_case = True
  why_no_offsets = 'the letters tokenizer does not count bytes'

  @property
  def asset_file(self):
    return self.file

  @property
  def vocab_size(self):
    return len(files.read_text(self.file).splitlines())

  def special_token_ids(self):
    return {'vocab_size': self.vocab_size, 'padding_id': 0, 'start_of_sequence_id': 2,
            'end_of_segment_id': 3, 'mask_id': 4}

  def description(self):
    return 'One token for each letter.'

  def check(self, embedding_rows=None):
    files.read_text(self.file)

  def build(self, with_offsets):
    from my_lab import networks

    return networks.LettersGraph(files.read_text(self.file).splitlines())


@gin.register(module='tokenizers')
def letters(file: str) -> Letters:
  """Letters as tokens."""
  return Letters(file)
'''

NETWORKS = '''
"""What needs TensorFlow."""

import tensorflow as tf
import tf_keras
from official.nlp.modeling import networks


class GatedEncoder(networks.BertEncoderV2):
  """Each vector of the last layer is multiplied by a learnt gate."""

  def build(self, unused_input_shapes=None):
    super().build(unused_input_shapes)
    self.gate = self.add_weight(name='gate', shape=[self.get_config()['hidden_size']],
                                initializer='ones')

  def call(self, inputs):
    outputs = super().call(inputs)
    outputs['sequence_output'] *= self.gate
    outputs['encoder_outputs'] = [*outputs['encoder_outputs'][:-1], outputs['sequence_output']]
    outputs['pooled_output'] = self._pooler_layer(outputs['sequence_output'][:, 0])
    return outputs


class LettersGraph(tf.Module):

  def __init__(self, letters):
    super().__init__()
    # Of the letters, not of their file: its path would stand in the graph.
    self._table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(letters, tf.range(len(letters))), 1)

  def tokenize(self, sentences):
    letters = tf.strings.unicode_split(tf.strings.lower(sentences, 'utf-8'), 'UTF-8',
                                       errors='replace')
    return tf.ragged.map_flat_values(self._table.lookup, letters)
'''

GIN = '''
import my_lab.parts
include 'gin/runs/export.gin'

ENCODER = @encoders.gated
encoders.gated.vocab_size = %ROWS
TOKENIZER = @tokenizers.letters
tokenizers.letters.file = %LETTERS_FILE
POOLERS = (@poolers.half_identity, @small/poolers.half_identity)
small/poolers.half_identity.scale = 0.1
DEFAULT_SEQ_LENGTH = 32
'''


def write_package(directory: Path) -> None:
  """Writes the sources of the distribution my-lab."""
  package = directory / 'my_lab'
  package.mkdir(parents=True)
  for path, text in ((directory / 'pyproject.toml', PYPROJECT), (package / '__init__.py', ''),
                     (package / 'parts.py', PARTS), (package / 'networks.py', NETWORKS)):
    path.write_text(textwrap.dedent(text).lstrip('\n'))
