"""How does a cell's training look in TensorBoard?

    tensorboard --logdir OUT_DIR/glue/curves

One directory for each cell, of the cell's name, so that TensorBoard's filter takes 'rte/random'.
"""

from __future__ import annotations

import math

from nlp_export import files
from nlp_export.glue.cell_files import GLUE_DIR
from nlp_export.glue.cells import Cell, CellResult

CURVES_DIR = f'{GLUE_DIR}/curves'

_NO_CURVES = ('step',)


def write(out_dir: str, cell: Cell, result: CellResult) -> None:
  """Writes the event file of a finished cell, instead of one that is there already.

  Args:
    out_dir: of the run.
    cell: names the directory.
    result: each entry of its history gives one point at its step to the curve of each of its
      values: loss, gradient_norm, learning_rate, epoch, dev metrics by name. Values that are not
      finite are left out: TensorBoard would draw the rest of the curve from them.
  """
  import tensorflow as tf

  place = files.join(out_dir, CURVES_DIR, cell.name)
  # An attempt that was killed after writing it, or an earlier one that failed later on.
  files.remove_tree(place)
  if not result.history:
    return
  files.make_dirs(place)
  with tf.summary.create_file_writer(place).as_default():
    for entry in result.history:
      for name, value in entry.items():
        if name not in _NO_CURVES and value is not None and math.isfinite(value):
          tf.summary.scalar(name, value, step=int(entry['step']))
