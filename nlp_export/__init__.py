"""nlp_export: pre-trained Transformer encoders to TF Hub SavedModels that are proved equal to them."""

__version__ = '0.1.0'
