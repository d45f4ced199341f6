"""Every number of a training: its limits, its schedule, its evaluations."""

from __future__ import annotations

import json
import math

import pytest

from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning import recipe as recipes
from nlp_export.glue.fine_tuning.recipe import Recipe

BROKEN = [
    ({'learning_rate': 0.0}, 'a positive number such as 5e-5'),
    ({'learning_rate': math.nan}, 'a positive number such as 5e-5'),
    ({'learning_rate': '5e-5'}, 'a positive number such as 5e-5'),
    ({'batch_size': 0}, 'a whole number from 1, such as 32'),
    ({'batch_size': 32.0}, 'a whole number from 1, such as 32'),
    ({'batch_size': True}, 'a whole number from 1, such as 32'),
    ({'epochs': -1}, 'a positive number such as 3'),
    ({'epochs': None, 'steps': 0}, 'a whole number from 1, or None'),
    ({'warmup_share': 1.0}, 'from 0 to below 1, such as 0.1'),
    ({'weight_decay': -0.01}, '0 or more, such as 0.01'),
    ({'beta_1': 1.0}, 'from 0 to below 1, such as 0.9'),
    ({'beta_2': 1.0}, 'from 0 to below 1, such as 0.999'),
    ({'epsilon': 0.0}, 'a positive number such as 1e-6'),
    ({'clip_norm': math.inf}, '0 for none, or a norm such as 1.0'),
    ({'max_seq_length': 2}, 'a number of tokens from 3, such as 128'),
    ({'grouping_window': 0}, 'a number of batches from 1'),
    ({'head_dropout': 1.0}, 'from 0 to below 1, such as 0.1'),
    ({'head_stddev': 0.0}, 'a positive number such as 0.02'),
    ({'trainable_layers': -1}, 'None for all, or a number of layers from 0'),
    ({'reinit_top_layers': None}, 'a number of layers from 0'),
    ({'evaluations_per_epoch': 0}, 'a whole number from 1'),
    ({'checkpoint': 'first'}, "'last' or 'best'"),
    ({'held_out_share': 1.0}, 'from 0 to below 1, such as 0.1'),
    ({'precision': 'bfloat16'}, "'float32' or 'mixed_bfloat16'"),
    ({'steps': 5}, 'Set the other to None'),
    ({'epochs': None}, 'Set the other to None'),
    ({'pooling': 'sum'}, 'POOLING="(\'cls\', \'mean\')"'),
    ({'pooling': ''}, 'POOLING="(\'cls\', \'mean\')"'),
    ({'pooling': 'mean+mean'}, 'POOLING="(\'cls\', \'mean\')"'),
    ({'pooling': ('mean', 'mean')}, 'POOLING="(\'cls\', \'mean\')"'),
    ({'pooling': ()}, 'POOLING="(\'cls\', \'mean\')"'),
    ({'pooling': 3}, 'POOLING="(\'cls\', \'mean\')"'),
    ({'held_out_share': 0.1}, "Set checkpoint to 'best', or held_out_share to 0"),
]


@pytest.mark.parametrize(('values', 'end'), BROKEN, ids=[str(values) for values, _ in BROKEN])
def test_what_cannot_be_is_refused(values, end):
  with pytest.raises(RequestError) as error:
    Recipe(**values)
  assert error.value.message.endswith(end)


def test_every_field_has_a_limit_and_the_nearest_allowed_values_are_taken():
  checked = {name for values, _ in BROKEN for name in values}
  assert checked == set(recipes.fields())
  Recipe(learning_rate=1, batch_size=1, epochs=None, steps=1, warmup_share=0, weight_decay=0,
         beta_1=0, beta_2=0, clip_norm=0, max_seq_length=3, grouping_window=1, head_dropout=0,
         trainable_layers=0, pooling='mean+cls+max+pooled', checkpoint='best', held_out_share=0.9)


def test_json_and_back():
  recipe = Recipe(epochs=None, steps=7, pooling='mean', checkpoint='best')
  values = json.loads(json.dumps(recipe.to_json()))
  assert Recipe.from_json({**values, 'versions': {}}) == recipe != Recipe()


def test_several_poolings_are_a_tuple_and_recorded_as_before():
  recipe = Recipe(pooling=('cls', 'mean'))
  assert recipe.pooling_parts == ('cls', 'mean')
  assert recipe.to_json()['pooling'] == 'cls+mean'  # Finished cells keep their hash.
  assert recipe == Recipe(pooling='cls+mean') == Recipe.from_json(recipe.to_json())
  assert recipe != Recipe(pooling=('mean', 'cls'))
  assert Recipe(pooling=('mean',)) == Recipe(pooling='mean')


def test_the_schedule_by_hand():
  recipe = Recipe(learning_rate=8.0, warmup_share=0.2, epochs=None, steps=10)
  rates = [recipe.learning_rate_at(step, 10) for step in range(10)]
  # Two steps up; then from the full rate in equal parts, and the last one is not lost to a 0.
  assert rates == [4.0, 8.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
  assert Recipe(learning_rate=8.0, warmup_share=0.0).learning_rate_at(0, 4) == 8.0
  assert Recipe(learning_rate=8.0, warmup_share=0.9).learning_rate_at(0, 1) == 8.0


def test_the_length_of_a_training():
  assert Recipe(batch_size=4).steps_per_epoch(18) == 5  # The last batch has 2.
  assert Recipe(batch_size=4).total_steps(18) == 15
  assert Recipe(batch_size=4, epochs=0.5).total_steps(20) == 2
  assert Recipe(batch_size=4, epochs=0.01).total_steps(18) == 1
  assert Recipe(batch_size=4, epochs=None, steps=7).total_steps(18) == 7


@pytest.mark.parametrize(('values', 'marks'), [
    ({'epochs': 2}, [5, 10]),
    ({'epochs': 2, 'evaluations_per_epoch': 2}, [3, 5, 8, 10]),
    ({'epochs': 1, 'evaluations_per_epoch': 100}, [1, 2, 3, 4, 5]),
    ({'epochs': 1.4}, [5, 7]),  # The end always counts.
    ({'epochs': None, 'steps': 3}, [3]),
    ({'epochs': None, 'steps': 8, 'evaluations_per_epoch': 2}, [3, 5, 8]),
])
def test_evaluations(values, marks):
  recipe = Recipe(batch_size=4, **values)
  assert [step + 1 for step in range(recipe.total_steps(18))
          if recipe.is_evaluated_after(step, 18)] == marks
