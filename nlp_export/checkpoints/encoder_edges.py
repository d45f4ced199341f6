"""Through which edges does each weight of TF-NLP's BERT and ALBERT hang on its encoder?

For formats that name weights themselves (TF1): their readers say which part a weight is, in the
words of BERT's edges, and ALBERT's follow from those. The functional AlbertEncoder has an edge of a
name for two of its layers only; the others have edges by position, in the order of building.

Source: official/nlp/modeling/networks/{bert_encoder,albert_encoder}.py, and masked_lm.py.
"""

from __future__ import annotations

# The first edge of a path that all of ALBERT's layers share; BERT's is '_transformer_layers/<i>'.
SHARED_BLOCK = 'transformer'
EMBEDDING_PROJECTION = '_embedding_projection'
POOLER = '_pooler_layer'
WORD_EMBEDDINGS = '_embedding_layer/embeddings'
MLM_TABLE = 'embedding_table'  # The same table, as the masked LM head has it.
# Where the head's output bias hangs: Keras' name of the weight, and the attribute.
MLM_OUTPUT_BIAS = ('output_bias/bias', 'bias')

_ALBERT_BY_POSITION = (
    '_type_embedding_layer', '_embedding_norm_layer', EMBEDDING_PROJECTION, SHARED_BLOCK,
    POOLER)
_ALBERT_FIRST_POSITION = 2  # Behind word and position embeddings, which have names.


def albert_path(path: str, projected: bool) -> str:
  """The path of a weight in an AlbertEncoder.

  Args:
    path: as in a BertEncoder, 'transformer/...' within the shared block.
    projected: whether word embeddings are projected to another width; a model whose embeddings are
      as wide as its layers has no such layer, and what follows stands one place before.
  """
  edge, slash, rest = path.partition('/')
  parts = [p for p in _ALBERT_BY_POSITION if projected or p != EMBEDDING_PROJECTION]
  if edge not in parts:
    return path
  return f'layer_with_weights-{_ALBERT_FIRST_POSITION + parts.index(edge)}{slash}{rest}'
