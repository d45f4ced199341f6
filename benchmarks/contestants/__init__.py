"""Who takes part in the benchmark of fine-tuning, and what is each given?

    tf_hub             the flow of TF Hub's documents: text preprocessed in Dataset.map, always 128
                       tokens long, hub.KerasLayer, model.fit
    pytorch_*          transformers' BertForSequenceClassification, padded to the batch's longest
    nlp_export_*       this project's FineTuning on its exports
    matmul             no training: matrix products, the rate that the others are held against

A contestant is made by `make` in a process of its own (worker.py) and has two methods:
`prepare(task)` loads, compiles and warms up, `measure(task, round)` trains and says how long it
took. Both return JSON values; `Passed` is what a training's `measure` returns.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

TF_HUB = 'tf_hub'
PYTORCH_FLOAT32 = 'pytorch_float32'
PYTORCH_BFLOAT16 = 'pytorch_bfloat16'
NLP_EXPORT_FLOAT32 = 'nlp_export_float32'
NLP_EXPORT_BFLOAT16 = 'nlp_export_bfloat16'
NLP_EXPORT_ALL_THREADS = 'nlp_export_all_threads'
MATMUL = 'matmul'

# Of benchmarks/embedding.py: `prepare(corpus)`, `measure(corpus, round)`; embedding_texts.py.
EMBED_EXACT = 'embed_exact'
EMBED_TF_HUB = 'embed_tf_hub'
EMBED_PYTORCH = 'embed_pytorch_float32'
EMBED_PYTORCH_BFLOAT16 = 'embed_pytorch_bfloat16'
EMBED_FLOAT32 = 'embed_nlp_export_float32'
EMBED_BFLOAT16 = 'embed_nlp_export_bfloat16'

# Name -> module below this package and the arguments of its class Contestant.
_KNOWN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    MATMUL: ('matmul', {}),
    TF_HUB: ('tf_hub', {}),
    PYTORCH_FLOAT32: ('pytorch', {'bfloat16': False}),
    PYTORCH_BFLOAT16: ('pytorch', {'bfloat16': True}),
    NLP_EXPORT_FLOAT32: ('exported', {'precision': 'float32'}),
    NLP_EXPORT_BFLOAT16: ('exported', {'precision': 'mixed_bfloat16'}),
    NLP_EXPORT_ALL_THREADS: ('exported', {'precision': 'float32', 'all_threads': True}),
}
NAMES = tuple(_KNOWN)
_EMBEDDERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    EMBED_EXACT: ('embedding_tf_hub', {'exact': True}),
    EMBED_TF_HUB: ('embedding_tf_hub', {}),
    EMBED_PYTORCH: ('embedding_pytorch', {'bfloat16': False}),
    EMBED_PYTORCH_BFLOAT16: ('embedding_pytorch', {'bfloat16': True}),
    EMBED_FLOAT32: ('embedding_exported', {'precision': 'float32'}),
    EMBED_BFLOAT16: ('embedding_exported', {'precision': 'bfloat16'}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
  """What every contestant is given.

  Attributes:
    hugging_face: directory with config.json, model.safetensors and the vocabulary.
    model, preprocessing: this project's SavedModels of it.
    reference_model, reference_preprocessing: those that TF-NLP's own exporter writes.
    glue_dir: the official TSV files; None for the builtin tasks.
    out_dir: scratch.
    steps: batches that all train on; `tf_hub`, always padded, takes the first `tf_hub_steps`.
    batch_size: examples in a batch.
    max_seq_length: tokens; longer texts are cut.
    learning_rate: after the warm-up of a tenth of the steps.
    seed: of the draw of the examples and of the order in which they come.
  """

  hugging_face: str = ''
  model: str = ''
  preprocessing: str = ''
  reference_model: str = ''
  reference_preprocessing: str = ''
  glue_dir: str | None = None
  out_dir: str = ''
  steps: int = 48
  tf_hub_steps: int = 12
  batch_size: int = 32
  max_seq_length: int = 128
  learning_rate: float = 5e-5
  seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passed:
  """One measured training.

  Attributes:
    seconds: wall time of the steps alone.
    steps: how many.
    examples: trained on.
    tokens: of them, without padding.
    positions: of the batches, with padding.
    losses: of the steps in their order, or fewer means of them.
    other_seconds: whatever else took its time, by name.
  """

  seconds: float
  steps: int
  examples: int
  tokens: int
  positions: int
  losses: tuple[float, ...]
  other_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)


def make(name: str, given: Given) -> Any:
  """The contestant of that name. Imports its framework."""
  module, arguments = {**_KNOWN, **_EMBEDDERS}[name]
  return importlib.import_module(f'benchmarks.contestants.{module}').Contestant(given, **arguments)
