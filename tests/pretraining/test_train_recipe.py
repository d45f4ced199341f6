"""The recipe, the heads and what a step costs: plain values, checked before TensorFlow begins."""

from __future__ import annotations

import json

import gin
import pytest

from nlp_export import encoders
from nlp_export.errors import RequestError
from nlp_export.pretraining import flops, heads, optimizers, schedules
from nlp_export.pretraining.recipe import TrainRecipe


@pytest.mark.parametrize('name, value, last_clause', [
    ('train_steps', 0, 'a whole number from 1, such as 1000000'),
    ('global_batch_size', 2.5, 'a whole number of rows from 1, such as 256'),
    ('learning_rate', -1e-4, 'a positive number such as 1e-4'),
    ('warmup_steps', -1, 'a whole number from 0, such as 10000'),
    ('schedule', 'linear', 'a part such as @schedules.polynomial_decay'),
    ('optimizer', 'adamw', 'a part such as @optimizers.adamw'),
    ('weight_decay', float('nan'), '0 or more, such as 0.01'),
    ('clip_norm', -1, '0 for none, or a norm such as 1.0'),
    ('accumulation_steps', 0, 'a whole number from 1'),
    ('precision', 'float16', "'float32' or 'mixed_bfloat16'"),
    ('steps_per_loop', True, 'a whole number from 1, such as 100'),
    ('init_seed', -1, 'a whole number from 0'),
    ('dropout_seed', 0.5, 'a whole number from 0'),
])
def test_a_number_that_makes_no_sense_is_refused(name, value, last_clause):
  with pytest.raises(RequestError) as error:
    TrainRecipe(**{'train_steps': 100, name: value})
  assert error.value.message.startswith(f'train_recipe.{name} is ')
  assert error.value.message.endswith(last_clause)


def test_a_warm_up_as_long_as_training_is_refused():
  with pytest.raises(RequestError, match=r'train_recipe\.warmup_steps = 10$'):
    TrainRecipe(train_steps=100, warmup_steps=100)


def test_the_global_batch_is_divided_among_replicas_and_micro_batches():
  recipe = TrainRecipe(train_steps=1, global_batch_size=48, accumulation_steps=3)
  assert recipe.rows_per_micro_batch(replicas=4) == 4
  with pytest.raises(RequestError, match='Write GLOBAL_BATCH_SIZE = 45$'):
    recipe.rows_per_micro_batch(replicas=5)


def test_the_record_says_what_the_parts_made():
  recipe = TrainRecipe(train_steps=10, optimizer=optimizers.lamb, schedule=schedules.constant)
  found = json.loads(json.dumps(recipe.to_json()))
  assert found['optimizer']['name'] == 'lamb'
  assert found['schedule'] == {'name': 'constant', 'learning_rate': 1e-4, 'warmup': None}
  own = TrainRecipe(train_steps=10, schedule=lambda: lambda step: 0.1)
  assert own.to_json()['schedule'] == {'name': '<lambda>'}


def test_an_optimizer_that_is_none_is_refused():
  with pytest.raises(RequestError, match='as @optimizers.adamw does$'):
    TrainRecipe(train_steps=1, optimizer=dict).optimizer_spec()


def test_gin_sets_recipe_and_parts():
  gin.parse_config("""
      train_recipe.train_steps = 20
      train_recipe.optimizer = @optimizers.lamb
      lamb.beta_2 = 0.98
      train_recipe.schedule = @schedules.cosine_decay
      next_sentence_head.name = 'sentence_order'
      """)
  try:
    recipe = gin.get_configurable('pretraining.train_recipe')()
    assert (recipe.train_steps, recipe.optimizer_spec().beta_2) == (20, 0.98)
    assert recipe.learning_rate_schedule().kind == 'cosine'
    head = gin.get_configurable('pretraining.next_sentence_head')
    assert heads.made((head,))[0].name == 'sentence_order'
  finally:
    gin.clear_config()


@pytest.mark.parametrize('given, last_clause', [
    (lambda: heads.made((dict,)), 'or HEADS = () for none'),
    (lambda: heads.made((heads.next_sentence_head,) * 2), "head.name = 'sentence_order'"),
    (lambda: heads.next_sentence_head(name='a.b'), "a name for an item, such as 'next_sentence'"),
    (lambda: heads.next_sentence_head(inner_dim=0), "None for the encoder's width, or from 1"),
    (lambda: heads.next_sentence_head(activation='tahn'), 'swish, tanh'),
    (lambda: heads.next_sentence_head(dropout_rate=1), 'from 0 to below 1'),
    (lambda: heads.next_sentence_head(initializer_range=0), 'a positive number such as 0.02'),
    (lambda: heads.HeadSpec(name='x', num_classes=0), 'a whole number from 1, such as 2'),
])
def test_heads_that_make_no_sense_are_refused(given, last_clause):
  with pytest.raises(RequestError) as error:
    given()
  assert error.value.message.endswith(last_clause)


def test_operations_of_a_step_scale_as_they_should():
  spec = encoders.bert(vocab_size=1000, hidden_size=64, num_layers=2, num_attention_heads=2,
                       intermediate_size=128)
  size = dict(rows=4, seq_length=16, max_predictions=3)
  # Two blocks of 4 h h + 2 h i + 2 S h, and the masked LM's h h + h V, twice, three times over.
  tokens, predictions = 4 * 16, 4 * 3
  expected = 6 * (tokens * 2 * (4 * 64**2 + 2 * 64 * 128 + 2 * 16 * 64)
                  + predictions * (64**2 + 64 * 1000))
  assert flops.of_step(spec, (), **size) == expected
  head = heads.next_sentence_head()
  assert flops.of_step(spec, (head,), **size) == expected + 6 * 4 * (64 * 64 + 64 * 2)
  albert = encoders.albert(vocab_size=1000, hidden_size=64, num_layers=2, num_attention_heads=2,
                           intermediate_size=128, embedding_width=32)
  assert flops.of_step(albert, (), **size) == expected + 6 * (
      tokens * 64 * 32 - predictions * 32 * (64 + 1000))
  mobile = encoders.EncoderSpec('mobilebert', {})
  assert flops.of_step(mobile, (), **size) is None
