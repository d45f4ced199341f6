"""How do initial weights become a function of a seed?

TF-NLP's layers have initialisers without a seed, which then draw from global state: what was built
before would change the weights. Here each gets its own seed instead, from the run's seed and the
variable's number in the order of building. Distribution and scale stay the initialiser's.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
  """Within this context Keras variables with a random, unseeded initialiser are drawn from `seed`.

  Args:
    seed: from 0. The same seed and the same sequence of layers give the same bits, in any process.
  """
  drawn = 0

  def creator(next_creator: Callable[..., Any], **kwargs: Any) -> Any:
    nonlocal drawn
    initial = kwargs.get('initial_value')
    # Keras hands over functools.partial(initializer, shape, dtype=...).
    if isinstance(initial, functools.partial) and isinstance(
        initial.func, tf_keras.initializers.Initializer):
      config = initial.func.get_config()
      if 'seed' in config and config['seed'] is None:
        config['seed'] = int(np.random.SeedSequence([seed, drawn]).generate_state(1)[0]) >> 1
        drawn += 1
        again = type(initial.func).from_config(config)
        kwargs['initial_value'] = functools.partial(again, *initial.args, **initial.keywords)
    return next_creator(**kwargs)

  with tf.variable_creator_scope(creator):
    yield
