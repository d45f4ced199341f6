"""The benchmark of preprocessing: it compares equal results, and reports what it must."""

from __future__ import annotations

import pytest

from benchmarks import preprocessing
from nlp_export import tokenizers
from nlp_export.saved_models import preprocessing as saved


@pytest.fixture
def small_glue(tmp_path):
  lines = ['sentence\tlabel', *(f'a gripping , {i} minute movie  "\t1' for i in range(1_050))]
  (tmp_path / 'SST-2').mkdir()
  (tmp_path / 'SST-2' / 'train.tsv').write_text('\n'.join(lines) + '\n', encoding='utf-8')
  return str(tmp_path)


def test_sentences_are_whole_batches_with_their_quotation_marks(small_glue):
  found = preprocessing.sentences(small_glue)
  assert len(found) == 1_000 and found[7] == 'a gripping , 7 minute movie  "'


def test_report(small_glue, minilm_dir):
  report = preprocessing.run(small_glue, f'{minilm_dir}/vocab.txt', repeats=1)
  assert report['sentences'] == 1_000
  assert set(report['sentences_per_second']) == {'reference', 'ours'}
  assert report['ratio'] > 1
  assert {'inter_op_threads', 'intra_op_threads', 'cores', 'machine', 'date'} <= set(report)


def test_results_that_differ_end_the_run(small_glue, tiny_vocab, monkeypatch):
  def two_of_ours(vocab_file, directory):
    for name in ('reference', 'ours'):  # One keeps case, the other does not.
      built = saved.build(tokenizers.wordpiece(vocab_file, name == 'ours'))
      saved.save(built, str(directory / name))
    return {name: str(directory / name) for name in ('reference', 'ours')}

  monkeypatch.setattr(preprocessing, 'write_exports', two_of_ours)
  monkeypatch.setattr(preprocessing, 'sentences', lambda glue_dir: ['The movie'] * 1_000)
  with pytest.raises(SystemExit, match='differs from the reference'):
    preprocessing.run(small_glue, tiny_vocab, repeats=1)
