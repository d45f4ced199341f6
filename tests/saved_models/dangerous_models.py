"""SavedModels that do more than compute, each in its own way, and some that only seem to.

Each function saves one to `path`; `mark` is a file outside that it writes or reads.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

TEXT = [tf.TensorSpec([None], tf.string)]


def _save(path: str, call, signatures=None, **attributes) -> None:
  root = tf.train.Checkpoint(**attributes)
  if call is not None:
    root.__call__ = tf.function(call, input_signature=TEXT)
  tf.saved_model.save(root, path, signatures=signatures)


def edit(path: str, change) -> None:
  """Applies `change` to the MetaGraphDef of a SavedModel on disk."""
  file = Path(path) / 'saved_model.pb'
  model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
  change(model.meta_graphs[0])
  file.write_bytes(model.SerializeToString())


def harmless(path: str, mark: str) -> None:
  """Upper case, with a variable."""
  del mark
  variable = tf.Variable(1.0)
  _save(path, lambda text: (tf.strings.upper(text), variable + 0.0), v=variable)


def writes(path: str, mark: str) -> None:
  def call(text):
    tf.io.write_file(mark, 'written')
    return text

  _save(path, call)


def writes_in_a_branch_of_a_nested_function(path: str, mark: str) -> None:
  @tf.function(input_signature=TEXT)
  def inner(text):
    def write():
      tf.io.write_file(mark, 'written')
      return tf.constant(1)

    return tf.cond(tf.size(text) > 0, write, lambda: tf.constant(0))

  @tf.function(input_signature=TEXT)
  def middle(text):
    return inner(text)

  def call(text):
    with tf.control_dependencies([middle(text)]):
      return tf.identity(text)

  _save(path, call)


def writes_in_a_signature_alone(path: str, mark: str) -> None:
  @tf.function(input_signature=TEXT)
  def serve(text):
    tf.io.write_file(mark, 'written')
    return {'text': text}

  _save(path, lambda text: text, signatures={'serving_default': serve})


class _Resource(tf.saved_model.experimental.TrackableResource):
  """Its initialiser runs whenever the SavedModel is loaded."""

  def __init__(self, mark: str):
    super().__init__()
    self._mark = mark

  def _create_resource(self):
    return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

  def _initialize(self):
    tf.io.write_file(self._mark, 'written')


def writes_in_an_initialiser(path: str, mark: str) -> None:
  resource = _Resource(mark)
  _ = resource.resource_handle
  _save(path, lambda text: text, resource=resource)


def writes_in_a_dataset(path: str, mark: str) -> None:
  def write(x):
    tf.io.write_file(mark, 'written')
    return x

  def call(text):
    dataset = tf.data.Dataset.from_tensors(text).map(write)
    return dataset.reduce(text, lambda _, new: new)

  _save(path, call)


def prints_to_a_file(path: str, mark: str) -> None:
  def call(text):
    tf.print(text, output_stream=f'file://{mark}')
    return text

  _save(path, call)


def prints_to_the_screen(path: str, mark: str) -> None:
  del mark

  def call(text):
    tf.print(text)
    return text

  _save(path, call)


def caches_in_a_file(path: str, mark: str) -> None:
  _save(path, lambda text: tf.data.Dataset.from_tensors(text).cache(mark).reduce(
      text, lambda _, new: new))


def caches_in_memory(path: str, mark: str) -> None:
  del mark
  _save(path, lambda text: tf.data.Dataset.from_tensors(text).cache().reduce(
      text, lambda _, new: new))


def runs_python(path: str, mark: str) -> None:
  del mark
  _save(path, lambda text: tf.numpy_function(lambda x: x, [text], tf.string))


def hides_a_graph_in_a_string(path: str, mark: str) -> None:
  del mark

  def call(text):
    dataset = tf.raw_ops.DatasetFromGraph(graph_def=text[0])
    return tf.raw_ops.DatasetCardinality(input_dataset=dataset)

  _save(path, call)


def reads_a_file_of_this_machine(path: str, mark: str) -> None:
  _save(path, lambda text: tf.strings.join([text, tf.io.read_file(mark)]))


def reads_what_its_caller_names(path: str, mark: str) -> None:
  del mark
  _save(path, lambda text: tf.io.read_file(text[0]))


def fills_a_table_from_a_file_of_this_machine(path: str, mark: str) -> None:
  Path(mark).write_text('one\ntwo\n')
  reads_its_asset(path, mark)

  def change(meta):
    # As if it had been written without the asset: the name stands in the graph.
    for function in meta.graph_def.library.function:
      for node in function.node_def:
        if node.op.startswith('InitializeTableFromTextFile'):
          constant = function.node_def.add(name='its_file', op='Const')
          constant.attr['dtype'].type = tf.string.as_datatype_enum
          constant.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(mark))
          node.input[1] = 'its_file:output:0'

  edit(path, change)


def reads_its_asset(path: str, mark: str) -> None:
  """A table filled from an asset, and an asset read directly: as real models do."""
  Path(mark).write_text('one\ntwo\n')
  asset = tf.saved_model.Asset(mark)
  table = tf.lookup.StaticVocabularyTable(tf.lookup.TextFileInitializer(
      mark, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
      tf.lookup.TextFileIndex.LINE_NUMBER), 1)
  embedding = tf.Variable(tf.random.normal([3, 4]))

  def call(text):
    return tf.gather(embedding, table.lookup(text)), tf.io.read_file(asset)

  _save(path, call, asset=asset, table=table, embedding=embedding)


def names_an_asset_outside(path: str, mark: str) -> None:
  reads_its_asset(path, mark)

  def change(meta):
    for asset in meta.asset_file_def:
      asset.filename = '../../../mark'

  edit(path, change)


def has_an_operation_nobody_knows(path: str, mark: str) -> None:
  harmless(path, mark)

  def change(meta):
    for function in meta.graph_def.library.function:
      for node in function.node_def:
        if node.op == 'StringUpper':
          node.op = 'Strange>Upper'

  edit(path, change)


def _save_function(meta):
  """The function of the library that the saver runs to save."""
  name = meta.saver_def.save_tensor_name.partition(':')[0]
  node = next(n for n in meta.graph_def.node if n.name == name)
  return next(f for f in meta.graph_def.library.function
              if f.signature.name == node.attr['f'].func.name)


def writes_in_the_saver(path: str, mark: str) -> None:
  harmless(path, mark)

  def change(meta):
    function = _save_function(meta)
    for name, value in (('its_name', mark), ('its_text', 'written')):
      constant = function.node_def.add(name=name, op='Const')
      constant.attr['dtype'].type = tf.string.as_datatype_enum
      constant.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))
    function.node_def.add(name='it', op='WriteFile',
                          input=['its_name:output:0', 'its_text:output:0'])

  edit(path, change)


def saves_under_another_name(path: str, mark: str) -> None:
  harmless(path, mark)

  def change(meta):
    function = _save_function(meta)
    constant = function.node_def.add(name='its_name', op='Const')
    constant.attr['dtype'].type = tf.string.as_datatype_enum
    constant.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(mark))
    for node in function.node_def:
      if node.op == 'SaveV2':
        node.input[0] = 'its_name:output:0'

  edit(path, change)


def _change_saved_name(meta, op, inputs, text, **attributes):
  """Puts an operation, on these inputs and a constant, before the name that SaveV2 gets."""
  function = _save_function(meta)
  constant = function.node_def.add(name='its_text', op='Const')
  constant.attr['dtype'].type = tf.string.as_datatype_enum
  constant.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(text))
  save = next(node for node in function.node_def if node.op == 'SaveV2')
  given = {'prefix': save.input[0], 'text': 'its_text:output:0'}
  node = function.node_def.add(name='its_name', op=op, input=[given[name] for name in inputs])
  for name, value in attributes.items():
    setattr(node.attr[name], 'i' if isinstance(value, int) else 's', value)
  save.input[0] = 'its_name:output:0'


def saves_beside_what_it_is_given(path: str, mark: str) -> None:
  harmless(path, mark)
  edit(path, lambda meta: _change_saved_name(
      meta, 'StringJoin', ['prefix', 'text'], '/../../../mark', N=2, separator=b''))


def saves_elsewhere_by_replacing_the_name(path: str, mark: str) -> None:
  harmless(path, mark)
  edit(path, lambda meta: _change_saved_name(
      meta, 'StaticRegexReplace', ['prefix'], '', pattern=b'.*', rewrite=mark.encode()))


def hides_behind_a_function_of_that_name(path: str, mark: str) -> None:
  """A function of the library is called WriteFile, and so would its call be."""
  writes(path, mark)

  def change(meta):
    function = meta.graph_def.library.function.add()
    function.signature.name = 'WriteFile'

  edit(path, change)


def calls_its_saver(path: str, mark: str) -> None:
  """The saver's function, by its true name, called from a signature as well."""
  writes_in_a_signature_alone(path, mark)

  def change(meta):
    save = _save_function(meta).signature.name
    for node in meta.graph_def.node:
      if node.name == meta.signature_def['serving_default'].outputs['text'].name.split(':')[0]:
        node.attr['f'].func.name = save
    for function in meta.graph_def.library.function:
      for node in list(function.node_def):
        if node.op == 'WriteFile':
          function.node_def.remove(node)
        else:
          for i in reversed(range(len(node.input))):
            if node.input[i] == '^WriteFile':
              del node.input[i]

  edit(path, change)


def _tf1(path: str, build) -> None:
  v1 = tf.compat.v1
  with tf.Graph().as_default(), v1.Session() as session:
    text = v1.placeholder(tf.string, [None], name='text')
    variable = v1.get_variable('v', initializer=1.0, use_resource=False)
    output, main_op = build(text, variable)
    session.run([v1.global_variables_initializer(), v1.tables_initializer()])
    builder = v1.saved_model.Builder(path)
    builder.add_meta_graph_and_variables(
        session, ['serve'], main_op=main_op, saver=v1.train.Saver(sharded=True),
        assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        signature_def_map={'serving_default': v1.saved_model.predict_signature_def(
            {'text': text}, {'output': output})})
    builder.save()


def tf1_with_a_table(path: str, mark: str) -> None:
  Path(mark).write_text('one\ntwo\n')

  def build(text, variable):
    table = tf.compat.v1.tables_initializer
    lookup = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
        mark, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER), -1)
    return tf.cast(lookup.lookup(text), tf.float32) + variable, table()

  _tf1(path, build)


def tf1_that_writes_when_it_is_loaded(path: str, mark: str) -> None:
  def build(text, variable):
    return tf.cast(tf.strings.length(text), tf.float32) + variable, tf.io.write_file(mark, 'x')

  _tf1(path, build)


# What is refused -> an operation that the message names, and words for why.
DANGEROUS = {
    writes: ('WriteFile', 'writes files'),
    writes_in_a_branch_of_a_nested_function: ('WriteFile', 'writes files'),
    writes_in_a_signature_alone: ('WriteFile', 'writes files'),
    writes_in_an_initialiser: ('WriteFile', 'writes files'),
    writes_in_a_dataset: ('WriteFile', 'writes files'),
    prints_to_a_file: ('PrintV2', 'writes files'),
    caches_in_a_file: ('CacheDatasetV2', 'writes files'),
    runs_python: ('PyFunc', 'runs code that is not in the graph'),
    hides_a_graph_in_a_string: ('DatasetFromGraph', 'runs code that is not in the graph'),
    reads_a_file_of_this_machine: ('ReadFile', 'its name comes from the constant'),
    reads_what_its_caller_names: ('ReadFile', 'its name comes from'),
    fills_a_table_from_a_file_of_this_machine: (
        'InitializeTableFromTextFileV2', 'its name comes from the constant'),
    has_an_operation_nobody_knows: ('Strange>Upper', 'is no operation of TensorFlow'),
    writes_in_the_saver: ('WriteFile', 'writes files'),
    saves_under_another_name: ('SaveV2', 'under another name than the saver is given'),
    saves_beside_what_it_is_given: ('SaveV2', 'under another name than the saver is given'),
    saves_elsewhere_by_replacing_the_name: (
        'SaveV2', 'under another name than the saver is given'),
    hides_behind_a_function_of_that_name: ('WriteFile', 'writes files'),
    calls_its_saver: ('SaveV2', 'writes files'),
    tf1_that_writes_when_it_is_loaded: ('WriteFile', 'writes files'),
}

HARMLESS = (harmless, prints_to_the_screen, caches_in_memory, reads_its_asset, tf1_with_a_table)
