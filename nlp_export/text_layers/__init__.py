"""How does an export become a layer of somebody's Keras model?

    nlp_export.TextEncoder          for tf_keras (Keras 2, what TF-NLP and tensorflow_hub use)
    nlp_export.keras3.TextEncoder   for Keras 3 on TensorFlow (TF 2.20's tf.keras)

Both are thin: what they do with texts, tokens and variables is in exported_encoder.py.
"""
