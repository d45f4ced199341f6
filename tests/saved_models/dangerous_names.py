"""SavedModels that get round a look at their file names, by ways that TensorFlow's readers take.

As in dangerous_models: each function saves one to `path`, and `mark` is a file outside. Those that
save do it while they are loaded: their saver saves before it restores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.saved_models import dangerous_models
from tests.saved_models.dangerous_models import edit

_STRING = tf.string.as_datatype_enum


def _constant(nodes: Any, name: str, value: Any) -> str:
  node = nodes.add(name=name, op='Const')
  node.attr['dtype'].type = _STRING
  node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value, tf.string))
  return name


def _into_content(tensor: Any, text: str) -> None:
  """Puts a string where Python looks for numbers alone; TensorFlow's C++ reads it."""
  tensor.ClearField('string_val')
  tensor.tensor_content = bytes([len(text)]) + text.encode()
  tensor.tensor_shape.SetInParent()


def _saves_when_restored(path: str, name_of_file: Callable[[Any, str], str]) -> None:
  """`name_of_file`: (nodes, name of the saver's own file) -> the node with that to save to."""
  dangerous_models._tf1(path, lambda text, variable: (
      tf.cast(tf.strings.length(text), tf.float32) + variable, tf.no_op()))

  def change(meta):
    nodes, saver = meta.graph_def.node, meta.saver_def
    given = [_constant(nodes, f'its_{name}', value) for name, value in (
        ('tensors', ['x']), ('slices', ['']), ('text', ['written']))]
    file = name_of_file(nodes, saver.filename_tensor_name.partition(':')[0])
    save = nodes.add(name='its_save', op='SaveV2', input=[file, *given])
    save.attr['dtypes'].list.type.append(_STRING)
    restore = next(node for node in nodes if node.name == saver.restore_op_name)
    restore.input.append('^its_save')

  edit(path, change)


def _joined(nodes: Any, file: str, words: Sequence[str], separator: str = '') -> str:
  inputs = [file, *(_constant(nodes, f'word_{i}', word) for i, word in enumerate(words))]
  node = nodes.add(name='its_file', op='StringJoin', input=inputs)
  node.attr['N'].i, node.attr['separator'].s = len(inputs), separator.encode()
  return node.name


def saves_where_another_placeholder_says(path: str, mark: str) -> None:
  def its_file(nodes, file):
    del file
    node = nodes.add(name='its_file', op='PlaceholderWithDefault',
                     input=[_constant(nodes, 'its_mark', mark)])
    node.attr['dtype'].type = _STRING
    node.attr['shape'].shape.SetInParent()
    return node.name

  _saves_when_restored(path, its_file)


def saves_where_a_separator_leads(path: str, mark: str) -> None:
  del mark
  _saves_when_restored(path, lambda nodes, file: _joined(nodes, file, ['mark'], '/../../../'))


def saves_where_words_lead_together(path: str, mark: str) -> None:
  del mark
  _saves_when_restored(path, lambda nodes, file: _joined(
      nodes, file, ['/.', './.', './.', './mark']))


def saves_where_content_says(path: str, mark: str) -> None:
  del mark

  def its_file(nodes, file):
    name = _joined(nodes, file, [''])
    _into_content(nodes[-2].attr['value'].tensor, '/../../../mark')
    return name

  _saves_when_restored(path, its_file)


def saves_beside_for_its_parts(path: str, mark: str) -> None:
  """Control: under the name that it is given, with an ending, as savers of several parts do."""
  del mark
  _saves_when_restored(path, lambda nodes, file: _joined(nodes, file, ['_temp_1', '/part']))


def saves_by_its_saver_in_an_initialiser(path: str, mark: str) -> None:
  """Nobody tells the saver's placeholder a name there: it has its default."""

  def build(text, variable):
    local = tf.compat.v1.get_variable(
        'local', initializer=1.0, collections=[tf.compat.v1.GraphKeys.LOCAL_VARIABLES])
    tf.compat.v1.get_default_session().run(local.initializer)
    return tf.cast(tf.strings.length(text), tf.float32) + variable + local, None

  dangerous_models._tf1(path, build)

  def change(meta):
    saver = meta.saver_def
    given = saver.filename_tensor_name.partition(':')[0]
    nodes = {node.name: node for node in meta.graph_def.node}
    default = nodes[given]
    while default.op != 'Const':
      default = nodes[default.input[0]]
    default.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(mark))
    first = next(node for node in nodes.values() if node.op == 'SaveV2')
    nodes['local/Assign'].input.append(f'^{first.name}')
    nodes[first.name].input[0] = given

  edit(path, change)


def caches_where_content_says(path: str, mark: str) -> None:
  dangerous_models.caches_in_memory(path, mark)

  def change(meta):
    for function in meta.graph_def.library.function:
      cached = [node.input[1].partition(':')[0] for node in function.node_def
                if node.op.startswith('CacheDataset')]
      for node in function.node_def:
        if node.name in cached:
          _into_content(node.attr['value'].tensor, mark)

  edit(path, change)


def reads_an_asset_that_nobody_gives(path: str, mark: str) -> None:
  """A TF1 signature is not given the assets' paths: a constant in it is what it says."""
  Path(mark).write_text('one')

  def build(text, variable):
    del variable
    asset = tf.constant(mark)
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS, asset)
    return tf.strings.join([text, tf.io.read_file(asset)]), tf.no_op()

  dangerous_models._tf1(path, build)


def has_two_nodes_of_one_name(path: str, mark: str) -> None:
  dangerous_models.writes(path, mark)

  def change(meta):
    for function in meta.graph_def.library.function:
      if any(node.op == 'WriteFile' for node in function.node_def):
        function.node_def.add(name='WriteFile', op='NoOp')

  edit(path, change)


_ELSEWHERE = ('SaveV2', 'under another name than the saver is given')

DANGEROUS = {
    saves_where_another_placeholder_says: _ELSEWHERE,
    saves_where_a_separator_leads: _ELSEWHERE,
    saves_where_words_lead_together: _ELSEWHERE,
    saves_where_content_says: _ELSEWHERE,
    saves_by_its_saver_in_an_initialiser: ('SaveV2', 'writes files'),
    caches_where_content_says: ('CacheDatasetV2', 'writes files'),
    reads_an_asset_that_nobody_gives: ('ReadFile', 'its name comes from the constant'),
    has_two_nodes_of_one_name: ('NoOp', 'under a name that is taken'),
}

HARMLESS = (saves_beside_for_its_parts,)
