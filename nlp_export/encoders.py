"""Which encoders can a gin file name, and which one does a run use?

Registered factories, each returning an EncoderSpec: @encoders.bert, @encoders.bert_v2,
@encoders.albert and @encoders.from_file. A lab's own factory may return an EncoderSpec or a built
tf_keras network. `resolve` decides between a factory and a configuration file. No TensorFlow here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import gin

from nlp_export.encoder_config import encoder_files
from nlp_export.encoder_config.built_encoder import BuiltEncoder, is_network
from nlp_export.encoder_config.encoder_blocks import Place, complete_block
from nlp_export.encoder_config.encoder_spec import EncoderSpec, differences, specs_agree
from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part

__all__ = [
    'BuiltEncoder', 'EncoderSpec', 'albert', 'bert', 'bert_v2', 'differences', 'from_file',
    'resolve', 'specs_agree']


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

  Source: Devlin et al., https://arxiv.org/abs/1810.04805; fields and defaults are those of
    official.nlp.configs.encoders.BertEncoderConfig.
  """
  return _spec('bert', locals())


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

  Source: official.nlp.modeling.networks.BertEncoderV2.
  """
  return _spec('bert_v2', locals())


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

  Source: Lan et al., https://arxiv.org/abs/1909.11942; fields and defaults are those of
    official.nlp.configs.encoders.AlbertEncoderConfig.
  """
  return _spec('albert', locals())


@gin.register(module='encoders')
def from_file(path: str) -> EncoderSpec:
  """Encoder of a configuration file: EncoderConfig YAML, legacy bert_config.json or Hugging Face's.

  Args:
    path: the file; its content says which of the three it is.

  Raises:
    RequestError: no such file, none of the three, or values that no encoder can have.
  """
  return encoder_files.read(path)


def _spec(encoder_type: str, fields: Mapping[str, Any]) -> EncoderSpec:
  name = f'encoders.{encoder_type}'
  place = Place(name, f'{name}.{{key}} = {{value!r}}')
  return EncoderSpec(encoder_type, complete_block(encoder_type, fields, place), source=f'@{name}')


def resolve(
    encoder: Callable[[], Any] | EncoderSpec | None = None,
    encoder_config_file: str | None = None,
    brought: EncoderSpec | None = None,
) -> EncoderSpec | BuiltEncoder:
  """The one encoder of a run, from what was given; given ones are checked against each other.

  Args:
    encoder: ENCODER, a factory or an EncoderSpec; None if not given.
    encoder_config_file: ENCODER_CONFIG, a path; None if not given.
    brought: what the checkpoint brings along (a Hugging Face directory's config.json).

  Returns:
    The encoder. Of several that agree, the most deliberate: ENCODER before ENCODER_CONFIG before
    what the checkpoint brings.

  Raises:
    RequestError: none given, two that disagree, or a factory that returns something else.
  """
  given: list[tuple[str, EncoderSpec | BuiltEncoder]] = []
  if encoder is not None:
    given.append(('ENCODER', _called(encoder)))
  if encoder_config_file is not None:
    given.append(('ENCODER_CONFIG', encoder_files.read(encoder_config_file)))
  if brought is not None:
    given.append(('CHECKPOINT', brought))
  if not given:
    raise RequestError(
        'No encoder was named, and the checkpoint brings no configuration along: nothing says what'
        " network its weights belong to. Include a fragment ('gin/encoders/bert_base.gin') or"
        " write ENCODER_CONFIG = 'path of an EncoderConfig YAML, bert_config.json or config.json'")
  first_name, first = given[0]
  for name, other in given[1:]:
    _check_agreement(first_name, first, name, other)
  return first


def _check_agreement(
    first_name: str, first: EncoderSpec | BuiltEncoder, name: str, other: Any) -> None:
  if isinstance(first, BuiltEncoder):
    pairs = [(p, getattr(first, p), getattr(other, p)) for p in (
        'hidden_size', 'num_layers', 'num_attention_heads', 'vocab_size', 'max_positions')]
    lines = tuple(f'{p}: {mine} in {first.source}, {theirs} in {other.source}'
                  for p, mine, theirs in pairs if mine is not None and mine != theirs)
  else:
    lines = differences(first, other)
  if not lines:
    return
  if name == 'CHECKPOINT':
    cure = (f'Drop the {first_name} line: the checkpoint brings its own configuration; or name the'
            f' checkpoint that {first_name} describes')
  else:
    cure = (f'Drop one of the two lines: without ENCODER_CONFIG the run uses {first.source},'
            f' without ENCODER (or the include that sets it) {other.source}')
  raise RequestError(
      f'{first_name} and {name} describe different encoders:\n  ' + '\n  '.join(lines)
      + f'\nA run has one. {cure}')


def _called(encoder: Any) -> EncoderSpec | BuiltEncoder:
  """The encoder that a factory (or a value in its place) stands for."""
  if isinstance(encoder, (EncoderSpec, BuiltEncoder)):
    return encoder
  name = getattr(encoder, '__name__', type(encoder).__name__)
  if isinstance(encoder, str):
    raise RequestError(
        f'ENCODER is the text {encoder!r}, where a factory is needed. Write'
        f" ENCODER = @encoders.bert, or ENCODER_CONFIG = '{encoder}' if it is a file")
  made = encoder
  source = f'a {name}'
  if not is_network(made):
    if not callable(encoder):
      raise RequestError(
          f'ENCODER is a {name}, where a factory is needed, a function without required arguments'
          ' that returns an EncoderSpec or a tf_keras network. Write ENCODER = @encoders.bert')
    made = _call(encoder, name)
    source = f'@{name}'
  if isinstance(made, (EncoderSpec, BuiltEncoder)):
    return made
  if is_network(made):
    return BuiltEncoder(made, source)
  kind = f'{type(made).__module__}.{type(made).__name__}'
  if any(base.__module__.split('.')[0] == 'keras' for base in type(made).__mro__):
    raise RequestError(
        f'The encoder factory {name} returned a {kind}, a Keras 3 object, while TF-NLP and'
        ' hub.KerasLayer are built on Keras 2. Build it with `import tf_keras`')
  raise RequestError(
      f'The encoder factory {name} returned {"nothing" if made is None else f"a {kind}"}. It must'
      ' return an EncoderSpec (see nlp_export/encoders.py) or a built tf_keras network')


def _call(factory: Callable[[], Any], name: str) -> Any:
  with explain_part(factory, f'The encoder factory {name}'):
    try:
      return factory()
    except TypeError as error:
      # Python's and gin's words for an argument that nobody bound.
      if not re.search(r'missing \d+ required (positional|keyword-only) argument', str(error)):
        raise
      argument = re.search(r"required [^:]+: ([^\n]+)", str(error))
      raise RequestError(
          f'The encoder factory {name} was called without its required'
          f' {argument.group(1).strip() if argument else "arguments"}. Bind each in the gin file,'
          " as encoders.from_file.path = 'bert_config.json' does") from error
