"""When did a training finish which step? Read from the curves that it writes for TensorBoard.

TF-NLP's train.py and gin/runs/pretrain.gin both write a point after every loop of steps, with the
time of day: one clock for all, which needs no change in what is measured and counts everything that
happens between steps. Read without TensorFlow, so that whoever waits takes no processor time.
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct('<Q')
_HEAD = _LENGTH.size + 4  # The length and its checksum.
_TAIL = 4  # The checksum of the record.


@dataclasses.dataclass(frozen=True)
class Point:
  """A point of a curve.

  Attributes:
    step: steps done.
    time: of day, in seconds since 1970.
    value: of the curve.
  """

  step: int
  time: float
  value: float


def points(directory: str | Path, tag: str) -> list[Point]:
  """All points of a curve in the event files of a directory, by their time.

  Args:
    directory: of the event files; need not exist yet.
    tag: name of the curve.
  """
  from tensorboard.compat.proto import event_pb2

  found = []
  for path in Path(directory).glob('events.out.tfevents.*'):
    for record in _records(path.read_bytes()):
      event = event_pb2.Event.FromString(record)
      found += [Point(event.step, event.wall_time, _number(value.tensor))
                for value in event.summary.value if value.tag == tag]
  return sorted(found, key=lambda point: point.time)


def _records(data: bytes) -> list[bytes]:
  """The whole records of a file that may still be growing (the format of TFRecord)."""
  found, place = [], 0
  while place + _HEAD <= len(data):
    (length,) = _LENGTH.unpack_from(data, place)
    end = place + _HEAD + length
    if end + _TAIL > len(data):
      break
    found.append(data[place + _HEAD:end])
    place = end + _TAIL
  return found


def _number(tensor: Any) -> float:
  """Of a float32 scalar TensorProto, in either form."""
  if tensor.tensor_content:
    return struct.unpack('<f', tensor.tensor_content)[0]
  return float(tensor.float_val[0])
