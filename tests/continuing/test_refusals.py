"""What continued training refuses, and what it says."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import files, names, vocabularies
from nlp_export.continuing import executing, loaded_mlm, preprocessing_tokenizer, training
from nlp_export.continuing.request import Request
from nlp_export.continuing.training import Continued
from nlp_export.errors import RequestError
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.history import History
from nlp_export.pretraining.recipe import TrainRecipe
from nlp_export.pretraining.saving_options import Saving
from nlp_export.pretraining.strategies import one_device, tpu
from nlp_export.pretraining.texts import Text
from nlp_export.pretraining.trained import Trained


def request(**changes) -> Request:
  given = {
      'export': 'model', 'preprocessing': 'text', 'text': Text(),
      'data': DataRecipe(seq_length=16, max_predictions=3, pairs=None),
      'training': TrainRecipe(train_steps=4), 'saving': Saving(every_steps=2),
      'runtime': one_device()}
  return Request(**{**given, **changes})


@pytest.mark.parametrize(('changes', 'end'), [
    ({'text': Text(prepared='out/shards')}, 'Give the text itself: --set TEXT_FILES=...'),
    ({'training': TrainRecipe(train_steps=4, precision='mixed_bfloat16')},
     "Write train_recipe.precision = 'float32'"),
    ({'runtime': tpu()}, 'Include gin/runtime/one_device.gin or gin/runtime/mirrored.gin'),
])
def test_a_request_that_cannot_be_done(changes, end):
  with pytest.raises(RequestError) as error:
    request(**changes).check()
  assert str(error.value).endswith(end)
  request().check()  # Control.


def saved(path, *, variables=(), outputs=('sequence_output', 'mlm_logits')) -> str:
  """A SavedModel with a `.mlm` that returns zeros under some names."""
  root, mlm = tf.train.Checkpoint(), tf.train.Checkpoint()
  mlm.trainable_variables, mlm.variables = list(variables), list(variables)
  specs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names.MLM_INPUTS}

  @tf.function(autograph=False)
  def call(inputs, training=False):
    rows = tf.shape(inputs[names.INPUT_MASK])[0]
    return {name: tf.zeros([rows, 1, 4]) for name in outputs}

  mlm.__call__ = call
  for train in (False, True):
    call.get_concrete_function(specs, training=train)
  root.mlm = mlm
  tf.saved_model.save(root, str(path))
  return str(path)


def test_exports_without_what_is_trained(uncased_exports, tmp_path):
  for path, end in (
      (str(tmp_path / 'nothing'), 'Check it with gin/runs/verify.gin'),
      (uncased_exports['model'], "EXPORT_TYPES=\"('model_with_mlm', 'preprocessing')\""),
      (saved(tmp_path / 'none'), "export it with TensorFlow 2's tools"),
      (saved(tmp_path / 'half', variables=[tf.Variable(1.0, dtype=tf.float16)]),
       'Export the checkpoint in float32')):
    with pytest.raises(RequestError) as error:
      loaded_mlm.load(path)
    assert str(error.value).endswith(end)


def batch(seq_length: int) -> dict[str, np.ndarray]:
  found = {name: np.ones((2, seq_length), np.int32) for name in names.ENCODER_INPUTS}
  return found | {'masked_lm_positions': np.ones((2, 1), np.int32),
                  'masked_lm_ids': np.ones((2, 1), np.int32),
                  'masked_lm_weights': np.ones((2, 1), np.float32)}


def test_a_head_that_cannot_be_called_so(uncased_exports, tmp_path):
  path = saved(tmp_path / 'other', variables=[tf.Variable(1.0)], outputs=('sequence_output',))
  with pytest.raises(RequestError) as error:
    loaded_mlm.look(loaded_mlm.load(path), batch(4), path)
  assert str(error.value).endswith(
      'returns sequence_output, and no mlm_logits. Check it with gin/runs/verify.gin')
  path = uncased_exports['model_with_mlm']
  with pytest.raises(RequestError) as error:
    loaded_mlm.look(loaded_mlm.load(path), batch(257), path)  # It has 256 positions.
  assert 'cannot be called with rows of 257 tokens: ' in str(error.value)
  assert str(error.value).endswith('(its card says how many), lower SEQ_LENGTH')


def test_something_else_than_its_preprocessing(uncased_exports, cased_exports, tmp_path):
  for path, end in ((str(tmp_path / 'nothing'), 'Check it with gin/runs/verify.gin'),
                    (uncased_exports['model'],
                     'such as exports/preprocessing of gin/runs/export.gin')):
    with pytest.raises(RequestError) as error:
      preprocessing_tokenizer.load(path)
    assert str(error.value).endswith(end)
  cased = preprocessing_tokenizer.load(cased_exports['preprocessing'])
  with pytest.raises(RequestError) as error:
    vocabularies.refuse_other(uncased_exports['model_with_mlm'], cased_exports['preprocessing'])
  assert str(error.value).endswith('Give the preprocessing that was exported with it')
  with pytest.raises(RequestError) as error:
    cased.check(50)
  assert str(error.value).endswith('Give the one that this encoder was trained with.')
  own = preprocessing_tokenizer.load(uncased_exports['preprocessing'])  # Control.
  vocabularies.refuse_other(uncased_exports['model_with_mlm'], uncased_exports['preprocessing'])
  own.check(own.vocab_size)


def test_special_tokens_that_rows_need(uncased_exports):
  class Tokenize:
    def get_special_tokens_dict(self):
      return {'vocab_size': tf.constant(7), 'padding_id': tf.constant(0)}

  with pytest.raises(RequestError) as error:
    preprocessing_tokenizer.PreprocessingTokenizer(SimpleNamespace(tokenize=Tokenize()), 'text')
  assert str(error.value).endswith(
      'lack start_of_sequence_id, end_of_segment_id, without which no row of text can be made. '
      'Export it anew with gin/runs/export.gin and its vocabulary')


def test_the_tokenizer_says_which_ids_begin_a_word(uncased_exports, tmp_path):
  found = preprocessing_tokenizer.load(uncased_exports['preprocessing'])
  tokens = open(found.asset_file, encoding='utf-8').read().split('\n')[:-1]
  assert found.starts_word() == tuple(not token.startswith('##') for token in tokens)
  copy = str(tmp_path / 'copy')
  shutil.copytree(uncased_exports['preprocessing'], copy)
  (tmp_path / 'copy/assets/second.txt').write_text('a\n')
  # Control: which of two files it would be cannot be told.
  assert not hasattr(preprocessing_tokenizer.load(copy), 'starts_word')


def test_a_training_that_has_lost_its_beginning(tmp_path):
  run = SimpleNamespace(out_dir=str(tmp_path))
  with pytest.raises(RequestError) as error:
    training.measured_before(run, None, None, History(), 8)
  assert str(error.value).endswith('Bring it back, or give another --out_dir')


@pytest.mark.parametrize(('high', 'told'), [(-0.1, False), (0.1, True), (None, True)])
def test_a_loss_that_is_not_shown_to_be_lower_is_told(high, told):
  metrics = {'masked_lm_loss': 2.0, 'masked_lm_accuracy': 0.5}
  trained = Trained('', 4, History(), metrics, {}, 3.0, None, {}, (), {})
  low = None if high is None else -0.9
  done = Continued(None, trained, {'masked_lm_loss': 2.5, 'masked_lm_accuracy': 0.25},
                   {'masked_lm_loss': (-0.5, low, high), 'masked_lm_accuracy': (0.25, None, None)},
                   None, None)
  assert done.is_better is not told
  assert done.lines()[0].startswith('masked LM, held out: loss 2.500 nats before, 2.000 nats after')
  assert done.lines()[1] == 'masked LM, held out: accuracy 25.0% before, 50.0% after (+0.250)'
  assert len(done.lines()) == 2 + told
  if told:
    assert done.lines()[2].endswith('its learning rate too high or its text too little')


def test_text_files_of_one_name_both_stand_in_the_record(tmp_path):
  paths = tuple(str(tmp_path / name / 'text.txt') for name in ('old', 'new'))
  for path in paths:
    files.make_dirs(files.dirname(path))
    files.write_text(path, 'text')
  done = SimpleNamespace(trained=SimpleNamespace(metrics={}), before={}, change={},
                         facts=SimpleNamespace(left_out=()))
  hashes = {paths[0]: 'ab', paths[1]: 'cd', 'model': 'ef'}
  wanted = request(text=Text(files=paths))
  assert executing.tuning(wanted, done, hashes).data == {'old/text.txt': 'ab', 'new/text.txt': 'cd'}
