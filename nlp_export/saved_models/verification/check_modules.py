"""In which order do the checks run? In the order of these imports, which register them."""

from nlp_export.saved_models.verification import file_checks  # noqa: I001
from nlp_export.saved_models.verification import resave_checks
from nlp_export.saved_models.verification import encoder_call_checks
from nlp_export.saved_models.verification import encoder_value_checks
from nlp_export.saved_models.verification import encoder_variable_checks
from nlp_export.saved_models.verification import encoder_attribute_checks
from nlp_export.saved_models.verification import mlm_checks
from nlp_export.saved_models.verification import tokenizer_checks
from nlp_export.saved_models.verification import token_offset_checks
from nlp_export.saved_models.verification import packing_checks
from nlp_export.saved_models.verification import pipeline_checks
from nlp_export.saved_models.verification import pair_checks
from nlp_export.saved_models.verification import text_call_checks
from nlp_export.saved_models.verification import text_training_checks
from nlp_export.saved_models.verification import classifier_checks

MODULES = (
    file_checks, resave_checks, encoder_call_checks, encoder_value_checks,
    encoder_variable_checks, encoder_attribute_checks, mlm_checks, tokenizer_checks,
    token_offset_checks, packing_checks, pipeline_checks, pair_checks, text_call_checks,
    text_training_checks, classifier_checks,
)
