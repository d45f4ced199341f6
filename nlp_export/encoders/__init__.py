"""Which encoders can a gin file name, and which one does a run use? The face of this package.

Registered factories: one for each type of TF-NLP's EncoderConfig, @encoders.bert and so on, which
return an EncoderSpec; @encoders.from_file; and @encoders.any, whose network a builder of your own
makes. A lab's own factory may return an EncoderSpec or a built tf_keras network. `resolve` decides
between a factory and a configuration file. No TensorFlow here.
"""

from nlp_export.encoder_config.built_encoder import BuiltEncoder
from nlp_export.encoder_config.encoder_spec import EncoderSpec, differences, specs_agree
from nlp_export.encoders.built import any_encoder, from_file
from nlp_export.encoders.choosing import resolve
from nlp_export.encoders.full_attention import albert, bert, bert_v2, mobilebert, query_bert, reuse
from nlp_export.encoders.other_mixing import bigbird, fnet, funnel, kernel, sparse_mixer, xlnet

__all__ = [
    'BuiltEncoder',
    'EncoderSpec',
    'albert',
    'any_encoder',
    'bert',
    'bert_v2',
    'bigbird',
    'differences',
    'fnet',
    'from_file',
    'funnel',
    'kernel',
    'mobilebert',
    'query_bert',
    'resolve',
    'reuse',
    'sparse_mixer',
    'specs_agree',
    'xlnet',
]
