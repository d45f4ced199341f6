"""Small text files, and processes that prepare them.

    python -m tests.pretraining.data.text_lab OUT VOCAB SHARDS SECONDS TEXT...
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_export import files, tokenizers
from nlp_export.corpora import english, text_files
from nlp_export.corpora.text_files import Document
from nlp_export.pretraining.data import preparing, shards

ROOT = Path(__file__).resolve().parents[3]


def as_text(documents: Sequence[Document]) -> str:
  """A sentence a line, blank lines between documents."""
  return '\n'.join('\n'.join((*document.sentences, '')) for document in documents)


def short_documents(count: int = 24) -> list[Document]:
  """The shortest of the embedded corpus."""
  return sorted(english.documents(), key=lambda document: len(str(document.sentences)))[:count]


def write_texts(directory: Path) -> tuple[str, ...]:
  """24 documents in three forms of file; their paths."""
  documents = short_documents()
  directory.mkdir(parents=True, exist_ok=True)
  (directory / 'a.txt').write_bytes(as_text(documents[:9]).encode())
  (directory / 'b.txt').write_bytes(
      b'\xef\xbb\xbf' + as_text(documents[9:15]).replace('\n', '\r\n').encode())
  (directory / 'c.gz').write_bytes(gzip.compress(as_text(documents[15:]).encode(), mtime=0))
  return text_files.expand([str(directory / '[ab].txt'), str(directory / 'c.gz')])


def prepare(
    out: str | Path, vocab: str, texts: Sequence[str], num_shards: int = 4,
    held_out_share: float = 0.1, **others: Any) -> Mapping[str, Any]:
  """`preparing.prepare` with an uncased vocabulary; says nothing."""
  asked = preparing.Preparation(
      tuple(texts), tokenizers.wordpiece(vocab, True), num_shards, held_out_share)
  return preparing.prepare(asked, str(out), **{'say': lambda line: None, **others})


def start(out: Path, vocab: str, texts: Sequence[str], seconds: float) -> subprocess.Popen:
  """A process that prepares 4 shards, with a pause of so long before each."""
  return subprocess.Popen(
      [sys.executable, '-m', 'tests.pretraining.data.text_lab', str(out), vocab, '4', str(seconds),
       *texts], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def made(out: Path | str) -> dict[str, str]:
  """Hashes of everything that is made, by relative path."""
  out = str(out)
  return {name: files.sha256(files.join(out, name)) for name in files.list_tree(out)}


def _main() -> None:
  out, vocab, num_shards, seconds, *texts = sys.argv[1:]
  write = shards.write

  def slow(path, corpus):
    time.sleep(float(seconds))
    write(path, corpus)

  shards.write = slow
  prepare(out, vocab, texts, int(num_shards), say=lambda line: print(os.getpid(), line, flush=True),
          poll_seconds=0.05)


if __name__ == '__main__':
  _main()
