"""Which encoders attend from every token to every other? BERT and its closest relatives.

Fields and defaults of each factory are those of its block in official.nlp.configs.encoders.
"""

from __future__ import annotations

import gin

from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.encoders import from_fields


@gin.register(module='encoders')
def bert(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
    embedding_size: int | None = None,
    output_range: int | None = None,
    return_all_encoder_outputs: bool = False,
    return_attention_scores: bool = False,
    return_word_embeddings: bool = False,
    norm_first: bool = False,
) -> EncoderSpec:
  """BERT encoder (TF-NLP's BertEncoder, a functional Keras model); defaults: BERT-Base uncased.

  Also what ELECTRA trains: TF-NLP has no type of that name.

  Args:
    vocab_size: rows of the word embedding table.
    hidden_size: width h of every token's vector; num_attention_heads must divide it.
    num_layers: number of Transformer blocks.
    num_attention_heads: attention heads of a block.
    hidden_activation: 'gelu' (tanh form), 'gelu_erf' (exact form) or another that TF-NLP knows.
    intermediate_size: width of the feed-forward layer.
    dropout_rate: of hidden layers, in [0, 1).
    attention_dropout_rate: of attention probabilities, in [0, 1).
    max_position_embeddings: the longest seq_length.
    type_vocab_size: number of segment ids.
    initializer_range: standard deviation of initial weights.
    embedding_size: width of word embeddings; None: hidden_size.
    output_range: number of leading tokens in sequence_output; None: all. Not for exports.
    return_all_encoder_outputs: without effect in TF-NLP 2.20 (all are always returned).
    return_attention_scores: adds attention_scores to the outputs.
    return_word_embeddings: adds word_embeddings to the outputs.
    norm_first: layer norm before instead of after attention and feed-forward layers.

  Source: Devlin et al., https://arxiv.org/abs/1810.04805; BertEncoderConfig.
  """
  return from_fields.spec('bert', locals())


@gin.register(module='encoders')
def bert_v2(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
    embedding_size: int | None = None,
    output_range: int | None = None,
    return_all_encoder_outputs: bool = False,
    return_attention_scores: bool = False,
    return_word_embeddings: bool = False,
    norm_first: bool = False,
) -> EncoderSpec:
  """BERT encoder as TF-NLP's BertEncoderV2, a Keras layer; same weights and outputs as `bert`.

  Args: those of `bert`.

  Source: official.nlp.modeling.networks.BertEncoderV2; BertEncoderConfig.
  """
  return from_fields.spec('bert_v2', locals())


@gin.register(module='encoders')
def query_bert(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
    embedding_size: int | None = None,
    output_range: int | None = None,
    return_all_encoder_outputs: bool = False,
    return_attention_scores: bool = False,
    norm_first: bool = False,
) -> EncoderSpec:
  """BERT for short queries: bert_v2 with FactorizedEmbedding, a table and a projection to h.

  Args:
    embedding_size: width of the word embedding table. The projection [embedding_size, h] stands
      between table and positions, has no bias and is there at any width. None, TF-NLP's default,
      is hidden_size as for `bert`; TF-NLP itself cannot build that default.
    The others: as for `bert`.

  Source: official.nlp.modeling.layers.FactorizedEmbedding; QueryBertConfig.
  """
  return from_fields.spec('query_bert', locals())


@gin.register(module='encoders')
def albert(
    vocab_size: int = 30000,
    embedding_width: int = 128,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.0,
    attention_dropout_rate: float = 0.0,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
) -> EncoderSpec:
  """ALBERT encoder: one Transformer block used num_layers times; defaults: ALBERT-Base v2.

  Args:
    embedding_width: width of word embeddings, projected to hidden_size.
    num_layers: how often the one block is applied.
    The others: as for `bert`.

  Source: Lan et al., https://arxiv.org/abs/1909.11942; AlbertEncoderConfig.
  """
  return from_fields.spec('albert', locals())


@gin.register(module='encoders')
def mobilebert(
    word_vocab_size: int = 30522,
    word_embed_size: int = 128,
    type_vocab_size: int = 2,
    max_sequence_length: int = 512,
    num_blocks: int = 24,
    hidden_size: int = 512,
    num_attention_heads: int = 4,
    intermediate_size: int = 4096,
    hidden_activation: str = 'gelu',
    hidden_dropout_prob: float = 0.1,
    attention_probs_dropout_prob: float = 0.1,
    intra_bottleneck_size: int = 1024,
    initializer_range: float = 0.02,
    use_bottleneck_attention: bool = False,
    key_query_shared_bottleneck: bool = False,
    num_feedforward_networks: int = 1,
    normalization_type: str = 'layer_norm',
    classifier_activation: bool = True,
    input_mask_dtype: str = 'int32',
) -> EncoderSpec:
  """MobileBERT encoder: thin blocks between bottlenecks; defaults: the IB-BERT-Large teacher.

  The MobileBERT student has intermediate_size 512, hidden_activation 'relu', intra_bottleneck_size
  128, key_query_shared_bottleneck True, num_feedforward_networks 4, normalization_type 'no_norm'.

  Args:
    word_vocab_size: rows of the word embedding table.
    word_embed_size: its width. A token and its two neighbours, side by side, are projected to
      hidden_size.
    type_vocab_size: number of segment ids.
    max_sequence_length: the longest seq_length.
    num_blocks: number of Transformer blocks.
    hidden_size: width h of every token's vector between the blocks.
    num_attention_heads: attention heads of a block; must divide intra_bottleneck_size.
    intermediate_size: width of the feed-forward layers.
    hidden_activation: as for `bert`.
    hidden_dropout_prob: dropout rate of hidden layers, in [0, 1).
    attention_probs_dropout_prob: dropout rate of attention probabilities, in [0, 1).
    intra_bottleneck_size: width of a token's vector inside a block.
    initializer_range: standard deviation of initial weights.
    use_bottleneck_attention: attention reads the bottleneck's output only.
    key_query_shared_bottleneck: keys and queries share a bottleneck of their own.
    num_feedforward_networks: feed-forward layers of a block, one after the other.
    normalization_type: 'layer_norm', or 'no_norm' (scale and shift alone).
    classifier_activation: whether there is a pooler; False: pooled_output is the [CLS] vector.
    input_mask_dtype: of the network's input; an export takes int32 all the same.

  Source: Sun et al., https://arxiv.org/abs/2004.02984; MobileBertEncoderConfig.
  """
  return from_fields.spec('mobilebert', locals())


@gin.register(module='encoders')
def reuse(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
    embedding_size: int | None = None,
    output_range: int | None = None,
    return_all_encoder_outputs: bool = False,
    norm_first: bool = False,
    reuse_attention: int = -1,
    use_relative_pe: bool = False,
    pe_max_seq_length: int = 512,
    max_reuse_layer_idx: int = 6,
) -> EncoderSpec:
  """Reuse Transformer: later layers take over attention probabilities of the layer before.

  Args:
    embedding_size, output_range: without effect, TF-NLP 2.20 does not hand them on.
    reuse_attention: number of heads whose probabilities are taken over; -1: all.
    use_relative_pe: adds a learnt bias by distance where probabilities are computed anew.
    pe_max_seq_length: distances beyond this share one bias.
    max_reuse_layer_idx: the last layer, counted from 0, that takes any over.
    The others: as for `bert`.

  Source: Bhojanapalli et al., https://arxiv.org/abs/2110.06821; ReuseEncoderConfig.
  """
  return from_fields.spec('reuse', locals())
