"""Does preprocessing fit into an input pipeline? (conformance I)"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification.file_checks import read_saved_model
from nlp_export.saved_models.verification.preprocessing_subject import TEXTS, PreprocessingSubject
from nlp_export.saved_models.verification.registry import Failed, Kind, Level, Passed, check

_PREPROCESSING = (Kind.PREPROCESSING,)


@check('preprocessing.dataset', 92, level=Level.REF, kinds=_PREPROCESSING)
def dataset(subject: PreprocessingSubject) -> None:
  """In Dataset.map, in parallel, it gives the same ids and fully static shapes."""
  length = subject.default_seq_length
  batches = tf.data.Dataset.from_tensor_slices(list(TEXTS)).batch(4, drop_remainder=True)

  # As it is: AutoGraph would read this file anew, and take another lambda for it if the file has
  # changed since its import.
  @tf.autograph.experimental.do_not_convert
  def both(texts: tf.Tensor) -> tuple[Any, Any]:
    return subject.obj(texts), subject.pack([subject.tokenize(texts)], seq_length=length)

  mapped = batches.map(both, num_parallel_calls=2)
  whats = ('the root', 'tokenize and bert_pack_inputs')
  for what, specs in zip(whats, mapped.element_spec, strict=True):
    for name, spec in specs.items():
      if spec.shape.as_list() != [4, length]:
        raise Failed(f'{what} in Dataset.map: {name} has the static shape {spec.shape}')
  for i, pair in enumerate(mapped):
    expected = subject.root_outputs[names.INPUT_WORD_IDS][4 * i:4 * i + 4].tolist()
    for what, batch in zip(whats, pair, strict=True):
      if batch[names.INPUT_WORD_IDS].numpy().tolist() != expected:
        raise Failed(f'{what} in Dataset.map gives other ids')


@check('preprocessing.no_training', 93, level=Level.REF, kinds=_PREPROCESSING)
def no_training(subject: PreprocessingSubject) -> None:
  """It has no trainable variables."""
  found = list(getattr(subject.obj, 'trainable_variables', ()))
  if found:
    raise Failed(f'{len(found)} variables are trainable: {found[0].name}', len(found))


@check('preprocessing.assert_nodes', 94, level=Level.GOAL, kinds=_PREPROCESSING)
def assert_nodes(subject: PreprocessingSubject) -> Passed:
  """Where it was asked for, no Assert stands in the graph or in any of its functions."""
  count = 0
  for meta_graph in read_saved_model(subject).meta_graphs:
    library = meta_graph.graph_def.library.function
    for nodes in (meta_graph.graph_def.node, *(f.node_def for f in library)):
      count += sum(node.op == 'Assert' for node in nodes)
  if subject.told.no_assert and count:
    raise Failed(f'{count} Assert nodes', count, 0)
  return Passed(count)
