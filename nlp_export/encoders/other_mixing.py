"""Which encoders let tokens meet otherwise than by full attention? Sparse, linear, Fourier, pooled.

Fields and defaults of each factory are those of its block in official.nlp.configs.encoders.
docs/encoders.md says which exports each type has.
"""

from __future__ import annotations

from collections.abc import Sequence

import gin

from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.encoders import from_fields


@gin.register(module='encoders')
def bigbird(
    vocab_size: int = 50358,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    norm_first: bool = False,
    max_position_embeddings: int = 4096,
    num_rand_blocks: int = 3,
    block_size: int = 64,
    type_vocab_size: int = 16,
    initializer_range: float = 0.02,
    embedding_width: int | None = None,
    use_gradient_checkpointing: bool = False,
) -> EncoderSpec:
  """BigBird encoder: blocks of tokens attend to neighbours, to the ends and to random blocks.

  Args:
    max_position_embeddings: the only seq_length that the network itself takes; exports pad to it.
    num_rand_blocks: random blocks that each block attends to.
    block_size: tokens in a block.
    embedding_width: without effect, TF-NLP 2.20 does not hand it on.
    use_gradient_checkpointing: another class of network, which recomputes in training.
    The others: as for `encoders.bert`.

  Source: Zaheer et al., https://arxiv.org/abs/2007.14062; BigBirdEncoderConfig.
  """
  return from_fields.spec('bigbird', locals())


@gin.register(module='encoders')
def kernel(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    intermediate_size: int = 3072,
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    norm_first: bool = False,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
    embedding_size: int | None = None,
    feature_transform: str = 'exp',
    num_random_features: int = 256,
    redraw: bool = False,
    is_short_seq: bool = False,
    begin_kernel: int = 0,
    scale: float | None = None,
) -> EncoderSpec:
  """Encoder with linear attention: kernels of queries and keys instead of a softmax (Performer).

  Args:
    embedding_size: without effect, TF-NLP 2.20 does not hand it on.
    feature_transform: kernel: 'exp', 'expmod', 'expplus', 'elu', 'relu', 'square', 'identity'.
    num_random_features: projections, fixed by the number of the layer; 0: none.
    redraw: draws the projections anew for every training call. Not for exports.
    is_short_seq: builds the attention matrix, which pays for short sequences.
    begin_kernel: so many leading tokens attend with a softmax.
    scale: of queries times keys; None: one over the root of a head's width.
    The others: as for `encoders.bert`.

  Source: Choromanski et al., https://arxiv.org/abs/2009.14794; KernelEncoderConfig.
  """
  return from_fields.spec('kernel', locals())


@gin.register(module='encoders')
def funnel(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    hidden_activation: str = 'gelu',
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    max_position_embeddings: int = 512,
    inner_dim: int = 3072,
    type_vocab_size: int = 16,
    initializer_range: float = 0.02,
    approx_gelu: bool = True,
    pool_type: str = 'max',
    pool_stride: int | Sequence[int] = 2,
    unpool_length: int = 0,
    output_range: int | None = None,
    embedding_width: int | None = None,
    norm_first: bool = False,
    share_rezero: bool = False,
    append_dense_inputs: bool = False,
    transformer_cls: str = 'TransformerEncoderBlock',
) -> EncoderSpec:
  """Funnel Transformer encoder: the sequence is pooled, so it gets shorter from layer to layer.

  TF-NLP's block has a field embedding_layer besides, a Python object that no file can hold.

  Args:
    inner_dim: width of the feed-forward layer.
    approx_gelu: without effect in TF-NLP 2.20: 'gelu' is the tanh form either way.
    pool_type: 'max', 'avg' or 'truncated_avg'.
    pool_stride: of every layer, or one for each; 1 pools nothing.
    unpool_length: so many leading tokens are left out of the pooling.
    output_range: number of leading tokens in sequence_output; None: all. Not for exports.
    embedding_width: width of word embeddings; None: hidden_size.
    share_rezero: with 'ReZeroTransformer': one gate for attention and feed-forward layer.
    append_dense_inputs: further inputs of vectors. Not for exports.
    transformer_cls: 'TransformerEncoderBlock' or 'ReZeroTransformer'.
    The others: as for `encoders.bert`.

  Source: Dai et al., https://arxiv.org/abs/2006.03236; FunnelEncoderConfig.
  """
  return from_fields.spec('funnel', locals())


@gin.register(module='encoders')
def fnet(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 12,
    num_attention_heads: int = 12,
    inner_activation: str = 'gelu',
    inner_dim: int = 3072,
    output_dropout: float = 0.1,
    attention_dropout: float = 0.1,
    max_sequence_length: int = 512,
    type_vocab_size: int = 2,
    initializer_range: float = 0.02,
    embedding_width: int | None = None,
    output_range: int | None = None,
    norm_first: bool = False,
    use_fft: bool = False,
    attention_layers: Sequence[int] = (),
) -> EncoderSpec:
  """FNet encoder: Fourier transforms over tokens and features instead of attention.

  Args:
    vocab_size: rows of the word embedding table.
    hidden_size: width h of every token's vector.
    num_layers: number of blocks.
    num_attention_heads: of the layers in attention_layers.
    inner_activation: of the feed-forward layer; as hidden_activation of `encoders.bert`.
    inner_dim: width of the feed-forward layer.
    output_dropout: dropout rate of hidden layers, in [0, 1).
    attention_dropout: dropout rate of attention probabilities, in [0, 1).
    max_sequence_length: the only seq_length that the network takes.
    type_vocab_size: number of segment ids.
    initializer_range: standard deviation of initial weights.
    embedding_width: width of word embeddings; None: hidden_size.
    output_range: number of leading tokens in sequence_output; None: all. Not for exports.
    norm_first: layer norm before instead of after mixing and feed-forward layers.
    use_fft: by fast Fourier transform instead of a product with its matrix.
    attention_layers: layers, counted from 0, that attend instead.

  Source: Lee-Thorp et al., https://arxiv.org/abs/2105.03824; FNetEncoderConfig.
  """
  return from_fields.spec('fnet', locals())


@gin.register(module='encoders')
def sparse_mixer(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_layers: int = 14,
    moe_layers: Sequence[int] = (5, 6, 7, 8),
    attention_layers: Sequence[int] = (10, 11, 12, 13),
    num_experts: int = 16,
    train_capacity_factor: float = 1.0,
    eval_capacity_factor: float = 1.0,
    examples_per_group: float = 1.0,
    use_fft: bool = False,
    num_attention_heads: int = 8,
    max_sequence_length: int = 512,
    type_vocab_size: int = 2,
    inner_dim: int = 3072,
    inner_activation: str = 'gelu',
    output_dropout: float = 0.1,
    attention_dropout: float = 0.1,
    initializer_range: float = 0.02,
    output_range: int | None = None,
    embedding_width: int | None = None,
    norm_first: bool = False,
) -> EncoderSpec:
  """Sparse Mixer encoder: linear mixing, some attention, and layers that are mixtures of experts.

  Args:
    moe_layers: layers, counted from 0, whose feed-forward layer is a mixture of experts.
    num_experts: of each of these.
    train_capacity_factor: tokens that an expert takes in training, over its even share.
    eval_capacity_factor: the same otherwise.
    examples_per_group: of a batch, whose tokens are routed together.
    The others: as for `fnet`.

  Source: Lee-Thorp and Ainslie, https://arxiv.org/abs/2205.12399; SparseMixerEncoderConfig.
  """
  return from_fields.spec('sparse_mixer', locals())


@gin.register(module='encoders')
def xlnet(
    vocab_size: int = 32000,
    num_layers: int = 24,
    hidden_size: int = 1024,
    num_attention_heads: int = 16,
    head_size: int = 64,
    inner_size: int = 4096,
    inner_activation: str = 'gelu',
    dropout_rate: float = 0.1,
    attention_dropout_rate: float = 0.1,
    attention_type: str = 'bi',
    bi_data: bool = False,
    tie_attention_biases: bool = False,
    memory_length: int = 0,
    same_length: bool = False,
    clamp_length: int = -1,
    reuse_length: int = 0,
    use_cls_mask: bool = False,
    embedding_width: int = 1024,
    initializer_range: float = 0.02,
    two_stream: bool = False,
) -> EncoderSpec:
  """XLNet: it can be described, and is refused by every export with the reason.

  Args: those of XLNetEncoderConfig.

  Source: Yang et al., https://arxiv.org/abs/1906.08237; XLNetEncoderConfig.
  """
  return from_fields.spec('xlnet', locals())
