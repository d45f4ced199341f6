"""Where does each tensor of a Hugging Face MobileBERT belong in TF-NLP's MobileBERTEncoder?

The two are the same function with `no_norm`. Sources: transformers, models/mobilebert; TF-NLP,
networks/mobile_bert_encoder.py and layers/mobile_bert_layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_export import names
from nlp_export.checkpoints.hugging_face_names import (
    CLS_HEADS,
    CLS_TIED,
    LAYER,
    Names,
    Row,
    heads_edges,
)
from nlp_export.errors import RequestError

_NEEDED = ('num_hidden_layers', 'num_feedforward_networks', 'use_bottleneck_attention')
# A functional Keras model: its embeddings, its blocks, then the pooler if there is one.
_EMBEDDINGS, _BLOCK = 'layer_with_weights-0', 'layer_with_weights-{}/block_layers'


def names_of(config: Mapping[str, Any]) -> Names:
  """The names, some of which depend on numbers of layers.

  Args:
    config: what config.json says.

  Raises:
    RequestError: it lacks one of these numbers.
  """
  missing = [key for key in _NEEDED if key not in config]
  if missing:
    raise RequestError(
        f'The configuration of a MobileBERT lacks {", ".join(missing)}. Add it with the value that '
        'the model was trained with.')
  last = config['num_feedforward_networks'] - 1  # It has no number in its name.
  places: tuple[tuple[str, str, str], ...] = (
      (r'bottleneck\.input\.dense', 'bottleneck_input/0', 'dense'),
      (r'bottleneck\.input\.LayerNorm', 'bottleneck_input/1', 'norm'),
      (r'attention\.output\.dense', 'attention/0/_output_dense', 'heads out'),
      (r'attention\.output\.LayerNorm', 'attention/1', 'norm'),
      (r'ffn\.(\d+)\.intermediate\.dense', 'ffn/{}/0', 'dense'),
      (r'ffn\.(\d+)\.output\.dense', 'ffn/{}/1', 'dense'),
      (r'ffn\.(\d+)\.output\.LayerNorm', 'ffn/{}/2', 'norm'),
      (r'intermediate\.dense', f'ffn/{last}/0', 'dense'),
      (r'output\.dense', f'ffn/{last}/1', 'dense'),
      (r'output\.LayerNorm', f'ffn/{last}/2', 'norm'),
      (r'output\.bottleneck\.dense', 'bottleneck_output/0', 'dense'),
      (r'output\.bottleneck\.LayerNorm', 'bottleneck_output/2', 'norm'),
  )
  unused: tuple[str, ...] = ()
  if config['use_bottleneck_attention']:  # Then they are there, and neither network reads them.
    unused = (LAYER + r'bottleneck\.attention\..*',)
  else:
    places += ((r'bottleneck\.attention\.dense', 'kq_shared_bottleneck/0', 'dense'),
               (r'bottleneck\.attention\.LayerNorm', 'kq_shared_bottleneck/1', 'norm'))
  return Names(
      prefix='mobilebert.',
      rows=(Row(r'embeddings\.word_embeddings', names.ENCODER,
                f'{_EMBEDDINGS}/word_embedding', 'table', 'word_embeddings'),
            Row(r'embeddings\.position_embeddings', names.ENCODER,
                f'{_EMBEDDINGS}/pos_embedding', 'table'),
            Row(r'embeddings\.token_type_embeddings', names.ENCODER,
                f'{_EMBEDDINGS}/type_embedding', 'table'),
            Row(r'embeddings\.embedding_transformation', names.ENCODER,
                f'{_EMBEDDINGS}/word_embedding_proj', 'dense'),
            Row(r'embeddings\.LayerNorm', names.ENCODER, f'{_EMBEDDINGS}/layer_norm',
                'norm'),
            *(Row(LAYER + pattern, names.ENCODER, f'{_BLOCK}/{path}', kind, shift=1)
              for pattern, path, kind in places),
            *(row._replace(shift=1) for row in heads_edges(
                LAYER + r'attention\.self\.', f'{_BLOCK}/attention/0')),
            Row(r'pooler\.dense', names.ENCODER,
                f'layer_with_weights-{config["num_hidden_layers"] + 1}', 'dense',
                'pooler_transform'),
            *CLS_HEADS,
            Row(r'cls\.predictions\.dense\.weight', names.MASKED_LM, 'extra_output_weights',
                'turned value')),
      inside=('embeddings.', 'encoder.', 'pooler.'),
      tied=CLS_TIED,
      unused=unused)
