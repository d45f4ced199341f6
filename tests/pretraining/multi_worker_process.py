"""One worker of a training on several processes; its environment has TF_CONFIG.

python -m tests.pretraining.multi_worker_process STEPS [START_TIMEOUT]

Prints a JSON line for each loop of five steps and one at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys

from nlp_export.errors import RequestError
from nlp_export.pretraining import strategies, workers
from nlp_export.running import interrupts


def say(**values: object) -> None:
  print(json.dumps(values), flush=True)


def train(runtime: strategies.Begun, steps: int) -> None:
  from nlp_export.pretraining import agreement
  from tests.pretraining import training_lab as lab

  loop = lab.build(runtime)
  agreement.check(runtime.strategy, 0, list(loop.pretrainer.trained))
  done = 0
  while done < steps:
    result = loop.run(done, min(5, steps - done))
    done += result.steps_done
    say(done=done, loss=result.column('loss').tolist(), stopped=result.stopped)
    if result.stopped:
      break
  held_out = loop.evaluate([lab.SyntheticBatches(7, seed=9).batch(0)])
  digest = hashlib.sha256()
  for values in lab.state(loop).values():
    for value in values:
      digest.update(value.tobytes())
  say(end=done, digest=digest.hexdigest(), metrics=held_out.metrics, chief=runtime.is_chief)


def main(steps: int, start_timeout: float = 60.0) -> int:
  interrupts.install()
  try:
    runtime = strategies.multi_worker(
        communication='ring', start_timeout_seconds=start_timeout).begin()
    with contextlib.suppress(KeyboardInterrupt), interrupts.held_back():
      train(runtime, steps)
  except RequestError as error:
    say(error=error.message)
    return error.exit_status
  except workers.WorkerLost as error:
    say(error=error.message)
    workers.end_process(error.exit_status)
  return 0


if __name__ == '__main__':
  sys.exit(main(int(sys.argv[1]), *map(float, sys.argv[2:3])))
