"""Pre-trained text encoders as TF Hub SavedModels that are proved equal to what was trained.

    nlp_export.TextEncoder          a tf_keras layer over exports; imported when first asked for
    nlp_export.keras3.TextEncoder   the same for Keras 3
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = '0.1.0'

# Public names that need TensorFlow; importing the package does not.
_LAZY = {'TextEncoder': ('nlp_export.text_layers.tf_keras_layer', 'TextEncoder'),
         'keras3': ('nlp_export.keras3', '')}


def __getattr__(name: str) -> Any:
  if name not in _LAZY:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module_name, attribute = _LAZY[name]
  module = importlib.import_module(module_name)
  return getattr(module, attribute) if attribute else module
