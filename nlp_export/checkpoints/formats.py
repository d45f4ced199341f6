"""Which checkpoint does a path mean, and which format has it? Told by content, never by name.

A path is a TensorFlow prefix or directory (TF2's or TF1's), a directory that Orbax wrote, or a
Hugging Face directory; what cannot be read is refused with the reason and the way on. Looking needs
no TensorFlow, so a dry run says the same as a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from nlp_export import files
from nlp_export.checkpoints import conversion_record, locate, orbax, orbax_steps, safetensors_files
from nlp_export.checkpoints.checkpoint import Checkpoint, other_masked_lm
from nlp_export.encoder_config import hf_config
from nlp_export.errors import RequestError
from nlp_export.tokenization import hf_settings

_PICKLE, _TORCH_ZIP, _HDF5, _SAFETENSORS, _OTHER = 'pickle', 'zip', 'HDF5', 'safetensors', 'other'
_CONVERT = (
    "python -c \"from transformers import AutoModelForPreTraining as A; A.from_pretrained('{0}')"
    ".save_pretrained('{0}_safetensors')\""
)


TF1, TF2, HUGGING_FACE, ORBAX = 'TF1', 'TF2', 'Hugging Face', orbax.FORMAT


@dataclass(frozen=True)
class FoundCheckpoint:
  """A checkpoint that was found and not opened yet.

  Attributes:
    kind: TF1, TF2, HUGGING_FACE or ORBAX.
    path: prefix or directory; of an Orbax checkpoint that of the step.
    files: what will be read, for hashing; directories stand for all that is in them.
    notes: how the path was understood, to be said to the user.
    encoder_config, vocab_file, sp_model_file: paths of what a Hugging Face or Orbax directory
      brings along, or None.
    tokenizer_config: path of a Hugging Face directory's tokenizer_config.json, or None.
    tokenizer_settings: path of an Orbax step's own record of its tokenizer, or None.
    mlm_activation: of the masked LM head, where the checkpoint says; else None.
    no_masked_lm: why its masked LM head is another function than TF-NLP's; None if it is not.
    weights_file: base name of the weights in a directory if one was asked for.
  """

  kind: str
  path: str
  files: tuple[str, ...]
  notes: tuple[str, ...] = ()
  encoder_config: str | None = None
  vocab_file: str | None = None
  sp_model_file: str | None = None
  tokenizer_config: str | None = None
  tokenizer_settings: str | None = None
  mlm_activation: str | None = None
  no_masked_lm: str | None = None
  weights_file: str | None = None

  @property
  def name(self) -> str:
    """The base name; 'step 1000' for a step."""
    return orbax.step_name(self.path) if self.kind == ORBAX else files.basename(self.path)

  def check_masked_lm(self) -> None:
    """Raises RequestError if its masked LM head is known to be another function than TF-NLP's."""
    if self.no_masked_lm:
      raise other_masked_lm(self.path, self.no_masked_lm)


def find_checkpoint(path: str) -> FoundCheckpoint:
  """Finds the checkpoint that a path means, and that its files are there. No TensorFlow.

  Args:
    path: a TensorFlow prefix ('ckpt-7', 'bert_model.ckpt'), a directory of such (its latest is
      taken), a file of one ('ckpt-7.index'), a prefix without its '-7' if only one such exists; the
      root of a CheckpointManager of Orbax (its newest whole step is taken), a step of it, or
      something in one; or a Hugging Face directory (config.json and safetensors).

  Raises:
    RequestError: there is none, it is incomplete, or it is of a format that is not read.
  """
  if not path:
    raise RequestError('No checkpoint was named. Set CHECKPOINT to a prefix or a directory.')
  if files.exists(path + '.index'):  # Before is_dir: ram:// takes a prefix of a name for one.
    return _tensorflow(path, ())
  if files.is_dir(path):
    return _find_in_dir(path)
  if files.exists(path):
    return _find_by_file(path)
  step = orbax_steps.find_step(path)  # Refuses a step that is not there, with those that are.
  return _orbax(step) if step else _tensorflow(*locate.prefix(path))


def open_checkpoint(
    path: str | FoundCheckpoint, item_names: Mapping[str, str] | None = None, whole: bool = False
) -> Checkpoint:
  """Opens a checkpoint without reading its values.

  Args:
    path: as for `find_checkpoint`, or what that returned.
    item_names: what the file calls an item or a head, where that is not the usual name:
      {'encoder': 'student', 'next_sentence': 'sop'}. A path through the objects will do as well:
      {'encoder': 'model/backbone'}, and in a TF1 checkpoint the scope of its variables:
      {'encoder': 'student/bert'}. See `pretrainer.checkpoint_items`.
    whole: whether to list also what no export reads, where that lies in files of its own (the
      optimizer of an Orbax checkpoint). Other formats are always listed whole.

  Returns:
    The open checkpoint; its `notes` say how the path was understood.

  Raises:
    RequestError: there is no checkpoint, or it is incomplete, damaged, or of another format; an
      item of `item_names` is not in it.
  """
  found = find_checkpoint(path) if isinstance(path, str) else path
  other_names = {item: name for item, name in (item_names or {}).items() if item != name}
  if found.kind in (TF1, TF2):
    from nlp_export.checkpoints import tf1, tf2
    from nlp_export.checkpoints.tensor_bundle import TensorBundle

    bundle = TensorBundle(found.path)
    opened = tf2.open_tf2 if bundle.has_object_graph else tf1.open_tf1
    return opened(bundle, other_names, found.notes)
  if found.kind == ORBAX:
    return orbax.open_orbax(found.path, other_names, found.notes, whole)
  from nlp_export.checkpoints.hugging_face import open_hugging_face

  return open_hugging_face(found.path, other_names, found.weights_file)


def _tensorflow(prefix: str, notes: tuple[str, ...]) -> FoundCheckpoint:
  found = locate.prefix_files(prefix)
  kind = TF2 if locate.has_object_graph(prefix) else TF1
  brings = conversion_record.brought_along(prefix)
  return FoundCheckpoint(kind, prefix, (*found, *brings.files), notes, **brings.fields())


def _orbax(step: orbax_steps.FoundStep) -> FoundCheckpoint:
  brings = orbax.brought_along(step.path)
  return FoundCheckpoint(
      ORBAX, step.path, orbax.step_files(step.path), step.notes,
      encoder_config=brings.encoder_config, vocab_file=brings.vocab_file,
      sp_model_file=brings.sp_model_file, tokenizer_settings=brings.tokenizer_settings,
      mlm_activation=brings.mlm_activation)


def _hugging_face(directory: str, weights_file: str | None = None) -> FoundCheckpoint:
  brings = safetensors_files.brought_along(directory)
  weights = safetensors_files.weight_files(directory, weights_file)
  config: tuple[str, ...] = ()
  mlm_activation = no_masked_lm = None
  if brings.encoder_config:  # A family that is not read is refused here, by name.
    config = (brings.encoder_config,)
    family, values = hf_config.read_family(brings.encoder_config)
    mlm_activation, no_masked_lm = hf_config.mlm_activation(values), family.no_masked_lm or None
  return FoundCheckpoint(
      HUGGING_FACE, directory, (*config, *hf_settings.files_of(directory), *weights.paths),
      weights_file=weights_file,
      encoder_config=brings.encoder_config, vocab_file=brings.vocab_file,
      sp_model_file=brings.sp_model_file, tokenizer_config=brings.tokenizer_config,
      mlm_activation=mlm_activation, no_masked_lm=no_masked_lm)


def _find_in_dir(path: str) -> FoundCheckpoint:
  present = files.list_dir(path)
  if 'saved_model.pb' in present:
    _refuse_saved_model(path)
  tf2 = locate.STATE_FILE in present or any(name.endswith('.index') for name in present)
  weights = [n for n in present if n.endswith(('.safetensors', '.safetensors.index.json'))]
  if tf2 and weights:
    raise RequestError(
        f'Cannot tell which checkpoint of {path} is meant: it holds TensorFlow checkpoints and '
        f'{weights[0]}. Give the prefix of one or the path of that file.'
    )
  if tf2 or weights:
    steps = orbax_steps.listed(path)
    if steps:
      raise RequestError(
          f'Cannot tell which checkpoint of {path} is meant: it holds {steps} that Orbax wrote and '
          f'{"TensorFlow checkpoints" if tf2 else weights[0]}. Give the path of one of them.')
  if tf2:
    return _tensorflow(*locate.latest(path))
  if weights:
    return _hugging_face(path)
  step = orbax_steps.find_step(path)
  if step:
    return _orbax(step)
  data = [name for name in present if '.data-' in name]
  if data:
    _refuse_data_alone(path, data[0])
  for name in present:
    if not files.is_dir(files.join(path, name)):
      kind = _kind(files.join(path, name))
      if kind in (_PICKLE, _TORCH_ZIP, _HDF5):
        _refuse_pickle(files.join(path, name), kind)
  found = ', '.join(present[:8]) + (' ...' if len(present) > 8 else '') if present else 'nothing'
  raise RequestError(
      f'There is no checkpoint in {path}: it holds {found}. Name a directory or a prefix that '
      'tf.train.Checkpoint wrote, a directory of steps that Orbax wrote, or a Hugging Face '
      'directory with config.json and model.safetensors.'
  )


def _find_by_file(path: str) -> FoundCheckpoint:
  name = files.basename(path)
  stem, dot, ending = name.rpartition('.')
  if name == locate.STATE_FILE:
    return _find_in_dir(files.dirname(path))
  if name == 'saved_model.pb':
    _refuse_saved_model(files.dirname(path))
  if dot and (ending in ('index', 'meta') or ending.startswith('data-')):
    prefix = files.join(files.dirname(path), stem)
    if not files.exists(prefix + '.index'):
      _refuse_data_alone(files.dirname(path), name)
    return _tensorflow(prefix, (f'{stem} was taken for its file {name}.',))
  step = orbax_steps.find_step(path)
  if step:
    return _orbax(step)
  kind = _kind(path)
  if kind == _SAFETENSORS:
    return _hugging_face(files.dirname(path), name)
  if kind in (_PICKLE, _TORCH_ZIP, _HDF5):
    _refuse_pickle(path, kind)
  raise RequestError(
      f'Cannot read {path} as a checkpoint: it is neither a file of a TensorFlow checkpoint nor '
      'safetensors, and lies in no step that Orbax wrote. Name a prefix that tf.train.Checkpoint '
      'wrote, or a Hugging Face directory.'
  )


def _kind(path: str) -> str:
  """What a file is by its first bytes."""
  head = files.read_head(path, 16)
  if head.startswith(b'\x89HDF'):
    return _HDF5
  if head.startswith(b'PK\x03\x04'):
    return _TORCH_ZIP
  if head[:1] == b'\x80' and head[1:2] in (b'\x02', b'\x03', b'\x04', b'\x05'):
    return _PICKLE
  if len(head) > 8 and head[8:9] == b'{' and int.from_bytes(head[:8], 'little') < (1 << 32):
    return _SAFETENSORS
  return _OTHER


def _refuse_pickle(path: str, kind: str) -> NoReturn:
  what = 'an HDF5 file' if kind == _HDF5 else 'a pickle, which can run any code when it is read'
  raise RequestError(
      f'Cannot read {path}: it is {what}; only safetensors are read. Convert it, if you trust it: '
      + _CONVERT.format(files.dirname(path))
  )


def _refuse_saved_model(path: str) -> NoReturn:
  raise RequestError(
      f'Cannot read {path} as a checkpoint: it is a SavedModel. Give the checkpoint that it was '
      'made from, or check the SavedModel with gin/runs/verify.gin.'
  )


def _refuse_data_alone(directory: str, name: str) -> NoReturn:
  stem = name.partition('.data-')[0]
  raise RequestError(
      f'Cannot read checkpoint {files.join(directory, stem)}: there is {name}, but no '
      f'{stem}.index. A checkpoint is both: copy the index too.'
  )
