"""What cannot be converted is refused with the reason; what was written wrongly is not kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlp_export import checkpoints
from nlp_export.converting import hugging_face_files, hugging_face_names, writers
from nlp_export.encoders import albert, bert
from nlp_export.errors import RequestError
from nlp_export.tokenization import choosing, recorded
from nlp_export.tokenizers import WordPiece
from tests import tiny
from tests.converting.conftest import RUN, SIZE, convert, write_hugging_face, write_pretrainer
from tests.in_process import run_main, settings


def refused(message: str, output: str) -> None:
  assert output.rstrip().endswith(message), output


@pytest.mark.parametrize(('macros', 'last'), [
    ({'TO': 'pytorch'}, "'tf2'"),
    ({'TO': 'tf2', 'POOLER_FROM': 'encoder'}, 'Leave POOLER_FROM out.'),
    ({'TO': 'orbax', 'VOCAB_FILE': None, 'DO_LOWER_CASE': None}, '--set TOKENIZER=...'),
    ({'TO': 'tf2', 'convert_checkpoint.mlm_activation': 'gleu'}, 'tanh'),
])
def test_a_request_that_cannot_be_right_is_refused_before_any_work(
    macros, last, original, tmp_path):
  given = {**original.macros, **macros}
  done = run_main(RUN, *settings(**given), '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 2
  assert last in done.output.splitlines()[-1], done.output
  assert not (tmp_path / 'out').exists()


def test_a_dry_run_says_what_would_be_done(original, tmp_path):
  done = run_main(RUN, *settings(TO='hugging_face', **original.macros), '--dry_run', '--out_dir',
                  tmp_path / 'out')
  assert done.status == 0
  assert 'write and verify converted/hugging_face' in done.output
  assert 'separates words at all Unicode spaces' in done.output  # What no file there can say.


@pytest.mark.parametrize(('spec', 'last'), [
    (bert(norm_first=True), "TO=tf2 for TF-NLP's tools"),
    (bert(embedding_size=64), "TO=tf2 for TF-NLP's tools"),
    (bert(hidden_activation='elu'), "TO=tf2 for TF-NLP's tools"),
    (albert(embedding_width=768), "TO=tf2 for TF-NLP's tools"),
])
def test_encoders_that_transformers_cannot_compute(spec, last):
  with pytest.raises(RequestError) as error:
    hugging_face_files.check(spec, None)
  refused(last, error.value.message)
  # Controls: the same types with what transformers has.
  hugging_face_files.check(bert(hidden_activation='gelu_erf', embedding_size=768), None)
  hugging_face_files.check(albert(), None)


def test_tokenizers_that_transformers_does_not_have(tiny_vocab):
  for option in ('split_unknown_characters', 'preserve_unused_token'):
    with pytest.raises(RequestError, match='which records the setting.$'):
      hugging_face_files.check(bert(), WordPiece(tiny_vocab, True, **{option: True}))
  hugging_face_files.check(bert(), WordPiece(tiny_vocab, True, strip_accents=False))  # Control.


def test_settings_of_a_tokenizer_come_back(tmp_path, tiny_vocab):
  shutil.copy(tiny_vocab, tmp_path / 'vocab.txt')
  for fields in ({'lower_case': True}, {'lower_case': False},
                 {'lower_case': True, 'strip_accents': False, 'split_chinese_characters': False,
                  'mask': '[UNK]'}):
    tokenizer = WordPiece(tiny_vocab, split_at_unicode_spaces=True, **fields)
    values = hugging_face_files.tokenizer_config(tokenizer, 24)
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(values))
    found = checkpoints.FoundCheckpoint(
        checkpoints.HUGGING_FACE, str(tmp_path), (), vocab_file=str(tmp_path / 'vocab.txt'),
        tokenizer_config=str(tmp_path / 'tokenizer_config.json'))
    made, _ = choosing.choose(found)
    assert recorded.to_json(made) == recorded.to_json(tokenizer)


def test_two_activations_have_one_place():
  with pytest.raises(RequestError, match=r'or --set TO=orbax\.$'):
    hugging_face_files.check_one_activation(bert(hidden_activation='relu'), 'gelu')
  hugging_face_files.check_one_activation(bert(hidden_activation='swish'), 'silu')  # Control.


@pytest.fixture(scope='module')
def two_poolers(tmp_path_factory, original):
  """As BertPretrainerV2 leaves them: the encoder's own is not that of the head."""
  pretrainer = tiny.build_pretrainer(SIZE)
  prefix = write_pretrainer(tmp_path_factory.mktemp('two') / 'ckpt', pretrainer)
  return pretrainer, {**original.macros, 'CHECKPOINT': prefix}


def test_one_place_for_two_poolers_is_asked_for(two_poolers, tmp_path):
  done = convert(tmp_path / 'out', TO='hugging_face', **two_poolers[1])
  assert done.status == 2
  refused('or POOLER_FROM=encoder to do without the head.', done.output)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('choice', ['encoder', 'next_sentence'])
def test_the_pooler_that_was_chosen_is_written(choice, two_poolers, tmp_path):
  from safetensors.numpy import load_file

  pretrainer, macros = two_poolers
  done = convert(tmp_path, TO='hugging_face', POOLER_FROM=choice, **macros)
  assert done.status == 0, done.output
  weights = load_file(tmp_path / 'converted' / 'hugging_face' / 'model.safetensors')
  own, head = pretrainer.encoder_network.pooler_layer, pretrainer.classification_heads[0]
  kernels = {'encoder': own.kernel, 'next_sentence': head.dense.kernel}
  np.testing.assert_array_equal(
      weights['bert.pooler.dense.weight'].T, kernels.pop(choice))
  assert not np.array_equal(weights['bert.pooler.dense.weight'].T, *kernels.values())  # Control.
  # The next-sentence layer goes along only with what it was trained on, and that is said.
  assert ('cls.seq_relationship.weight' in weights) == (choice == 'next_sentence')
  lost = 'left out: next_sentence.pooler_dense, next_sentence.out_proj'
  assert (lost in done.output) == (choice == 'encoder')


@pytest.mark.parametrize('to', ['tf2', 'orbax'])
def test_a_checkpoint_without_a_pooler_becomes_one_without(to, original, tmp_path):
  from nlp_export import files, names, poolers
  from nlp_export.encoders import from_file
  from nlp_export.restored_encoder import restore_encoder
  from tests.checkpoints import hugging_face_bert

  drawn = hugging_face_bert.draw(layers=1)
  weights = {key: value for key, value in drawn.items()
             if 'pooler' not in key and 'seq_relationship' not in key}
  directory = write_hugging_face(tmp_path / 'hf', weights, 'gelu_new')
  shutil.copy(original.macros['VOCAB_FILE'], f'{directory}/vocab.txt')
  done = convert(tmp_path / 'out', TO=to, CHECKPOINT=directory, DO_LOWER_CASE=True)
  assert done.status == 0, done.output
  assert "the encoder's own pooler is not in the checkpoint" in done.output
  place = tmp_path / 'out' / 'converted' / to
  found = checkpoints.find_checkpoint(str(place / ('ckpt' if to == 'tf2' else 'checkpoints')))
  restored = restore_encoder(found, from_file(found.encoder_config), item_names={},
                             mlm_activation=found.mlm_activation)
  assert restored.report.left_out == [checkpoints.ENCODER_POOLER]
  with pytest.raises(RequestError, match='it was saved without'):
    poolers.keep(restored.pooler_source())
  table = restored.masked_lm.embedding_table
  assert table is restored.network.get_embedding_table()
  np.testing.assert_array_equal(table, drawn['bert.embeddings.word_embeddings.weight'])
  assert not json.loads(files.read_text(
      str(place / names.EXTRA_DIR / names.PROVENANCE_FILE)))['has_pooler']


def test_albert_and_back(original, tmp_path):
  size = tiny.Size(type='albert', num_layers=2, max_position_embeddings=24, seed=6)
  pretrainer = tiny.build_pretrainer(size, head='sop')
  macros = {**original.macros, 'CHECKPOINT': write_pretrainer(tmp_path / 'ckpt', pretrainer),
            'ENCODER_CONFIG': tiny.write_encoder_config(tmp_path / 'albert.yaml', size)}
  done = convert(tmp_path / 'a', TO='hugging_face', POOLER_FROM='next_sentence', **macros,
                 **{'checkpoint_items.next_sentence': 'sop'})
  assert done.status == 0, done.output
  folder = tmp_path / 'a' / 'converted' / 'hugging_face'
  config = json.loads((folder / 'config.json').read_text())
  assert config['architectures'] == ['AlbertForPreTraining']
  done = convert(tmp_path / 'b', TO='tf2', CHECKPOINT=folder)
  assert done.status == 0, done.output
  opened = checkpoints.open_checkpoint(str(tmp_path / 'b' / 'converted' / 'tf2'))
  head = pretrainer.classification_heads[0]
  for item, layer in (('pooler_dense', head.dense), ('out_proj', head.out_proj)):
    kernel, bias = opened.dense(f'next_sentence.{item}')
    np.testing.assert_array_equal(kernel, layer.kernel)
    np.testing.assert_array_equal(bias, layer.bias)


def left(out: Path) -> list[str]:
  return sorted(path.name for path in out.rglob('*') if path.is_file()) if out.exists() else []


def test_a_wrong_writer_is_caught_and_nothing_is_kept(original, tmp_path, monkeypatch):
  """Every value is there; the output's kernel of attention is not turned."""
  turned = hugging_face_names._turned

  def forgets(role, value):
    found = turned(role, value)
    return np.ascontiguousarray(found.T) if role.part == 'attention output' and (
        role.leaf == 'kernel') else found

  monkeypatch.setattr(hugging_face_names, '_turned', forgets)
  done = convert(tmp_path / 'out', TO='hugging_face', **original.macros)
  assert done.status == 1
  refused('Nothing was put in place.', done.output)
  assert 'conversion.sequence_output: failed: they differ by up to' in done.output
  assert not [name for name in left(tmp_path / 'out') if name not in (
      'config.gin', 'operative_config.gin', 'run.json', 'log.txt')]


def test_a_wrong_configuration_is_caught(original, tmp_path, monkeypatch):
  right = hugging_face_files.config
  monkeypatch.setattr(
      hugging_face_files, 'config', lambda *args: {**right(*args), 'hidden_act': 'gelu'})
  done = convert(tmp_path / 'out', TO='hugging_face', **original.macros)
  assert done.status == 1, done.output
  assert 'conversion.configuration: failed: hidden_activation' in done.output


def test_a_failure_in_the_middle_leaves_nothing_and_is_made_good(original, tmp_path, monkeypatch):
  def fails(*args):
    raise OSError(28, 'No space left on device', 'conversion.json')

  monkeypatch.setattr(writers.conversion_record, 'write', fails)
  done = convert(tmp_path / 'out', TO='tf2', **original.macros)
  assert done.status == 2 and 'the disk is full' in done.output, done.output
  assert not (tmp_path / 'out' / 'converted').exists()
  monkeypatch.undo()
  # What a killed run would leave goes away too.
  stale = tmp_path / 'out' / 'converted' / '.tf2.partial-999999-0'
  stale.mkdir(parents=True)
  done = convert(tmp_path / 'out', TO='tf2', **original.macros)
  assert done.status == 0, done.output
  assert not stale.exists()
  written = left(tmp_path / 'out' / 'converted')
  assert 'ckpt.index' in written and 'verification.json' in written
  again = convert(tmp_path / 'out', TO='tf2', **original.macros)
  assert again.status == 0 and 'holds this run already' in again.output


@pytest.fixture
def copy(converted, tmp_path) -> Path:
  return Path(shutil.copytree(converted('tf2'), tmp_path / 'copy'))


def test_a_record_holds_for_its_own_checkpoint_alone(copy, original):
  assert checkpoints.find_checkpoint(str(copy)).encoder_config  # It was moved, and still holds.
  source = Path(original.macros['CHECKPOINT'])
  for part in source.parent.glob(f'{source.name}.*'):  # Another one of the same name.
    shutil.copy(part, copy / part.name.replace(source.name, 'ckpt'))
  assert checkpoints.find_checkpoint(str(copy)).encoder_config is None


def test_a_changed_file_beside_a_checkpoint_is_refused(copy):
  (copy / 'encoder.yaml').write_text((copy / 'encoder.yaml').read_text().replace('gelu', 'relu'))
  with pytest.raises(RequestError, match='give ENCODER_CONFIG and the vocabulary yourself.$'):
    checkpoints.find_checkpoint(str(copy / 'ckpt'))
  (copy / 'conversion.json').unlink()
  assert checkpoints.find_checkpoint(str(copy / 'ckpt')).encoder_config is None


def test_a_head_that_is_another_function_there(original, tmp_path):
  """A decoder of its own, which TF-NLP's head has no place for."""
  from tests.checkpoints import hugging_face_bert

  weights = hugging_face_bert.draw(layers=1)
  table = weights['bert.embeddings.word_embeddings.weight']
  weights['cls.predictions.decoder.weight'] = table + 1
  directory = write_hugging_face(tmp_path / 'hf', weights, 'gelu_new')
  done = convert(tmp_path / 'out', TO='tf2', CHECKPOINT=directory)
  assert done.status == 2
  refused('--set MASKED_LM=False.', done.output)
  done = convert(tmp_path / 'out', TO='tf2', CHECKPOINT=directory, MASKED_LM=False)
  assert done.status == 0, done.output


def test_another_tokenizer_is_refused_unless_asked_for(converted, tmp_path):
  source = converted('tf2')
  macros = {'TO': 'orbax', 'CHECKPOINT': source, 'DO_LOWER_CASE': False}
  done = run_main(RUN, *settings(**macros), '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 2 and 'DO_LOWER_CASE' in done.output
  done = convert(tmp_path / 'out', OTHER_TOKENIZER=True, **macros)
  assert done.status == 0, done.output
  card = (tmp_path / 'out' / 'converted' / 'orbax' / 'README.md').read_text()
  assert recorded.ANOTHER in card


def test_an_out_dir_on_a_remote_file_system(original):
  from nlp_export import files

  done = convert('ram://conversions/out', TO='orbax', **original.macros)
  assert done.status == 0, done.output
  found = checkpoints.find_checkpoint('ram://conversions/out/converted/orbax/checkpoints')
  assert found.encoder_config and found.name == 'step 0'
  assert files.exists('ram://conversions/out/converted/orbax/README.md')
