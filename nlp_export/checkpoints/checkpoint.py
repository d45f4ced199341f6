"""What is an open checkpoint, whatever its format: named items, each a tree of stored tensors.

The edges of the tree are those of TF-NLP's objects (`_transformer_layers/3/_attention_layer/...`),
so one walk restores every format. Nothing here reads values until asked for one tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nlp_export import files, names
from nlp_export.checkpoints import readable
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

# What a stored tensor is to the file, apart from belonging to an item.
OPTIMIZER = 'optimizer'
COUNTER = 'counter'
HEAD = 'head'
ITEM = 'item'
OTHER = 'other'
UNREACHABLE = 'unreachable'


@dataclass(frozen=True, eq=False)
class StoredTensor:
  """One tensor of the file, not read yet.

  Attributes:
    key: what the file calls it.
    shape: as TF-NLP's variable has it (a Hugging Face [out, in] is turned already).
    dtype: as stored: 'float32', 'bfloat16', 'int64' ...
    group: ITEM, HEAD, OPTIMIZER, COUNTER, OTHER or UNREACHABLE.
    item: the canonical name of the item that owns it ('' for none).
    path: its path through the objects, from the item's name on.
    name: the variable's own name, '' if the file does not tell.
    read: returns the value, an array of `shape` and `dtype`.
    heads_axis: the axis of `shape` on which all attention heads lie side by side, where the file
      does not say how many there are; None where nothing is left open. Two axes of the variable,
      heads and their width, are one here.
  """

  key: str
  shape: tuple[int, ...]
  dtype: str
  group: str
  item: str
  path: str
  name: str
  read: Callable[[], np.ndarray]
  heads_axis: int | None = None

  def fits(self, shape: tuple[int, ...]) -> bool:
    """Whether a variable of this shape takes the tensor: its heads, where the file tells none."""
    return self.shape == self.with_heads_merged(shape)

  def with_heads_merged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A variable's shape, its heads side by side if they lie so here."""
    axis = self.heads_axis
    if axis is None or len(shape) != len(self.shape) + 1:
      return shape
    return (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2:])

  @property
  def role(self) -> readable.Role | None:
    return readable.role(self.path, self.name)

  def __str__(self) -> str:
    return readable.readable(self.path, self.name)


@dataclass(eq=False)
class Node:
  """An object of the checkpoint: edges to others, and its value if it is a variable."""

  children: dict[str, Node] = field(default_factory=dict)
  tensor: StoredTensor | None = None

  def at(self, path: str) -> Node | None:
    """The node at a path of edges such as '_transformer_layers/0', None if there is none."""
    node: Node | None = self
    for edge in path.split('/'):
      node = node.children.get(edge) if node else None
    return node

  def made_at(self, path: str) -> Node:
    """The same, made with all above it if there is none."""
    node = self
    for edge in path.split('/'):
      node = node.children.setdefault(edge, Node())
    return node


def other_masked_lm(path: str, why: str) -> RequestError:
  """The refusal of a masked LM head that is another function than TF-NLP's."""
  return RequestError(
      f'Cannot use {path} with its masked LM head: {why}. '
      "Take EXPORT_TYPES = ('model', 'preprocessing').")


@dataclass(eq=False)
class Checkpoint:
  """An open checkpoint. Made by `open_checkpoint`.

  Attributes:
    format: 'TF2 object graph', 'TF1 variables', 'Hugging Face BERT' or 'Orbax'.
    path: what was opened: a prefix or a directory.
    files: every file that is read, for hashing.
    notes: what was decided on the way, to be said to the user ('ckpt-7 was taken for ckpt').
    nodes: canonical item name -> its tree.
    tensors: every tensor of the file.
    stored_names: canonical item name -> its name or path in the file.
    aliases: what `item_names` renamed: name in the file -> canonical name.
    check_item: called with an item before its values are used; raises RequestError where what the
      file holds twice is not equal.
    encoder_config, vocab_file, tokenizer_config: paths of files that the format brings along, or
      None.
    label: what to call it where the base name says too little ('1000').
    no_masked_lm: why the stored masked LM head is another function than TF-NLP's; '' if it is not.
    pooler_is_the_heads: whether the dense layer under the next-sentence head is the encoder's own
      pooler, as in the original BERT, so that `dense` has no other to give.
  """

  format: str
  path: str
  files: tuple[str, ...]
  nodes: dict[str, Node]
  tensors: tuple[StoredTensor, ...]
  stored_names: dict[str, str] = field(default_factory=dict)
  aliases: dict[str, str] = field(default_factory=dict)
  notes: tuple[str, ...] = ()
  check_item: Callable[[str], None] = lambda item: None
  encoder_config: str | None = None
  vocab_file: str | None = None
  tokenizer_config: str | None = None
  label: str = ''
  no_masked_lm: str = ''
  pooler_is_the_heads: bool = False

  @property
  def name(self) -> str:
    """The base name, for reports that must not name a machine's paths."""
    return self.label or files.basename(self.path)

  def items(self) -> tuple[str, ...]:
    """Canonical names of what it holds: encoder, masked_lm, then heads ('sop.pooler_dense')."""
    first = tuple(name for name in (names.ENCODER, names.MASKED_LM) if name in self.nodes)
    return first + tuple(sorted(set(self.nodes) - set(first)))

  def items_line(self) -> str:
    """'items: encoder, masked_lm', for messages."""
    return 'items: ' + (', '.join(self.items()) or 'none that belong to an encoder')

  def tensors_of(self, item: str) -> list[StoredTensor]:
    """The weights of an item, by its canonical name."""
    return [t for t in self.tensors if t.item == item and t.group in (ITEM, HEAD)]

  def has_pooler(self) -> bool:
    """Whether the encoder's own pooler is stored."""
    roles = [tensor.role for tensor in self.tensors_of(names.ENCODER)]
    return any(role is not None and role.part == readable.POOLER for role in roles)

  def dense(self, item: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a dense layer that the checkpoint holds as an item of its own.

    Args:
      item: canonical name, such as 'next_sentence.pooler_dense', or the file's own name for it.

    Returns:
      kernel [in, out] and bias [out], float32.

    Raises:
      RequestError: there is no such item, or it is not a dense layer, or it is not finite.
    """
    import numpy as np

    from nlp_export.checkpoints.values import read_finite

    node = self.nodes.get(item) or self.nodes.get(self.aliases.get(item, ''))
    if self.pooler_is_the_heads and item.endswith('.pooler_dense') and self.has_pooler():
      raise RequestError(
          f"'{item}' was asked of {self.name}. There the dense layer under the next-sentence head "
          "is the encoder's own pooler, which was trained with it: nothing is to be copied. Use "
          '@poolers.keep.'
      )
    if node is None:
      raise RequestError(self._no_such_dense(item))
    kernel, bias = (node.children.get(leaf, Node()).tensor for leaf in ('kernel', 'bias'))
    if kernel is None or bias is None or len(kernel.shape) != 2:
      raise RequestError(
          f"'{item}' was asked of {self.name} as a dense layer, but the item holds "
          f'{", ".join(sorted(node.children)) or "nothing"}. Name an item with a kernel [in, out] '
          'and a bias.'
      )
    float32 = np.dtype('float32')
    return read_finite(self, kernel, float32), read_finite(self, bias, float32)

  def _no_such_dense(self, item: str) -> str:
    head, _, inner = item.partition('.')
    others = [name for name in self.items() if inner and name.endswith('.' + inner)]
    message = f"'{item}' was asked of {self.name}, which has no such item ({self.items_line()}). "
    if others:
      other = others[0].partition('.')[0]
      setting = 'checkpoint_items.next_sentence' if head == 'next_sentence' else 'copy_nsp.head'
      return message + f"It has a head called '{other}': bind {setting} = '{other}'."
    keep = '@poolers.keep (what its encoder holds), ' if self.has_pooler() else ''
    return message + (
        'It was trained or converted without that head, so there is nothing to copy. Use '
        f'{keep}@poolers.identity or @poolers.random.'
    )
