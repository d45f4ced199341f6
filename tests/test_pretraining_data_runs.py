"""From text to vocabulary to prepared shards, by the two run files."""

from __future__ import annotations

import gzip
import json
import subprocess

import pytest

from nlp_export import tokenizers
from nlp_export.pretraining.data import shards
from tests import run_lab
from tests.pretraining.data import text_lab

BUILD, PREPARE = 'gin/runs/build_vocabulary.gin', 'gin/runs/prepare_pretraining_data.gin'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A directory with text in it."""
  directory = tmp_path_factory.mktemp('runs')
  text_lab.write_texts(directory / 'text')
  return directory


@pytest.fixture(scope='module')
def vocabulary(run_py, place):
  """The finished run that built one."""
  return run_py(BUILD, '--set', "TEXT_FILES=('text/*.txt', 'text/*.gz')", '--set', 'VOCAB_SIZE=260',
                '--out_dir', 'vocabulary', cwd=place)


def test_a_vocabulary_is_built_and_says_how_to_use_it(place, vocabulary):
  assert vocabulary.status == 0, vocabulary.output
  path = 'vocabulary/uncased_vocab.txt'
  assert f'use it: --set VOCAB_FILE={path} --set DO_LOWER_CASE=True' in vocabulary.stdout
  record = json.loads((place / 'vocabulary/vocabulary.json').read_text())
  assert record['size'] == len((place / path).read_text().splitlines()) <= 260
  assert sorted(record['text_files']) == ['a.txt', 'b.txt', 'c.gz']
  assert all(len(digest) == 64 for digest in record['text_files'].values())


def test_two_commands_share_the_preparation_and_a_third_has_nothing_to_do(place, vocabulary):
  command = run_lab.command(
      PREPARE, '--set', "TEXT_FILES=('text/*.txt', 'text/*.gz')", '--set',
      'VOCAB_FILE=vocabulary/uncased_vocab.txt', '--set', 'SHARDS=5', '--set',
      'HELD_OUT_SHARE=0.1', '--out_dir', 'data')
  both = [subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, env=run_lab.environment()) for _ in range(2)]
  screens = [process.communicate(timeout=300)[0] for process in both]
  assert [process.returncode for process in both] == [0, 0], screens
  lines = '\n'.join(screens).splitlines()
  assert len([line for line in lines if line.startswith('wrote ')]) == 6
  tokenizer = tokenizers.wordpiece(str(place / 'vocabulary/uncased_vocab.txt'), True)
  train, held_out = shards.open_prepared(str(place / 'data/shards'), tokenizer)
  assert train.documents + held_out.documents == 24
  assert f'held_out: {held_out.documents} documents' in screens[0]
  assert not list(place.glob('data/**/claims'))
  third = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True,
                         env=run_lab.environment())
  assert third.stdout.splitlines()[-1] == 'done: data holds this run already'


def test_a_line_that_is_not_utf_8_is_refused_and_leaves_nothing(run_py, tmp_path, tiny_vocab):
  (tmp_path / 'bad.txt').write_bytes(b'Fine.\nCaf\xe9.\n')
  done = run_py(PREPARE, '--set', 'TEXT_FILES=bad.txt', '--set', f'VOCAB_FILE={tiny_vocab}',
                '--out_dir', 'out', cwd=tmp_path)
  assert done.status == 2
  assert done.stderr.startswith('bad.txt, line 2: not UTF-8')
  assert done.stderr.endswith('Convert it with iconv -f <its encoding> -t UTF-8\n')
  assert not (tmp_path / 'out').exists()
  done = run_py(BUILD, '--set', 'TEXT_FILES=bad.txt', '--out_dir', 'out', cwd=tmp_path)
  assert done.status == 2 and 'line 2' in done.stderr and not (tmp_path / 'out').exists()


def test_a_vocabulary_without_mask_is_refused_before_any_work(run_py, tmp_path, tiny_vocab):
  tokens = [t for t in open(tiny_vocab).read().splitlines() if t != '[MASK]']
  (tmp_path / 'uncased.txt').write_text('\n'.join(tokens) + '\n')
  done = run_py(PREPARE, '--set', 'VOCAB_FILE=uncased.txt', '--dry_run', cwd=tmp_path)
  assert done.status == 2
  assert done.stderr.endswith('build a vocabulary with gin/runs/build_vocabulary.gin\n')
  control = run_py(PREPARE, '--set', f'VOCAB_FILE={tiny_vocab}', '--dry_run', cwd=tmp_path)
  assert control.status == 0 and 'write 8 shards to train on' in control.output


OWN = '''
import gin
from nlp_export.pretraining.vocabularies import Vocabulary

@gin.register(module='mine')
def letters(documents, vocab_size, lower_case, answer='vocabulary'):
  tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', *sorted({c for d in documents
                                                         for s in d.sentences for c in s.split()})]
  data = ''.join(f'{token}\\n' for token in tokens[:vocab_size]).encode()
  if answer == 'nothing':
    return None
  return Vocabulary('wordpiece', data, len(tokens[:vocab_size]), lower_case, {}, {})
'''


def test_a_learner_of_ones_own_is_named_in_a_gin_file(run_py, tmp_path):
  (tmp_path / 'my_words').mkdir()
  (tmp_path / 'my_words' / '__init__.py').write_text(OWN)
  (tmp_path / 'mine.gin').write_text('import my_words\nVOCABULARY = @mine.letters\n')
  (tmp_path / 'text.gz').write_bytes(gzip.compress(b'one two\nthree\n'))
  given = ('mine.gin', '--set', 'TEXT_FILES=text.gz', '--out_dir', 'out')
  done = run_py(BUILD, *given, cwd=tmp_path)
  assert done.status == 0, done.output
  assert (tmp_path / 'out/uncased_vocab.txt').read_text().split()[4:] == ['one', 'three', 'two']
  assert 'note: it has no [MASK], without which there is no masked-LM pre-training' in done.stdout
  wrong = run_py(BUILD, *given[:-1], 'wrong', '--set', "mine.letters.answer='nothing'",
                 cwd=tmp_path)
  assert wrong.status == 2
  assert wrong.stderr.endswith('see nlp_export/pretraining/vocabularies.py\n')
