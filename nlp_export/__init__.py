"""Pre-trained text encoders as TF Hub SavedModels that are proved equal to what was trained."""

__version__ = '0.1.0'
