"""Which families of Hugging Face's models are networks of TF-NLP's, and why are the others not?

Plain tables. Sources: transformers, models/<family>/configuration_*.py and modeling_*.py (5.23);
TF-NLP 2.20, nlp/modeling/networks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nlp_export.encoder_config.bert_config_fields import FIELDS


@dataclasses.dataclass(frozen=True)
class Family:
  """One model_type that can be read.

  Attributes:
    model_type: as config.json says it.
    title: the model's name in its paper.
    classes: what the names of its classes start with: 'Bert' of BertForMaskedLM.
    encoder_type: of TF-NLP, that is the same function.
    keys: key of config.json -> field of that type's block; all are needed.
    constants: fields that config.json does not say.
    only: key -> (the value that it has to have where it stands, why).
    heads_key: the key of the number of attention heads.
    activation_key: the key of the feed-forward layers' activation.
    mlm_activation: of the masked LM head, in Hugging Face's words, where it is not that of the
      layers.
    has_layer_norm_eps: whether config.json says it; DistilBERT has it written into the code.
    no_masked_lm: why the masked LM head is another function than TF-NLP's; '' if it is not.
    notes: what a reader of the log should know of every model of the family.
  """
  model_type: str
  title: str
  classes: str
  encoder_type: str
  keys: Mapping[str, str]
  constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  only: Mapping[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)
  heads_key: str = 'num_attention_heads'
  activation_key: str = 'hidden_act'
  mlm_activation: str | None = None
  has_layer_norm_eps: bool = True
  no_masked_lm: str = ''
  notes: tuple[str, ...] = ()


_ONE_BLOCK = "TF-NLP's albert encoder has one block that all layers share"
_BERT = Family('bert', 'BERT', 'Bert', 'bert', FIELDS)
_ALBERT = Family(
    'albert', 'ALBERT', 'Albert', 'albert', {**FIELDS, 'embedding_size': 'embedding_width'},
    only={'num_hidden_groups': (1, _ONE_BLOCK), 'inner_group_num': (1, _ONE_BLOCK)})
_ELECTRA = Family(
    'electra', 'ELECTRA', 'Electra', 'bert', {**FIELDS, 'embedding_size': 'embedding_size'},
    mlm_activation='gelu',
    notes=("ELECTRA is TF-NLP's bert with factorised embeddings; it has no pooler",))
_DISTILBERT = Family(
    'distilbert', 'DistilBERT', 'DistilBert', 'bert',
    {'vocab_size': 'vocab_size', 'dim': 'hidden_size', 'n_layers': 'num_layers',
     'n_heads': 'num_attention_heads', 'hidden_dim': 'intermediate_size',
     'activation': 'hidden_activation', 'dropout': 'dropout_rate',
     'attention_dropout': 'attention_dropout_rate',
     'max_position_embeddings': 'max_position_embeddings',
     'initializer_range': 'initializer_range'},
    constants={'type_vocab_size': 2}, heads_key='n_heads', activation_key='activation',
    has_layer_norm_eps=False,
    notes=("DistilBERT is TF-NLP's bert without a pooler and with segment embeddings that are"
           ' zero: input_type_ids change nothing',))
_MOBILEBERT = Family(
    'mobilebert', 'MobileBERT', 'MobileBert', 'mobilebert',
    {'vocab_size': 'word_vocab_size', 'embedding_size': 'word_embed_size',
     'type_vocab_size': 'type_vocab_size', 'max_position_embeddings': 'max_sequence_length',
     'num_hidden_layers': 'num_blocks', 'hidden_size': 'hidden_size',
     'num_attention_heads': 'num_attention_heads', 'intermediate_size': 'intermediate_size',
     'hidden_act': 'hidden_activation', 'hidden_dropout_prob': 'hidden_dropout_prob',
     'attention_probs_dropout_prob': 'attention_probs_dropout_prob',
     'intra_bottleneck_size': 'intra_bottleneck_size', 'initializer_range': 'initializer_range',
     'use_bottleneck_attention': 'use_bottleneck_attention',
     'key_query_shared_bottleneck': 'key_query_shared_bottleneck',
     'num_feedforward_networks': 'num_feedforward_networks',
     'normalization_type': 'normalization_type',
     'classifier_activation': 'classifier_activation'},
    constants={'input_mask_dtype': 'int32'},
    only={
        'trigram_input': (True, "TF-NLP's mobilebert always joins each token's embedding with those"
                                ' of its two neighbours'),
        'use_bottleneck': (True, "TF-NLP's mobilebert always has bottlenecks"),
        'normalization_type': (
            'no_norm', "Hugging Face's MobileBERT then has layer norms of epsilon 1e-5 where"
                       " TF-NLP's have 1e-12")},
    no_masked_lm='it multiplies with weights beside the word embeddings (cls.predictions.dense),'
                 " which TF-NLP's head does not have")

# model_type -> what is read.
FAMILIES: Mapping[str, Family] = {
    family.model_type: family for family in (_BERT, _ALBERT, _ELECTRA, _DISTILBERT, _MOBILEBERT)}

_BYTE_BPE = 'it reads byte-level BPE, which no tokenizer here writes'
_FROM_TWO = 'it numbers its positions from 2'
_SHIFTED = f'its vocabulary is shifted against its SentencePiece model, and {_FROM_TWO}'
_APART = 'its attention treats content and position apart (relative positions)'
_ROTARY = 'it has rotary positions'
_DECODER = 'it is a decoder: its tokens do not see what follows them'
_ENCODER_DECODER = 'it is an encoder-decoder'
_SPARSE = "its sparse attention is not that of TF-NLP's networks"

# model_type -> why there is no network of TF-NLP's for it.
REFUSED: Mapping[str, str] = {
    'roberta': f'{_BYTE_BPE}, and {_FROM_TWO}',
    'roberta-prelayernorm': f'{_BYTE_BPE}, and {_FROM_TWO}',
    'data2vec-text': f'{_BYTE_BPE}, and {_FROM_TWO}',
    'longformer': f'{_BYTE_BPE}, and {_SPARSE}',
    'xlm-roberta': _SHIFTED,
    'xlm-roberta-xl': _SHIFTED,
    'xmod': f'it has an adapter for each language in its layers, and {_SHIFTED}',
    'camembert': _SHIFTED,
    'mpnet': 'it adds a relative position bias to its attention and has no segments',
    'deberta': _APART,
    'deberta-v2': _APART,
    'nezha': 'its attention adds relative positions to keys and values',
    'modernbert': f'{_ROTARY}, local attention and gated feed-forward layers, and {_BYTE_BPE}',
    'nomic_bert': f'{_ROTARY} and gated feed-forward layers',
    'new': f'{_ROTARY} and gated feed-forward layers',
    'eurobert': f'{_ROTARY} and gated feed-forward layers',
    'esm': f'{_ROTARY} or positions that it numbers from 2, and reads proteins',
    'roformer': _ROTARY,
    'megatron-bert': 'it has layer norms before its layers and one more at their end',
    'rembert': 'the embeddings of its masked LM head are not those of its input',
    'convbert': 'a part of its attention is convolutions',
    'squeezebert': 'its layers are grouped convolutions',
    'ibert': 'it computes with whole numbers',
    'funnel': 'it shortens its sequence from layer to layer; its weights are not mapped here',
    'fnet': 'it mixes tokens with Fourier transforms; its weights are not mapped here',
    'big_bird': f'{_SPARSE}; its weights are not mapped here',
    'ernie': 'it may add embeddings of tasks; its weights are not mapped here',
    'canine': 'it reads characters and shortens its sequence',
    'layoutlm': 'it reads the places of words on a page too',
    'xlnet': 'it attends relative to permuted positions and has no pooler',
    'xlm': 'it may add embeddings of languages, and packs </s> in the place of [CLS]',
    'flaubert': 'it may add embeddings of languages, and packs </s> in the place of [CLS]',
    'bert-generation': 'it has no pooler and no segment embeddings, and reads another SentencePiece'
                       ' packing',
    't5': f'{_ENCODER_DECODER} with relative positions',
    'bart': _ENCODER_DECODER,
    'gpt2': _DECODER,
    'llama': _DECODER}

# hidden_act -> TF-NLP's name of the same function (transformers, activations.py).
GELU_ERF = 'gelu_erf'
ACTIVATIONS: Mapping[str, str] = {
    'gelu': GELU_ERF, 'gelu_python': GELU_ERF, 'gelu_new': 'gelu', 'gelu_fast': 'gelu',
    'gelu_pytorch_tanh': 'gelu', 'gelu_accurate': 'gelu', 'gelu_python_tanh': 'gelu',
    'relu': 'relu', 'relu6': 'relu6', 'silu': 'swish', 'swish': 'swish', 'mish': 'mish',
    'tanh': 'tanh', 'sigmoid': 'sigmoid', 'linear': 'linear'}
