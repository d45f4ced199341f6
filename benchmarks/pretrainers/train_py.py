"""How fast does TF-NLP's own official/nlp/train.py pre-train?

The experiment bert/pretraining (masked LM and next sentence) with the same sizes, optimizer,
schedule and clipping, reading the same batches from a TFRecord file of its own format, in the same
order. It neither evaluates nor writes checkpoints.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.pretrainers import BFLOAT16, Setting, Trained, commands, curve

EXPERIMENT = 'bert/pretraining'
_LOSS = 'lm_example_loss'


def measure(
    setting: Setting, directory: Path, precision: str, inter_op_threads: int) -> Trained:
  """One training.

  Args:
    setting: of it.
    directory: scratch.
    precision: FLOAT32 or BFLOAT16.
    inter_op_threads: threads between operations.
  """
  return train(setting, configuration(setting, precision), directory, inter_op_threads)


def train(
    setting: Setting, config: dict[str, Any], directory: Path, inter_op_threads: int) -> Trained:
  """Runs train.py with a configuration; see `measure`."""
  model_dir = directory / 'model'
  shutil.rmtree(directory, ignore_errors=True)
  model_dir.mkdir(parents=True)
  config_file = directory / 'config.yaml'
  config_file.write_text(json.dumps(config, indent=1))  # Every JSON is a YAML.
  started = time.time()
  commands.call(
      [sys.executable, '-m', 'official.nlp.train', f'--experiment={EXPERIMENT}', '--mode=train',
       f'--model_dir={model_dir}', f'--config_file={config_file}'], directory / 'log.txt',
      {'TF_USE_LEGACY_KERAS': '1', 'TF_NUM_INTEROP_THREADS': str(inter_op_threads)})
  found = measured(setting, curve.points(model_dir / 'train', _LOSS), started)
  shutil.rmtree(model_dir)
  return found


def measured(setting: Setting, points: list[curve.Point], started: float, **more: Any) -> Trained:
  """What the points of a curve say about the steps behind the first loop.

  Args:
    setting: of the training.
    points: of the masked-LM loss.
    started: time of day at which the process was started; it has just ended.
    **more: fields of `Trained`.
  """
  (first,) = (point for point in points if point.step == setting.steps_per_loop)
  counted = [point for point in points if point.step > first.step]
  assert counted and counted[-1].step == setting.total_steps, points
  seconds = counted[-1].time - first.time
  return Trained(
      seconds=seconds, steps=setting.steps, positions=setting.steps * setting.positions_per_step,
      losses=tuple(point.value for point in counted),
      other_seconds=time.time() - started - seconds, **more)


def configuration(setting: Setting, precision: str) -> dict[str, Any]:
  """For --config_file."""
  return {
      'runtime': {
          'distribution_strategy': 'one_device', 'num_gpus': 0, 'enable_xla': False,
          **({'mixed_precision_dtype': 'bfloat16'} if precision == BFLOAT16 else {})},
      'task': {
          'model': {
              'encoder': {'type': 'bert', 'bert': {
                  'vocab_size': setting.vocab_size, 'hidden_size': setting.hidden_size,
                  'num_layers': setting.num_layers,
                  'num_attention_heads': setting.num_attention_heads,
                  'intermediate_size': 4 * setting.hidden_size,
                  'max_position_embeddings': setting.seq_length, 'type_vocab_size': 2,
                  'hidden_activation': 'gelu', 'dropout_rate': setting.dropout_rate,
                  'attention_dropout_rate': setting.dropout_rate}},
              'mlm_activation': 'gelu',
              'cls_heads': [{
                  'name': 'next_sentence', 'inner_dim': setting.hidden_size, 'num_classes': 2,
                  'dropout_rate': setting.dropout_rate, 'activation': 'tanh'}]},
          'train_data': {
              'input_path': setting.records, 'is_training': True,
              'global_batch_size': setting.batch_size, 'seq_length': setting.seq_length,
              'max_predictions_per_seq': setting.max_predictions,
              'use_next_sentence_label': True, 'use_v2_feature_names': True,
              'shuffle_buffer_size': 1}},  # In the order of the records.
      'trainer': {
          'train_steps': setting.total_steps, 'steps_per_loop': setting.steps_per_loop,
          'summary_interval': setting.steps_per_loop, 'checkpoint_interval': 0,
          'validation_steps': 0,
          'optimizer_config': {
              'optimizer': {'type': 'adamw', 'adamw': {
                  'weight_decay_rate': 0.01, 'epsilon': 1e-6, 'gradient_clip_norm': 1.0,
                  'exclude_from_weight_decay': ['LayerNorm', 'layer_norm', 'bias']}},
              'learning_rate': {'type': 'polynomial', 'polynomial': {
                  'initial_learning_rate': setting.learning_rate,
                  'decay_steps': setting.total_steps, 'end_learning_rate': 0.0}},
              'warmup': {'type': 'polynomial', 'polynomial': {
                  'warmup_steps': setting.steps_per_loop}}}}}
