"""corpora/english.py: the text behind help() as documents that do not repeat each other."""

from __future__ import annotations

import re
import sys

import pytest

from nlp_export.corpora import english, text_files
from nlp_export.corpora.text_files import Run
from nlp_export.errors import RequestError


def keys(sentences):
  return [' '.join(re.findall(r'\w+', sentence.lower())) for sentence in sentences]


@pytest.mark.parametrize('prose_only', [True, False])
def test_no_sentence_is_there_twice(prose_only):
  found = keys(s for d in english.documents(prose_only) for s in d.sentences)
  assert len(found) == len(set(found)) > 2000
  assert all(found)


def test_the_topics_themselves_repeat_each_other():  # Control of the test above.
  from pydoc_data import topics

  found = [' '.join(paragraph.split()) for text in topics.topics.values()
           for paragraph in re.split(r'\n\s*\n', text)]
  assert len(set(found)) < 0.9 * len(found)


def test_it_is_english_in_documents():
  found = english.documents()
  assert len(found) > 60 and all(len(document.sentences) >= 2 for document in found)
  assert len({document.source for document in found}) == len(found)
  text = english.as_text()
  assert 200_000 < len(text) < 400_000
  assert sum(c.isalpha() or c == ' ' for c in text) > 0.85 * len(text)
  assert '::=' not in text and '::=' in english.as_text(prose_only=False)


def test_its_text_is_what_a_file_of_it_would_be(tmp_path):
  path = tmp_path / 'english.txt'
  path.write_text(english.as_text(), encoding='utf-8')
  assert [d.sentences for d in text_files.read(str(path))] == [
      d.sentences for d in english.documents()]
  import hashlib

  assert english.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
  assert english.sha256() != english.sha256(prose_only=False)


def test_documents_are_found_by_their_places():
  whole = list(english.read_runs())
  assert [document for _, document in whole] == list(english.documents())
  assert list(english.read_runs([Run(3, 1, 2), whole[9][0]])) == [*whole[3:5], whole[9]]


def test_a_python_without_it_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'pydoc_data', None)
  with pytest.raises(RequestError, match=r"--set TEXT_FILES='text/\*.txt'$"):
    english._topics()
