"""Checkpoints in every TF2 form, written by TensorFlow itself from TF-NLP's own pretrainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import tiny


def optimizer_after_a_step(pretrainer: Any) -> Any:
  """TF-NLP's AdamW with the slots of one training step. The weights are put back."""
  import tensorflow as tf
  from official.modeling import optimization

  factory = optimization.OptimizerFactory(optimization.OptimizationConfig(
      {'optimizer': {'type': 'adamw'}, 'learning_rate': {'type': 'constant'}}))
  optimizer = factory.build_optimizer(factory.build_learning_rate())
  before = [v.numpy() for v in pretrainer.variables]
  inputs = {key: tf.constant(value) for key, value in tiny.encoder_inputs().items()}
  inputs['masked_lm_positions'] = tf.constant([[1, 2]] * 3, tf.int32)
  with tf.GradientTape() as tape:
    outputs = pretrainer(inputs)
    loss = sum(tf.reduce_sum(outputs[k] ** 2) for k in ('mlm_logits', 'next_sentence'))
    loss += tf.reduce_sum(outputs['pooled_output'])
  variables = pretrainer.trainable_variables
  optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
  for variable, value in zip(pretrainer.variables, before):
    variable.assign(value)
  return optimizer


def _write(prefix: Path, **objects: Any) -> str:
  import tensorflow as tf

  return tf.train.Checkpoint(**objects).write(str(prefix))


def _trainer(pretrainer: Any, prefix: Path) -> str:
  # As official/core/base_trainer.py and orbit do.
  import tensorflow as tf

  return _write(
      prefix, global_step=tf.Variable(1000, dtype=tf.int64), model=pretrainer,
      optimizer=optimizer_after_a_step(pretrainer), **pretrainer.checkpoint_items)


def _weights(pretrainer: Any, prefix: Path) -> str:
  pretrainer.encoder_network.save_weights(str(prefix))
  return str(prefix)


FORMS: dict[str, Callable[[Any, Path], str]] = {
    'encoder': lambda p, to: _write(to, encoder=p.encoder_network),
    'model=encoder': lambda p, to: _write(to, model=p.encoder_network),
    'items': lambda p, to: _write(to, **p.checkpoint_items),
    'trainer': _trainer,
    'model=pretrainer': lambda p, to: _write(to, model=p),
    'pretrainer': lambda p, to: _write(to, pretrainer=p),
    # What TF-NLP's converter writes with its default names: the pretrainer overwrites the item.
    'encoder=pretrainer': lambda p, to: _write(to, encoder=p, masked_lm=p.masked_lm),
    'save_weights': _weights,
}
# Forms that hold the encoder alone.
WITHOUT_HEADS = ('encoder', 'model=encoder', 'save_weights')
