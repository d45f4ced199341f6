"""Which graphs does a SavedModel hold, who calls them, and where do their file names come from?"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Where the name of a file comes from: one of the SavedModel's own assets.
ASSET = 'an asset'

_CALLS = {'PartitionedCall': 0, 'StatefulPartitionedCall': 0,
          'If': 1, 'StatelessIf': 1, 'Case': 1, 'StatelessCase': 1}
# Operations that hand on their first input.
_HAND_ON = frozenset({
    'Identity', 'StopGradient', 'Snapshot', 'EnsureShape', 'Reshape', 'ExpandDims', 'Squeeze',
    'Enter', 'RefEnter', 'Switch', 'RefSwitch'})
# Names of signatures that are run once, after loading.
_INITIALISERS = ('__saved_model_init_op',)
_GIVEN = frozenset({'Placeholder', 'PlaceholderV2', 'PlaceholderWithDefault', '_Arg'})


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
  """A function of the library, or the main graph.

  Attributes:
    name: of the function; '' for the main graph.
    nodes: by name.
    arguments: name of each argument -> its position.
  """

  name: str
  nodes: Mapping[str, Any]
  arguments: Mapping[str, int]

  @property
  def title(self) -> str:
    """For messages."""
    return f'function {self.name}' if self.name else 'the main graph'

  def ancestors(self, tensors: Iterable[str]) -> set[str]:
    """Names of the nodes and arguments that these need, themselves included."""
    found: set[str] = set()
    waiting = [node_name(tensor) for tensor in tensors]
    while waiting:
      name = waiting.pop()
      if name in found or (name not in self.nodes and name not in self.arguments):
        continue
      found.add(name)
      if name in self.nodes:
        waiting += [node_name(tensor) for tensor in self.nodes[name].input]
    return found

  def is_ending(self, tensor: str) -> bool:
    """Whether a saver adds this to a file name: a word for the parts of a checkpoint.

    Of several words none may end so that the next one makes a way up of it.
    """
    node = self.nodes.get(node_name(tensor))
    if node is None:
      return False
    inputs = data_inputs(node)
    if node.op == 'Identity':
      return self.is_ending(inputs[0])
    if node.op in ('Select', 'SelectV2'):  # Another one on S3 than elsewhere.
      return all(map(self.is_ending, inputs[1:]))
    words = string_values(node.attr['value'].tensor) if node.op == 'Const' else None
    return words is not None and not any('..' in word or word.endswith('.') for word in words)


def node_name(tensor: str) -> str:
  """Of the node that makes a tensor: 'a:out:0', 'a:0', '^a' -> 'a'."""
  return tensor.lstrip('^').partition(':')[0]


def data_inputs(node: Any) -> list[str]:
  """The inputs of a node without its control inputs."""
  return [tensor for tensor in node.input if not tensor.startswith('^')]


class Walk:
  """The graphs of one MetaGraphDef.

  Attributes:
    main: the main graph: signatures, initialisers, saver.
    functions: by name.
    saver_nodes: names of nodes of the main graph that nobody but the saver needs.
    saver_functions: names of functions that nobody but the saver reaches.
  """

  def __init__(self, meta_graph: Any):
    self._meta_graph = meta_graph
    graph_def = meta_graph.graph_def
    self.main = Graph('', {node.name: node for node in graph_def.node}, {})
    self.functions = {
        f.signature.name: Graph(
            f.signature.name, {node.name: node for node in f.node_def},
            {argument.name: i for i, argument in enumerate(f.signature.input_arg)})
        for f in graph_def.library.function}
    self._gradients = {g.function_name: g.gradient_func for g in graph_def.library.gradient}
    self._assets = {node_name(asset.tensor_info.name) for asset in asset_files(meta_graph)}
    self._saver_name = node_name(meta_graph.saver_def.filename_tensor_name)
    saver = meta_graph.saver_def
    self._of_saver = self.main.ancestors([saver.save_tensor_name, saver.restore_op_name])
    # Only initialisers are given the paths of assets; elsewhere a constant is what it says.
    self._without_assets = self._of_saver | self.main.ancestors(self._signature_tensors())
    self.saver_nodes = self._saver_nodes()
    self.saver_functions = self._saver_functions()
    self._callers = self._call_sites()

  def graphs(self) -> Iterator[Graph]:
    """All of them, the main graph first."""
    yield self.main
    yield from self.functions.values()

  def repeated(self) -> Iterator[tuple[str, str]]:
    """Operation and place of each node whose name another one has, and of such functions."""
    graph_def = self._meta_graph.graph_def
    functions = graph_def.library.function
    listed = [(self.main, graph_def.node)]
    listed += [(self.functions[f.signature.name], f.node_def) for f in functions]
    for graph, nodes in listed:
      for name, count in collections.Counter(node.name for node in nodes).items():
        if count > 1:
          yield graph.nodes[name].op, f'node {name} of {graph.title}'
    for name, count in collections.Counter(f.signature.name for f in functions).items():
      if count > 1:
        yield name, f'function {name}'

  def belongs_to_saver(self, graph: Graph, node: Any) -> bool:
    """Whether nothing but saving and restoring the variables runs a node."""
    if graph is self.main:
      return node.name in self.saver_nodes
    return graph.name in self.saver_functions

  def extends_saver_name(self, graph: Graph, tensor: str) -> bool:
    """Whether a file name is the one that the saver is given, or that with an ending."""
    name = node_name(tensor)
    if name in graph.arguments:
      position, callers = graph.arguments[name], self._callers[graph.name]
      return bool(callers) and all(
          position < len(inputs) and self.extends_saver_name(caller, inputs[position])
          for caller, inputs in callers)
    node = graph.nodes.get(name)
    if node is None or node.op in _GIVEN:
      # Any other placeholder may have a value of its own.
      return node is not None and graph is self.main and name == self._saver_name
    inputs = data_inputs(node)
    if node.op == 'Pack':
      return all(self.extends_saver_name(graph, each) for each in inputs)
    if node.op == 'StringJoin':
      return (not node.attr['separator'].s and self.extends_saver_name(graph, inputs[0])
              and all(map(graph.is_ending, inputs[1:])))
    return node.op in (*_HAND_ON, 'ShardedFilename') and self.extends_saver_name(graph, inputs[0])

  def origins(self, graph: Graph, tensor: str) -> set[str]:
    """Where a string comes from: ASSET, or for everything else words for a message."""
    return self._origins(graph, tensor, set())

  def _origins(self, graph: Graph, tensor: str, seen: set[tuple[str, str]]) -> set[str]:
    name = node_name(tensor)
    if (graph.name, name) in seen:
      return set()
    seen.add((graph.name, name))
    if name in graph.arguments:
      return self._origins_of_argument(graph, graph.arguments[name], seen)
    node = graph.nodes.get(name)
    if node is None:
      return {'nothing that is in the graph'}
    if (graph is self.main and name in self._assets and node.op in ('Const', *_GIVEN)
        and name not in self._without_assets):
      return {ASSET}
    if node.op in _HAND_ON:
      return self._origins(graph, data_inputs(node)[0], seen)
    if node.op == 'ReadVariableOp' and graph is self.main:
      written = self._written_once(node_name(data_inputs(node)[0]))
      if written:
        return self._origins(graph, written, seen)
    if node.op == 'Const':
      return {f'the constant {text}' for text in _strings(node.attr['value'].tensor)}
    if node.op in _GIVEN:
      return {'whoever calls it'}
    return {f'the operation {node.op}'}

  def _written_once(self, handle: str) -> str:
    """The value of a variable of the main graph that nothing else can change; '' for others.

    TensorFlow 2 keeps an asset's path in a variable that the initialiser reads.
    """
    variable = self.main.nodes.get(handle)
    if variable is None or variable.op != 'VarHandleOp':
      return ''
    shared = variable.attr['shared_name'].s
    aliases = [node for graph in self.graphs() for node in graph.nodes.values()
               if node.op == 'VarHandleOp' and node.attr['shared_name'].s == shared]
    users = [node for node in self.main.nodes.values()
             if handle in map(node_name, data_inputs(node))]
    writers = [node for node in users if node.op == 'AssignVariableOp']
    known = {'AssignVariableOp', 'ReadVariableOp', 'VarIsInitializedOp'}
    if len(aliases) > 1 or len(writers) != 1 or any(node.op not in known for node in users):
      return ''
    return data_inputs(writers[0])[1]

  def _origins_of_argument(
      self, graph: Graph, position: int, seen: set[tuple[str, str]]) -> set[str]:
    found = set(self._bound(graph, position))
    if graph.name in self._gradients.values():
      found.add('whoever takes the gradient')
    for caller, inputs in self._callers[graph.name]:
      if position >= len(inputs):
        found.add('whoever calls it')
      else:
        found |= self._origins(caller, inputs[position], seen)
    return found or {'whoever calls it'}

  def _bound(self, graph: Graph, position: int) -> Iterator[str]:
    """What a function of the object graph has captured, or is given by its caller."""
    objects = self._meta_graph.object_graph_def
    if graph.name not in objects.concrete_functions:
      return
    bound = objects.concrete_functions[graph.name].bound_inputs
    captured = position - (len(graph.arguments) - len(bound))
    if captured < 0:
      yield 'whoever calls it'
      return
    kind = objects.nodes[bound[captured]].WhichOneof('kind')
    yield ASSET if kind == 'asset' else f'a {kind}'

  def _call_sites(self) -> dict[str, list[tuple[Graph, Sequence[str]]]]:
    """Function -> who calls it, and with which tensors for its arguments."""
    found: dict[str, list[tuple[Graph, Sequence[str]]]] = collections.defaultdict(list)
    for graph in self.graphs():
      for node in graph.nodes.values():
        inputs = data_inputs(node)
        for name in self._called(node):
          direct = node.op in self.functions
          skipped = 0 if direct else _CALLS.get(node.op, len(inputs))
          found[name].append((graph, inputs[skipped:]))
    return found

  def _called(self, node: Any) -> list[str]:
    """The functions that a node names."""
    named = [node.op]
    for value in node.attr.values():
      if value.HasField('func'):
        named.append(value.func.name)
      named += [function.name for function in value.list.func]
    return [name for name in named if name in self.functions]

  def _reached(self, nodes: Iterable[Any], names: Iterable[str] = ()) -> set[str]:
    """Names of functions that these nodes and functions call, directly or by way of others."""
    found: set[str] = set()
    waiting = [*names, *(name for node in nodes for name in self._called(node))]
    while waiting:
      name = waiting.pop()
      if name in found or name not in self.functions:
        continue
      found.add(name)
      waiting += [c for node in self.functions[name].nodes.values() for c in self._called(node)]
      waiting += [self._gradients[name]] if name in self._gradients else []
    return found

  def _saver_nodes(self) -> set[str]:
    return self._of_saver - self.main.ancestors(self._entry_tensors())

  def _signature_tensors(self) -> Iterator[str]:
    """What is run of the main graph whenever somebody calls it."""
    for name, signature in self._meta_graph.signature_def.items():
      if name not in _INITIALISERS:
        for info in (*signature.inputs.values(), *signature.outputs.values()):
          yield from _tensor_names(info)

  def _entry_tensors(self) -> Iterator[str]:
    """What is run of the main graph but for the saver: signatures and initialisers."""
    yield from self._signature_tensors()
    for name in _INITIALISERS:
      for info in self._meta_graph.signature_def[name].outputs.values() if (
          name in self._meta_graph.signature_def) else ():
        yield from _tensor_names(info)
    for name, collection in self._meta_graph.collection_def.items():
      if name != 'savers':
        yield from collection.node_list.value
        yield from _initialisers(collection)

  def _saver_functions(self) -> set[str]:
    by_saver = self._reached(self.main.nodes[name] for name in self.saver_nodes)
    others = [node for name, node in self.main.nodes.items() if name not in self.saver_nodes]
    in_objects = self._meta_graph.object_graph_def.concrete_functions.keys()
    orphans = self.functions.keys() - by_saver
    return by_saver - self._reached(others, [*in_objects, *orphans])


def asset_files(meta_graph: Any) -> list[Any]:
  """AssetFileDefs of a MetaGraphDef, as TensorFlow 2 and 1 record them."""
  from tensorflow.core.protobuf import meta_graph_pb2

  found = list(meta_graph.asset_file_def)
  for packed in meta_graph.collection_def['saved_model_assets'].any_list.value if (
      'saved_model_assets' in meta_graph.collection_def) else ():
    asset = meta_graph_pb2.AssetFileDef()
    packed.Unpack(asset)
    found.append(asset)
  return found


def _initialisers(collection: Any) -> Iterator[str]:
  """Of the variables that TensorFlow 1 lists: those of local ones are run after loading."""
  from google.protobuf.message import DecodeError
  from tensorflow.core.framework import variable_pb2

  for value in collection.bytes_list.value:
    try:
      yield variable_pb2.VariableDef.FromString(value).initializer_name
    except DecodeError:
      continue  # Something else than a variable; it names nothing that is run.


def _tensor_names(info: Any) -> Iterator[str]:
  kind = info.WhichOneof('encoding')
  if kind == 'coo_sparse':
    sparse = info.coo_sparse
    yield from (sparse.values_tensor_name, sparse.indices_tensor_name,
                sparse.dense_shape_tensor_name)
  elif kind == 'composite_tensor':
    for component in info.composite_tensor.components:
      yield from _tensor_names(component)
  elif info.name:
    yield info.name


def string_values(tensor: Any) -> list[str] | None:
  """The values of a string constant; None if they are written in a way that no tool writes."""
  if tensor.tensor_content or tensor.version_number:
    return None
  return [value.decode(errors='replace') for value in tensor.string_val] or ['']


def _strings(tensor: Any) -> list[str]:
  """The values of a string constant, for a message."""
  found = string_values(tensor)
  return ['in tensor_content'] if found is None else list(map(repr, found))
