"""Is what lies on disk what was restored, and does it keep TF Hub's API? (no TensorFlow here)

`verify(jobs)` answers for any number of SavedModels, from a fresh process. `reference` writes what
the maker of an export knows; `registry.all_checks()` lists the checks.
"""

from nlp_export.saved_models.verification.job import (
    ClassifierExpectation,
    EncoderExpectation,
    Job,
    PreprocessingExpectation,
    TextEmbeddingExpectation,
)
from nlp_export.saved_models.verification.process import FreshProcess, verify
from nlp_export.saved_models.verification.report import CheckResult, VerificationReport, all_passed

__all__ = [
    'CheckResult',
    'ClassifierExpectation',
    'EncoderExpectation',
    'FreshProcess',
    'Job',
    'PreprocessingExpectation',
    'TextEmbeddingExpectation',
    'VerificationReport',
    'all_passed',
    'verify',
]
