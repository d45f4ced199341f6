"""Reading a JSON configuration that a test writes."""

from __future__ import annotations

import json

import pytest

from nlp_export.encoder_config import encoder_files
from nlp_export.errors import RequestError


@pytest.fixture
def read(tmp_path):
  """A function: dict -> what encoder_files.read makes of it, from a file x.json."""
  def read_(values):
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(values))
    return encoder_files.read(str(path))
  return read_


@pytest.fixture
def message(read):
  """A function: dict -> the message with which it is refused."""
  def message_(values):
    with pytest.raises(RequestError) as caught:
      read(values)
    return str(caught.value)
  return message_
