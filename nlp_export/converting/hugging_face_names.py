"""What does `transformers` call each weight of TF-NLP's BERT and ALBERT, and how does it keep it?

A linear layer of PyTorch keeps [out, in], TF-NLP [in, out]; attention weights are not split by head
there. Names: transformers, models/{bert,albert}/modeling_*.py (ForPreTraining, ForMaskedLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from nlp_export import names
from nlp_export.checkpoints import readable
from nlp_export.checkpoints.values import transposed
from nlp_export.converting.hugging_face_files import ALBERT, BERT

if TYPE_CHECKING:
  import numpy as np

  from nlp_export.pretraining.saving.tree import Trees


class Names(NamedTuple):
  """A family's names.

  Attributes:
    prefix: of the encoder's weights in a model with a head.
    layer: of the weights of a layer; `{}` stands for its index.
    outside, inside: part of readable.Role -> name, outside of and in a layer.
    mlm_bias: of the masked LM's output.
    head: of the next-sentence (ALBERT: sentence-order) layer on the pooler.
    architectures: with (masked LM, head) -> class of transformers.
  """

  prefix: str
  layer: str
  outside: Mapping[str, str]
  inside: Mapping[str, str]
  mlm_bias: str
  head: str
  architectures: Mapping[tuple[bool, bool], str]


_EMBEDDINGS = {
    readable.WORD_EMBEDDINGS: 'embeddings.word_embeddings',
    'position embeddings': 'embeddings.position_embeddings',
    'type embeddings': 'embeddings.token_type_embeddings',
    'embeddings layer norm': 'embeddings.LayerNorm',
}
FAMILIES: Mapping[str, Names] = {
    BERT: Names(
        prefix='bert.',
        layer='encoder.layer.{}.',
        outside={
            **_EMBEDDINGS,
            readable.POOLER: 'pooler.dense',
            'masked LM dense': 'cls.predictions.transform.dense',
            'masked LM layer norm': 'cls.predictions.transform.LayerNorm',
        },
        inside={
            'attention query': 'attention.self.query',
            'attention key': 'attention.self.key',
            'attention value': 'attention.self.value',
            'attention output': 'attention.output.dense',
            'attention layer norm': 'attention.output.LayerNorm',
            'intermediate': 'intermediate.dense',
            'output': 'output.dense',
            'output layer norm': 'output.LayerNorm',
        },
        mlm_bias='cls.predictions.bias',
        head='cls.seq_relationship',
        architectures={
            (False, False): 'BertModel', (True, False): 'BertForMaskedLM',
            (True, True): 'BertForPreTraining', (False, True): 'BertForNextSentencePrediction'},
    ),
    ALBERT: Names(
        prefix='albert.',
        layer='encoder.albert_layer_groups.0.albert_layers.0.',
        outside={
            **_EMBEDDINGS,
            readable.EMBEDDING_PROJECTION: 'encoder.embedding_hidden_mapping_in',
            readable.POOLER: 'pooler',
            'masked LM dense': 'predictions.dense',
            'masked LM layer norm': 'predictions.LayerNorm',
        },
        inside={
            'attention query': 'attention.query',
            'attention key': 'attention.key',
            'attention value': 'attention.value',
            'attention output': 'attention.dense',
            'attention layer norm': 'attention.LayerNorm',
            'intermediate': 'ffn',
            'output': 'ffn_output',
            'output layer norm': 'full_layer_layer_norm',
        },
        mlm_bias='predictions.bias',
        head='sop_classifier.classifier',
        architectures={
            (False, False): 'AlbertModel', (True, False): 'AlbertForMaskedLM',
            # There is no class with the head alone; this one draws the masked LM head anew.
            (True, True): 'AlbertForPreTraining', (False, True): 'AlbertForPreTraining'},
    ),
}
_LEAVES = {'kernel': 'weight', 'gamma': 'weight', '': 'weight', 'bias': 'bias', 'beta': 'bias'}
_MLM_BIAS = 'masked LM output bias'
_SPLIT_BY_HEAD = ('attention query', 'attention key', 'attention value')


def tensors(
    family: str, trees: Trees, head: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
  """The weights under the names and in the form of `transformers`.

  Args:
    family: of FAMILIES.
    trees: items `encoder` and perhaps `masked_lm`, as RunVariables gives them.
    head: kernel [width, 2] and bias [2] of the layer behind the pooler, if there is one.

  Raises:
    ValueError: a weight that is none of BERT's or ALBERT's.
  """
  import numpy as np

  known = FAMILIES[family]
  values = trees.values()
  has_heads = names.MASKED_LM in values or head is not None
  found = {}
  for item in (names.ENCODER, names.MASKED_LM):
    prefix = known.prefix if item == names.ENCODER and has_heads else ''
    for path, value in values.get(item, {}).items():
      if not np.issubdtype(value.dtype, np.floating):
        continue  # A state, not a weight.
      role = readable.role(f'{item}/{path}', trees.names.get(item, {}).get(path, ''))
      if role is None:
        raise ValueError(f'{item}/{path} is no weight of a {family} model')
      found[prefix + _name(known, role)] = _turned(role, value)
  if head is not None:
    found[f'{known.head}.weight'] = np.ascontiguousarray(head[0].T)
    found[f'{known.head}.bias'] = np.ascontiguousarray(head[1])
  return found


def _name(known: Names, role: readable.Role) -> str:
  if role.part == _MLM_BIAS:
    return known.mlm_bias
  leaf = _LEAVES[role.leaf]
  if role.layer is not None or role.shared:
    return f'{known.layer.format(role.layer)}{known.inside[role.part]}.{leaf}'
  return f'{known.outside[role.part]}.{leaf}'


def _turned(role: readable.Role, value: np.ndarray) -> np.ndarray:
  import numpy as np

  if role.leaf == 'kernel':
    # [width, heads, head width] in and [heads, head width, width] out: two axes, then turned.
    rows = value.shape[0] if role.part in _SPLIT_BY_HEAD else -1
    columns = -1 if role.part in _SPLIT_BY_HEAD else value.shape[-1]
    value = transposed(value.reshape(rows, columns))
  elif role.leaf == 'bias':
    value = value.reshape(-1)
  return np.ascontiguousarray(value)
