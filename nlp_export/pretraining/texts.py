"""Which text is a model pre-trained on, and which is kept out of training to measure it?

The gin part `pretraining.text`. Light: files are found and what can be refused is refused before
any text is read; `data/loading.py` reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from nlp_export import field_rules, files
from nlp_export.corpora import text_files
from nlp_export.errors import RequestError
from nlp_export.field_rules import is_count

EMBEDDED, FILES, PREPARED, RECORDS = 'embedded', 'files', 'prepared', 'records'

_MACROS = {'files': 'TEXT_FILES', 'prepared': 'PREPARED_DATA', 'records': 'TFNLP_RECORDS'}


@gin.register('text', module='pretraining')
@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
  """One of three kinds of files; none of them for the embedded corpus.

  Attributes:
    files: TEXT_FILES: paths and patterns of text, one sentence a line, a blank line between
      documents. Read into memory.
    prepared: PREPARED_DATA: the directory shards/ that prepare_pretraining_data.gin made.
    records: TFNLP_RECORDS: TFRecord files of TF-NLP's create_pretraining_data.py. Its masks are
      undone and drawn anew at each pass; its pairs stay.
    held_out_records: HELD_OUT_RECORDS: such files of other text. A share of `records` would not
      do: with a dupe_factor the same text is in many of them.
    held_out_share: HELD_OUT_SHARE of the tokens, whole documents, for the embedded corpus and
      text files; prepared text is divided already.
    held_out_tokens: of the held-out text at most about so many are used, whole documents.
    held_out_passes: over it in an evaluation, each with other pairs and masks.
  """

  files: str | Sequence[str] | None = None
  prepared: str | None = None
  records: str | Sequence[str] | None = None
  held_out_records: str | Sequence[str] | None = None
  held_out_share: float = 0.1
  held_out_tokens: int = 200_000
  held_out_passes: int = 1

  def __post_init__(self) -> None:
    given = [macro for name, macro in _MACROS.items() if getattr(self, name) is not None]
    if len(given) > 1:
      raise RequestError(
          f'{" and ".join(given)} are given, but a model is trained on one text. Leave all but one '
          'of them out; without any it is the embedded corpus')
    if (self.records is None) != (self.held_out_records is None):
      missing = 'HELD_OUT_RECORDS' if self.held_out_records is None else 'TFNLP_RECORDS'
      raise RequestError(
          f'{missing} is missing: records of TF-NLP hold the same text many times over, so what a '
          'model is measured on has to be files of other text. Write for example '
          f"--set TFNLP_RECORDS='train*.tfrecord' --set HELD_OUT_RECORDS='dev*.tfrecord'")
    field_rules.check(self, _RULES, 'text.')

  @property
  def kind(self) -> str:
    """EMBEDDED, FILES, PREPARED or RECORDS."""
    if self.files is not None:
      return FILES
    if self.prepared is not None:
      return PREPARED
    return EMBEDDED if self.records is None else RECORDS

  def paths(self) -> tuple[str, ...]:
    """Every file that is read, for hashing and for the plan.

    Raises:
      RequestError: a pattern matches nothing.
    """
    if self.files is not None:
      return text_files.expand(self.files)
    if self.prepared is not None:
      return (self.prepared,)
    if self.records is not None and self.held_out_records is not None:
      return (*text_files.expand(self.records), *text_files.expand(self.held_out_records))
    return ()

  def check(self, tokenizer: Any) -> Mapping[str, Any] | None:
    """What a look at the files without reading them tells; the index of prepared text.

    Raises:
      RequestError: it is incomplete, or another tokenizer's.
    """
    if self.prepared is None:
      return None
    from nlp_export.pretraining.data import shards

    return shards.check_prepared(self.prepared, tokenizer)

  def line(self) -> str:
    """For a plan."""
    paths = self.paths()
    if self.kind == EMBEDDED:
      return f'train on the embedded corpus, {self.held_out_share:.0%} of it held out'
    if self.kind == FILES:
      size = sum(map(files.size, paths))
      return (f'train on {len(paths)} text files, {size} bytes, {self.held_out_share:.0%} of them '
              'held out')
    if self.kind == PREPARED:
      return f'train on the prepared text in {self.prepared}'
    return f'train on records of TF-NLP in {len(paths)} files'


_RULES: field_rules.Rules = (
    ('held_out_share', lambda v: isinstance(v, int | float) and 0 < v <= 0.5,
     'above 0 and at most 0.5. Write --set HELD_OUT_SHARE=0.1'),
    ('held_out_tokens', is_count, 'a number of tokens such as 200000'),
    ('held_out_passes', is_count, 'a whole number from 1'),
)  # fmt: skip
