"""Which config.json and tokenizer files describe an encoder to `transformers`?

What its BERT and ALBERT cannot compute, and what its tokenizers cannot do, is refused here, before
any work. Names: transformers, models/{bert,albert}/configuration_*.py and tokenization_*.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_export import names
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.tokenizers import SENTENCEPIECE, WORDPIECE, Tokenizer

BERT, ALBERT = 'bert', 'albert'

# TF-NLP's activation -> transformers' name of the same function. Its "gelu" is the exact form.
ACTIVATIONS: Mapping[str, str] = {
    'gelu': 'gelu_new', 'gelu_erf': 'gelu', 'relu': 'relu', 'relu6': 'relu6', 'swish': 'silu',
    'silu': 'silu', 'simple_swish': 'silu', 'mish': 'mish', 'tanh': 'tanh', 'sigmoid': 'sigmoid',
    'linear': 'linear', 'identity': 'linear'}

# Kind of tokenizer -> name of its file in the folder.
VOCABULARIES = {WORDPIECE: 'vocab.txt', SENTENCEPIECE: 'spiece.model'}

# Settings of a tokenizer that no tokenizer_config.json can say -> their value without effect.
_WITHOUT_NAME: Mapping[str, Any] = {'split_unknown_characters': False,
                                    'preserve_unused_token': False}

_LAYER_NORM_EPS = 1e-12  # Written into TF-NLP's networks.
_ELSEWHERE = "Write --set TO=orbax, which carries it for this project, or TO=tf2 for TF-NLP's tools"


def family(spec: EncoderSpec) -> str:
  """transformers' model_type of an encoder."""
  return ALBERT if spec.type == 'albert' else BERT


def check(spec: EncoderSpec | BuiltEncoder, tokenizer: Tokenizer | None) -> None:
  """Refuses an encoder or a tokenizer that a Hugging Face folder cannot describe.

  Raises:
    RequestError: with the reason, and the target that can.
  """
  what = f'The {spec.type} encoder from {spec.source} cannot become a Hugging Face folder: '
  if isinstance(spec, BuiltEncoder):
    raise RequestError(
        f'{what}a folder names a network that transformers has, and this one was built by your own '
        f'code. {_ELSEWHERE}')
  if spec.type not in ('bert', 'bert_v2', 'albert'):
    raise RequestError(
        f'{what}of the types of encoders bert, bert_v2 and albert are written under the names of '
        f'transformers. {_ELSEWHERE}')
  if spec.config.get('norm_first'):
    raise RequestError(
        f"{what}norm_first is set: its layer norms come first, while transformers' BERT has them "
        f'last. {_ELSEWHERE}')
  narrow = spec.embedding_size != spec.hidden_size
  if narrow and spec.type != 'albert':
    raise RequestError(
        f'{what}its embeddings are {spec.embedding_size} wide and projected to {spec.hidden_size}, '
        f"while transformers' BERT has no such projection. {_ELSEWHERE}")
  if not narrow and spec.type == 'albert':
    raise RequestError(
        f"{what}its embeddings are as wide as its layers, while transformers' ALBERT always has a "
        f'projection between them. {_ELSEWHERE}')
  if spec.hidden_activation not in ACTIVATIONS:
    raise RequestError(
        f'{what}transformers has no name for its activation {spec.hidden_activation} (it has one '
        f'for {", ".join(ACTIVATIONS)}). {_ELSEWHERE}')
  if tokenizer is not None:
    _check_tokenizer(tokenizer)


def _check_tokenizer(tokenizer: Tokenizer) -> None:
  if tokenizer.kind not in VOCABULARIES or not tokenizer.asset_file:
    raise RequestError(
        f'A tokenizer of kind {tokenizer.kind!r} cannot go into a Hugging Face folder, which names '
        "a tokenizer of transformers and its vocabulary, not somebody's code. "
        'Write --set TO=orbax or TO=tf2.')
  for name, usual in _WITHOUT_NAME.items():
    if getattr(tokenizer, name, usual) != usual:
      raise RequestError(
          f'The tokenizer has {name} = {getattr(tokenizer, name)}, which no tokenizer of '
          'transformers can do, so its ids would differ from those that the encoder was trained '
          'on. Write --set TO=orbax, which records the setting.')


def tokenizer_notes(tokenizer: Tokenizer) -> tuple[str, ...]:
  """What transformers' tokenizer of the same vocabulary does otherwise, lines to say."""
  if tokenizer.kind == WORDPIECE and not getattr(tokenizer, 'split_at_unicode_spaces', True):
    return ("transformers' tokenizer separates words at all Unicode spaces; the one of this "
            'conversion takes some of them as parts of words',)
  return ()


def check_one_activation(spec: EncoderSpec, mlm_activation: str) -> None:
  """Refuses a masked LM head whose activation is not the encoder's.

  Raises:
    RequestError: the two are different functions.
  """
  if ACTIVATIONS.get(mlm_activation) != ACTIVATIONS[spec.hidden_activation]:
    raise RequestError(
        f'The masked LM head has the activation {mlm_activation}, the encoder '
        f'{spec.hidden_activation}, and a Hugging Face config.json has one hidden_act for both. '
        'Write --set MASKED_LM=False to leave the head out, or --set TO=orbax.')


def config(
    spec: EncoderSpec, architecture: str, tokenizer: Tokenizer | None
) -> dict[str, Any]:
  """The content of config.json.

  Args:
    spec: the encoder, checked.
    architecture: class of transformers ('BertForMaskedLM').
    tokenizer: whose special tokens are named.
  """
  ids = tokenizer.special_token_ids() if tokenizer else {}
  values: dict[str, Any] = {
      'model_type': family(spec),
      'architectures': [architecture],
      'vocab_size': spec.vocab_size,
      'hidden_size': spec.hidden_size,
      'num_hidden_layers': spec.num_layers,
      'num_attention_heads': spec.num_attention_heads,
      'intermediate_size': spec.intermediate_size,
      'hidden_act': ACTIVATIONS[spec.hidden_activation],
      'hidden_dropout_prob': spec.dropout_rate,
      'attention_probs_dropout_prob': spec.attention_dropout_rate,
      'max_position_embeddings': spec.max_positions,
      'type_vocab_size': spec.type_vocab_size,
      'initializer_range': spec.config['initializer_range'],
      'layer_norm_eps': _LAYER_NORM_EPS,
      'position_embedding_type': 'absolute',
      'pad_token_id': ids.get(names.PADDING_ID, 0),
      'torch_dtype': 'float32',
  }
  if values['model_type'] == ALBERT:
    values |= {
        'embedding_size': spec.embedding_size, 'num_hidden_groups': 1, 'inner_group_num': 1,
        'bos_token_id': ids.get(names.START_OF_SEQUENCE_ID),
        'eos_token_id': ids.get(names.END_OF_SEGMENT_ID)}
  return values


def tokenizer_config(tokenizer: Any, max_positions: int | None) -> dict[str, Any]:
  """The content of tokenizer_config.json.

  Args:
    tokenizer: WordPiece or SentencePiece, checked.
    max_positions: of the encoder.
  """
  ids = tokenizer.special_token_ids()
  values: dict[str, Any] = {
      'do_lower_case': tokenizer.lower_case,
      'pad_token': tokenizer.padding,
      'cls_token': tokenizer.start_of_sequence,
      'sep_token': tokenizer.end_of_segment,
      # One that the vocabulary lacks would get an id beyond the word embeddings.
      'mask_token': tokenizer.mask if names.MASK_ID in ids else None,
      'model_max_length': max_positions,
  }
  if tokenizer.kind == WORDPIECE:
    return values | {
        'tokenizer_class': 'BertTokenizer',
        'unk_token': tokenizer.unknown,
        'strip_accents': tokenizer.strip_accents,
        'tokenize_chinese_chars': tokenizer.split_chinese_characters}
  return values | {
      'tokenizer_class': 'AlbertTokenizer',
      'unk_token': _unknown_piece(tokenizer.model),
      'keep_accents': not tokenizer.strip_diacritics,
      'bos_token': tokenizer.start_of_sequence,
      'eos_token': tokenizer.end_of_segment}


def _unknown_piece(model: bytes) -> str:
  import sentencepiece

  processor = sentencepiece.SentencePieceProcessor(model_proto=model)
  return processor.id_to_piece(processor.unk_id())
