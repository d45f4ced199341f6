"""What is refused before anything is loaded."""

from __future__ import annotations

import pytest

from nlp_export.embedding import request as requests
from nlp_export.errors import RequestError


@pytest.mark.parametrize(('arguments', 'says'), [
    ((None, 'mean', False, None), 'Leave POOLING out, or write --set PREPROCESSING=...'),
    ((None, None, False, 64), 'Leave MAX_SEQ_LENGTH out, or write --set PREPROCESSING=...'),
    (('prep', None, False, None), 'cls, mean, max, mean_sqrt_len: write --set POOLING=mean'),
])
def test_macros_that_do_not_go_together_are_refused(arguments, says):
  with pytest.raises(RequestError) as error:
    requests.model_of('export', *arguments)
  assert str(error.value).endswith(says)


def test_an_encoder_has_128_tokens_by_default():
  assert requests.model_of('export', 'prep', 'mean', False, None).max_seq_length == 128
  assert requests.model_of('export', None, None, False, None).max_seq_length is None


@pytest.mark.parametrize(('changed', 'says'), [
    ({'format': 'csv'}, 'none of parquet, npy. Write --set FORMAT=parquet'),
    ({'precision': 'int8'}, 'none of float32, bfloat16. Write --set PRECISION=float32'),
    ({'part_texts': 0}, 'has one text or more. Write --set PART_TEXTS=20000'),
])
def test_values_that_nobody_knows_are_refused(changed, says):
  values = {'text_column': None, 'format': 'npy', 'precision': 'float32', 'part_texts': 10,
            'allowed_ops': (), **changed}
  with pytest.raises(RequestError) as error:
    requests.check(requests.Request(requests.Model('export'), 'texts', **values))
  assert str(error.value).endswith(says)
