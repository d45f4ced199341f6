"""On which hardware does a training run? Runtimes for gin files: swap one, keep the rest.

A runtime is a plain value, made without TensorFlow; `begin` claims its devices and has to come
before anything else uses TensorFlow. The global batch, the losses and the dropout masks are the
same on all of them; sums are in another order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import gin

from nlp_export.errors import RequestError
from nlp_export.pretraining import workers
from nlp_export.pretraining.workers import Cluster
from nlp_export.running import threads


@dataclasses.dataclass(frozen=True, eq=False)
class Begun:
  """Devices that a training may use.

  Attributes:
    strategy: tf.distribute.Strategy.
    kind: 'one_device', 'mirrored', 'multi_worker' or 'tpu'.
    cluster: the processes of the training; None for this one alone.
    jit_compile: whether XLA compiles the step.
    narrow_integers: whether the devices have 16-bit integers.
    notes: what stands in the way of equal bits, in sentences.
  """

  strategy: Any
  kind: str
  cluster: Cluster | None = None
  jit_compile: bool = False
  narrow_integers: bool = True
  notes: tuple[str, ...] = ()

  @property
  def workers(self) -> int:
    """Number of processes that train together."""
    return self.cluster.size if self.cluster else 1

  @property
  def fuses_activations(self) -> bool:
    """Whether XLA compiles activations on their own: not where it compiles the whole step."""
    return self.kind != 'tpu' and not self.jit_compile

  @property
  def is_chief(self) -> bool:
    """Whether this process is the one that writes."""
    return self.cluster is None or self.cluster.is_chief

  def describe(self) -> dict[str, Any]:
    """JSON values of what decides about the bits of a training: devices, threads, versions."""
    import tensorflow as tf

    return {
        'kind': self.kind, 'replicas': self.strategy.num_replicas_in_sync, 'workers': self.workers,
        'device': str(self.strategy.extended.worker_devices[0]).rpartition('/')[2],
        'jit_compile': self.jit_compile,
        'inter_op_threads': tf.config.threading.get_inter_op_parallelism_threads(),
        'intra_op_threads': tf.config.threading.get_intra_op_parallelism_threads(),
        'tensorflow': tf.__version__, 'notes': list(self.notes)}

  @contextlib.contextmanager
  def explained(self, step: int) -> Iterator[None]:
    """Within this context the loss of another process is a `workers.WorkerLost`.

    Args:
      step: number of steps that were done.
    """
    if self.cluster is None:
      yield
    else:
      with workers.explained(self.cluster, step):
        yield


class Runtime(Protocol):
  """What the parts below return."""

  def begin(self) -> Begun:
    """Claims the devices. Once in a process, before anything else uses TensorFlow.

    Raises:
      RequestError: they are not there.
    """


@gin.register(module='runtime')
@dataclasses.dataclass(frozen=True, kw_only=True)
class one_device:
  """One GPU, or the CPU.

  Attributes:
    device: 'GPU:0', 'CPU:0'; None for a GPU if there is one, else the CPU.
    jit_compile: whether XLA compiles the step. Slower on CPUs; try it on a GPU.
    inter_op_threads: 1 repeats a training bit for bit on a CPU; None leaves it to TensorFlow.
  """

  device: str | None = None
  jit_compile: bool = False
  inter_op_threads: int | None = 1

  def begin(self) -> Begun:
    """See `Runtime`."""
    import tensorflow as tf

    notes = _set_threads(self.inter_op_threads)
    device = self.device or ('GPU:0' if tf.config.list_physical_devices('GPU') else 'CPU:0')
    _check_devices([device])
    return Begun(tf.distribute.OneDeviceStrategy(device), 'one_device', notes=notes,
                 jit_compile=self.jit_compile)


@gin.register(module='runtime')
@dataclasses.dataclass(frozen=True, kw_only=True)
class mirrored:
  """Several devices of one machine, each with a part of every batch.

  Attributes:
    devices: ('GPU:0', 'GPU:1'); None for all GPUs.
    logical_cpus: instead of GPUs, the CPU as so many devices: to try things out.
    inter_op_threads: see `one_device`.
  """

  devices: Sequence[str] | None = None
  logical_cpus: int | None = None
  inter_op_threads: int | None = 1

  def begin(self) -> Begun:
    """See `Runtime`."""
    import tensorflow as tf

    notes = _set_threads(self.inter_op_threads)
    if self.logical_cpus:
      devices = [f'CPU:{index}' for index in range(self.logical_cpus)]
      _divide_cpu(self.logical_cpus)
    else:
      gpus = len(tf.config.list_physical_devices('GPU'))
      devices = list(self.devices or (f'GPU:{index}' for index in range(gpus)))
      if not devices:
        raise RequestError(
            'The runtime mirrored was asked for all GPUs of this machine, and TensorFlow finds'
            ' none. Use gin/runtime/one_device.gin, or try it on the CPU as several devices: write'
            ' mirrored.logical_cpus = 2')
      _check_devices(devices)
    return Begun(tf.distribute.MirroredStrategy(devices), 'mirrored', notes=notes)


@gin.register(module='runtime')
@dataclasses.dataclass(frozen=True, kw_only=True)
class multi_worker:
  """Several machines (or processes), told of each other by the environment variable TF_CONFIG.

  Attributes:
    communication: 'ring' (gRPC), 'nccl' (GPUs), or 'auto'.
    start_timeout_seconds: how long each waits for all others to start.
    communication_timeout_seconds: after which a worker that does not answer is given up; longer
      than the slowest worker's tracing of the first step. None for TensorFlow's own watch, which
      sees a process that died at once, and one that hangs after some ten seconds.
    inter_op_threads: see `one_device`.
  """

  communication: str = 'auto'
  start_timeout_seconds: float = 600.0
  communication_timeout_seconds: float | None = None
  inter_op_threads: int | None = 1

  def begin(self) -> Begun:
    """See `Runtime`. Waits for the other workers."""
    cluster = workers.from_environment()
    known = ('auto', 'ring', 'nccl')
    if self.communication not in known:
      raise RequestError(
          f'multi_worker.communication is {self.communication!r}; it is one of {", ".join(known)}.'
          " Write multi_worker.communication = 'auto'")
    workers.meet(cluster, self.start_timeout_seconds)
    import tensorflow as tf

    notes = _set_threads(self.inter_op_threads)
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation[
            self.communication.upper()],
        timeout_seconds=self.communication_timeout_seconds)
    with workers.signals_kept(), workers.given_up_after(cluster, self.start_timeout_seconds):
      strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return Begun(strategy, 'multi_worker', cluster=cluster, notes=notes)


@gin.register(module='runtime')
@dataclasses.dataclass(frozen=True, kw_only=True)
class tpu:
  """All cores of a TPU: of this TPU VM, or of a pod slice by its name. See docs/tpu.md.

  Attributes:
    address: 'local' for the TPU of this machine, or the TPU's name, or grpc://host:port.
    topology: of chips, as it was asked for ('2x4', '2x2x2'); compared with what is found. None for
      any.
  """

  address: str = 'local'
  topology: str | None = None

  def begin(self) -> Begun:
    """See `Runtime`."""
    chips = _chips(self.topology)
    import tensorflow as tf
    from official.common import distribute_utils

    try:
      strategy = distribute_utils.get_distribution_strategy('tpu', tpu_address=self.address)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
      raise RequestError(
          f'The runtime tpu found no TPU at the address {self.address!r}'
          f' ({type(error).__name__}: {_first_line(error)}). On a TPU VM it is'
          " 'local' and needs the packages tensorflow-tpu and libtpu, see docs/tpu.md; without a"
          ' TPU include gin/runtime/one_device.gin') from error
    cores = strategy.num_replicas_in_sync
    if chips is not None and cores not in (chips, 2 * chips):
      raise RequestError(
          f'tpu.topology is {self.topology!r}, that is {chips} chips of 1 or 2 cores, but the TPU'
          f' at {self.address!r} has {cores} cores: it is another slice. Name the right one, or'
          ' write tpu.topology = None')
    return Begun(strategy, 'tpu', narrow_integers=False)


def _chips(topology: str | None) -> int | None:
  if topology is None:
    return None
  sides = str(topology).split('x')
  if not all(side.isdigit() and int(side) for side in sides):
    raise RequestError(
        f'tpu.topology is {topology!r}, where numbers of chips joined by x are needed. Write'
        " tpu.topology = '2x4', or None for any")
  return math.prod(int(side) for side in sides)


def _set_threads(inter_op: int | None) -> tuple[str, ...]:
  """Sets the number of threads between operations, unless TensorFlow has begun."""
  if inter_op is not None:
    threads.set_inter_op(inter_op)
  return threads.notes()


def _divide_cpu(count: int) -> None:
  import tensorflow as tf

  cpu = tf.config.list_physical_devices('CPU')[0]
  try:
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count)
  except RuntimeError as error:  # TensorFlow has begun.
    if len(tf.config.list_logical_devices('CPU')) != count:
      raise RequestError(
          f'The CPU cannot become {count} devices, since TensorFlow has begun in this process.'
          ' Begin the runtime first, in a process of its own: write'
          ' mirrored.logical_cpus = None') from error


def _check_devices(devices: Sequence[str]) -> None:
  import tensorflow as tf

  there = [device.name.rpartition('device:')[2] for device in tf.config.list_logical_devices()]
  missing = [name for name in devices if name.rpartition('device:')[2].upper() not in there]
  if missing:
    raise RequestError(
        f'This machine has no device {", ".join(missing)}; TensorFlow finds {", ".join(there)}.'
        f" Write one_device.device = '{there[0]}', or None for the best")


def _first_line(error: BaseException) -> str:
  return str(error).strip().partition('\n')[0][:200].rstrip('.')
