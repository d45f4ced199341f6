"""Which strings are fixed by others: keys of TF Hub's text API, checkpoint items, files we write.

Sources: TF Hub, "Common SavedModel APIs for text tasks"; TF-NLP 2.20, tools/export_tfhub_lib.py
and modeling/models/bert_pretrainer.py (`checkpoint_items`).
"""

from __future__ import annotations

# What an encoder takes: a dict of int32 [batch, seq_length].
INPUT_WORD_IDS = 'input_word_ids'
INPUT_MASK = 'input_mask'
INPUT_TYPE_IDS = 'input_type_ids'
ENCODER_INPUTS = (INPUT_WORD_IDS, INPUT_MASK, INPUT_TYPE_IDS)

# What `.mlm` takes besides: int32 [batch, num_predictions].
MASKED_LM_POSITIONS = 'masked_lm_positions'
MLM_INPUTS = (*ENCODER_INPUTS, MASKED_LM_POSITIONS)

# What an encoder returns: float32 [batch, width], [batch, width], [batch, seq_length, width] and a
# list with [batch, seq_length, width] for each layer.
DEFAULT = 'default'
POOLED_OUTPUT = 'pooled_output'
SEQUENCE_OUTPUT = 'sequence_output'
ENCODER_OUTPUTS = 'encoder_outputs'
# What `.mlm` returns besides (it has no `default`): float32 [batch, num_predictions, vocab_size].
MLM_LOGITS = 'mlm_logits'

SERVING_DEFAULT = 'serving_default'
# The other signature of a text embedding and of a classifier: from the three inputs of an encoder.
TOKENS = 'tokens'
# What the signatures of a text embedding take and return.
SENTENCES = 'sentences'
EMBEDDING = 'embedding'
# What a classifier takes, and what it returns: PROBABILITIES of classes, the VALUE of a regression.
TEXT, SECOND_TEXT = 'text', 'second_text'
LOGITS, PROBABILITIES, VALUE = 'logits', 'probabilities', 'value'

# Attributes of a SavedModel's root object.
MLM = 'mlm'
VOCAB_FILE = 'vocab_file'
SP_MODEL_FILE = 'sp_model_file'
DO_LOWER_CASE = 'do_lower_case'
DROPOUT_STATE = 'dropout_state'

# Keys of `preprocessor.tokenize.get_special_tokens_dict()`. An absent token's key is left out.
VOCAB_SIZE = 'vocab_size'
PADDING_ID = 'padding_id'
START_OF_SEQUENCE_ID = 'start_of_sequence_id'
END_OF_SEGMENT_ID = 'end_of_segment_id'
MASK_ID = 'mask_id'
SPECIAL_TOKEN_KEYS = (VOCAB_SIZE, PADDING_ID, START_OF_SEQUENCE_ID, END_OF_SEGMENT_ID, MASK_ID)

# Export types: the values of EXPORT_TYPES and the names of the directories they are written to.
MODEL = 'model'
MODEL_WITH_MLM = 'model_with_mlm'
PREPROCESSING = 'preprocessing'
TEXT_EMBEDDING = 'text_embedding'
EXPORT_TYPES = (MODEL, MODEL_WITH_MLM, PREPROCESSING, TEXT_EMBEDDING)

# What fine-tuning makes besides: text to logits. It does not come from a checkpoint alone.
CLASSIFIER = 'classifier'

# Items of a checkpoint, as `BertPretrainerV2.checkpoint_items` names them.
ENCODER = 'encoder'
MASKED_LM = 'masked_lm'
NEXT_SENTENCE_POOLER = 'next_sentence.pooler_dense'

# What TF-NLP's encoders call the dense layer behind `pooled_output`.
POOLER_LAYER_NAMES = ('pooler_transform', 'cls_transform', 'pooler')

# Files beside the graph in every SavedModel that we write. `assets.extra` is the format's own
# place for files that the graph does not read.
CARD_FILE = 'README.md'
EXTRA_DIR = 'assets.extra'
PROVENANCE_FILE = 'provenance.json'
RESTORE_FILE = 'restore.json'
VERIFICATION_FILE = 'verification.json'
OPERATIVE_CONFIG_FILE = 'operative_config.gin'
EXTRA_FILES = (PROVENANCE_FILE, RESTORE_FILE, VERIFICATION_FILE, OPERATIVE_CONFIG_FILE)

# Below an out_dir.
EXPORTS_DIR = 'exports'
CLAIMS = 'claims'  # Directories of this name hold who works on what, of several processes.
CLAIMS_DIR = f'glue/{CLAIMS}'


def serving_output(layer: int) -> str:
  """The name under which a signature, which has no lists, returns `encoder_outputs[layer]`."""
  return f'{ENCODER_OUTPUTS}_{layer}'
