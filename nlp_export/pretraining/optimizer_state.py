"""How do gradients change variables? The moments of AdamW and LAMB, and one update."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from nlp_export.pretraining.optimizers import ADAMW, OptimizerSpec


class Optimizer:
  """Moments of every trained variable, and the update of all of them.

  Update of the step with number t, from 1, for a gradient g whose global norm is clipped:

      m = beta_1 * m + (1 - beta_1) * g,   v = beta_2 * v + (1 - beta_2) * g * g
      AdamW: w -= lr * decay * w
             w -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)
      LAMB:  u = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon) + decay * w
             w -= lr * |w| / |u| * u          (the ratio is 1 without decay, or where a norm is 0)

  The number of the step is the caller's: it is the one state besides m and v.

  The operations work on the handle of a variable, which in replica context is that of the
  replica's own copy: no communication, and none is needed, since gradients are summed over replicas
  before. TPUStrategy's own assignments do the same (tensorflow/python/distribute/tpu_util.py).

  Attributes:
    variables: what is trained.
    m, v: first and second moments, in the order of `variables`, float32 of their shapes.
  """

  def __init__(
      self, spec: OptimizerSpec, variables: Sequence[tf.Variable], *, weight_decay: float,
      clip_norm: float,
  ):
    """Makes the moments, all zero. Under a strategy: inside of its scope.

    Args:
      spec: which optimizer.
      variables: what is trained, float32.
      weight_decay: see `OptimizerSpec.is_decayed` for where it applies.
      clip_norm: highest global norm of the gradients; 0 for no clipping.
    """
    self.spec = spec
    self.variables = list(variables)
    self._decays = [weight_decay if spec.is_decayed(v.name) else None for v in self.variables]
    self._clip_norm = clip_norm
    self.m = [_zeros(variable, 'm') for variable in self.variables]
    self.v = [_zeros(variable, 'v') for variable in self.variables]

  def apply(
      self, gradients: Sequence[tf.Tensor | None], learning_rate: tf.Tensor, step: tf.Tensor
  ) -> tf.Tensor:
    """Changes the variables and their moments. In replica context, under a strategy.

    Args:
      gradients: of the global batch, dense, one for each variable; None leaves it alone.
      learning_rate: float32 scalar.
      step: integer scalar, number of the step from 0.

    Returns:
      float32 scalar: the gradients' global norm before clipping.
    """
    norm = tf.linalg.global_norm([g for g in gradients if g is not None])
    scale = self._clip_norm / tf.maximum(norm, self._clip_norm) if self._clip_norm else None
    number = tf.cast(step + 1, tf.float32)
    powers = tf.pow(self.spec.beta_1, number), tf.pow(self.spec.beta_2, number)
    update = self._adamw if self.spec.name == ADAMW else self._lamb
    for index, gradient in enumerate(gradients):
      if gradient is not None:
        update(index, gradient if scale is None else gradient * scale, learning_rate, powers)
    return norm

  def _adamw(
      self, index: int, gradient: tf.Tensor, learning_rate: tf.Tensor,
      powers: tuple[tf.Tensor, tf.Tensor],
  ) -> None:
    variable, decay = self.variables[index], self._decays[index]
    if decay:
      tf.raw_ops.AssignSubVariableOp(
          resource=variable.handle, value=_read(variable) * (learning_rate * decay))
    # One pass over memory for w, m and v.
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle, m=self.m[index].handle, v=self.v[index].handle,
        beta1_power=powers[0], beta2_power=powers[1], lr=learning_rate, beta1=self.spec.beta_1,
        beta2=self.spec.beta_2, epsilon=self.spec.epsilon, grad=gradient)

  def _lamb(
      self, index: int, gradient: tf.Tensor, learning_rate: tf.Tensor,
      powers: tuple[tf.Tensor, tf.Tensor],
  ) -> None:
    spec, decay = self.spec, self._decays[index]
    variable, m, v = self.variables[index], self.m[index], self.v[index]
    new_m = _read(m) * spec.beta_1 + gradient * (1.0 - spec.beta_1)
    new_v = _read(v) * spec.beta_2 + tf.square(gradient) * (1.0 - spec.beta_2)
    value = _read(variable)
    change = (new_m / (1.0 - powers[0])) / (tf.sqrt(new_v / (1.0 - powers[1])) + spec.epsilon)
    ratio = tf.constant(1.0)
    if decay is not None:
      change += decay * value
      norm, change_norm = tf.norm(value), tf.norm(change)
      both = tf.logical_and(norm > 0.0, change_norm > 0.0)
      ratio = tf.where(both, norm / tf.where(both, change_norm, 1.0), 1.0)
    tf.raw_ops.AssignVariableOp(resource=m.handle, value=new_m)
    tf.raw_ops.AssignVariableOp(resource=v.handle, value=new_v)
    tf.raw_ops.AssignVariableOp(
        resource=variable.handle, value=value - ratio * learning_rate * change)


def _zeros(variable: tf.Variable, name: str) -> tf.Variable:
  return tf.Variable(
      tf.zeros(variable.shape), trainable=False, name=f'{variable.name.partition(":")[0]}/{name}')


def _read(variable: tf.Variable) -> tf.Tensor:
  """float32 value of the replica's own copy."""
  return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=tf.float32)
