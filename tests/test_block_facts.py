"""What fields mean together, against what TF-NLP does with them."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export.encoder_config import block_facts


def test_enough_blocks_are_those_for_which_tf_nlp_finds_random_ones():
  from official.nlp.modeling.layers import bigbird_attention

  seen = set()
  for size in (2, 4, 64, 256, 512):
    for count in range(4, 24):
      for wanted in range(6):
        positions = size * count
        np.random.seed(0)
        try:
          # As BigBirdAttention calls it.
          bigbird_attention.bigbird_block_rand_mask(
              positions, positions, size, size, wanted, last_idx=1024)
          works = True
        except ValueError:
          works = False
        block = {'block_size': size, 'max_position_embeddings': positions,
                 'num_rand_blocks': wanted}
        assert block_facts.has_enough_blocks(block) == works, block
        seen.add(works)
  assert seen == {False, True}


def test_whole_blocks():
  assert block_facts.has_whole_blocks({'max_position_embeddings': 32, 'block_size': 4})
  assert not block_facts.has_whole_blocks({'max_position_embeddings': 30, 'block_size': 4})


@pytest.mark.parametrize(('stride', 'fits', 'strides'), [
    (2, True, (2, 2, 2)), (1, True, ()), (0, False, None), ((1, 2, 1), True, (1, 2, 1)),
    ((1, 1, 1), True, ()), ((2, 2), False, None), ((2, 0, 2), False, None)])
def test_pooling_factors(stride, fits, strides):
  block = {'pool_stride': stride, 'num_layers': 3}
  assert block_facts.has_a_stride_for_each_layer(block) == fits
  if fits:
    assert block_facts.strides(block) == strides


@pytest.mark.parametrize(('fields', 'groups', 'work'), [
    ({}, True, True), ({'examples_per_group': 0.5}, True, True),
    ({'examples_per_group': 2.0}, False, True), ({'examples_per_group': 0.3}, False, True),
    ({'examples_per_group': 2.0, 'moe_layers': ()}, True, True),
    ({'moe_layers': (7,), 'examples_per_group': 2.0}, True, True),  # There is no such layer.
    ({'num_experts': 64}, True, False), ({'eval_capacity_factor': 5.0}, True, False),
    ({'train_capacity_factor': 5.0}, True, False)])
def test_experts(fields, groups, work):
  block = {'max_sequence_length': 16, 'num_layers': 3, 'moe_layers': (1,), 'num_experts': 4,
           'examples_per_group': 1.0, 'train_capacity_factor': 1.0, 'eval_capacity_factor': 1.0,
           'attention_layers': (), **fields}
  assert block_facts.groups_are_within_examples(block) == groups
  assert block_facts.experts_have_work(block) == work
