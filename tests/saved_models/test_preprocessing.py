"""Preprocessing SavedModels: the API of TF Hub's text preprocessors, after a save and a load."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text as tf_text
import tf_keras

from nlp_export import tokenizers
from nlp_export.errors import CheckError, RequestError
from nlp_export.saved_models import preprocessing, saved_graph

ROOT = Path(__file__).resolve().parents[2]
UNCASED = '[PAD] [UNK] [CLS] [SEP] d ef abc xy'.split()
CASED = '[PAD] [UNK] [CLS] [SEP] d ##ef abc ABC'.split()
FIXTURE = ['abc d ef', 'ABC D EF d']
KEYS = {'input_word_ids', 'input_mask', 'input_type_ids'}


def write_vocab(path, tokens) -> str:
  path.write_text(''.join(f'{token}\n' for token in tokens), encoding='utf-8')
  return str(path)


@pytest.fixture(scope='module')
def export(tmp_path_factory):
  """Writes a SavedModel from tokens and the arguments of `build`; the path of it."""
  made = {}

  def export_(tokens=UNCASED, lower_case=True, wordpiece=None, **options) -> str:
    key = (tuple(tokens), lower_case, *sorted((wordpiece or {}).items()), *sorted(options.items()))
    if key not in made:
      directory = tmp_path_factory.mktemp('export')
      source = write_vocab(directory / 'vocab.txt', tokens)
      preprocessing.save(
          preprocessing.build(
              tokenizers.wordpiece(source, lower_case, **(wordpiece or {})), **options),
          str(directory / 'saved'))
      os.remove(source)  # conformance 5
      made[key] = str(directory / 'saved')
    return made[key]

  return export_


@pytest.fixture(scope='module')
def loaded(export):
  return tf.saved_model.load(export())


@pytest.fixture(scope='module')
def minilm(tmp_path_factory, minilm_dir):
  path = str(tmp_path_factory.mktemp('minilm') / 'saved')
  preprocessing.save(
      preprocessing.build(tokenizers.wordpiece(f'{minilm_dir}/vocab.txt', True)), path)
  return tf.saved_model.load(path)


def ids(packed) -> list:
  return packed['input_word_ids'].numpy().tolist()


def same(a, b) -> bool:
  return all(np.array_equal(a[key], b[key]) for key in KEYS)


# The root.


@pytest.mark.conformance(60, 61)
def test_root_on_the_fixture(loaded):
  packed = loaded(tf.constant(FIXTURE))
  assert set(packed) == KEYS
  assert all(v.dtype == tf.int32 and v.shape == [2, 128] for v in packed.values())
  assert ids(packed) == [[2, 6, 4, 5, 3] + [0] * 123, [2, 6, 4, 5, 4, 3] + [0] * 122]
  assert packed['input_mask'].numpy().sum(1).tolist() == [5, 6]
  assert not packed['input_type_ids'].numpy().any()


@pytest.mark.conformance(60, 72)
def test_shapes_in_a_graph(loaded):
  for batch in (7, None):
    @tf.function(input_signature=[tf.TensorSpec([batch], tf.string)])
    def run(text):
      tokens = loaded.tokenize(text)
      assert tokens.shape.as_list()[1:] == [None, None]
      assert tokens.dtype == tf.int32 and tokens.row_splits.dtype == tf.int64
      packed = loaded.bert_pack_inputs([tokens], seq_length=256)
      assert {v.shape[1] for v in packed.values()} == {256}
      assert {v.shape[1] for v in loaded(text).values()} == {128}
      assert {v.shape[1] for v in loaded(text, seq_length=9).values()} == {9}
      return packed

    assert run(tf.constant(['d'] * 7))['input_mask'].shape == [7, 256]


@pytest.mark.conformance(72)
def test_static_batch_size_before_saving(tmp_path):
  built = preprocessing.build(tokenizers.wordpiece(write_vocab(tmp_path / 'v', UNCASED), True))
  function = tf.function(lambda x: (built.tokenize(x), built(x)))
  tokens, packed = function.get_concrete_function(
      tf.TensorSpec([7], tf.string)).structured_outputs
  assert tokens.shape.as_list() == [7, None, None]
  assert packed['input_mask'].shape.as_list() == [7, 128]


@pytest.mark.conformance(13, 60)
def test_root_takes_lists_and_refuses_other_ranks(loaded):
  assert same(loaded(FIXTURE), loaded(tf.constant(FIXTURE)))
  for wrong in (tf.constant('d'), tf.constant([['d']]), tf.constant([1])):
    with pytest.raises(ValueError, match='Could not find matching concrete function'):
      loaded(wrong)


@pytest.mark.conformance(70)
def test_training_has_no_effect(loaded):
  for training in (True, False):
    assert same(loaded(FIXTURE, training=training), loaded(FIXTURE))
    assert same(loaded(FIXTURE, training, 9), loaded(FIXTURE, seq_length=9))
    assert loaded.tokenize(FIXTURE, training=training).to_list() == (
        loaded.tokenize(FIXTURE).to_list())


@pytest.mark.parametrize(
    'seq_length', [7, tf.constant(7), np.int32(7)], ids=['int', 'tensor', 'numpy'])
def test_root_takes_seq_length_as_document_000_shows(loaded, seq_length):
  packed = loaded(tf.constant(['d d d d d d']), seq_length=seq_length)
  assert ids(packed) == [[2, 4, 4, 4, 4, 4, 3]]


@pytest.mark.conformance(90)
def test_too_short_seq_length_says_what_it_must_be(loaded):
  with pytest.raises(tf.errors.InvalidArgumentError, match='must be at least 2, not'):
    loaded(FIXTURE, seq_length=1)
  tokens = loaded.tokenize(FIXTURE)
  with pytest.raises(tf.errors.InvalidArgumentError, match='must be at least 3, not'):
    loaded.bert_pack_inputs([tokens, tokens], 2)


@pytest.mark.conformance(64, 65)
def test_nothing_to_tokenize(loaded):
  assert loaded.tokenize(['', ' ', '\t\n']).to_list() == [[], [], []]
  assert ids(loaded(['', ' ']))[1][:3] == [2, 3, 0]
  none = tf.constant([], tf.string)
  assert loaded(none)['input_mask'].shape == [0, 128]
  assert loaded.tokenize(none).to_list() == []
  assert [x.to_list() for x in loaded.tokenize_with_offsets(none)] == [[], [], []]
  assert loaded.bert_pack_inputs([loaded.tokenize(none)], 5)['input_mask'].shape == [0, 5]


@pytest.mark.conformance(46)
def test_serving_signature(loaded):
  signature = loaded.signatures['serving_default']
  assert list(signature.structured_input_signature[1]) == ['sentences']
  assert same(signature(sentences=tf.constant(FIXTURE)), loaded(FIXTURE))


# tokenize, offsets, special tokens.


@pytest.mark.conformance(62, 63)
def test_tokenize_on_the_fixtures(export, loaded):
  assert loaded.tokenize(FIXTURE).merge_dims(1, 2).to_list() == [[6, 4, 5], [6, 4, 5, 4]]
  cased = tf.saved_model.load(export(CASED, False))
  tokens = cased.tokenize(['abc def', 'ABC DEF'])
  assert tokens.to_list() == [[[6], [4, 5]], [[7], [1]]]
  assert tokens.ragged_rank == 2 and tokens.dtype == tf.int32
  assert tokens.row_splits.dtype == tf.int64


@pytest.mark.conformance(66)
def test_accents(minilm):
  one, two, three = minilm.tokenize(['Café', 'cafe', 'CAFÉ']).to_list()
  assert one == two == three
  assert minilm.tokenize(['中國', '中 國']).row_lengths().numpy().tolist() == [2, 2]


@pytest.mark.conformance(73, 74)
def test_offsets_on_the_fixture(export, loaded):
  tokens, starts, limits = loaded.tokenize_with_offsets(FIXTURE)
  assert tokens.to_list() == loaded.tokenize(FIXTURE).to_list()
  assert starts.merge_dims(1, 2).to_list() == [[0, 4, 6], [0, 4, 6, 9]]
  assert limits.merge_dims(1, 2).to_list() == [[3, 5, 8], [3, 5, 8, 10]]
  assert [x.dtype for x in (tokens, starts, limits)] == [tf.int32, tf.int64, tf.int64]
  assert not hasattr(
      tf.saved_model.load(export(tokenize_with_offsets=False)), 'tokenize_with_offsets')


@pytest.mark.conformance(75)
def test_offsets_are_into_the_original_bytes(minilm):
  text = 'Ça va Café d\u2028x STRASSE, 中國 ﬁne\u00ad! a\u0301b'
  tokens, starts, limits = (
      x[0].values.numpy() for x in minilm.tokenize_with_offsets([text]))
  data = text.encode('utf-8')
  surfaces = [data[a:b].decode('utf-8') for a, b in zip(starts, limits, strict=True)]
  # The case-folded surface, without accents, is the token (continuations without their ##).
  expected = ['Ça', 'va', 'Café', 'd\u2028x', 'STRASSE', ',', '中', '國', 'ﬁne\u00ad', '!']
  assert ''.join(surfaces) == text.replace(' ', '')
  assert [s for s in expected if s in surfaces or len(s) > 5] == expected
  # Control: the reference's offsets into the folded text are wrong after the first accent.
  assert data[6:8] != b'Ca' and surfaces[2] == 'Café' and starts[2] == 7


@pytest.mark.conformance(73, 75)
def test_offsets_cover_pieces_of_one_character(tmp_path):
  # The sharp s folds to ss; both pieces stand for all of it, neither is empty.
  tokens = [*UNCASED, 'stras', '##se', 's', '##s']
  built = preprocessing.build(tokenizers.wordpiece(write_vocab(tmp_path / 'v', tokens), True))
  pieces, starts, limits = (x.to_list() for x in built.tokenize_with_offsets(['straße ß d']))
  assert pieces == [[[8, 9], [10, 11], [4]]]
  assert starts == [[[0, 4], [8, 8], [11]]]
  assert limits == [[[6, 7], [10, 10], [12]]]


@pytest.mark.conformance(71, 73)
@pytest.mark.parametrize('lower_case', [True, False])
def test_offsets_agree_with_tf_text_where_it_is_right(minilm_dir, lower_case):
  vocab_file = f'{minilm_dir}/vocab.txt'
  graph = tokenizers.wordpiece(vocab_file, lower_case).build(True)
  table = tf.lookup.StaticVocabularyTable(tf.lookup.TextFileInitializer(
      vocab_file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
      tf.lookup.TextFileIndex.LINE_NUMBER), 1)
  reference = tf_text.BertTokenizer(table, lower_case=lower_case)
  # Nothing is folded in these, or all are ASCII; no word is unknown (the reference ends those
  # after the length of '[UNK]').
  text = tf.constant(['unaffable, don\'t! \x01 a\u2028 b', 'hello\tworld  x', '', 'the 20th'])
  text = tf.strings.regex_replace(text, '\u2028', ' ')
  for ours, theirs in zip(
      graph.tokenize_with_offsets(text), reference.tokenize_with_offsets(text), strict=True):
    assert ours.to_list() == theirs.to_list()


def test_tokens_with_offsets_are_the_tokens(minilm):
  text = tf.constant(['Ünaffable \u4e02 [CLS] \u2028 a\u1b4eb', 'x' * 101, b'\xff a', '\u00a0'])
  tokens = minilm.tokenize_with_offsets(text)
  assert tokens[0].to_list() == minilm.tokenize(text).to_list()
  for other in tokens[1:]:
    assert [s.numpy().tolist() for s in other.nested_row_splits] == (
        [s.numpy().tolist() for s in tokens[0].nested_row_splits])


@pytest.mark.conformance(77, 78, 80)
def test_special_tokens_dict(export, loaded):
  found = loaded.tokenize.get_special_tokens_dict()
  assert {k: int(v) for k, v in found.items()} == {
      'vocab_size': 8, 'padding_id': 0, 'start_of_sequence_id': 2, 'end_of_segment_id': 3}
  assert all(v.dtype == tf.int32 and v.shape == [] for v in found.values())
  assert (loaded.tokenize_with_offsets.get_special_tokens_dict
          is loaded.tokenize.get_special_tokens_dict)
  with_mask = tf.saved_model.load(export([*UNCASED, '[MASK]']))
  assert int(with_mask.tokenize.get_special_tokens_dict()['mask_id']) == 8


@pytest.mark.conformance(79)
def test_in_a_foreign_graph(export):
  with tf.Graph().as_default():
    loaded = tf.saved_model.load(export())
    fetches = {**loaded.tokenize.get_special_tokens_dict(), **loaded(tf.constant(FIXTURE))}
    with tf.compat.v1.Session() as session:
      session.run([tf.compat.v1.global_variables_initializer(),
                   tf.compat.v1.tables_initializer()])
      values = session.run(fetches)
  assert values['end_of_segment_id'] == 3 and values['input_word_ids'][0, 1] == 6


@pytest.mark.conformance(79)
def test_special_tokens_of_an_eagerly_loaded_object_in_a_foreign_graph(loaded):
  with tf.Graph().as_default():
    tensors = loaded.tokenize.get_special_tokens_dict()
    with tf.compat.v1.Session() as session:
      assert session.run(tensors)['vocab_size'] == 8
  inside = tf.function(lambda: loaded.tokenize.get_special_tokens_dict()['padding_id'] + 1)
  assert int(inside()) == 1


# bert_pack_inputs.


@pytest.mark.conformance(81, 82, 83, 87)
def test_pack_on_the_fixture(loaded):
  first, second = loaded.tokenize(FIXTURE), loaded.tokenize(['d xy', 'xy abc'])
  packed = loaded.bert_pack_inputs([first, second], seq_length=256)
  assert ids(packed)[0] == [2, 6, 4, 5, 3, 4, 7, 3] + [0] * 248
  assert ids(packed)[1] == [2, 6, 4, 5, 4, 3, 7, 6, 3] + [0] * 247
  assert packed['input_type_ids'].numpy()[0, :10].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]
  flat = [first.merge_dims(1, 2), second.merge_dims(1, 2)]
  assert same(loaded.bert_pack_inputs(flat, 256), packed)
  assert same(loaded.bert_pack_inputs(flat, tf.constant(256)), packed)
  assert same(loaded.bert_pack_inputs([first, second], seq_length=tf.constant(256)), packed)
  assert loaded.bert_pack_inputs(flat)['input_mask'].shape == [2, 128]
  assert same(loaded.bert_pack_inputs([first]), loaded(FIXTURE))
  assert same(loaded.bert_pack_inputs(flat[:1]), loaded(FIXTURE))


@pytest.mark.conformance(88)
def test_pack_equals_a_pipeline_of_tf_text(loaded):
  special = loaded.tokenize.get_special_tokens_dict()
  segments = [loaded.tokenize(text).merge_dims(1, 2) for text in (FIXTURE, ['d xy', 'xy abc'])]
  combined, types = tf_text.combine_segments(
      segments, special['start_of_sequence_id'], special['end_of_segment_id'])
  word_ids, mask = tf_text.pad_model_inputs(combined, 32, pad_value=special['padding_id'])
  type_ids, _ = tf_text.pad_model_inputs(types, 32)
  expected = {'input_word_ids': word_ids, 'input_mask': mask, 'input_type_ids': type_ids}
  assert same(loaded.bert_pack_inputs(segments, 32), expected)


@pytest.mark.conformance(89)
def test_pack_refuses_what_it_cannot_pack(loaded, tmp_path):
  tokens = loaded.tokenize(FIXTURE)
  built = preprocessing.build(tokenizers.wordpiece(write_vocab(tmp_path / 'v', UNCASED), True))
  flat = tokens.merge_dims(1, 2)
  for wrong in ([tokens] * 3, tokens, [], [tokens, flat], [tf.constant([[1]])],
                [tf.cast(tokens, tf.int64)]):
    with pytest.raises(ValueError):
      loaded.bert_pack_inputs(wrong)
  # Before saving our own messages say what to write.
  for wrong, to_do in (([tokens] * 3, 'for more, export with num_segments'),
                       (tokens, r'write bert_pack_inputs\(\[tokens\]\)'),
                       ([tokens, flat], r'tokens.merge_dims\(1, 2\)'),
                       ([tf.constant([[1]])], 'Give it what tokenize returns')):
    with pytest.raises(ValueError, match=to_do):
      built.bert_pack_inputs(wrong)


def test_more_segments_and_waterfall_are_options(export):
  three = tf.saved_model.load(export(num_segments=3, default_seq_length=8))
  tokens = [three.tokenize([text]) for text in ('d d d d', 'abc', 'xy xy xy xy')]
  assert ids(three.bert_pack_inputs(tokens)) == [[2, 4, 4, 3, 6, 3, 7, 3]]
  poured = tf.saved_model.load(
      export(num_segments=3, default_seq_length=8, truncator='waterfall'))
  assert ids(poured.bert_pack_inputs(tokens)) == [[2, 4, 4, 4, 4, 3, 3, 3]]
  assert poured(['d'])['input_mask'].shape == [1, 8]


@pytest.mark.conformance(91)
def test_pack_as_a_keras_layer(export, tmp_path):
  loaded = hub.load(export())
  text = tf_keras.layers.Input([], dtype=tf.string)
  tokens = hub.KerasLayer(loaded.tokenize)(text)
  packed = hub.KerasLayer(loaded.bert_pack_inputs, arguments={'seq_length': 7})([tokens])
  assert {v.shape.as_list()[1] for v in packed.values()} == {7}
  assert packed['input_mask'].shape.as_list() == [None, 7]
  model = tf_keras.Model(text, packed)
  expected = [[2, 6, 4, 5, 3, 0, 0], [2, 6, 4, 5, 4, 3, 0]]
  assert ids(model(tf.constant(FIXTURE))) == expected
  model.save(str(tmp_path / 'keras'), include_optimizer=False)
  again = tf.saved_model.load(str(tmp_path / 'keras'))
  assert ids(again(tf.constant(FIXTURE))) == expected


@pytest.mark.conformance(91, 93)
def test_root_as_a_keras_layer(export):
  layer = hub.KerasLayer(export(), trainable=True)
  text = tf_keras.layers.Input([], dtype=tf.string)
  packed = layer(text)
  assert {v.shape.as_list()[1] for v in packed.values()} == {128}
  assert layer.trainable_weights == [] and layer.weights == []
  assert ids(tf_keras.Model(text, packed)(tf.constant(FIXTURE)))[0][:5] == [2, 6, 4, 5, 3]


@pytest.mark.conformance(93)
def test_no_variables(loaded):
  for obj in (loaded, loaded.tokenize, loaded.tokenize_with_offsets):
    assert list(obj.variables) == list(obj.trainable_variables) == []
    assert list(obj.regularization_losses) == []


@pytest.mark.conformance(92)
def test_in_a_dataset(loaded):
  text = tf.data.Dataset.from_tensor_slices(FIXTURE * 5).batch(2, drop_remainder=True)
  packed = text.map(loaded, num_parallel_calls=2)
  assert {spec.shape.as_list()[1] for spec in packed.element_spec.values()} == {128}
  both = text.map(lambda x: loaded.bert_pack_inputs([loaded.tokenize(x)] * 2, seq_length=16),
                  num_parallel_calls=2)
  assert len(list(packed)) == 5
  assert all(ids(row)[0][:9] == [2, 6, 4, 5, 3, 6, 4, 5, 3] for row in both)


# Options that change ids.


def test_split_at_unicode_spaces(export):
  texts = ['d\u00a0d', 'd\u3000d', 'd\u2028d', 'd\u1b4ed']
  plain = tf.saved_model.load(export(lower_case=False))
  split = tf.saved_model.load(export(
      lower_case=False, wordpiece={'split_at_unicode_spaces': True}))
  assert plain.tokenize(texts).to_list() == [[[1]]] * 4
  assert split.tokenize(texts).to_list() == [[[4], [4]]] * 3 + [[[1]]]


# The files.


@pytest.mark.conformance(1, 7)
def test_files_of_an_export(export):
  files = sorted(str(p.relative_to(export())) for p in Path(export()).rglob('*') if p.is_file())
  assert files == ['assets/vocab.txt', 'fingerprint.pb', 'saved_model.pb',
                   'variables/variables.data-00000-of-00001', 'variables/variables.index']
  assert Path(export(), 'assets/vocab.txt').read_text() == '\n'.join(UNCASED) + '\n'


@pytest.mark.conformance(5, 6)
def test_no_build_path_in_any_file(export):
  source = str(Path(export()).parent).encode()
  for path in Path(export()).rglob('*'):
    if path.is_file():
      assert source not in path.read_bytes(), path


@pytest.mark.conformance(3, 4)
def test_moved_and_saved_again(export, tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  shutil.copytree(export(), one)
  loaded = tf.saved_model.load(str(one))
  tf.saved_model.save(loaded, str(two))
  del loaded
  shutil.rmtree(one)
  assert (two / 'assets' / 'vocab.txt').read_text() == '\n'.join(UNCASED) + '\n'
  again = tf.saved_model.load(str(two))
  assert ids(again(FIXTURE))[0][:6] == [2, 6, 4, 5, 3, 0]
  assert ids(again(FIXTURE, seq_length=5))[0] == [2, 6, 4, 5, 3]
  assert again.tokenize_with_offsets(FIXTURE)[1].to_list()[0] == [[0], [4], [6]]
  tokens = again.tokenize(FIXTURE)
  assert ids(again.bert_pack_inputs([tokens, tokens], 9))[0] == [2, 6, 4, 5, 3, 6, 4, 5, 3]
  assert int(again.tokenize.get_special_tokens_dict()['vocab_size']) == 8


@pytest.mark.conformance(11)
def test_two_processes_write_the_same_bytes(tmp_path):
  vocab_file = write_vocab(tmp_path / 'vocab.txt', UNCASED)
  code = ('import sys; from nlp_export import tokenizers; '
          'from nlp_export.saved_models import preprocessing as p\n'
          'for name, options in (("True", {}), ("False", {}), ("classic", '
          '{"split_unknown_characters": True})): '
          'p.save(p.build(tokenizers.wordpiece(sys.argv[1], name == "True", **options)), '
          'f"{sys.argv[2]}_{name}")')
  running = [subprocess.Popen([sys.executable, '-c', code, vocab_file, str(tmp_path / name)],
                              cwd=ROOT, stderr=subprocess.DEVNULL) for name in ('one', 'two')]
  assert [process.wait(300) for process in running] == [0, 0]

  def content(name):
    return {str(p.relative_to(tmp_path / name)): p.read_bytes()
            for p in (tmp_path / name).rglob('*') if p.is_file()}

  assert content('one_True') == content('two_True')
  assert content('one_False') == content('two_False')
  assert content('one_classic') == content('two_classic')  # A table, named by its content.
  assert content('one_True') != content('one_False')  # control


@pytest.mark.conformance(2)
def test_loads_with_nothing_but_tensorflow_and_tf_text(export):
  code = ('import sys\n'
          'for name in ("official", "tf_keras", "nlp_export"): sys.modules[name] = None\n'
          'import tensorflow as tf, tensorflow_text\n'
          'p = tf.saved_model.load(sys.argv[1])\n'
          'print(p(["abc"])["input_word_ids"].numpy()[0, :4].tolist())')
  done = subprocess.run([sys.executable, '-c', code, export()], check=True, capture_output=True,
                        text=True)
  assert done.stdout.strip().endswith('[2, 6, 3, 0]')


@pytest.mark.conformance(94)
def test_without_assert(export, loaded):
  path = export(disable_assert=True, num_segments=3)
  assert saved_graph.nodes_of_type(path, 'Assert') == []
  assert saved_graph.nodes_of_type(export(), 'Assert')  # control: they can be found
  without = tf.saved_model.load(path)
  assert same(without(FIXTURE), loaded(FIXTURE))
  tokens = without.tokenize(FIXTURE)
  assert same(without.bert_pack_inputs([tokens, tokens], 9),
              loaded.bert_pack_inputs([tokens, tokens], 9))
  assert ids(without(FIXTURE, seq_length=1)) == [[2], [2]]


# An own tokenizer.


class Letters:
  """Each byte is a token; one of those assertions that some tokenizers make can be asked for."""

  kind = 'letters'
  asset_file = None
  lower_case = False
  vocab_size = 260

  def __init__(self, asserts: bool = False, ranks: int = 2, missing: str = ''):
    self.asserts, self.ranks, self.missing = asserts, ranks, missing

  def special_token_ids(self):
    ids_ = {'vocab_size': 260, 'padding_id': 256, 'start_of_sequence_id': 257,
            'end_of_segment_id': 258}
    return {key: value for key, value in ids_.items() if key != self.missing}

  def description(self):
    return 'Bytes.'

  def check(self, embedding_rows=None):
    pass

  def build(self, with_offsets):
    return LettersGraph(self)


class LettersGraph(tf.Module):
  def __init__(self, letters):
    super().__init__()
    self.letters = letters

  def tokenize(self, sentences):
    split = tf.strings.bytes_split(sentences)
    # A byte to its number: empty texts are none.
    numbers = tf.cast(tf.reshape(tf.io.decode_raw(split.flat_values, tf.uint8), [-1]), tf.int32)
    if self.letters.asserts:
      tf.debugging.Assert(tf.reduce_all(numbers >= 0), ['no byte'])
    tokens = split.with_flat_values(numbers)
    if self.letters.ranks == 2:
      return tokens
    one_each = tf.RaggedTensor.from_row_lengths(numbers, tf.ones_like(numbers, tf.int64))
    return tokens.with_values(one_each if self.letters.ranks == 3 else numbers[:, None])


@pytest.mark.parametrize('ranks', [2, 3])
def test_own_tokenizer(tmp_path, ranks):
  made, _ = tokenizers.from_macros(tokenizer=lambda: Letters(ranks=ranks))
  path = str(tmp_path / 'saved')
  preprocessing.save(
      preprocessing.build(made, default_seq_length=6, tokenize_with_offsets=False), path)
  loaded = tf.saved_model.load(path)
  assert ids(loaded(['ab', ''])) == [[257, 97, 98, 258, 256, 256], [257, 258] + [256] * 4]
  assert same(loaded.bert_pack_inputs([loaded.tokenize(['ab', ''])]), loaded(['ab', '']))


def test_own_tokenizer_must_keep_its_promises(tmp_path):
  with pytest.raises(RequestError, match='Write tokenize_with_offsets = False.$'):
    preprocessing.build(Letters(), tokenize_with_offsets=True)
  with pytest.raises(RequestError, match="lack .'padding_id'.*The keys are .*mask_id.$"):
    preprocessing.build(Letters(missing='padding_id'), tokenize_with_offsets=False)
  with pytest.raises(RequestError, match='or .batch, .words., .pieces..[.]$'):
    preprocessing.build(Letters(ranks=0), tokenize_with_offsets=False)
  asserting = preprocessing.build(
      Letters(asserts=True), tokenize_with_offsets=False, disable_assert=True)
  with pytest.raises(CheckError, match='with validate=False.$'):
    preprocessing.save(asserting, str(tmp_path / 'saved'))


# Requests that are refused.


@pytest.mark.parametrize('options, to_do', [
    ({'truncator': 'longest_first'}, "Write truncator = 'round_robin'."),
    ({'num_segments': 0}, 'Write num_segments = 2, as BERT has it.'),
    ({'default_seq_length': 2}, 'at least 3.'),
])
def test_options_that_cannot_be(tmp_path, options, to_do):
  tokenizer = tokenizers.wordpiece(write_vocab(tmp_path / 'v', UNCASED), True)
  with pytest.raises(RequestError) as error:
    preprocessing.build(tokenizer, **options)
  assert str(error.value).endswith(to_do)


@pytest.mark.conformance(69)
def test_unfit_vocabulary_is_refused_before_any_work(tmp_path):
  tokenizer = tokenizers.wordpiece(
      write_vocab(tmp_path / 'v', [t for t in UNCASED if t != '[UNK]']), True)
  with pytest.raises(RequestError, match='no .UNK.'):
    preprocessing.build(tokenizer)


def test_vocabulary_that_tf_text_cannot_compile(tmp_path):
  vocab_file = write_vocab(tmp_path / 'v', [*UNCASED, 'b' * 300, 'c'])
  with pytest.raises(RequestError, match='line 9; .* such as .unused0. in its place.$'):
    preprocessing.build(tokenizers.wordpiece(vocab_file, True))


@pytest.mark.conformance(75)
def test_offsets_where_normalisation_reorders(tmp_path):
  # Canonical ordering swaps the two marks; both belong to the d, with all of its bytes.
  vocab_file = write_vocab(tmp_path / 'v', [*UNCASED, '##\u302e', '##\u1b44'])
  built = preprocessing.build(tokenizers.wordpiece(vocab_file, True), tokenize_with_offsets=True)
  tokens, starts, limits = built.tokenize_with_offsets(['D\u302e\u1b44 d'])
  assert tokens.to_list() == [[[4, 9, 8], [4]]]
  assert starts.to_list() == [[[0, 0, 0], [8]]] and limits.to_list() == [[[7, 7, 7], [9]]]
