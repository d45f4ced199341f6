"""What did a restore match, and what stood against it, in words a user can act on?"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from nlp_export.checkpoints import readable

SCHEMA_VERSION = 1
_SHOWN = 8
NEAREST_FOR = _SHOWN  # Missing variables that get a list of nearest names: those that are shown.

# Axis -> what differs, and the guess.
_GUESSES = {
    readable.VOCABULARY: ('word embeddings', 'another vocabulary?'),
    readable.POSITIONS: ('position embeddings', 'another max_position_embeddings?'),
    readable.SEGMENT_TYPES: ('segment types', 'another type_vocab_size?'),
    readable.WIDTH: ('hidden width', 'another hidden_size?'),
    readable.HEADS: ('attention heads', 'another num_attention_heads?'),
    readable.INTERMEDIATE_WIDTH: ('intermediate width', 'another intermediate_size?'),
    readable.EMBEDDING_WIDTH: ('embedding width', 'another embedding_size?'),
    readable.HEAD_WIDTH: ('width of a head', 'another hidden_size or num_attention_heads?'),
}


@dataclass(frozen=True)
class Match:
  """A variable and the stored tensor it is restored from; `cast_from` if that has another dtype."""

  item: str
  variable: str
  key: str
  shape: tuple[int, ...]
  cast_from: str | None = None


@dataclass(frozen=True)
class Missing:
  """A variable for which the checkpoint has nothing; `nearest` are readable names that it has."""

  item: str
  variable: str
  path: str
  shape: tuple[int, ...]
  nearest: tuple[str, ...] = ()

  @property
  def role(self) -> readable.Role | None:
    return readable.role(self.path, self.variable)

  def __str__(self) -> str:
    return readable.readable(self.path, self.variable)


@dataclass(frozen=True)
class ShapeDifference:
  """A variable whose stored tensor has another shape; both with heads merged on `heads_axis`."""

  item: str
  variable: str
  path: str
  key: str
  checkpoint: tuple[int, ...]
  config: tuple[int, ...]
  heads_axis: int | None = None

  @property
  def role(self) -> readable.Role | None:
    return readable.role(self.path, self.variable)

  @property
  def axes(self) -> tuple[str, ...]:
    """The label of each axis, () if not known. Heads side by side make up the width."""
    axes = self.role.axes if self.role else ()
    if self.heads_axis is None or not axes:
      return axes
    return (*axes[:self.heads_axis], readable.WIDTH, *axes[self.heads_axis + 2:])

  def __str__(self) -> str:
    return readable.readable(self.path, self.variable)


@dataclass
class Unused:
  """Keys of the checkpoint that no variable takes. Only `unexplained` ones stand against a restore.

  Attributes:
    optimizer: slots and state of an optimizer.
    counters: steps, random states, metrics, tables that are not weights.
    heads: of the pre-training or of tasks, not asked for.
    items: further objects that were saved beside (a teacher, a second tower).
    unexplained: inside what was asked for, or of no known object.
  """

  optimizer: list[str] = field(default_factory=list)
  counters: list[str] = field(default_factory=list)
  heads: list[str] = field(default_factory=list)
  items: list[str] = field(default_factory=list)
  unexplained: list[str] = field(default_factory=list)


@dataclass
class RestoreReport:
  """What a restore did, or would do.

  Attributes:
    checkpoint: base name of the file.
    format: of the file.
    matched, missing, shape_differences: one entry for each variable.
    left_out: parts that the caller does without and the checkpoint lacks; they keep their values.
    states: variables that are no weights (random states, counters): never restored.
    unused: what the checkpoint holds besides.
    unexplained: readable names of `unused.unexplained`, grouped by layer.
    layers: number of Transformer layers in the checkpoint and in the encoder, None if not told.
    shares_layers: whether one layer stands for all (ALBERT) in the checkpoint and in the encoder.
    notes: how the path was understood.
  """

  checkpoint: str
  format: str
  matched: list[Match] = field(default_factory=list)
  missing: list[Missing] = field(default_factory=list)
  left_out: list[str] = field(default_factory=list)
  states: list[str] = field(default_factory=list)
  shape_differences: list[ShapeDifference] = field(default_factory=list)
  unused: Unused = field(default_factory=Unused)
  unexplained: list[str] = field(default_factory=list)
  layers: tuple[int | None, int | None] = (None, None)
  shares_layers: tuple[bool, bool] = (False, False)
  notes: tuple[str, ...] = ()

  @property
  def complete(self) -> bool:
    """Whether everything fits: nothing is missing, of another shape or unexplained."""
    return not (self.missing or self.shape_differences or self.unused.unexplained)

  @property
  def casts(self) -> dict[str, int]:
    """Stored dtype -> number of tensors that were cast from it."""
    return dict(Counter(m.cast_from for m in self.matched if m.cast_from))

  def to_json(self) -> dict[str, Any]:
    """The report as JSON values; no paths of the machine."""
    return {'schema_version': SCHEMA_VERSION, 'complete': self.complete} | asdict(self)

  def lines(self) -> list[str]:
    """A few lines for the screen after a restore."""
    unused = self.unused
    counts = Counter(match.item for match in self.matched)
    lines = [*self.notes]
    lines.append('restored ' + ', '.join(f'{item}: {n} variables' for item, n in counts.items()))
    lines += [f'cast from {dtype}: {n} tensors' for dtype, n in self.casts.items()]
    lines += [f'not in the checkpoint and not needed: {part}' for part in self.left_out]
    kinds = (('optimizer', unused.optimizer), ('counters', unused.counters),
             ('heads', unused.heads), ('other items', unused.items))
    rest = [f'{name} {len(keys)}' for name, keys in kinds if keys]
    if rest:
      lines.append('not used, as expected: ' + ', '.join(rest))
    return lines

  def differences(self) -> list[str]:
    """What stands against a restore, the cause before its consequences."""
    lines = self._layer_lines()
    lines += _shape_lines(self.shape_differences)
    if self.shares_layers[0] != self.shares_layers[1]:
      return lines  # Another network: what else differs follows from that.
    layers_differ = bool(lines) and self.layers[0] != self.layers[1]
    missing = [m for m in self.missing if not (layers_differ and _beyond(m.role, self.layers[0]))]
    unexplained = self.unexplained
    if layers_differ and self.layers[1] is not None:
      unexplained = [n for n in unexplained if not _names_layer_beyond(n, self.layers[1])]
    # Where a layer is absent, those behind it lie at other places: a consequence, not a cause.
    moved = {str(m) for m in missing} & {name.partition(' (')[0] for name in unexplained}
    causes = lines + [m for m in missing if str(m) not in moved]
    if causes:
      missing = [m for m in missing if str(m) not in moved]
      unexplained = [name for name in unexplained if name.partition(' (')[0] not in moved]
    lines += _limited([f'missing: {_with_nearest(m)}' for m in missing])
    lines += _limited([f'in the checkpoint but not in the model: {name}' for name in unexplained])
    return lines

  def _layer_lines(self) -> list[str]:
    stored, built = self.layers
    if self.shares_layers[0] != self.shares_layers[1]:
      kinds = ['albert' if shared else 'bert' for shared in self.shares_layers]
      return ['encoder type: checkpoint {}, config {}: another type?'.format(*kinds)]
    if stored is None or built is None or stored == built:
      return []
    return [f'layers: checkpoint {stored}, config {built}: another num_layers?']


def _beyond(role: readable.Role | None, layers: int | None) -> bool:
  return bool(role and role.layer is not None and layers is not None and role.layer >= layers)


def _names_layer_beyond(name: str, layers: int) -> bool:
  words = name.split(maxsplit=1)
  number = words[1].partition(',')[0] if len(words) == 2 and words[0] == 'layer' else ''
  return number.isdigit() and int(number) >= layers


def _with_nearest(missing: Missing) -> str:
  near = f'; the nearest there: {", ".join(missing.nearest)}' if missing.nearest else ''
  return f'{missing} ({missing.path}){near}'


def _shape_lines(differences: list[ShapeDifference]) -> list[str]:
  by_axis: dict[tuple[str, int, int], None] = {}
  others = []
  for difference in differences:
    axes = difference.axes
    if len(difference.checkpoint) != len(axes) or len(difference.config) != len(axes):
      others.append(
          f'{difference} ({difference.key}): checkpoint {list(difference.checkpoint)}, config '
          f'{list(difference.config)}'
      )
      continue
    for axis, stored, built in zip(axes, difference.checkpoint, difference.config, strict=True):
      if stored != built:
        by_axis[axis, stored, built] = None
  widths = {(stored, built) for axis, stored, built in by_axis if axis == readable.WIDTH}
  known = {axis for axis, _, _ in by_axis}
  lines = []
  for axis in _GUESSES:
    for found, stored, built in by_axis:
      if found != axis:
        continue
      if axis == readable.HEAD_WIDTH and known & {readable.WIDTH, readable.HEADS}:
        continue  # It follows from them.
      if axis == readable.EMBEDDING_WIDTH and (stored, built) in widths:
        continue  # Embeddings as wide as the layers.
      what, guess = _GUESSES[axis]
      lines.append(f'{what}: checkpoint {stored}, config {built}: {guess}')
  return lines + _limited(others)


def _limited(lines: list[str]) -> list[str]:
  if len(lines) <= _SHOWN:
    return lines
  return [*lines[:_SHOWN], f'... and {len(lines) - _SHOWN} more']
