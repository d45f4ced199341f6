"""How do tests get a small SentencePiece model?"""

from __future__ import annotations

import functools
import io

import sentencepiece

_WORDS = (
    'the cat sat on a mat and café naïve über straße Ωmega 中文 d ef abc xy hello world'.split())


@functools.cache
def sentencepiece_model(cased: bool = False, special: bool = True) -> bytes:
  """A serialized unigram model with ALBERT's special pieces; the same bytes for each call.

  Args:
    cased: whether it was trained on text with capitals and accents.
    special: False leaves out [CLS] and [SEP].
  """
  rows = [' '.join(_WORDS[(i * k) % len(_WORDS)] for k in range(1, 9)) for i in range(1, 60)]
  rows += [row.title() for row in rows] if cased else []
  written = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(rows), model_writer=written, vocab_size=90, model_type='unigram',
      pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece='<pad>', unk_piece='<unk>',
      control_symbols=['[CLS]', '[SEP]', '[MASK]'] if special else [], hard_vocab_limit=False,
      num_threads=1, minloglevel=2)
  return written.getvalue()
