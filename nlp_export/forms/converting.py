"""How is each form written to its directory?"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.forms import form as forms
from nlp_export.forms import freezing, litert_file, onnx_file, texts, xla_model
from nlp_export.forms.form import Form
from nlp_export.forms.source import Source


@dataclasses.dataclass
class Converter:
  """Writes the forms of one source.

  Attributes:
    source: the export.
    probe: inputs of it, to compare a graph on that is written again.
  """

  source: Source
  probe: texts.Inputs

  def write(self, form: Form, directory: str) -> tuple[str, ...]:
    """Writes the form's file or directory.

    Returns:
      What its user should know of how it was made.

    Raises:
      RequestError: an operation of the source has no counterpart in the form.
    """
    path = files.join(directory, form.file)
    notes: tuple[str, ...] = ()
    if form.kind == forms.XLA:
      xla_model.write(self.source, path)
    elif form.kind == forms.LITERT:
      files.write_bytes(path, litert_file.convert(self.source, form))
    elif form.kind == forms.ONNX:
      files.write_bytes(path, onnx_file.convert(freezing.freeze(self.source), form.opset or 17))
    elif form.kind == forms.BFLOAT16:
      graph = freezing.in_bfloat16(freezing.freeze(self.source))
      if not freezing.is_bfloat16(graph):
        raise RequestError(
            'TensorFlow put nothing of the graph into bfloat16 on this machine: it does so where '
            'the processor has avx512f or newer and oneDNN is on. Leave @forms.bfloat16 out of '
            'FORMS, or unset TF_ENABLE_ONEDNN_OPTS')
      freezing.write(graph, path)
    else:
      probe = [tf.constant(self.probe[name]) for name in self.source.inputs]
      graph, why = freezing.freeze_fast(self.source, probe, form.tolerance)
      freezing.write(graph, path)
      notes = (f'No faster than the SavedModel: {why}.',) if why else ()
    return notes


def write_preprocessing(source: Source, preprocessing: str | None, path: str) -> None:
  """Writes what makes token ids of text, to stand beside the forms.

  Args:
    source: with its own preprocessing inside, that is written as a SavedModel of its own.
    preprocessing: directory of a SavedModel that is copied instead.
    path: an empty directory, or none yet.
  """
  if preprocessing is not None:
    files.copy_tree(preprocessing, path)
    return
  tf.saved_model.save(source.obj.encoder_inputs, path,
                      options=tf.saved_model.SaveOptions(save_debug_info=False))


def size(path: str) -> int:
  """Bytes of a file, or of all files below a directory."""
  if not files.is_dir(path):
    return files.size(path)
  return sum(files.size(files.join(path, name)) for name in files.list_tree(path))
