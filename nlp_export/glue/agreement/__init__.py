"""Do two arms compute the same before training begins?

    texts, labels = choose(examples)
    agreement = compare(export, baseline, texts, labels, examples.task, recipe)
    agreement.passed, agreement.first_difference, agreement.lines()

`agreement.Agreement` is light; `compare` imports TensorFlow when it is called.
"""

from __future__ import annotations

from nlp_export.glue.agreement.comparing import choose, compare
from nlp_export.glue.agreement.result import TOLERANCE, Agreement, Row

__all__ = ['TOLERANCE', 'Agreement', 'Row', 'choose', 'compare']
