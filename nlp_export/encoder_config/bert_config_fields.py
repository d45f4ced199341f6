"""Which field of TF-NLP's encoder block is each key of a BertConfig, Google's or Hugging Face's?"""

from __future__ import annotations

from collections.abc import Mapping

FIELDS: Mapping[str, str] = {
    'vocab_size': 'vocab_size', 'hidden_size': 'hidden_size', 'num_hidden_layers': 'num_layers',
    'num_attention_heads': 'num_attention_heads', 'intermediate_size': 'intermediate_size',
    'hidden_act': 'hidden_activation', 'hidden_dropout_prob': 'dropout_rate',
    'attention_probs_dropout_prob': 'attention_dropout_rate',
    'max_position_embeddings': 'max_position_embeddings', 'type_vocab_size': 'type_vocab_size',
    'initializer_range': 'initializer_range'}
