"""What does Keras 3 get? `TextEncoder`; importing this imports Keras and TensorFlow."""

from __future__ import annotations

from nlp_export.text_layers.keras3_layer import TextEncoder

__all__ = ['TextEncoder']
