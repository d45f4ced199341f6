"""Where do the trained values lie between the end of a training and the exports made of them?"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue.cells import Cell

if TYPE_CHECKING:
  from nlp_export.glue.fine_tuning.classifier import Classifier

TRAINED_DIR = 'trained'


class Trained:
  """The values of a cell's variables, in a file that is written before the cell is stored."""

  def __init__(self, out_dir: str, cell: Cell):
    """Reads nothing yet."""
    self._path = files.join(out_dir, TRAINED_DIR, f'{cell.name.replace("/", ".")}.npz')
    self._hash = cell.config_hash

  def exists(self) -> bool:
    """Whether there are any."""
    return files.exists(self._path)

  def write(self, classifier: Classifier) -> None:
    """Keeps the present values of all variables."""
    data = io.BytesIO()
    values = [variable.numpy() for variable in classifier.variables().values()]
    np.savez(data, np.frombuffer(self._hash.encode(), np.uint8), *values)
    files.write_bytes(self._path, data.getvalue())

  def read_into(self, classifier: Classifier) -> None:
    """Gives the variables the values that were kept.

    Raises:
      RequestError: the file is missing or damaged, or of another training.
    """
    try:
      with np.load(io.BytesIO(files.read_bytes(self._path)), allow_pickle=False) as stored:
        arrays = [stored[name] for name in stored.files]
      if arrays[0].tobytes().decode() != self._hash:
        raise ValueError('it is of another training')
      for variable, value in zip(classifier.variables().values(), arrays[1:], strict=True):
        variable.assign(value)
    except (ValueError, IndexError, EOFError, zipfile.BadZipFile) as error:
      raise RequestError(
          f'{self._path} holds the trained values, and is damaged ({error}). Give another '
          '--out_dir to train anew') from error

  def remove(self) -> None:
    """Once the exports are in place."""
    files.remove_tree(files.dirname(self._path))
