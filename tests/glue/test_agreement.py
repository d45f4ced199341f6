"""Before training: two arms agree, or part first where we made them part."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from nlp_export import checkpoints, encoders, names, poolers
from nlp_export.errors import RequestError
from nlp_export.glue import tasks
from nlp_export.glue.agreement import TOLERANCE, Agreement, Row, advice, choose, compare, pairs
from nlp_export.glue.agreement import result as results
from nlp_export.glue.examples import Examples
from nlp_export.glue.fine_tuning.arms import BaselineArm, ExportArm, PoolerStart
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.tokenizers import WordPiece

MRPC = tasks.get('mrpc')
TEXTS = (('the cat sat on the mat.', 'Hello', 'a dog and a cat', 'THE WORLD of banking and éß'),
         ('the bank', 'a mat!', 'on the mat the dog sat on the mat', 'a dog'))
LABELS = np.array([0, 1, 1, 0], np.int32)
RECIPE = Recipe()
KEPT = PoolerStart(poolers.keep, 'keep')


def baseline_arm(tiny_uncased, spec=None, lower_case=True) -> BaselineArm:
  return BaselineArm(
      checkpoints.find_checkpoint(tiny_uncased['CHECKPOINT']),
      spec or encoders.from_file(tiny_uncased['ENCODER_CONFIG']),
      WordPiece(tiny_uncased['VOCAB_FILE'], lower_case), {}, KEPT)


@pytest.fixture(scope='module')
def export(uncased_exports):
  return ExportArm(uncased_exports['model'], uncased_exports['preprocessing']).load()


@pytest.fixture(scope='module')
def baseline(tiny_uncased):
  return baseline_arm(tiny_uncased).load()


def changed(encoder, name, by=0.01):
  """The encoder with one element of a variable changed."""
  other = copy.copy(encoder)
  values = {key: np.array(encoder.initial(key)) for key in encoder.variables}
  values[name].flat[0] += by
  other.start_from(list(values.values()))
  return other


def run(export, baseline, recipe=RECIPE, task=MRPC, texts=TEXTS, labels=LABELS) -> Agreement:
  return compare(export, baseline, texts, labels, task, recipe)


def assert_first(agreement: Agreement, name: str, suggestion: str) -> None:
  assert agreement.first_difference.name == name, agreement.lines()
  assert not agreement.passed
  assert suggestion in agreement.suggestion
  assert 'DIFFER' in agreement.lines()[0] and name in agreement.lines()[1]


def test_an_export_and_its_baseline_agree(export, baseline):
  agreement = run(export, baseline)
  assert agreement.passed and agreement.first_difference is None, agreement.lines()
  stages = [row.stage for row in agreement.rows]
  assert sorted(set(stages), key=stages.index) == list(results.STAGES)
  compared = [row.name for row in agreement.rows]
  assert compared[:7] == ['token ids', 'word embeddings', 'position embeddings', 'type embeddings',
                          'layer_0', 'layer_1', 'sequence_output']
  gradients = {name for name in compared if name.startswith('gradient of ')}
  assert gradients == {f'gradient of {name}' for name in
                       (*baseline.variables, 'head/kernel', 'head/bias')}
  assert compared[-1] == 'gradient of word_embeddings/embeddings'
  assert agreement.lengths == tuple(export.tokenise(TEXTS, 128).lengths)
  assert len(set(agreement.lengths)) > 2 and agreement.notes == ()
  assert agreement.lines()[0].startswith(
      'before training: export and baseline agree on 4 examples of mrpc (')
  json.dumps(agreement.to_json(), allow_nan=False)
  assert Agreement.from_json(json.loads(json.dumps(agreement.to_json()))) == agreement


def test_other_poolings_and_a_regression_agree(export, baseline):
  agreement = run(export, baseline, Recipe(pooling='mean', precision='mixed_bfloat16'),
                  tasks.get('stsb'), labels=np.array([0.0, 5.0, 2.5, 1.0], np.float32))
  assert agreement.passed, agreement.lines()
  pooler = [row for row in agreement.rows if 'pooler' in row.name]
  assert [row.detail for row in pooler] == ['none in either arm'] * 2  # The head does not read it.


def test_one_weight_of_a_layer(export, baseline):
  name = 'transformer/layer_1/output/kernel'
  assert_first(run(export, changed(baseline, name)), 'layer_1', f'{name} by 0.01')


def test_a_row_of_the_positions(export, baseline):
  assert_first(run(export, changed(baseline, 'position_embedding/embeddings')),
               'position embeddings', 'another checkpoint')


def test_a_tokenizer_that_lower_cases_and_one_that_does_not(export, baseline, tiny_uncased):
  other = copy.copy(baseline)
  other.tokenise = baseline_arm(tiny_uncased, lower_case=False).load().tokenise
  agreement = run(export, other)
  assert_first(agreement, 'token ids', 'From equal ids both arms compute the same')
  assert [row.name for row in agreement.failed] == ['token ids']
  row = agreement.first_difference
  assert row.difference == 2 and row.detail.startswith('2 of 4 examples; in example 1 word_ids has')
  assert agreement.notes == ('from there on both arms compute from the token ids of export',)


def test_gelu_by_tanh_and_by_erf(export, tiny_uncased):
  spec = encoders.from_file(tiny_uncased['ENCODER_CONFIG'])
  erf = encoders.EncoderSpec(spec.type, {**spec.config, 'hidden_activation': 'gelu_erf'})
  agreement = run(export, baseline_arm(tiny_uncased, erf).load())
  assert_first(agreement, 'layer_0', 'another activation (gelu by tanh or by erf')
  assert 1e-4 < agreement.first_difference.difference < 1e-1


def test_another_draw_of_the_pooler(export, baseline):
  random = [copy.copy(arm) for arm in (export, baseline)]
  for arm in random:
    arm.pooler = PoolerStart(poolers.random, 'random', {'seed': 0})
  assert compare(*random, TEXTS, LABELS, MRPC, RECIPE, pooler_seed=3).passed
  random[1].pooler = KEPT  # Not drawn anew.
  agreement = compare(*random, TEXTS, LABELS, MRPC, RECIPE, pooler_seed=3)
  assert_first(agreement, 'pooled_output', 'another seed of its draw: pooler_transform/kernel')


@pytest.mark.parametrize('gradient', ['none', 'zeros'])
def test_a_variable_without_a_gradient_in_one_arm(export, baseline, gradient):
  import tensorflow as tf

  name = 'transformer/layer_1/output/bias'
  other = copy.copy(export)
  # What it computes with is a constant now, as far as training is concerned.
  other.variables = {**export.variables, name: tf.Variable(export.initial(name))}

  def outputs(inputs, training):
    found = dict(export.outputs(inputs, training))
    found[names.POOLED_OUTPUT] += 0.0 * tf.reduce_sum(other.variables[name])
    return found

  if gradient == 'zeros':
    other.outputs = outputs
  agreement = run(other, baseline)
  assert_first(agreement, f'gradient of {name}', 'a copy, or a constant')
  assert len(agreement.failed) == 1
  assert agreement.first_difference.detail.startswith('none in export; its norm in baseline is 0.')


def test_a_stranger_with_other_names_in_another_order(tfhub_export, uncased_exports, baseline):
  stranger = ExportArm(tfhub_export, uncased_exports['preprocessing']).load()
  renamed = copy.copy(stranger)
  renamed.variables = {f'v{i}': v for i, v in enumerate(reversed(stranger.variables.values()))}
  renamed.start_from(list(renamed.variables.values()))
  agreement = run(renamed, baseline)
  assert agreement.passed, agreement.lines()
  assert agreement.notes[0].startswith('39 variables have other names in export')
  assert {'gradient of pooler_transform/bias', 'word embeddings'} <= {
      row.name for row in agreement.rows}


def test_nothing_finite_passes_and_an_export_without_pooler_says_so(export, baseline):
  broken = changed(baseline, 'transformer/layer_1/output/bias', np.nan)
  agreement = run(export, broken)
  assert_first(agreement, 'layer_1', '')
  assert agreement.first_difference.detail == 'values that are not finite'
  json.dumps(agreement.to_json(), allow_nan=False)
  none = copy.copy(export)
  none.has_pooled_output = False
  with pytest.raises(RequestError, match='Use --set POOLING=cls or mean'):
    run(none, baseline)


def test_variables_are_paired_by_name_then_value_then_order():
  rng = np.random.default_rng(0)
  a, b, c, d = (rng.normal(size=[2, 3]) for _ in range(4))
  found = pairs.pair({'x': a, 'p': c, 'q': b, 'r': d}, {'x': d, 'one': b, 'two': c, 'three': a})
  assert [(p.first, p.second) for p in found.pairs] == [
      ('x', 'x'), ('q', 'one'), ('p', 'two'), ('r', 'three')]
  found = pairs.pair({'x': a, 'y': np.zeros(3)}, {'x': np.zeros(4), 'z': np.ones(3)})
  assert [(p.first, p.second) for p in found.pairs] == [('y', 'z')]
  assert (found.only_first, found.only_second) == (('x',), ('x',))


def test_what_comes_before_the_first_layer_is_named():
  rows = (Row(results.EMBEDDINGS, 'word embeddings', 0.0, TOLERANCE, True),
          Row(results.LAYERS, 'layer_0', 0.3, TOLERANCE, False))
  norm, later = 'embeddings/layer_norm/beta', 'transformer/layer_1/output/bias'
  assert advice.suggest(rows, {norm: 0.1, later: 0.2, 'pooler_transform/bias': 0.2}) == (
      f'Other weights: {norm} by 0.1')
  assert 'All weights up to there are equal' in advice.suggest(rows, {later: 0.2})
  assert advice.suggest(rows[:1], {norm: 0.1}) == ''


def test_examples_are_chosen_from_the_shortest_to_the_longest():
  lengths = np.random.default_rng(0).permutation(np.arange(1, 41))
  texts = tuple('x' * length for length in lengths)
  examples = Examples(tasks.get('cola'), 'dev', (texts,), (lengths % 2).astype(np.int32),
                      np.arange(40), {}, 'dev.tsv')
  (chosen,), labels = choose(examples)
  assert len(chosen) == 8 and (len(chosen[0]), len(chosen[-1])) == (1, 40)
  assert [len(text) % 2 for text in chosen] == labels.tolist()
  assert len(choose(examples, 100)[0][0]) == 40


def test_lines_are_few_where_everything_differs():
  rows = tuple(Row(results.LAYERS, f'layer_{i}', 0.5, TOLERANCE, False) for i in range(20))
  lines = Agreement(('a', 'b'), 'rte', (9, 9), rows, 'Look here').lines()
  assert lines[0] == 'before training: a and b DIFFER on 2 examples of rte (9 tokens), dropout off'
  assert lines[1:3] == ['  first in layer_0 by 0.5 (tolerance 1e-05)', '  Look here']
  assert len(lines) == 10 and lines[-1] == '  and in 13 more of 20 things compared'
  assert not Agreement(('a', 'b'), 'rte', (), ()).passed  # Nothing compared is no agreement.


def test_padding_plays_no_part(export, baseline):
  """What stands at padded positions is compared nowhere."""
  import tensorflow as tf

  noisy = copy.copy(baseline)

  def outputs(inputs, training):
    found = dict(baseline.outputs(inputs, training))
    padding = 1.0 - tf.cast(inputs[names.INPUT_MASK], tf.float32)[:, :, None]
    for name in (names.SEQUENCE_OUTPUT, names.ENCODER_OUTPUTS):
      found[name] = tf.nest.map_structure(lambda x: x + padding, found[name])
    return found

  noisy.outputs = outputs
  assert run(export, noisy).passed
