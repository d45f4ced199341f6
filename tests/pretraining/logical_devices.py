"""One process with two logical CPU devices: trains in several ways and prints what came out.

A process of its own, since the devices are configured before TensorFlow begins; for all tests that
need them, since it takes seconds to start.
"""

from __future__ import annotations

import json
import sys

from nlp_export.pretraining import strategies

STEPS = 20

# Name -> (replicas, fields of the recipe, dropout rate).
TRAININGS = {
    'one': (1, {}, 0.1),
    'two, accumulated': (2, {'accumulation_steps': 2}, 0.1),
    'one without dropout': (1, {}, 0.0),
    'two without dropout': (2, {}, 0.0),
}
EXTRA = {'two, bfloat16': (2, {'precision': 'mixed_bfloat16'}, 0.1)}


def main(names: list[str]) -> dict[str, object]:
  runtimes = {2: strategies.mirrored(logical_cpus=2).begin(),
              1: strategies.one_device(device='CPU:0').begin()}
  import tensorflow as tf

  from nlp_export.errors import CheckError
  from nlp_export.pretraining import agreement
  from tests.pretraining import training_lab as lab

  found = {}
  for name in names:
    replicas, fields, rate = {**TRAININGS, **EXTRA}[name]
    encoder = lab.spec(dropout_rate=rate, attention_dropout_rate=rate)
    loop = lab.build(runtimes[replicas], encoder=encoder, **fields)
    result = loop.run(0, STEPS)
    found[name] = {'names': result.names, 'values': result.values.tolist()}
    if not rate:
      held_out = loop.evaluate([lab.SyntheticBatches(7, seed=9).batch(0)])  # 7: not even.
      found[name]['metrics'] = held_out.metrics
      found[name]['rows'] = len(held_out.rows['masked_lm_loss'])
    if name == 'two without dropout':
      found['description'] = runtimes[replicas].describe()
      found['agreement'] = agreement_of(runtimes[replicas], loop, agreement, CheckError, tf)
  return found


def agreement_of(runtime, loop, agreement, error_type, tf):
  """What the comparison of replicas says before and after one of them was changed."""
  variables = list(loop.pretrainer.trained)
  agreement.check(runtime.strategy, 20, variables)
  copies = runtime.strategy.experimental_local_results(variables[0])
  with tf.device(copies[1].device):
    copies[1].assign(copies[1] + 1.0)
  try:
    agreement.check(runtime.strategy, 20, variables)
  except error_type as error:
    return error.message
  return ''


if __name__ == '__main__':
  print(json.dumps(main(sys.argv[1:] or list(TRAININGS))))
