"""Every checkpoint format to canonical items, restored strictly: the one place that restores.

    checkpoint = open_checkpoint('bert/ckpt-1000')
    report = restore(checkpoint, {'encoder': encoder, 'masked_lm': masked_lm})

Importing this costs no TensorFlow; opening and restoring do.
"""

from nlp_export.checkpoints.checkpoint import Checkpoint
from nlp_export.checkpoints.formats import (
    HUGGING_FACE,
    ORBAX,
    TF1,
    TF2,
    FoundCheckpoint,
    find_checkpoint,
    open_checkpoint,
)
from nlp_export.checkpoints.packaged import from_package
from nlp_export.checkpoints.report import RestoreReport
from nlp_export.checkpoints.restore import ENCODER_POOLER, RestoreError, compare, restore

__all__ = [
    'ENCODER_POOLER',
    'HUGGING_FACE',
    'ORBAX',
    'TF1',
    'TF2',
    'Checkpoint',
    'FoundCheckpoint',
    'RestoreError',
    'RestoreReport',
    'compare',
    'find_checkpoint',
    'from_package',
    'open_checkpoint',
    'restore',
]
