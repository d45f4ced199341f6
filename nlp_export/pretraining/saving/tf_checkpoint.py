"""How does a run leave a checkpoint that TF-NLP's own tools read?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.file_errors import explain_failures


def write(prefix: str, checkpoint_items: Mapping[str, Any]) -> str:
  """Writes `tf.train.Checkpoint(**checkpoint_items)`, which TF-NLP's export_tfhub exports.

  Args:
    prefix: path without an ending: '<prefix>.index' and '<prefix>.data-*' are written.
    checkpoint_items: `pretrainer.checkpoint_items`, no more: the exporter counts on these.

  Returns:
    The prefix, to be given as `--model_checkpoint_path` (or CHECKPOINT).

  Raises:
    RequestError: it cannot be written; nothing of it stays.
  """
  import tensorflow as tf

  before = set(files.glob(f'{prefix}*'))
  files.make_dirs(files.dirname(prefix))
  try:
    with explain_failures('write', prefix):
      checkpoint = tf.train.Checkpoint(**checkpoint_items)
      # The property makes the counter, which `save` would store and export_tfhub insists on;
      # `save` itself would add a number to the prefix.
      checkpoint.save_counter.assign(1)
      return checkpoint.write(prefix)
  except BaseException:
    for path in set(files.glob(f'{prefix}*')) - before:
      files.remove_tree(path) if files.is_dir(path) else files.remove(path)
    raise
