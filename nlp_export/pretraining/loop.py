"""How do many steps run, without Python in between, and how do they end early?"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from nlp_export.errors import CheckError
from nlp_export.pretraining import fused_activations
from nlp_export.pretraining import model as models
from nlp_export.pretraining.dropout_by_row import DropoutByRow
from nlp_export.pretraining.evaluation import Evaluation, Evaluator
from nlp_export.pretraining.heads import HeadSpec
from nlp_export.pretraining.model import Pretrainer
from nlp_export.pretraining.optimizer_state import Optimizer
from nlp_export.pretraining.recipe import TrainRecipe
from nlp_export.pretraining.step import ReplicaStep
from nlp_export.pretraining.stopping import StopSwitch
from nlp_export.pretraining.strategies import Begun
from nlp_export.running import interrupts

LEARNING_RATE = 'learning_rate'


class Batches(Protocol):
  """Training data: any batch can be computed from its step."""

  def dataset(
      self, first_step: int, rows: tuple[int, int] | None = None, per_replica: int | None = None
  ) -> tf.data.Dataset:
    """Infinite; rows [from, to) of global batch `first_step`, `first_step` + 1 and so on.

    Elements are dicts of tensors of static shapes, `per_replica` rows each (None: all), in the
    order of the rows.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class LoopResult:
  """What a run of the loop did.

  Attributes:
    steps_done: fewer than asked for after a signal.
    names: of the columns of `values`: those of `ReplicaStep` and 'learning_rate'.
    values: float32 [steps_done, len(names)].
    seconds: wall time, with the tracing of the first run in a process.
    stopped: whether it was asked to stop: on all processes of a training after the same step.
  """

  steps_done: int
  names: tuple[str, ...]
  values: np.ndarray
  seconds: float
  stopped: bool

  def column(self, name: str) -> np.ndarray:
    """float32 [steps_done] of one of `names`."""
    return self.values[:, self.names.index(name)]


class NotFinite(CheckError):
  """A loss, gradient or learning rate became NaN or infinite. The weights are of no use any more.

  Attributes:
    step: number of the step, from 0.
    learning_rate: of that step.
    result: the steps up to it.
  """

  def __init__(self, step: int, result: LoopResult):
    self.step = step
    self.result = result
    row = dict(zip(result.names, result.values[-1].tolist(), strict=True))
    self.learning_rate = row[LEARNING_RATE]
    what = ', '.join(f'{name} {value:g}' for name, value in row.items()
                     if not math.isfinite(value))
    super().__init__(
        f'Training ended at step {step}: {what}, with learning rate {self.learning_rate:g}. '
        'Nothing of this step is saved; the newest checkpoint is from before it. A smaller '
        'learning rate, a longer warm-up or clipping may help: lower train_recipe.learning_rate, '
        'raise train_recipe.warmup_steps, or write train_recipe.clip_norm = 1.0')


class TrainingLoop:
  """A pre-training on the devices of a runtime.

  Attributes:
    pretrainer: the model.
    optimizer: its moments.
    iterations: int64 scalar variable: steps done.
    dropout_state: int64 [2] variable: (seed, number of the next step for the masks).
    switch: `switch.stop()` ends a run after its step.
  """

  def __init__(
      self, pretrainer: Pretrainer, optimizer: Optimizer, runtime: Begun, batches: Batches,
      recipe: TrainRecipe,
  ):
    """Binds what was built in the scope of the runtime's strategy; see `build`."""
    self.pretrainer = pretrainer
    self.optimizer = optimizer
    self.switch = StopSwitch()
    self._runtime = runtime
    self._batches = batches
    self._recipe = recipe
    self._replicas = runtime.strategy.num_replicas_in_sync
    micro_rows = recipe.rows_per_micro_batch(self._replicas)
    with tf.device('CPU:0'):
      self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name='iterations')
      self.dropout_state = tf.Variable(
          [recipe.dropout_seed, 0], dtype=tf.int64, trainable=False, name='dropout_state')
    dropout = DropoutByRow(narrow_integers=runtime.narrow_integers)
    dropout.install(pretrainer.model)
    if runtime.fuses_activations:
      fused_activations.install(pretrainer.model)
    self._step = ReplicaStep(
        pretrainer, optimizer, dropout, rows_per_micro_batch=micro_rows,
        accumulation_steps=recipe.accumulation_steps)
    self._schedule = _scheduled(recipe)
    self._run = self._traceable()
    self._iterator: Any = None
    self._iterator_at = -1
    self._evaluator: Evaluator | None = None

  @property
  def names(self) -> tuple[str, ...]:
    """Names of the columns of a result."""
    return (*self._step.names, LEARNING_RATE)

  @property
  def notes(self) -> tuple[str, ...]:
    """What of the model is not trained, in sentences; complete after the first run."""
    found = []
    if self.pretrainer.left_out:
      found.append(
          f'not trained: {", ".join(self.pretrainer.left_out)} (the encoder\'s own pooler: masked '
          'LM and heads read sequence_output, so no gradient reaches it)')
    if self._step.without_gradient:
      found.append(f'not trained, no gradient: {", ".join(self._step.without_gradient)}')
    return tuple(found)

  def variables(self) -> dict[str, dict[str, Any]]:
    """All state of a training: what a checkpoint holds, and nothing else.

    Returns:
      'weights': `variable.ref()` -> variable, of all of the model;
      'optimizer': 'iterations' -> variable, 'm' and 'v' -> {`variable.ref()` -> moment};
      'state': 'dropout_state' -> variable.
    """
    optimizer = self.optimizer
    references = [variable.ref() for variable in optimizer.variables]
    return {
        'weights': {variable.ref(): variable for variable in self.pretrainer.model.variables},
        'optimizer': {'iterations': self.iterations,
                      'm': dict(zip(references, optimizer.m, strict=True)),
                      'v': dict(zip(references, optimizer.v, strict=True))},
        'state': {'dropout_state': self.dropout_state}}

  def run(self, first_step: int, count: int) -> LoopResult:
    """Takes steps.

    After SIGTERM, Ctrl-C or `switch.stop()` it returns within a step (two, with several processes,
    which have to agree). The signal's KeyboardInterrupt is raised at the end unless the caller
    holds it back: `with interrupts.held_back(): result = loop.run(...); save()`.

    Args:
      first_step: number of the first step, from 0: as many as were done.
      count: how many, at least 1.

    Raises:
      NotFinite: a value of a step was NaN or infinite. Save nothing then.
      WorkerLost: another process of the training went away.
    """
    if first_step != int(self.iterations):
      raise ValueError(f'{int(self.iterations)} steps were done: run cannot go on at {first_step}')
    if interrupts.received():
      self.switch.stop()
    start = time.perf_counter()
    with interrupts.held_back(), self.switch.on_signals(), self._runtime.explained(first_step):
      done_tensor, log, asked = self._run(
          self._batches_from(first_step), tf.constant(first_step, tf.int64),
          tf.constant(count, tf.int32), self.dropout_state.read_value())
      done, values = int(done_tensor), log.numpy()
      values = values[:done]
      self.iterations.assign_add(done)
      self.dropout_state.assign_add([0, done])
      self._iterator_at = first_step + done
      finite = done == 0 or bool(np.isfinite(values[-1]).all())
      result = LoopResult(
          done, self.names, values, time.perf_counter() - start,
          stopped=bool(asked))
    if not finite:
      raise NotFinite(first_step + done - 1, result)
    return result

  def evaluate(self, batches: Iterable[Mapping[str, np.ndarray]]) -> Evaluation:
    """Losses and accuracies without dropout on whole batches, such as held-out ones.

    Args:
      batches: all of one shape; on several processes the same on each.
    """
    if self._evaluator is None:
      self._evaluator = Evaluator(self.pretrainer, self._runtime.strategy)
    with self._runtime.explained(int(self.iterations)):
      return self._evaluator(batches)

  def replica_step(self) -> ReplicaStep:
    """The step of one replica, for checks of its graph."""
    return self._step

  def _batches_from(self, first_step: int) -> Any:
    """An iterator whose next element is the global batch of that step."""
    if self._iterator is None or self._iterator_at != first_step:
      per_replica = self._recipe.global_batch_size // self._replicas

      def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        rows = self._recipe.global_batch_size // context.num_input_pipelines
        first = context.input_pipeline_id * rows
        return self._batches.dataset(
            first_step, rows=(first, first + rows), per_replica=per_replica)

      self._iterator = iter(self._runtime.strategy.distribute_datasets_from_function(dataset))
      self._iterator_at = first_step
    return self._iterator

  def _traceable(self) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    strategy, width = self._runtime.strategy, len(self._step.names) + 1
    step_function: Callable[..., tf.Tensor] = self._step.__call__
    if self._runtime.jit_compile:
      step_function = tf.function(step_function, jit_compile=True, autograph=False)
    one_process = self._runtime.workers == 1

    @tf.function(autograph=False, reduce_retracing=True)
    def run(
        iterator: Any, first_step: tf.Tensor, count: tf.Tensor, dropout_state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
      """Numbers are tensors: one trace serves every first step and count."""

      def body(
          index: tf.Tensor, log: tf.TensorArray, _: tf.Tensor, __: tf.Tensor
      ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        number = tf.cast(index, tf.int64)
        step = first_step + number
        learning_rate = tf.cast(self._schedule(step), tf.float32)
        wish = tf.cast(self.switch.variable.read_value(), tf.float32)
        replicas = strategy.run(step_function, args=(
            next(iterator), step, dropout_state + tf.stack([tf.zeros_like(number), number]),
            learning_rate, wish))
        values = strategy.experimental_local_results(replicas)[0]
        values.set_shape([width])
        row = tf.concat([values[:-1], [learning_rate]], axis=0)
        asked = values[-1] > 0.0
        if one_process:  # Others would wait in vain for one that decides alone.
          with tf.control_dependencies([row]):
            asked |= self.switch.variable.read_value()
        return index + 1, log.write(index, row), tf.reduce_all(tf.math.is_finite(row)), asked

      log = tf.TensorArray(tf.float32, size=count, element_shape=[width])
      asked = self.switch.variable.read_value() if one_process else tf.constant(False)
      done, log, _, asked = tf.while_loop(
          lambda index, _, finite, asked: (index < count) & finite & ~asked, body,
          [tf.constant(0), log, tf.constant(True), asked], parallel_iterations=1)
      return done, log.stack(), asked

    return run


def build(
    runtime: Begun, spec: Any, heads: tuple[HeadSpec, ...], recipe: TrainRecipe, batches: Batches,
    *, mlm_activation: str = 'gelu',
) -> TrainingLoop:
  """Builds model and optimizer in the scope of the runtime's strategy, and the loop around them.

  Args:
    runtime: begun.
    spec: the encoder, see `model.build`.
    heads: classification heads.
    recipe: of the training.
    batches: its data.
    mlm_activation: of the masked-LM head.

  Raises:
    RequestError: the global batch cannot be divided among the replicas, or the model cannot be
      trained reproducibly.
  """
  recipe.rows_per_micro_batch(runtime.strategy.num_replicas_in_sync)
  with runtime.strategy.scope():
    pretrainer = models.build(
        spec, heads, mlm_activation=mlm_activation, precision=recipe.precision,
        init_seed=recipe.init_seed)
    optimizer = Optimizer(
        recipe.optimizer_spec(), pretrainer.trained, weight_decay=recipe.weight_decay,
        clip_norm=recipe.clip_norm)
  return TrainingLoop(pretrainer, optimizer, runtime, batches, recipe)


def _scheduled(recipe: TrainRecipe) -> Callable[[Any], Any]:
  made = recipe.learning_rate_schedule()
  build_it = getattr(made, 'build', None)
  return build_it() if callable(build_it) else made
