"""Where does each tensor of a Hugging Face family belong among TF-NLP's objects?

One table a family: a pattern for the names of modules, and the path of the object that computes the
same. Names: transformers, models/<family>/modeling_<family>.py (5.23). PyTorch's Linear keeps
[out, in], TF-NLP [in, out], and attention kernels are split by head: [in, heads, width of a head].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from nlp_export import names

# What makes the logits of the next-sentence head (ALBERT: sentence order) from the pooled output.
OUT_PROJ = 'next_sentence.out_proj'

# How a stored value becomes that of a variable.
AS_IS = 'as is'
TRANSPOSE = 'transpose'
SPLIT_IN = 'split in'  # Of query, key and value: [out, in] -> [in, heads, width].
SPLIT_OUT = 'split out'  # Of the attention's output: [out, in] -> [heads, width, out].
SPLIT_BIAS = 'split bias'  # [out] -> [heads, width].

# Kind of module -> stored leaf -> edge of the variable, and how it is turned. The old names of
# layer norms are TensorFlow's.
_LEAVES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    'table': {'weight': ('embeddings', AS_IS)},
    'norm': {'weight': ('gamma', AS_IS), 'gamma': ('gamma', AS_IS),
             'bias': ('beta', AS_IS), 'beta': ('beta', AS_IS)},
    'dense': {'weight': ('kernel', TRANSPOSE), 'bias': ('bias', AS_IS)},
    'heads in': {'weight': ('kernel', SPLIT_IN), 'bias': ('bias', SPLIT_BIAS)},
    'heads out': {'weight': ('kernel', SPLIT_OUT), 'bias': ('bias', AS_IS)},
}
_VALUES: Mapping[str, str] = {'value': AS_IS, 'turned value': TRANSPOSE}


class Target(NamedTuple):
  """Where a tensor belongs.

  Attributes:
    item: canonical name.
    path: edges within the item.
    turn: how its value is turned.
    known_as: the variable's own name in TF-NLP where the path does not tell a reader, else ''.
  """

  item: str
  path: str
  turn: str
  known_as: str = ''


class Row(NamedTuple):
  """Modules whose names fit a pattern; {} in the other two stands for its groups, in order.

  Attributes:
    pattern: of the name without the family's prefix.
    item: canonical name.
    path: edges within the item, to the object; '' for the item itself.
    kind: a key of _LEAVES; or the pattern is that of a tensor, which is taken as it is ('value') or
      transposed ('turned value').
    known_as: the object's name in TF-NLP's variable names, '' where the path tells as much.
    shift: is added to the first group in `path`.
  """

  pattern: str
  item: str
  path: str
  kind: str
  known_as: str = ''
  shift: int = 0


class Names(NamedTuple):
  """The names of a family.

  Attributes:
    prefix: of the encoder's tensors in models with heads.
    rows: where its modules belong; the first that fits counts.
    inside: what the names of the encoder's own modules start with, to tell them from heads.
    tied: second name -> first name of a tensor. The weights of the masked LM head's decoder are
      others of the model: some files hold both, some one of the two.
    unused: patterns of weights that no function reads.
  """

  prefix: str
  rows: tuple[Row, ...]
  inside: tuple[str, ...]
  tied: Mapping[str, str]
  unused: tuple[str, ...] = ()

  def target(self, name: str) -> Target | None:
    """Where a tensor belongs; None for a name not known.

    Args:
      name: as stored, without the prefix.
    """
    module, _, leaf = name.rpartition('.')
    for row in self.rows:
      if row.kind in _VALUES:
        if re.fullmatch(row.pattern, name):
          return Target(row.item, row.path, _VALUES[row.kind], row.known_as)
        continue
      known = _LEAVES[row.kind].get(leaf)
      found = re.fullmatch(row.pattern, module) if known else None
      if known and found:
        edge, turn = known
        groups = found.groups()
        if row.shift:
          groups = (int(groups[0]) + row.shift, *groups[1:])
        return Target(row.item, f'{row.path.format(*groups)}/{edge}'.lstrip('/'), turn,
                      row.known_as and f'{row.known_as.format(*groups)}/{edge}')
    return None


def heads_edges(pattern: str, path: str, known_as: str = '') -> tuple[Row, ...]:
  """Rows of an attention whose projections are called query, key and value."""
  return tuple(
      Row(f'{pattern}{name}', names.ENCODER, f'{path}/_{name}_dense', 'heads in',
          known_as and f'{known_as}/{name}')
      for name in ('query', 'key', 'value'))


_WORDS = 'embeddings.word_embeddings.weight'
BUFFERS = ('embeddings.position_ids', 'embeddings.token_type_ids')

_EMBEDDINGS = (
    Row(r'embeddings\.word_embeddings', names.ENCODER, '_embedding_layer', 'table'),
    Row(r'embeddings\.position_embeddings', names.ENCODER, '_position_embedding_layer', 'table'),
)
_TYPES_AND_NORM = (
    Row(r'embeddings\.token_type_embeddings', names.ENCODER, '_type_embedding_layer', 'table'),
    Row(r'embeddings\.LayerNorm', names.ENCODER, '_embedding_norm_layer', 'norm'),
)
LAYER, _BLOCK = r'encoder\.layer\.(\d+)\.', '_transformer_layers/{}'
_BERT_LAYERS = (
    *heads_edges(LAYER + r'attention\.self\.', f'{_BLOCK}/_attention_layer'),
    Row(LAYER + r'attention\.output\.dense', names.ENCODER,
        f'{_BLOCK}/_attention_layer/_output_dense', 'heads out'),
    Row(LAYER + r'attention\.output\.LayerNorm', names.ENCODER,
        f'{_BLOCK}/_attention_layer_norm', 'norm'),
    Row(LAYER + r'intermediate\.dense', names.ENCODER, f'{_BLOCK}/_intermediate_dense', 'dense'),
    Row(LAYER + r'output\.dense', names.ENCODER, f'{_BLOCK}/_output_dense', 'dense'),
    Row(LAYER + r'output\.LayerNorm', names.ENCODER, f'{_BLOCK}/_output_layer_norm', 'norm'),
)


def _masked_lm(dense: str, norm: str, bias: str) -> tuple[Row, ...]:
  """Rows of a masked LM head: the patterns of its two modules and of its bias."""
  return (
      Row(dense, names.MASKED_LM, 'dense', 'dense'),
      Row(norm, names.MASKED_LM, 'layer_norm', 'norm'),
      Row(bias, names.MASKED_LM, 'bias', 'value'),
  )


CLS_HEADS = (
    *_masked_lm(r'cls\.predictions\.transform\.dense',
                r'cls\.predictions\.transform\.LayerNorm', r'cls\.predictions\.bias'),
    Row(r'cls\.seq_relationship', OUT_PROJ, '', 'dense'),
)
CLS_TIED = {
    'cls.predictions.decoder.weight': _WORDS,
    'cls.predictions.decoder.bias': 'cls.predictions.bias',
}
_BERT = Names(
    prefix='bert.',
    rows=(*_EMBEDDINGS, *_TYPES_AND_NORM, *_BERT_LAYERS,
          Row(r'pooler\.dense', names.ENCODER, '_pooler_layer', 'dense'), *CLS_HEADS),
    inside=('embeddings.', 'encoder.', 'pooler.'),
    tied=CLS_TIED,
)

_ELECTRA = Names(
    prefix='electra.',
    rows=(*_EMBEDDINGS, *_TYPES_AND_NORM,
          Row('embeddings_project', names.ENCODER, '_embedding_projection', 'dense'), *_BERT_LAYERS,
          *_masked_lm(r'generator_predictions\.dense', r'generator_predictions\.LayerNorm',
                      r'generator_lm_head\.bias')),
    inside=('embeddings.', 'embeddings_project.', 'encoder.'),
    tied={'generator_lm_head.weight': _WORDS},
)

_DISTIL_LAYER = r'transformer\.layer\.(\d+)\.'
_DISTILBERT = Names(
    prefix='distilbert.',
    rows=(*_EMBEDDINGS, *_TYPES_AND_NORM[1:],
          *(Row(f'{_DISTIL_LAYER}attention\\.{name[0]}_lin', names.ENCODER,
                f'{_BLOCK}/_attention_layer/_{name}_dense', 'heads in')
            for name in ('query', 'key', 'value')),
          Row(_DISTIL_LAYER + r'attention\.out_lin', names.ENCODER,
              f'{_BLOCK}/_attention_layer/_output_dense', 'heads out'),
          Row(_DISTIL_LAYER + 'sa_layer_norm', names.ENCODER,
              f'{_BLOCK}/_attention_layer_norm', 'norm'),
          Row(_DISTIL_LAYER + r'ffn\.lin1', names.ENCODER, f'{_BLOCK}/_intermediate_dense',
              'dense'),
          Row(_DISTIL_LAYER + r'ffn\.lin2', names.ENCODER, f'{_BLOCK}/_output_dense', 'dense'),
          Row(_DISTIL_LAYER + 'output_layer_norm', names.ENCODER, f'{_BLOCK}/_output_layer_norm',
              'norm'),
          *_masked_lm('vocab_transform', 'vocab_layer_norm', r'vocab_projector\.bias')),
    inside=('embeddings.', 'transformer.'),
    tied={'vocab_projector.weight': _WORDS},
)

# TF-NLP's AlbertEncoder is a functional Keras model: all but two of its layers are reached by their
# number among those with weights only. The projection is always there (hf_config.py).
_ALBERT_LAYER = r'encoder\.albert_layer_groups\.0\.albert_layers\.0\.'
_SHARED, _KNOWN = 'layer_with_weights-5', 'transformer'
_ALBERT = Names(
    prefix='albert.',
    rows=(*_EMBEDDINGS,
          Row(r'embeddings\.token_type_embeddings', names.ENCODER, 'layer_with_weights-2', 'table',
              'type_embeddings'),
          Row(r'embeddings\.LayerNorm', names.ENCODER, 'layer_with_weights-3', 'norm',
              'embeddings/layer_norm'),
          Row(r'encoder\.embedding_hidden_mapping_in', names.ENCODER, 'layer_with_weights-4',
              'dense', 'embedding_projection'),
          *heads_edges(_ALBERT_LAYER + r'attention\.', f'{_SHARED}/_attention_layer',
                        f'{_KNOWN}/self_attention'),
          Row(_ALBERT_LAYER + r'attention\.dense', names.ENCODER,
              f'{_SHARED}/_attention_layer/_output_dense', 'heads out',
              f'{_KNOWN}/self_attention/attention_output'),
          Row(_ALBERT_LAYER + r'attention\.LayerNorm', names.ENCODER,
              f'{_SHARED}/_attention_layer_norm', 'norm', f'{_KNOWN}/self_attention_layer_norm'),
          Row(_ALBERT_LAYER + 'ffn', names.ENCODER, f'{_SHARED}/_intermediate_dense', 'dense',
              f'{_KNOWN}/intermediate'),
          Row(_ALBERT_LAYER + 'ffn_output', names.ENCODER, f'{_SHARED}/_output_dense', 'dense',
              f'{_KNOWN}/output'),
          Row(_ALBERT_LAYER + 'full_layer_layer_norm', names.ENCODER,
              f'{_SHARED}/_output_layer_norm', 'norm', f'{_KNOWN}/output_layer_norm'),
          Row('pooler', names.ENCODER, 'layer_with_weights-6', 'dense', 'pooler_transform'),
          *_masked_lm(r'predictions\.dense', r'predictions\.LayerNorm', r'predictions\.bias'),
          Row(r'sop_classifier\.classifier', OUT_PROJ, '', 'dense')),
    inside=('embeddings.', 'encoder.', 'pooler.'),
    tied={'predictions.decoder.weight': _WORDS, 'predictions.decoder.bias': 'predictions.bias'},
)

# model_type -> names. MobileBERT's depend on its configuration: hugging_face_mobilebert.py.
NAMES: Mapping[str, Names] = {
    'bert': _BERT, 'albert': _ALBERT, 'electra': _ELECTRA, 'distilbert': _DISTILBERT}
