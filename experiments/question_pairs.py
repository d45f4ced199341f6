"""Which pooling tells paraphrases best, with a few trained layers? Document 002's experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gin

from nlp_export.experiment import Plan, Run, experiment
from nlp_export.question_pairs.request import Request, label


@experiment
def question_pairs(
    export: str = gin.REQUIRED,
    preprocessing: str = gin.REQUIRED,
    poolings: Sequence[Any] = gin.REQUIRED,
    trainable_layers: int | None = gin.REQUIRED,
    task: str = gin.REQUIRED,
    glue_dir: str | None = gin.REQUIRED,
    train_examples: int | None = gin.REQUIRED,
    dev_examples: int | None = gin.REQUIRED,
    epochs: int = gin.REQUIRED,
    batch_size: int = gin.REQUIRED,
    learning_rate: float = gin.REQUIRED,
    max_seq_length: int = gin.REQUIRED,
    seed: int = gin.REQUIRED,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """A Keras model on a text layer, trained on pairs of questions once for each pooling.

  Args:
    export: EXPORT: an encoder's SavedModel, or a handle that tensorflow_hub resolves.
    preprocessing: PREPROCESSING: the one that belongs to it.
    poolings: POOLINGS: one model is trained for each.
    trainable_layers: TRAINABLE_LAYERS: the last n Transformer layers, None for all, 0 for none.
    task: TASK: pairs with two labels: qqp, mrpc, rte ...
    glue_dir: GLUE_DIR: the official files.
    train_examples, dev_examples: TRAIN_EXAMPLES, DEV_EXAMPLES: a random subset of so many.
    epochs, batch_size, learning_rate, max_seq_length, seed: macros of these names.
    allowed_ops: ALLOWED_OPS: operations for which the SavedModels would be refused.
  """
  request = Request(
      export=export, preprocessing=preprocessing,
      poolings=tuple(poolings) if isinstance(poolings, list) else poolings,  # type: ignore
      trainable_layers=trainable_layers, task=task, glue_dir=glue_dir,
      train_examples=train_examples, dev_examples=dev_examples, epochs=epochs,
      batch_size=batch_size, learning_rate=learning_rate, max_seq_length=max_seq_length,
      seed=seed, allowed_ops=allowed_ops)

  def execute(run: Run) -> Any:
    from nlp_export.question_pairs import executing

    return executing.execute(request, run)

  layers = 'all layers' if trainable_layers is None else f'the last {trainable_layers} layers'
  return Plan(
      lines=[f'train {layers} of {export} and a head on {task}, {epochs} epochs, with pooling '
             f'{label(pooling)}' for pooling in request.poolings]
      + ['write report.md, results.json'],
      inputs=request.inputs(), outputs=('results.json', 'report.md'), execute=execute)
