"""One tiny pre-trained BERT and its conversions, each made once a module."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.checkpoints import hugging_face_bert
from tests.in_process import run_main, settings

RUN = 'gin/runs/convert_checkpoint.gin'
SIZE = tiny.Size(num_layers=1, max_position_embeddings=24, seed=5)


def convert(out: Path, **macros: Any) -> Any:
  """Runs convert_checkpoint.gin in this process."""
  return run_main(RUN, *settings(**macros), '--out_dir', out)


def write_hugging_face(directory: Path, weights: dict[str, Any], hidden_act: str) -> str:
  """A folder of one layer, as transformers writes it, without a tokenizer."""
  return hugging_face_bert.write(
      directory, weights, vocab_size=tiny.Size.vocab_size, hidden_size=16, num_hidden_layers=1,
      intermediate_size=24, hidden_act=hidden_act, hidden_dropout_prob=0.1,
      attention_probs_dropout_prob=0.1, type_vocab_size=2, initializer_range=0.02,
      max_position_embeddings=tiny.Size.max_position_embeddings)


def write_pretrainer(prefix: Path, pretrainer: Any) -> str:
  """As TF-NLP's trainer does, without its optimizer: the head's last layer is in the file too."""
  import tensorflow as tf

  return tf.train.Checkpoint(
      model=pretrainer, global_step=tf.Variable(7, dtype=tf.int64), **pretrainer.checkpoint_items
  ).write(str(prefix))


@dataclasses.dataclass(frozen=True)
class Original:
  """A pretrainer and what was written of it."""

  pretrainer: Any
  macros: dict[str, str]


@pytest.fixture(scope='package')
def original(tmp_path_factory, tiny_vocab) -> Original:
  """A BERT whose encoder's pooler equals that of its next-sentence head, as in Google's."""
  pretrainer = tiny.build_pretrainer(SIZE)
  head = pretrainer.classification_heads[0].dense
  own = pretrainer.encoder_network.pooler_layer
  own.kernel.assign(head.kernel)
  own.bias.assign(head.bias)
  directory = tmp_path_factory.mktemp('original')
  return Original(pretrainer, {
      'CHECKPOINT': write_pretrainer(directory / 'ckpt-7', pretrainer),
      'ENCODER_CONFIG': tiny.write_encoder_config(directory / 'encoder.yaml', SIZE),
      'VOCAB_FILE': tiny_vocab, 'DO_LOWER_CASE': 'True'})


@pytest.fixture(scope='package')
def converted(original, tmp_path_factory):
  """A function: target -> the directory that `original` was converted to. Do not change it."""
  made: dict[str, Path] = {}

  def get(to: str) -> Path:
    if to not in made:
      out = tmp_path_factory.mktemp(to)
      done = convert(out, TO=to, **original.macros)
      assert done.status == 0, done.output
      made[to] = out / 'converted' / to
    return made[to]

  return get
