"""What is each variable of a TF1 checkpoint, by its name? Pure text: no values, no TensorFlow.

Names are those that the original code gives: google-research/bert (modeling.py, run_pretraining.py)
and google-research/albert, whose variables lie in the scopes `bert` and `cls`.

    bert/encoder/layer_3/attention/self/query/kernel
    bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel     ALBERT
    cls/predictions/transform/dense/kernel
    cls/seq_relationship/output_weights

The pooler, `bert/pooler/dense`, is the layer under the next-sentence head: there is no other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nlp_export import names
from nlp_export.checkpoints import encoder_edges
from nlp_export.checkpoints.checkpoint import COUNTER, HEAD, ITEM, OPTIMIZER, OTHER, UNREACHABLE
from nlp_export.errors import RequestError

AVERAGES = 'moving averages'
# The head on pairs of sentences, whatever it was trained for: ALBERT's is sentence order.
HEAD_OUTPUT = 'next_sentence.out_proj'
HEAD_POOLER = 'next_sentence.pooler_dense'  # The encoder's own pooler.

_WORD_EMBEDDINGS = 'embeddings/word_embeddings'
_LEAF = r'/(kernel|bias)'
_NORM_LEAF = r'/(gamma|beta)'
_BLOCK = r'encoder/layer_(\d+)/'
_SHARED = r'encoder/transformer/group_0/inner_group_0/'
_SHARED_BLOCK = encoder_edges.SHARED_BLOCK

# Name below the encoder's scope -> path below TF-NLP's encoder.
_TABLES = {
    _WORD_EMBEDDINGS: encoder_edges.WORD_EMBEDDINGS,
    'embeddings/position_embeddings': '_position_embedding_layer/embeddings',
    'embeddings/token_type_embeddings': '_type_embedding_layer/embeddings',
}
_ENCODER = (
    (r'embeddings/LayerNorm' + _NORM_LEAF, '_embedding_norm_layer/{}'),
    (r'pooler/dense' + _LEAF, encoder_edges.POOLER + '/{}'),
    # ALBERT's name, and ELECTRA's.
    (r'(?:encoder/embedding_hidden_mapping_in|embeddings_project)' + _LEAF,
     encoder_edges.EMBEDDING_PROJECTION + '/{}'),
    (_BLOCK + r'attention/output/dense' + _LEAF,
     '_transformer_layers/{}/_attention_layer/_output_dense/{}'),
    (_BLOCK + r'attention/output/LayerNorm' + _NORM_LEAF,
     '_transformer_layers/{}/_attention_layer_norm/{}'),
    (_BLOCK + r'attention/self/(query|key|value)' + _LEAF,
     '_transformer_layers/{}/_attention_layer/_{}_dense/{}'),
    (_BLOCK + r'intermediate/dense' + _LEAF, '_transformer_layers/{}/_intermediate_dense/{}'),
    (_BLOCK + r'output/dense' + _LEAF, '_transformer_layers/{}/_output_dense/{}'),
    (_BLOCK + r'output/LayerNorm' + _NORM_LEAF, '_transformer_layers/{}/_output_layer_norm/{}'),
    (_SHARED + r'attention_1/output/dense' + _LEAF,
     _SHARED_BLOCK + '/_attention_layer/_output_dense/{}'),
    (_SHARED + r'LayerNorm' + _NORM_LEAF, _SHARED_BLOCK + '/_attention_layer_norm/{}'),
    (_SHARED + r'attention_1/self/(query|key|value)' + _LEAF,
     _SHARED_BLOCK + '/_attention_layer/_{}_dense/{}'),
    (_SHARED + r'ffn_1/intermediate/dense' + _LEAF, _SHARED_BLOCK + '/_intermediate_dense/{}'),
    (_SHARED + r'ffn_1/intermediate/output/dense' + _LEAF, _SHARED_BLOCK + '/_output_dense/{}'),
    (_SHARED + r'LayerNorm_1' + _NORM_LEAF, _SHARED_BLOCK + '/_output_layer_norm/{}'),
)
_MASKED_LM = (
    (r'transform/dense' + _LEAF, 'dense/{}'),
    (r'transform/LayerNorm' + _NORM_LEAF, 'layer_norm/{}'),
)

# The axis on which a variable of TF1 holds all attention heads side by side.
_HEADS_AXIS = {
    ('query', 'kernel'): 1, ('key', 'kernel'): 1, ('value', 'kernel'): 1,
    ('query', 'bias'): 0, ('key', 'bias'): 0, ('value', 'bias'): 0,
    ('output', 'kernel'): 0,
}
_ATTENTION = re.compile(r'_attention_layer/_(query|key|value|output)_dense/(kernel|bias)$')

_OPTIMIZER_STATE = re.compile(
    r'(^|/)(beta[12]_power|(current_)?loss_scale|good_steps|(adam|lamb)_[mv])(_\d+)?$', re.I)
_AVERAGE = 'ExponentialMovingAverage'
_OTHER_ENCODER = re.compile(r'(.+?)/(?:encoder|embeddings|embeddings_project)/')


@dataclass(frozen=True)
class Meaning:
  """What one variable is.

  Attributes:
    group: of checkpoint.py: ITEM, HEAD, OPTIMIZER, COUNTER, OTHER or UNREACHABLE.
    item: canonical name of what it belongs to, or the scope that it lies in.
    paths: below the item, in the words of BERT's edges; () for what belongs to none.
    heads_axis: the axis that holds all attention heads side by side, None if none does.
    transposed: whether TF-NLP has the two axes the other way round.
  """

  group: str
  item: str
  paths: tuple[str, ...] = ()
  heads_axis: int | None = None
  transposed: bool = False


@dataclass(frozen=True)
class Scopes:
  """Where the parts lie: scopes without a trailing '/', '' for a part that there is not.

  Attributes:
    encoder, masked_lm, next_sentence: scopes.
    is_albert: whether the encoder's layers share their weights.
  """

  encoder: str = ''
  masked_lm: str = ''
  next_sentence: str = ''
  is_albert: bool = False

  def by_item(self) -> dict[str, str]:
    """Canonical item -> scope, of the parts that there are."""
    found = {names.ENCODER: self.encoder, names.MASKED_LM: self.masked_lm,
             HEAD_OUTPUT: self.next_sentence}
    return {item: scope for item, scope in found.items() if scope}


def find_scopes(keys: Collection[str], item_names: Mapping[str, str], name: str) -> Scopes:
  """Finds the scopes of the encoder and its heads.

  Args:
    keys: names of all variables.
    item_names: 'encoder', 'masked_lm' or 'next_sentence' -> its scope, where it is not the usual
      one (`bert`, `cls/predictions`, `cls/seq_relationship`, perhaps below another).
    name: of the checkpoint, for messages.

  Raises:
    RequestError: a scope of `item_names` is not there.
  """
  encoders = sorted({k[:-len(_WORD_EMBEDDINGS) - 1] for k in map(whole_name, keys)
                     if k.endswith('/' + _WORD_EMBEDDINGS)})
  usual = [scope for scope in encoders if scope.rpartition('/')[2] == 'bert']
  encoder = usual[0] if len(usual) == 1 else ''
  for canonical, wanted in item_names.items():
    inside = wanted.strip('/') + '/'
    known = canonical in (names.ENCODER, names.MASKED_LM, 'next_sentence')
    if not known or not any(key.startswith(inside) for key in keys):
      raise RequestError(
          f"checkpoint_items says that '{canonical}' is called '{wanted}', but {name} has nothing "
          f'of that name (it has: {", ".join(_outer_scopes(keys))}). Correct '
          f'checkpoint_items.{canonical}.')
  encoder = item_names.get(names.ENCODER, encoder).strip('/')
  above = encoder.rpartition('/')[0]
  above = above and above + '/'

  def head(canonical: str, usual_scope: str) -> str:
    scope = item_names.get(canonical, above + usual_scope).strip('/')
    return scope if any(key.startswith(scope + '/output_') for key in keys) else ''

  is_albert = any(key.startswith(encoder + '/encoder/transformer/') for key in keys)
  return Scopes(encoder, head(names.MASKED_LM, 'cls/predictions'),
                head('next_sentence', 'cls/seq_relationship'), is_albert)


def _outer_scopes(keys: Collection[str]) -> list[str]:
  return sorted({key.partition('/')[0] for key in keys})


def whole_name(key: str) -> str:
  """The name of the variable that a part of it ('.../part_3') belongs to; else the key itself."""
  return re.sub(r'/part_\d+$', '', key)


def meaning(name: str, keys: Collection[str], scopes: Scopes, is_real: bool) -> Meaning:
  """What a variable is.

  Args:
    name: of the whole variable.
    keys: the names of all, and of all parts.
    scopes: of `find_scopes`.
    is_real: whether it holds real numbers, and not counts, flags or text.
  """
  owner, _, leaf = name.rpartition('/')
  if owner in keys and leaf == _AVERAGE:
    return Meaning(OTHER, AVERAGES)
  if owner in keys or _OPTIMIZER_STATE.search(name):  # Weights have nothing below them but slots.
    return Meaning(OPTIMIZER, 'optimizer')
  if not is_real or leaf == 'global_step':
    return Meaning(COUNTER, '')
  for item, scope in scopes.by_item().items():
    if name.startswith(scope + '/'):
      inside = name[len(scope) + 1:]
      return (_of_encoder(inside) if item == names.ENCODER else
              _of_masked_lm(inside) if item == names.MASKED_LM else
              _of_head_output(item, inside))
  other_encoder = _OTHER_ENCODER.match(name)
  return Meaning(OTHER, other_encoder[1]) if other_encoder else Meaning(HEAD, owner or name)


def _of_encoder(name: str) -> Meaning:
  path = _TABLES.get(name) or _path(_ENCODER, name)
  if path is None:
    return Meaning(UNREACHABLE, names.ENCODER)
  attention = _ATTENTION.search(path)
  axis = _HEADS_AXIS.get((attention[1], attention[2])) if attention else None
  return Meaning(ITEM, names.ENCODER, (path,), axis)


def _of_masked_lm(name: str) -> Meaning:
  if name == 'output_bias':
    return Meaning(ITEM, names.MASKED_LM, encoder_edges.MLM_OUTPUT_BIAS)
  path = _path(_MASKED_LM, name)
  return Meaning(ITEM, names.MASKED_LM, (path,) if path else ())


def _of_head_output(item: str, name: str) -> Meaning:
  leaf = {'output_weights': 'kernel', 'output_bias': 'bias'}.get(name)
  return Meaning(HEAD, item, (leaf,) if leaf else (), transposed=leaf == 'kernel')


def _path(table: tuple[tuple[str, str], ...], name: str) -> str | None:
  for pattern, path in table:
    if found := re.fullmatch(pattern, name):
      return path.format(*found.groups())
  return None
