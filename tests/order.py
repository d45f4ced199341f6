"""In which order do files of tests begin, so that no worker is alone with a long one at the end?

A file stays with one worker (`--dist loadfile`). By itself pytest-xdist begins with the files that
have the most tests, and so ends with those whose few tests take minutes.
"""

from __future__ import annotations

from collections import Counter

import pytest

# The longest on two cores: over half a minute each. To find them: PYTEST_ARGS=--durations=40
_LONGEST = (
    'test_pretrain_kills.py', 'glue/test_study_kills.py', 'forms/test_minilm_forms.py',
    'test_tutorial.py', 'test_benchmark_pretraining.py', 'test_benchmark_fine_tuning.py',
    'test_export.py', 'test_interrupted.py', 'test_pretrain.py', 'documents/test_document_003.py',
    'continuing/test_continue_mlm.py', 'forms/test_forms.py', 'tuning/test_finetune.py',
    'test_pretrain_then_export.py', 'saved_models/test_safety.py', 'pretraining/test_replicas.py',
    'test_glue_check.py', 'glue/test_builtin_learnable.py', 'embedding/test_real_weights.py',
    'test_quickstart.py', 'documents/test_document_001.py', 'documents/test_document_002.py',
    'text_layers/test_training.py', 'pretraining/saving/test_kills.py', 'test_own_package.py',
    'tokenization/test_wordpiece_options.py', 'test_bad_inputs.py', 'publishing/test_clients.py')
_RANK = {f'tests/{name}': rank for rank, name in enumerate(_LONGEST)}


@pytest.hookimpl(trylast=True)  # After those that a mark leaves out are gone.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """The longest first, then those with the most tests; within a file the order stays."""
  counts = Counter(_file(item) for item in items)
  items.sort(key=lambda item: (_RANK.get(_file(item), len(_RANK)), -counts[_file(item)],
                               _file(item)))


def _file(item: pytest.Item) -> str:
  return item.nodeid.partition('::')[0]
