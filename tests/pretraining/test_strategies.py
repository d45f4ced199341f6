"""Runtimes: what gin/runtime/ sets, and what is said where the devices are not there."""

from __future__ import annotations

import gin
import pytest

from nlp_export.errors import RequestError
from nlp_export.pretraining import machine_peak, strategies
from tests.conftest import ROOT

FRAGMENTS = sorted(path.stem for path in (ROOT / 'gin/runtime').glob('*.gin'))


def test_there_is_a_fragment_for_each_runtime():
  assert FRAGMENTS == ['mirrored', 'multi_worker', 'one_device', 'tpu']


@pytest.mark.parametrize('name', FRAGMENTS)
def test_a_fragment_sets_the_runtime_and_the_length_of_loops(name):
  try:
    gin.add_config_file_search_path(str(ROOT))
    gin.parse_config_file(f'gin/runtime/{name}.gin')
    runtime = gin.query_parameter('RUNTIME/macro.value').scoped_configurable_fn()
    assert type(runtime).__name__ == name and callable(runtime.begin)
    assert gin.query_parameter('STEPS_PER_LOOP/macro.value') >= 100
  finally:
    gin.clear_config()


def test_one_device_says_what_it_is():
  begun = strategies.one_device().begin()
  found = begun.describe()
  assert (found['kind'], found['replicas'], found['workers']) == ('one_device', 1, 1)
  assert begun.is_chief and found['device'].startswith('device:')
  assert found['notes'] == []


@pytest.mark.parametrize('runtime, last_clause', [
    (strategies.one_device(device='GPU:7'), "one_device.device = 'CPU:0', or None for the best"),
    (strategies.mirrored(), 'write mirrored.logical_cpus = 2'),
    (strategies.mirrored(devices=('CPU:0', 'CPU:9')), "or None for the best"),
    (strategies.mirrored(logical_cpus=3), 'write mirrored.logical_cpus = None'),
    (strategies.multi_worker(), '"task": {"type": "worker", "index": 0}}\''),
    (strategies.tpu(topology='2by2'), "Write tpu.topology = '2x4', or None for any"),
])
def test_devices_that_are_not_there_are_told(runtime, last_clause, monkeypatch):
  monkeypatch.delenv('TF_CONFIG', raising=False)
  strategies.one_device().begin().describe()
  import tensorflow as tf

  tf.constant(1)  # TensorFlow has begun.
  with pytest.raises(RequestError) as error:
    runtime.begin()
  assert error.value.message.endswith(last_clause)


def test_an_unknown_communication_is_refused(monkeypatch):
  monkeypatch.setenv(
      'TF_CONFIG', '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}')
  with pytest.raises(RequestError, match="Write multi_worker.communication = 'auto'$"):
    strategies.multi_worker(communication='mpi').begin()


@pytest.mark.extra
def test_without_a_tpu_it_is_told_what_a_tpu_vm_needs():
  with pytest.raises(RequestError) as error:
    strategies.tpu().begin()
  assert "found no TPU at the address 'local'" in error.value.message
  assert error.value.message.endswith('without a TPU include gin/runtime/one_device.gin')


def test_another_topology_than_asked_for_is_refused(monkeypatch):
  from official.common import distribute_utils

  class Cores:
    num_replicas_in_sync = 8

  monkeypatch.setattr(distribute_utils, 'get_distribution_strategy', lambda *_, **__: Cores())
  for topology in ('2x2', '2x4', None):
    begun = strategies.tpu(topology=topology).begin()
    assert begun.kind == 'tpu' and not begun.narrow_integers
  with pytest.raises(RequestError, match=r'16 chips of 1 or 2 cores.* write tpu\.topology = None$'):
    strategies.tpu(topology='4x4').begin()


def test_the_peak_of_the_machine_is_a_rate_of_products():
  found = machine_peak.flops_per_second(size=128, seconds=0.02)
  assert 1e7 < found < 1e14
