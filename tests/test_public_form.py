"""Paths of one machine in texts that are published: which are shortened, and which stay."""

from __future__ import annotations

import os

import pytest

from nlp_export.binding import gin_index
from nlp_export.running import public_form


@pytest.mark.parametrize(('given', 'public'), [
    ('/data/me/glue', 'glue'),
    ('/data/me/a b/glue/', 'glue'),
    ('~/glue', 'glue'),
    ('~me/glue', 'glue'),
    ('../data/glue', 'glue'),
    ('file:///data/me/glue', 'glue'),
    (f'{gin_index.REPO_ROOT}/gin/runs/export.gin', 'gin/runs/export.gin'),
    # These mean the same elsewhere, or are no path.
    ('glue/RTE', 'glue/RTE'),
    ('gs://bucket/glue', 'gs://bucket/glue'),
    ('https://tfhub.dev/a/b', 'https://tfhub.dev/a/b'),
    ('a/../b', 'a/../b'),
    ('/', '/'),
    ('~', '~'),
])
def test_a_path_of_a_machine_becomes_its_last_part(given, public):
  assert public_form.path(given) == public
  assert public_form.is_of_a_machine(given) == (given != public)


def test_paths_are_found_in_sentences():
  found = public_form.text
  assert found('No file /data/me/glue/RTE/dev.tsv. Write') == 'No file dev.tsv. Write'
  assert found("OSError: '/data/me/my data/x.npz' is damaged") == "OSError: 'x.npz' is damaged"
  assert found('rm /tmp/a/b, then (~/c/d)') == 'rm b, then (d)'
  kept = "tokens/s, and/or, 1 / 2, https://a.b/c, gs://b/c, glue/x, '/', model/layer_1/kernel:0"
  assert found(kept) == kept


def test_words_of_a_command_keep_their_quotes():
  given = ("python run.py /data/me/my.gin gin/runs/export.gin --set 'GLUE_DIR=/data/me/my data' "
           "--set 'POOLERS=(@poolers.keep, @small/poolers.random)' --set=VOCAB_FILE=/v/vocab.txt "
           '--out_dir /tmp/out')
  assert public_form.command(given) == (
      "python run.py my.gin gin/runs/export.gin --set 'GLUE_DIR=my data' "
      "--set 'POOLERS=(@poolers.keep, @small/poolers.random)' --set=VOCAB_FILE=vocab.txt "
      '--out_dir out')


def test_a_configuration_keeps_all_but_its_paths():
  given = ("CHECKPOINT = '/data/me/ckpt-7'\nPOOLERS = (@small/poolers.random,)\n"
           "ARMS = {'a': {'checkpoint': '/x/y/ckpt-1'}, 'b': {'checkpoint': 'bert/ckpt-2'}}\n")
  assert public_form.gin_text(given) == (
      "CHECKPOINT = 'ckpt-7'\nPOOLERS = (@small/poolers.random,)\n"
      "ARMS = {'a': {'checkpoint': 'ckpt-1'}, 'b': {'checkpoint': 'bert/ckpt-2'}}\n")
  assert public_form.gin_text('A = 1\n') == 'A = 1\n'


def test_values_are_changed_wherever_they_stand():
  value = {'/k': ['/data/me/x', 1, None, 'see /data/me/y'], 'z': ('a/b',)}
  assert public_form.value(value) == {'/k': ['x', 1, None, 'see y'], 'z': ('a/b',)}


def test_names_tell_inputs_apart():
  paths = ['/g/CoLA/dev.tsv', '/g/RTE/dev.tsv', '/a/one/m/ckpt', '/a/two/m/ckpt', 'vocab.txt',
           f'{os.path.expanduser("~")}/config.json']
  assert list(public_form.names(paths).values()) == [
      'CoLA/dev.tsv', 'RTE/dev.tsv', 'one/m/ckpt', 'two/m/ckpt', 'vocab.txt', 'config.json']
  assert len(set(public_form.names(paths).values())) == len(paths)
