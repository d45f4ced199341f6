"""gin/encoders: every fragment binds strictly, and describes the published model."""

import glob
import os
import re

import gin
import numpy as np
import pytest

from nlp_export import encoders

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FRAGMENTS = sorted(glob.glob(os.path.join(ROOT, 'gin', 'encoders', '*.gin')))
NAMES = [os.path.basename(path).removesuffix('.gin') for path in FRAGMENTS]
SIZES = ('tiny', 'mini', 'small', 'medium', 'base', 'large')

# Weights of encoder and pooler, exactly: Hugging Face's BertModel and AlbertModel of these sizes
# (109,482,240 and 335,141,888 are the published counts of the uncased models).
EXACT = {'bert_base': 109_482_240, 'bert_large': 335_141_888, 'bert_base_cased': 108_310_272,
         'bert_large_cased': 333_579_264, 'albert_base': 11_683_584}
# The papers' tables in millions; table 1 of 1908.08962 counts the masked-language-model head too
# (a dense layer, its layer norm and a bias for each word).
WITH_MLM_HEAD = {'bert_tiny': 4.4, 'bert_mini': 11.3, 'bert_small': 29.1, 'bert_medium': 41.7,
                 'bert_base': 110.1}
ALBERT_PAPER = {'albert_base': 12, 'albert_large': 18, 'albert_xlarge': 60, 'albert_xxlarge': 235}


@pytest.fixture
def spec_of():
  def spec_of_(name):
    gin.clear_config()
    gin.parse_config_file(os.path.join(ROOT, 'gin', 'encoders', f'{name}.gin'), skip_unknown=False)
    return encoders.resolve(gin.query_parameter('%ENCODER').scoped_configurable_fn)

  gin.clear_config()
  gin.add_config_file_search_path(ROOT)
  yield spec_of_
  gin.clear_config()


def test_all_fragments_are_here():
  assert set(NAMES) == {
      *(f'bert_{size}' for size in SIZES), *(f'bert_{size}_cased' for size in SIZES),
      *(f'albert_{size}' for size in ('base', 'large', 'xlarge', 'xxlarge'))}


@pytest.mark.parametrize('name', NAMES)
def test_fragment_binds_and_its_comment_says_the_same(spec_of, name):
  spec = spec_of(name)
  with open(os.path.join(ROOT, 'gin', 'encoders', f'{name}.gin')) as f:
    text = f.read()
  assert spec.type == name.split('_')[0]
  assert f"#   include 'gin/encoders/{name}.gin' " in text
  assert 'https://' in text or 'cased_L-12_H-768_A-12.zip' in text
  first = text.splitlines()[0]
  numbers = [int(n) for n in re.findall(r'\b\d+\b', first.split(':', 1)[1])]
  assert spec.num_layers in numbers and spec.hidden_size in numbers
  assert spec.hidden_activation == 'gelu'
  assert spec.intermediate_size == 4 * spec.hidden_size
  assert spec.vocab_size == (
      30000 if spec.type == 'albert' else 28996 if name.endswith('_cased') else 30522)
  assert spec.dropout_rate == (0.0 if spec.type == 'albert' else 0.1)


@pytest.mark.parametrize('size', SIZES)
def test_cased_differs_in_the_vocabulary_only(spec_of, size):
  lines = encoders.differences(spec_of(f'bert_{size}'), spec_of(f'bert_{size}_cased'))
  assert len(lines) == 1 and lines[0].startswith('vocab_size: 30522 in')


@pytest.mark.parametrize('name', EXACT)
def test_exact_number_of_parameters(spec_of, name):
  assert spec_of(name).num_parameters == EXACT[name]


@pytest.mark.parametrize('name', WITH_MLM_HEAD)
def test_number_of_parameters_in_the_paper(spec_of, name):
  spec = spec_of(name)
  h, v = spec.hidden_size, spec.vocab_size
  head = h * h + h + 2 * h + v
  assert round((spec.num_parameters + head) / 1e6, 1) == WITH_MLM_HEAD[name]


@pytest.mark.parametrize('name', ALBERT_PAPER)
def test_number_of_parameters_in_the_albert_paper(spec_of, name):
  assert spec_of(name).num_parameters / 1e6 == pytest.approx(ALBERT_PAPER[name], rel=0.06)


@pytest.mark.parametrize('name', ['bert_tiny', 'bert_mini', 'bert_tiny_cased'])
def test_small_ones_are_really_built(spec_of, name):
  spec = spec_of(name)
  network = spec.build()
  assert sum(int(np.prod(v.shape)) for v in network.trainable_weights) == spec.num_parameters
  assert network.get_embedding_table().shape == (spec.vocab_size, spec.hidden_size)


def test_a_misspelt_binding_would_be_noticed(spec_of):
  """The control for the strict parse."""
  spec_of('bert_tiny')
  with pytest.raises(ValueError, match='hiden_size'):
    gin.parse_config('encoders.bert.hiden_size = 3')
