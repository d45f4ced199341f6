"""The contract between an experiment and run.py, used from plain Python."""

from __future__ import annotations

import gin
import pytest

from nlp_export.errors import RequestError
from nlp_export.experiment import Plan, experiment, experiments, open_values, require


def test_an_experiment_is_plain_python_too():
  @experiment
  def plain(seed: int = gin.REQUIRED) -> Plan:
    """Is it plain?"""
    return Plan([f'seed {seed}'], (), execute=None)

  assert plain(seed=3).lines == ['seed 3']
  found = experiments()['plain']
  assert (found.selector, found.summary) == ('experiments.plain', 'Is it plain?')
  assert not found.takes_out_dir


def test_a_conditional_parameter_has_to_exist():
  with pytest.raises(TypeError, match="has no parameter 'chekpoint' to be conditional"):
    @experiment(conditional=('chekpoint',))
    def wrong(checkpoint: str | None = None) -> Plan:
      """Q?"""


def test_require_lists_what_is_missing_at_once():
  require(checkpoint='x')
  require({'a': None, 'b': 0})  # 0 is a value.
  with pytest.raises(RequestError) as caught:
    require({'a': None, 'b': None}, {'c': 1, 'd': None}, checkpoint=None, rate=0.0, why='because')
  assert caught.value.message.splitlines() == [
      '2 values are still open (because). Add to the command, or bind in a gin file:',
      '  checkpoint=...', '  a=... or b=...']


def test_one_open_value_is_told_in_the_singular():
  assert open_values(['--set A=...']).message.startswith('1 value is still open. ')
