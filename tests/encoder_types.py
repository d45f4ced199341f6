"""A tiny encoder of each of TF-NLP's 13 types, what exporting it gives, and the table of that.

    python -m tests.encoder_types        exports every pair and writes the table in docs/encoders.md
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import tiny

PAGE = Path(__file__).resolve().parent.parent / 'docs' / 'encoders.md'
# Every type takes this length, so that one preprocessing fits all.
SEQ_LENGTH = 32

_COMMON = {
    'vocab_size': tiny.Size.vocab_size, 'hidden_size': 16, 'num_layers': 1,
    'num_attention_heads': 2, 'intermediate_size': 24, 'max_position_embeddings': SEQ_LENGTH,
    'type_vocab_size': 2}
_MIXING = {
    'vocab_size': tiny.Size.vocab_size, 'hidden_size': 16, 'num_layers': 2,
    'num_attention_heads': 2, 'inner_dim': 24, 'max_sequence_length': SEQ_LENGTH,
    'type_vocab_size': 2}

# Type -> fields of a small block that every export type takes (but xlnet's, which none takes).
BLOCKS: Mapping[str, Mapping[str, Any]] = {
    'bert': _COMMON,
    'bert_v2': _COMMON,
    'albert': {**_COMMON, 'num_layers': 2, 'embedding_width': 8, 'dropout_rate': 0.1},
    'bigbird': {**_COMMON, 'block_size': 4, 'num_rand_blocks': 1},
    'funnel': {**{k: v for k, v in _COMMON.items() if k != 'intermediate_size'},
               'inner_dim': 24, 'num_layers': 2, 'pool_stride': 1},
    'kernel': {**_COMMON, 'num_random_features': 16},
    'mobilebert': {
        'word_vocab_size': tiny.Size.vocab_size, 'word_embed_size': 8, 'type_vocab_size': 2,
        'max_sequence_length': SEQ_LENGTH, 'num_blocks': 1, 'hidden_size': 16,
        'num_attention_heads': 2, 'intermediate_size': 12, 'hidden_activation': 'relu',
        'intra_bottleneck_size': 8, 'key_query_shared_bottleneck': True,
        'num_feedforward_networks': 2, 'normalization_type': 'no_norm'},
    'reuse': {**_COMMON, 'num_layers': 2, 'reuse_attention': 1, 'use_relative_pe': True,
              'pe_max_seq_length': 8},
    'xlnet': {'vocab_size': tiny.Size.vocab_size, 'num_layers': 1, 'hidden_size': 16,
              'num_attention_heads': 2, 'head_size': 8, 'inner_size': 24, 'embedding_width': 16},
    'query_bert': {**_COMMON, 'embedding_size': 8},
    'fnet': _MIXING,
    'sparse_mixer': {**_MIXING, 'num_layers': 3, 'moe_layers': [1], 'attention_layers': [2],
                     'num_experts': 4},
}

# Type -> for each refusal of support.TABLE, in order, the fields that bring it about.
REFUSED: Mapping[str, Sequence[Mapping[str, Any]]] = {
    'bert': [{'output_range': 1}],
    'bert_v2': [{'output_range': 1}],
    'query_bert': [{'output_range': 1}],
    'bigbird': [{'use_gradient_checkpointing': True}, {'max_position_embeddings': 30},
                {'num_rand_blocks': 5}],
    'funnel': [{'pool_type': 'min'}, {'transformer_cls': 'Block'}, {'pool_stride': (2, 2, 2)},
               {'pool_type': 'truncated_avg', 'unpool_length': 1}, {'pool_stride': 2}],
    'kernel': [{'redraw': True}],
    'sparse_mixer': [{'examples_per_group': 2.0}, {'train_capacity_factor': 100.0}],
    'xlnet': [{}, {}],
}

# What `any` is built by: TF-NLP's BertEncoderV2 with a gate of our own behind the last layer.
BUILDERS = '''
"""A builder as TF-NLP's any.BUILDER."""

import gin


@gin.register(module='builders')
def gated(config):
  """An encoder with a learnt gate."""
  from type_networks import GatedEncoder

  return GatedEncoder(
      vocab_size=config.vocab_size, hidden_size=16, num_layers=config.depth,
      num_attention_heads=2, inner_dim=24, max_sequence_length=32, type_vocab_size=2)


@gin.register(module='builders')
def broken(config):
  return config.no_such_field


@gin.register(module='builders')
def nothing(config):
  return None
'''
NETWORKS = '''
from official.nlp.modeling import networks


class GatedEncoder(networks.BertEncoderV2):

  def build(self, unused_input_shapes=None):
    super().build(unused_input_shapes)
    self.gate = self.add_weight(name='gate', shape=[16], initializer='ones')

  def call(self, inputs):
    outputs = super().call(inputs)
    outputs['sequence_output'] *= self.gate
    outputs['encoder_outputs'] = [*outputs['encoder_outputs'][:-1], outputs['sequence_output']]
    outputs['pooled_output'] = self._pooler_layer(outputs['sequence_output'][:, 0])
    return outputs
'''
ANY_GIN = '''
import type_builders
include 'gin/runs/export.gin'

ENCODER = @encoders.any
encoders.any.builder = @builders.gated
encoders.any.config_file = %CONFIG
'''
_ANY_BLOCK = {'vocab_size': tiny.Size.vocab_size, 'depth': 1}

TYPES = (*BLOCKS, 'any')
# Row of the table -> type, and fields besides its small block.
ROWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    label: (name, fields) for name in TYPES
    for label, fields in ([(name, {})] if name != 'funnel' else
                          [('funnel', {'pool_stride': 2}), ('funnel unpooled', {'pool_stride': 1})])
}
EXPORT_TYPES = ('model', 'model_with_mlm', 'preprocessing', 'text_embedding')


@contextlib.contextmanager
def own_modules(directory: Path) -> Iterator[None]:
  """Writes the modules of `any` and makes them importable for the time of the block."""
  (directory / 'type_builders.py').write_text(textwrap.dedent(BUILDERS).lstrip('\n'))
  (directory / 'type_networks.py').write_text(textwrap.dedent(NETWORKS).lstrip('\n'))
  sys.path.insert(0, str(directory))
  try:
    yield
  finally:
    sys.path.remove(str(directory))
    sys.modules.pop('type_builders', None)
    sys.modules.pop('type_networks', None)


def write_config(directory: Path, name: str, **fields: Any) -> Path:
  """Writes the EncoderConfig YAML of a type, as TF-NLP reads it."""
  import yaml

  block = {**(BLOCKS.get(name) or _ANY_BLOCK), **fields}
  path = directory / f'{name}.yaml'
  path.write_text(yaml.safe_dump({'type': name, name: block}))
  return path


def build_pretrainer(config: Path, seed: int = 0) -> Any:
  """TF-NLP's own network of a YAML in a pretrainer with a next-sentence head, drawn at random."""
  import tensorflow as tf
  from official.modeling import hyperparams, tf_utils
  from official.nlp.configs import encoders
  from official.nlp.modeling import layers, models

  if config.stem == 'any':
    from type_networks import GatedEncoder

    network = GatedEncoder(
        vocab_size=_ANY_BLOCK['vocab_size'], hidden_size=16, num_layers=1, num_attention_heads=2,
        inner_dim=24, max_sequence_length=32, type_vocab_size=2)
  else:
    network = encoders.build_encoder(hyperparams.override_params_dict(
        encoders.EncoderConfig(), str(config), is_strict=True))
  pretrainer = models.BertPretrainerV2(
      encoder_network=network, mlm_activation=tf_utils.get_activation('gelu'),
      classification_heads=[layers.ClassificationHead(16, num_classes=2, name='next_sentence')])
  inputs = {name: tf.zeros([1, SEQ_LENGTH], tf.int32) for name in (
      'input_word_ids', 'input_mask', 'input_type_ids', 'masked_lm_positions')}
  pretrainer(inputs)
  tiny.draw_weights(pretrainer, seed)
  return pretrainer


def settings(directory: Path, name: str, vocab: str, **fields: Any) -> dict[str, str]:
  """Writes checkpoint and configuration of a type; the macros that name them."""
  config = write_config(directory, name, **fields)
  checkpoint = tiny.write_checkpoint(directory / name, build_pretrainer(config))
  macro = 'CONFIG' if name == 'any' else 'ENCODER_CONFIG'
  return {'CHECKPOINT': checkpoint, macro: str(config), 'VOCAB_FILE': vocab,
          'DEFAULT_SEQ_LENGTH': str(SEQ_LENGTH), 'MAX_SEQ_LENGTH': str(SEQ_LENGTH),
          # One vector for each window of tokens, of a funnel that pools, has no mean of tokens.
          'POOLING': 'cls' if fields.get('pool_stride', 1) > 1 else 'mean'}


def run_file(directory: Path, name: str) -> str:
  """The gin file that exports a type."""
  if name != 'any':
    return 'gin/runs/export.gin'
  directory.mkdir(exist_ok=True)
  path = directory / 'any.gin'
  path.write_text(ANY_GIN)
  return str(path)


def export(directory: Path, name: str, macros: Mapping[str, str], types: Collection[str],
           **more: str) -> Any:
  """Runs export.gin in this process: what it said, and how it ended."""
  from tests import in_process

  wanted = in_process.settings(**{**macros, 'EXPORT_TYPES': repr(tuple(types)), **more})
  return in_process.run_main(
      run_file(directory, name), *wanted, '--out_dir', directory / f'{name}_out')


def verification(directory: Path, name: str, kind: str, pooler: str = 'keep') -> dict[str, Any]:
  """verification.json of an export."""
  place = directory / f'{name}_out' / 'exports'
  place = place / kind if kind == 'preprocessing' else place / pooler / kind
  return json.loads((place / 'assets.extra' / 'verification.json').read_text())


def outcome(directory: Path, label: str, vocab: str) -> dict[str, str]:
  """What exporting a row of the table gives: export type -> 'verified' or 'refused'.

  First everything is asked for; where that is refused, each export type alone.
  """
  name, fields = ROWS[label]
  directory = directory / re.sub(r'\W', '', label)
  directory.mkdir()
  if name == 'xlnet':  # TF-NLP builds no pretrainer of it. Any checkpoint will do.
    macros = {**settings(directory, 'bert', vocab),
              'ENCODER_CONFIG': str(write_config(directory, name))}
  else:
    macros = settings(directory, name, vocab, **fields)
  done = export(directory, name, macros, EXPORT_TYPES)
  if done.status == 0:
    return {kind: _verified(directory, name, kind) for kind in EXPORT_TYPES}
  assert done.status == 2, done.output
  found = {}
  for kind in EXPORT_TYPES:
    alone = export(directory / kind, name, macros, (kind,))
    assert alone.status in (0, 2), alone.output
    found[kind] = 'refused' if alone.status else _verified(directory / kind, name, kind)
  return found


def _verified(directory: Path, name: str, kind: str) -> str:
  assert verification(directory, name, kind)['passed']
  return 'verified'


def predicted(label: str) -> dict[str, str]:
  """What nlp_export/encoder_config/support.py says will happen."""
  from nlp_export.encoder_config import support
  from nlp_export.encoders import EncoderSpec

  name, fields = ROWS[label]
  if name == 'any':
    return dict.fromkeys(EXPORT_TYPES, 'verified')
  spec = EncoderSpec(name, {**BLOCKS[name], **fields})
  return {kind: 'refused' if support.refusal(spec, kind) else 'verified' for kind in EXPORT_TYPES}


def row(label: str, found: Mapping[str, str]) -> str:
  """A line of the table."""
  from nlp_export.encoder_config import support

  name, fields = ROWS[label]
  length = 'as the network has it' if name == 'any' else {
      support.ANY_LENGTH: 'up to its positions',
      support.PADDED: 'up to its positions, padded inside',
      support.FIXED: 'its positions, no other'}[support.TABLE[name].seq_length]
  if found['model'] == 'refused':
    length = ''
  shown = f'`{name}`' + ''.join(f', `{key}` {value}' for key, value in fields.items())
  return f'| {shown} | {" | ".join(found[kind] for kind in EXPORT_TYPES)} | {length} |'


def _notes(name: str) -> list[str]:
  """Sentences about a type, from the same table that the exports consult."""
  from nlp_export.encoder_config import support

  known = support.TABLE[name]
  notes = []
  for rule in known.refusals:
    what = 'Refused' if len(rule.export_types) > 1 else f'`{rule.export_types[0]}` refused'
    notes.append(f'{what}: {rule.condition or _plain(rule.reason)}. {_plain(rule.instead)}.')
  for what, traits in (('Padding is not exact: ', known.inexact_padding),
                       ('No pooler: ', known.no_pooler), ('', known.training_effect),
                       ('', known.remarks)):
    for trait in traits:
      text = _plain(trait.text) + (f' ({trait.condition})' if trait.condition else '')
      if not what and '_' not in text.split()[0]:
        text = f'{text[0].upper()}{text[1:]}'
      notes.append(f'{what}{text}.')
  if known.embeddings_first:
    notes.append('`encoder_outputs` starts with the embeddings: one entry more than layers.')
  return notes


def _plain(text: str) -> str:
  """A reason or a trait without the values of one block."""
  text = re.sub(r'(\w+) = \{\1\}', r'`\1`', text)
  return re.sub(r'(\b\w+ )?\{(\w+)\}',
                lambda m: f'`{m[2]}`' if (m[1] or '').strip() == m[2] else f'{m[1] or ""}`{m[2]}`',
                text)


def table(outcomes: Mapping[str, Mapping[str, str]]) -> str:
  """The table in docs/encoders.md, and what there is to know of each type."""
  lines = [f'| type | {" | ".join(f"`{kind}`" for kind in EXPORT_TYPES)} | seq_length |',
           f'|{"---|" * (len(EXPORT_TYPES) + 2)}',
           *(row(label, outcomes[label]) for label in ROWS), '']
  for name in TYPES:
    if notes := _notes(name):
      lines.append('\n'.join(textwrap.wrap(
          f'- `{name}`: {" ".join(notes)}', 100, subsequent_indent='  ', break_long_words=False,
          break_on_hyphens=False)))
  return '\n'.join(lines)


_START, _END = '<!-- Made by python -m tests.encoder_types -->', '<!-- End of the table -->'


def page_table() -> str:
  """The table that stands in docs/encoders.md."""
  return PAGE.read_text().split(_START)[1].split(_END)[0].strip()


def write_page(text: str) -> None:
  """Puts a table into docs/encoders.md."""
  page = PAGE.read_text()
  before, rest = page.split(_START)
  PAGE.write_text(f'{before}{_START}\n{text}\n{_END}{rest.split(_END)[1]}')


def all_outcomes(directory: Path, vocab: str) -> dict[str, dict[str, str]]:
  """Exports every pair."""
  with own_modules(directory):
    return {label: outcome(directory, label, vocab) for label in ROWS}


if __name__ == '__main__':
  with tempfile.TemporaryDirectory() as place:
    write_page(table(all_outcomes(
        Path(place), tiny.write_vocab(Path(place) / 'uncased_vocab.txt'))))
