"""Which export types has each type of encoder, and why not the others?

One table, consulted before any work. The types are those of TF-NLP's EncoderConfig; a network that
Python code built (`any`, or a user's own factory) is `any` here. docs/encoders.md shows the table
as tests found it by exporting every pair.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_export import names
from nlp_export.encoder_config import block_facts
from nlp_export.errors import RequestError

# The columns of the table.
EXPORT_TYPES = names.EXPORT_TYPES
_ENCODERS = (names.MODEL, names.MODEL_WITH_MLM, names.TEXT_EMBEDDING)

# Which seq_length S the exported graph takes, by the network's table of positions.
ANY_LENGTH = 'any'  # 1 <= S <= max_positions (no upper end where there is no table).
PADDED = 'padded'  # The same for the caller; the export pads to max_positions inside.
FIXED = 'fixed'  # S == max_positions: the network computes something else at other lengths.


def _always(block: Mapping[str, Any]) -> bool:
  del block
  return True


@dataclasses.dataclass(frozen=True)
class Refusal:
  """Why there is no export.

  Attributes:
    reason: what is wrong, one or more sentences without the last full stop; `{field}` stands for
      the value of a field of the encoder's block.
    instead: the nearest thing that works, as a line to write.
    export_types: those that are refused.
    applies: of the encoder's complete block; True: refused.
    condition: `applies` in words, for the table: 'output_range is set'; '' for always.
  """
  reason: str
  instead: str
  export_types: tuple[str, ...] = _ENCODERS
  applies: Callable[[Mapping[str, Any]], bool] = _always
  condition: str = ''


@dataclasses.dataclass(frozen=True)
class Trait:
  """What is so by the network's definition, and not by the export's.

  Attributes:
    text: a sentence without the last full stop; `{field}` as in Refusal.
    applies: of the encoder's complete block; True: it is so.
    condition: `applies` in words, for the table; '' for always.
  """
  text: str
  applies: Callable[[Mapping[str, Any]], bool] = _always
  condition: str = ''


@dataclasses.dataclass(frozen=True)
class Support:
  """What exports of one type of encoder are like.

  Attributes:
    refusals: in the order in which they are tried.
    seq_length: ANY_LENGTH, PADDED or FIXED.
    inexact_padding: why what stands under mask 0 changes the outputs at real positions, where the
      network is made so. The check of padding does not apply then, and the card says why.
    no_pooler: why the network has no pooler, where it has none: exports are without pooled_output.
    embeddings_first: whether encoder_outputs starts with the embeddings: num_layers + 1 entries.
    training_effect: what training=True changes besides dropout; a remark as well.
    remarks: what else a user of the export should know; the card and the table show them.
  """
  refusals: tuple[Refusal, ...] = ()
  seq_length: str = ANY_LENGTH
  inexact_padding: tuple[Trait, ...] = ()
  no_pooler: tuple[Trait, ...] = ()
  embeddings_first: bool = False
  training_effect: tuple[Trait, ...] = ()
  remarks: tuple[Trait, ...] = ()


_OUTPUT_RANGE = Refusal(
    reason='output_range = {output_range} cuts sequence_output to that many tokens, while an export'
    ' promises one vector for each token. The weights are the same without it',
    instead='Write output_range = None',
    applies=lambda block: block.get('output_range') is not None,
    condition='`output_range` is set')

_BIGBIRD = Support(
    refusals=(
        Refusal(
            reason='with use_gradient_checkpointing TF-NLP builds another network, without a pooler'
            ' and so without pooled_output. It saves memory in training; weights and outputs are'
            ' the same without it',
            instead='Write use_gradient_checkpointing = False',
            applies=lambda block: block['use_gradient_checkpointing'],
            condition='`use_gradient_checkpointing`'),
        Refusal(
            reason='{max_position_embeddings} positions are no whole number of blocks of'
            ' {block_size}, and its attention takes whole blocks only',
            instead='Write the max_position_embeddings and block_size that it was trained with',
            applies=lambda block: not block_facts.has_whole_blocks(block),
            condition='`max_position_embeddings` is no multiple of `block_size`'),
        Refusal(
            reason='{max_position_embeddings} positions in blocks of {block_size} are too few'
            ' blocks for each to attend to num_rand_blocks = {num_rand_blocks} others',
            instead='Write the num_rand_blocks and block_size that it was trained with',
            applies=lambda block: not block_facts.has_enough_blocks(block),
            condition='too few blocks for `num_rand_blocks`')),
    seq_length=PADDED,
    remarks=(
        Trait('the last of its blocks of {block_size} positions is seen by all others, so the'
              ' network is another function at each length. Exported is the one at'
              ' {max_position_embeddings}, where padding is exact'),))

_FUNNEL = Support(
    refusals=(
        Refusal(
            reason='pool_type = {pool_type} is none that TF-NLP knows',
            instead=f'Write one of {", ".join(block_facts.POOL_TYPES)}',
            applies=lambda block: block['pool_type'] not in block_facts.POOL_TYPES,
            condition='unknown `pool_type`'),
        Refusal(
            reason='transformer_cls = {transformer_cls} is none that TF-NLP knows',
            instead=f'Write one of {", ".join(block_facts.FUNNEL_BLOCKS)}',
            applies=lambda block: block['transformer_cls'] not in block_facts.FUNNEL_BLOCKS,
            condition='unknown `transformer_cls`'),
        Refusal(
            reason='pool_stride = {pool_stride} is neither one factor of 1 or more nor one for each'
            ' of the {num_layers} layers',
            instead='Write the pool_stride that it was trained with',
            applies=lambda block: not block_facts.has_a_stride_for_each_layer(block),
            condition='`pool_stride` does not fit `num_layers`'),
        Refusal(
            reason='unpool_length = {unpool_length} does not go with pool_type truncated_avg in'
            ' TF-NLP',
            instead='Write unpool_length = 0',
            applies=lambda block: block['pool_type'] == 'truncated_avg' and block['unpool_length'],
            condition='`unpool_length` with `truncated_avg`'),
        Refusal(
            reason='with pool_stride = {pool_stride} sequence_output has fewer vectors than there'
            ' are tokens, while masked_lm_positions count tokens: the logits would be those of'
            ' other places than asked for',
            instead='The encoder alone can be exported: leave \'model_with_mlm\' out. With'
            ' pool_stride = 1 both can, if it was trained so',
            export_types=(names.MODEL_WITH_MLM,),
            applies=lambda block: bool(block_facts.strides(block)),
            condition='`pool_stride` is not 1')),
    inexact_padding=(Trait(
        'its pooling joins the last tokens with the padding beside them',
        lambda block: bool(block_facts.strides(block)), '`pool_stride` is not 1'),),
    remarks=(
        Trait('there is one vector in sequence_output for each window of tokens, not for each'
              ' token',
              lambda block: bool(block_facts.strides(block)), '`pool_stride` is not 1'),
        Trait('it also returns `word_embeddings` [B, S, embedding width] and `embedding_output`'
              ' [B, S, hidden size]'),
        Trait('its pooling is made for inputs of {max_position_embeddings} tokens',
              block_facts.pools_for_one_length,
              '`pool_type` is `truncated_avg`')))

_FNET = Support(
    seq_length=FIXED,
    inexact_padding=(Trait('its Fourier mixing reads every position, padding too',
                           block_facts.mixes, 'a layer is not in `attention_layers`'),))

_SPARSE_MIXER = Support(
    refusals=(
        Refusal(
            reason='examples_per_group = {examples_per_group} lets experts choose among the tokens'
            ' of other examples of the batch, or cuts an example into unequal parts, so that an'
            ' output would depend on what else is in the batch',
            instead='Write examples_per_group = 1.0, which routes each example alone: the weights'
            ' are the same',
            applies=lambda block: not block_facts.groups_are_within_examples(block),
            condition='`examples_per_group` is not 1 or a whole part of 1'),
        Refusal(
            reason='with {max_sequence_length} positions, {num_experts} experts and a capacity'
            ' factor of {train_capacity_factor} in training and {eval_capacity_factor} else, an'
            ' expert takes no token, or more than there are',
            instead='Write the capacity factors and num_experts that it was trained with',
            applies=lambda block: not block_facts.experts_have_work(block),
            condition='experts without tokens')),
    seq_length=FIXED,
    inexact_padding=(
        Trait('its linear mixing reads every position, padding too', block_facts.mixes,
              'a layer is not in `attention_layers`'),
        Trait('its experts choose among all positions, padding too', block_facts.has_experts,
              '`moe_layers`')),
    training_effect=(Trait(
        'training=True changes how many tokens an expert takes',
        block_facts.training_routes_otherwise,
        '`train_capacity_factor` is not `eval_capacity_factor`'),),
    remarks=(Trait("its routers' z-loss depends on the inputs, which regularization_losses cannot:"
                   ' fine-tuning goes without it', block_facts.has_experts, '`moe_layers`'),))

TABLE: Mapping[str, Support] = {
    'bert': Support((_OUTPUT_RANGE,)),
    'bert_v2': Support((_OUTPUT_RANGE,)),
    'albert': Support(),
    'bigbird': _BIGBIRD,
    'funnel': _FUNNEL,
    'kernel': Support((
        Refusal(
            reason='redraw = True draws its random projections anew for every training call, from'
            ' numbers that no seed and no saved state reaches, while training calls of an export'
            ' can be repeated. Weights and inference are the same without it',
            instead='Write redraw = False',
            applies=lambda block: block['redraw'],
            condition='`redraw` is True'),
    ), inexact_padding=(
        Trait('with is_short_seq or begin_kernel its attention gives masked keys the score 0, not'
              ' the weight 0',
              lambda block: block['is_short_seq'] or block['begin_kernel'] > 0,
              '`is_short_seq` or `begin_kernel`'),
        Trait('its feature_transform {feature_transform} scales by a maximum or mean over all'
              ' positions, padding among them',
              lambda block: block['feature_transform'] in ('exp', 'expmod', 'expplus'),
              '`feature_transform` is `exp`, `expmod` or `expplus`'))),
    'mobilebert': Support(
        inexact_padding=(Trait(
            'the embedding of a token is made of its neighbours\' as well, so the last real token'
            ' sees the id behind it'),),
        no_pooler=(Trait(
            'with classifier_activation = False its pooled_output is the [CLS] vector itself',
            lambda block: not block['classifier_activation'],
            '`classifier_activation` is False'),),
        embeddings_first=True),
    'reuse': Support(),
    'xlnet': Support((
        Refusal(
            reason="XLNet's network is no encoder of the text API: it has no pooler, no"
            ' encoder_outputs and no table of positions, its segments are relative and it reads'
            ' [CLS] at the end of the sequence',
            instead='Pre-train a BERT on the same text (gin/runs/pretrain.gin, ENCODER ='
            ' @encoders.bert), or write a factory that wraps the network'
            ' (ENCODER = @my_module.my_encoder, see docs/encoders.md)'),
        Refusal(
            reason='XLNet packs [CLS] at the end of a sequence and pads at its start, while'
            ' bert_pack_inputs of the text API packs [CLS] first',
            instead='Leave ENCODER out for the preprocessing of another encoder',
            export_types=(names.PREPROCESSING,)),
    )),
    'query_bert': Support((_OUTPUT_RANGE,)),
    'fnet': _FNET,
    'sparse_mixer': _SPARSE_MIXER,
    'any': Support(),
}


def of(encoder_type: str) -> Support:
  """What is supported of a type; a network of a user's own is 'any'."""
  return TABLE.get(encoder_type, TABLE['any'])


def refusal(spec: Any, export_type: str) -> Refusal | None:
  """The first refusal that applies, with its fields filled in; None: there is an export.

  Args:
    spec: EncoderSpec or BuiltEncoder.
    export_type: of EXPORT_TYPES.
  """
  for rule in of(spec.type).refusals:
    if export_type in rule.export_types and rule.applies(spec.config):
      return dataclasses.replace(rule, reason=rule.reason.format_map(spec.config),
                                 instead=rule.instead.format_map(spec.config))
  return None


# Classes of TF-NLP whose definition holds in a network of a user's own as well.
_NETWORKS = {'FNet': 'fnet', 'SparseMixer': 'sparse_mixer', 'MobileBERTEncoder': 'mobilebert'}


def _of_network(spec: Any) -> Support:
  """As `of`; a built network is known by its class."""
  classes = type(getattr(spec, 'network', None)).__mro__
  return of(next((_NETWORKS[c.__name__] for c in classes
                  if c.__name__ in _NETWORKS and c.__module__.startswith('official.')), spec.type))


def inexact_padding(spec: Any) -> str:
  """Why padding changes the outputs at real positions, by the network's definition; '' if not."""
  return next(iter(_texts(_of_network(spec).inexact_padding, spec)), '')


def training_effect(spec: Any) -> str:
  """What training=True changes besides dropout, by the network's definition; '' for nothing."""
  return next(iter(_texts(_of_network(spec).training_effect, spec)), '')


def no_pooler(spec: Any) -> str:
  """Why the network has no pooler; '' if it has one."""
  return next(iter(_texts(of(spec.type).no_pooler, spec)), '')


def remarks(spec: Any) -> tuple[str, ...]:
  """What a user of the export should know of this encoder, sentences without full stop."""
  kind = of(spec.type)
  return tuple(_texts((*kind.training_effect, *kind.remarks), spec))


def _texts(traits: Sequence[Trait], spec: Any) -> list[str]:
  return [t.text.format_map(spec.config) for t in traits if t.applies(spec.config)]


def check(spec: Any, export_types: Sequence[str]) -> None:
  """Raises RequestError if one of the exports asked for cannot be right, whatever the weights.

  Args:
    spec: EncoderSpec or BuiltEncoder.
    export_types: what was asked for.
  """
  refused = {kind: found for kind in EXPORT_TYPES
             if kind in export_types and (found := refusal(spec, kind))}
  if not refused:
    return
  kind, why = next(iter(refused.items()))
  others = [t for t in export_types if t not in refused]
  rest = f'. Without it EXPORT_TYPES may be {tuple(others)!r}' if others else ''
  raise RequestError(
      f'EXPORT_TYPES asks for {kind!r} of the {spec.type} encoder from {spec.source}, which it'
      f' cannot have: {why.reason}{rest}. {why.instead}')


def check_poolers(spec: Any, functions: Mapping[str, Callable[..., Any]]) -> None:
  """Raises RequestError if a pooler is to be initialised that the network does not have.

  Args:
    spec: EncoderSpec or BuiltEncoder.
    functions: pooler as written in gin -> strategy (nlp_export/poolers.py). One without
      parameters makes no weights: @poolers.none, or a user's own.
  """
  why = no_pooler(spec)
  wanted = [name for name, function in functions.items() if inspect.signature(function).parameters]
  if why and wanted:
    raise RequestError(
        f'POOLERS asks for {wanted[0]}, but the {spec.type} encoder from {spec.source} has no'
        f" pooler: {why}. Write --set POOLERS='(@poolers.none,)'")
