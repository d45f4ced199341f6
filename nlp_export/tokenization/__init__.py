"""How does text become ids inside a TensorFlow graph? `nlp_export.tokenizers` is the face."""
