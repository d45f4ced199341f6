"""What is a pre-training instance made of: how long, with which pairs, which masks?

Light: what can be refused before any text is read is refused here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gin

from nlp_export import field_rules, names
from nlp_export.errors import RequestError
from nlp_export.field_rules import is_bool, is_count, is_number
from nlp_export.pretraining.data import words

# Keys of a batch that names.py does not have: TF-NLP's v2 names (data/pretrain_dataloader.py).
MASKED_LM_IDS = 'masked_lm_ids'
MASKED_LM_WEIGHTS = 'masked_lm_weights'
NEXT_SENTENCE_LABELS = 'next_sentence_labels'

NEXT_SENTENCE = 'next_sentence'
SENTENCE_ORDER = 'sentence_order'


@gin.register('data_recipe', module='pretraining')
@dataclasses.dataclass(frozen=True, kw_only=True)
class DataRecipe:
  """How documents become instances with masks.

  Attributes:
    seq_length: tokens in a row, special ones and padding included.
    max_predictions: most masked tokens in a row.
    masked_lm_share: share of a row's tokens (special ones counted) that is to be predicted.
    whole_word: whether all tokens of a word are masked together.
    pairs: 'next_sentence' (BERT: label 1 says that the second segment is from another document),
      'sentence_order' (ALBERT: label 1 says that the two are swapped), or None for one segment.
    short_seq_probability: how often a shorter length than the row's is aimed at, drawn uniformly.
    per_chunk: whether that is drawn for each row; False draws once for each document and epoch, as
      BERT's script does, by which one long document can make an epoch of hundreds of tiny pairs.
    data_seed: of order, pairs and masks; at least 0.

  Source: Devlin et al. 2019 (arXiv 1810.04805), google-research/bert create_pretraining_data.py;
    sentence order: Lan et al. 2020 (arXiv 1909.11942).
  """

  seq_length: int
  max_predictions: int
  masked_lm_share: float = 0.15
  whole_word: bool = False
  pairs: str | None = NEXT_SENTENCE
  short_seq_probability: float = 0.1
  per_chunk: bool = True
  data_seed: int = 0

  def __post_init__(self) -> None:
    field_rules.check(self, _RULES, 'data_recipe.')
    if self.room < 2:
      shape = '[CLS] first [SEP] second [SEP]' if self.pairs else '[CLS] text [SEP]'
      raise RequestError(
          f'data_recipe.seq_length is {self.seq_length}, but a row is {shape}: that leaves '
          f'{max(self.room, 0)} tokens for text, and it needs 2. '
          f'Write seq_length = 128, at least {self.special_tokens + 2}')
    if self.max_predictions > self.room:
      raise RequestError(
          f'data_recipe.max_predictions is {self.max_predictions}, but a row of seq_length '
          f'{self.seq_length} has {self.room} tokens that can be masked. '
          f'Write max_predictions = {self.budget(self.seq_length)}, its masked_lm_share')

  @property
  def special_tokens(self) -> int:
    """[CLS] and the [SEP]s of a row."""
    return 3 if self.pairs else 2

  @property
  def room(self) -> int:
    """Most tokens of text in a row."""
    return self.seq_length - self.special_tokens

  def budget(self, length: int) -> int:
    """How many tokens of a row with that many (special ones counted) are masked, before whole words
    make it fewer: BERT's rule, rounding half to even."""
    return min(self.max_predictions, max(1, round(length * self.masked_lm_share)))

  def to_json(self) -> dict[str, Any]:
    """Every field, as JSON values."""
    return dataclasses.asdict(self)


def check(recipe: DataRecipe, tokenizer: Any, max_positions: int | None = None) -> None:
  """Refuses a tokenizer or an encoder that instances of this recipe cannot be made for.

  Args:
    recipe: of the data.
    tokenizer: a `tokenizers.Tokenizer`.
    max_positions: position embeddings of the encoder; None if it has no such limit.

  Raises:
    RequestError: no [MASK] or another special token is missing, words cannot be told, or rows are
      longer than the encoder's.
  """
  ids = tokenizer.special_token_ids()
  place = tokenizer.asset_file or 'of your own'
  if names.MASK_ID not in ids:
    own = getattr(tokenizer, 'mask', None)
    raise RequestError(
        f'Masked-LM training needs a token to put in place of masked ones, but the '
        f'{tokenizer.kind} vocabulary {place} has no {own or "mask_id in special_token_ids()"}. '
        'If it is there under another name, give it to the tokenizer (mask); otherwise build a '
        'vocabulary with gin/runs/build_vocabulary.gin')
  lacks = [key for key in (names.START_OF_SEQUENCE_ID, names.END_OF_SEGMENT_ID, names.PADDING_ID)
           if key not in ids]
  if lacks:
    raise RequestError(
        f'A row is [CLS] text [SEP] and padding, but the {tokenizer.kind} vocabulary {place} has '
        f'no {", no ".join(lacks)} in special_token_ids(). Name these tokens where the tokenizer '
        'is made')
  if recipe.whole_word and words.starts_word(tokenizer) is None:
    raise RequestError(
        f'whole_word = True masks all tokens of a word together, but the {tokenizer.kind} '
        f'tokenizer ({type(tokenizer).__name__}) does not say which ids begin a word. Give it a '
        'method starts_word() that returns a bool for each id, or write whole_word = False')
  if max_positions is not None and recipe.seq_length > max_positions:
    raise RequestError(
        f'data_recipe.seq_length is {recipe.seq_length}, but the encoder has '
        f'{max_positions} position embeddings. Write seq_length = {max_positions} or less')


_RULES: field_rules.Rules = (
    ('seq_length', is_count, 'a number of tokens such as 128'),
    ('max_predictions', is_count, 'a number of tokens from 1, such as 20'),
    ('masked_lm_share', lambda v: is_number(v) and 0 < v < 1, 'between 0 and 1, such as 0.15'),
    ('whole_word', is_bool, 'True or False'),
    ('pairs', lambda v: v in (NEXT_SENTENCE, SENTENCE_ORDER, None),
     f"'{NEXT_SENTENCE}', '{SENTENCE_ORDER}' or None"),
    ('short_seq_probability', lambda v: is_number(v) and 0 <= v <= 1, 'from 0 to 1, such as 0.1'),
    ('per_chunk', is_bool, 'True or False'),
    ('data_seed', lambda v: is_count(v, 0) and v < 2**63, 'a whole number from 0'),
)  # fmt: skip
