"""Which check of TF Hub's text API is verified on every export, and which by which test?

    python -m tests.conformance_table        writes docs/conformance.md anew

The claims are numbered as in the specification that this project follows: TF Hub's "Reusable
SavedModels" and "Common SavedModel APIs for text tasks", and what TF-NLP 2.20's export_tfhub does.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'conformance.md'

SECTIONS = {
    1: 'Files and loading', 12: 'Encoder: call', 31: 'Encoder: variables and training',
    41: 'Encoder: attributes and signature', 47: '.mlm', 60: 'Preprocessing: root and tokenize',
    73: 'Preprocessing: offsets and special tokens', 81: 'bert_pack_inputs',
    92: 'Input pipelines', 95: 'Checkpoints and the exporter',
    109: 'Text embedding',
    124: 'Classifier',
}
CLAIMS = {
    1: 'saved_model.pb, variables index and data exist; names start with a word character',
    2: 'loads in a fresh process without TF-NLP and Keras 2',
    3: 'gives the same results after its directory was renamed',
    4: 'gives the same results after save(load(it)) with the first copy deleted',
    5: 'needs no source file after the export',
    6: 'names no source, build or temporary path in any file',
    7: 'assets are exactly the expected files, byte for byte',
    8: 'holds no Python bytecode (no Lambda layers, no Python ops)',
    9: 'loads as a tar.gz over HTTP through TFHUB_CACHE_DIR',
    10: 'never mixes with what lay at the destination',
    11: 'equal inputs give equal variables and equal bytes',
    12: 'takes (1,1), (2,8), (3,longest) and an empty batch',
    13: 'takes NumPy arrays and lists, keys in any order',
    14: 'refuses missing and extra keys and lists',
    15: 'refuses int64 ids',
    16: 'returns pooled_output, default, sequence_output, encoder_outputs, all finite',
    17: 'returns float32 of the documented shapes',
    18: 'default is pooled_output, to the bit',
    19: 'encoder_outputs has a tensor for each layer; the last is sequence_output',
    20: 'pooled_output is tanh of the dense pooler on [CLS]',
    21: 'outputs equal the source encoder\'s, layer by layer',
    22: 'padding does not change real positions',
    23: 'other type ids change the output',
    24: 'the longest sequence works, one more token is refused',
    25: 'static shapes are kept',
    26: 'training omitted is False; inference repeats (to 1e-6: threads may add in another order)',
    27: 'training=True turns dropout on',
    28: 'without dropout training=True changes nothing',
    29: 'exactly two traces, for training True and False (dropout_state advances in one)',
    30: 'compiles under XLA',
    31: 'trainable_variables are among variables, all trainable',
    32: 'as many trainable variables as the source',
    33: 'their values and order are the source\'s',
    34: 'other variables are do_lower_case (WordPiece) and dropout_state, nothing else',
    35: 'regularization_losses are functions of no argument to a scalar',
    36: 'every trainable variable has a gradient',
    37: 'a persistent tape gives two gradients',
    38: 'hub.KerasLayer(trainable=True) trains all weights',
    39: 'hub.KerasLayer is frozen by default, dropout off',
    40: 'loads and trains under a distribution strategy',
    41: 'vocab_file is the source vocabulary',
    42: 'do_lower_case is the flag, and not trainable',
    43: 'SentencePiece: sp_model_file alone',
    44: 'a missing vocabulary makes the export fail',
    45: 'a vocabulary that does not fit the embedding is reported',
    46: 'serving_default has the API\'s names and the call\'s values',
    47: '.mlm is there if asked for, else not',
    48: '.mlm takes four inputs and returns mlm_logits besides',
    49: 'mlm_logits is float32 [batch, predictions, vocabulary], also for 0 predictions',
    50: 'mlm_logits equal the pretrainer\'s',
    51: 'mlm_logits equal the head\'s formula on the exported variables',
    52: 'other outputs equal the root\'s',
    53: 'a prediction depends on its own position only',
    54: 'trainable variables: the root\'s and the head\'s five',
    55: 'they are the root\'s own variable objects',
    56: 'a change through .mlm changes the root',
    57: 'hub.KerasLayer(encoder.mlm) trains, with dropout',
    58: 'after a step through .mlm both are saved with the new weights',
    59: 'the head\'s activation is the pretrainer\'s own',
    60: 'string [batch] gives three int32 [batch, default length]',
    61: 'the lower-case fixture gives the known ids',
    62: 'the cased fixture gives the known ids',
    63: 'tokenize gives int32 ragged of the right rank, int64 row splits',
    64: 'empty and blank text gives no tokens',
    65: 'an empty batch works everywhere',
    66: 'Unicode is normalised as in training',
    67: 'literal special tokens in text give no special ids',
    68: 'a word of over 100 bytes is one [UNK]',
    69: 'every id is in the vocabulary',
    70: 'training= has no effect',
    71: 'ids equal the training-time tokenizer\'s',
    72: 'static shapes for a given and an open batch size',
    73: 'tokenize_with_offsets if asked for: three ragged tensors of one structure',
    74: 'the fixture\'s offsets',
    75: 'offsets count bytes of the text as given',
    76: 'SentencePiece offsets are right or refused',
    77: 'special tokens are int32 scalars; absent ones have no key',
    78: 'they and vocab_size are those of the file',
    79: 'they can be had in a foreign graph',
    80: 'both tokenize callables share that object',
    81: 'segments of rank 2 and 3 pack alike',
    82: 'seq_length by keyword, position, tensor, or default',
    83: 'the pair fixture packs to the known rows',
    84: 'the known truncation vectors',
    85: 'round robin for all lengths',
    86: 'empty segments',
    87: 'packing what tokenize gives is the root',
    88: 'tf.text\'s own packing gives the same',
    89: 'too many segments, bare or mixed ones are refused',
    90: 'too small a seq_length is refused, or documented',
    91: 'works as hub.KerasLayer with a fixed length, and reloads',
    92: 'works in Dataset.map with static shapes',
    93: 'has nothing to train, and feeds its encoder unchanged',
    94: 'no Assert node if asked for',
    95: 'every TF2 form of checkpoint restores to the in-memory encoder',
    96: 'word embeddings that were stored with the head are found',
    97: 'a directory, a prefix and a -N suffix are resolved or refused',
    98: 'missing items are named with the ones that are there',
    99: 'fewer layers than the checkpoint are refused',
    100: 'unused content is reported',
    101: 'poolers keep, copy, identity, random, none',
    102: 'a copied pooler is the head\'s dense layer',
    103: 'TF1 BERT checkpoints: every variable lands, pooler and masked LM head included',
    104: 'TF1 ALBERT checkpoints: likewise, with the block that all layers share',
    105: 'bert checkpoints restore into bert_v2 and back',
    106: 'do_lower_case is guessed by the file\'s name alone, and said',
    107: 'exactly one tokenizer and one configuration',
    108: 'a failure leaves nothing and exits with a status that is not 0',
    109: 'string [batch] gives float32 [batch, dim], for no and for empty text too; all finite',
    110: 'takes Python lists, refuses numbers and other ranks',
    111: 'vectors are the source encoder\'s, pooled, on real texts; longer ones are cut',
    112: 'a text\'s vector does not depend on the rest of its batch',
    113: 'works in Dataset.map with a static shape',
    114: 'two traces, training omitted is False, inference repeats',
    115: 'training=True drops, by dropout_state; without dropout it changes nothing',
    116: 'variables as an encoder\'s: listed, marked, nothing else, each with a gradient',
    117: 'their values and order are the source\'s',
    118: 'vectors have length 1 where asked for',
    119: 'tokenize gives the ids of the training-time tokenizer, and its special tokens',
    120: 'encoder_inputs has rows as long as the longest text, at most max_seq_length',
    121: 'embed_tokens of encoder_inputs is the call; padding changes nothing',
    122: 'signatures from text and from tokens give the call\'s vectors',
    123: 'hub.KerasLayer: frozen by default, trains all weights if asked',
    124: 'texts, none at all or empty ones, give float32 logits and probabilities, or a value',
    125: 'logits are the trained model\'s, on texts that it was scored on',
    126: 'probabilities are the softmax of logits; a value is the only logit; all finite',
    127: 'a text\'s logits do not depend on the rest of its batch',
    128: 'label_names() and the file name each class, in the order of the outputs',
    129: 'signatures from text and from tokens give the call\'s values',
    130: 'classify_tokens of encoder_inputs is the call; rows are no longer than needed',
    131: 'two traces, training omitted is False',
    132: 'training=True drops; without dropout it changes nothing',
    133: 'trainable variables are listed, marked, and have a gradient',
    134: 'their values and order are the trained model\'s',
    135: 'regularization_losses are those of the trained encoder, of weights that train here',
}
OPEN: dict[int, str] = {}  # Number of a claim that nothing verifies yet -> why.


def tests_by_number() -> dict[int, list[str]]:
  """Conformance number -> tests that are marked with it, as 'path::name'."""
  found: dict[int, set[str]] = defaultdict(set)
  for path in sorted((ROOT / 'tests').rglob('test_*.py')):
    tree = ast.parse(path.read_text())
    whole_file = [n for node in tree.body if isinstance(node, ast.Assign)
                  and any(getattr(t, 'id', '') == 'pytestmark' for t in node.targets)
                  for n in _numbers(node.value)]
    for node in ast.walk(tree):
      if isinstance(node, ast.FunctionDef) and node.name.startswith('test'):
        numbers = whole_file + [n for mark in node.decorator_list for n in _numbers(mark)]
        for number in numbers:
          found[number].add(f'{path.relative_to(ROOT / "tests")}::{node.name}')
  return {number: sorted(names) for number, names in found.items()}


def _numbers(node: ast.expr) -> list[int]:
  """The arguments of every `pytest.mark.conformance(...)` in an expression."""
  return [argument.value for call in ast.walk(node)
          if isinstance(call, ast.Call) and getattr(call.func, 'attr', '') == 'conformance'
          for argument in call.args if isinstance(argument, ast.Constant)]


def checks_by_number() -> dict[int, list[str]]:
  """Conformance number -> run-time checks, with their level."""
  from nlp_export.saved_models.verification import registry

  found: dict[int, list[str]] = defaultdict(list)
  for check in registry.all_checks():
    for number in check.numbers:
      found[number].append(f'`{check.name}` ({check.level})')
  return found


def page() -> str:
  """docs/conformance.md."""
  checks, tests = checks_by_number(), tests_by_number()
  lines = [
      '# Conformance', '',
      'What an export has to do, which of it every export is checked for when it is made (and',
      'by `gin/runs/verify.gin` on any SavedModel), and which tests show it. MUST: TF Hub\'s API.',
      'REF: TF-NLP\'s export_tfhub does it and users rely on it. GOAL: better than that; an',
      'export that others wrote may miss it. A check is not applicable only by the type of',
      'SavedModel or by the definition of its network (see encoders.md), and then',
      'verification.json says why. Checks 29 and 34 are amended by',
      '`dropout_state`, the variable that makes dropout reproducible.', '',
      'This page is made by `python -m tests.conformance_table`.',
  ]
  for number, claim in CLAIMS.items():
    if number in SECTIONS:
      lines += ['', f'## {SECTIONS[number]}', '', '| | claim | on every export | tests |',
                '|---|---|---|---|']
    on_export = ', '.join(checks.get(number, [])) or OPEN.get(number, '')
    shown = [f'`{name}`' for name in tests.get(number, [])]
    if len(shown) > 3:
      shown = [*shown[:3], f'and {len(shown) - 3} more']
    lines.append(f'| {number} | {claim} | {on_export} | {", ".join(shown)} |')
  return '\n'.join(lines) + '\n'


if __name__ == '__main__':
  PAGE.write_text(page())
