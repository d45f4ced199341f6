"""What describes an encoder, and how is it built? `nlp_export.encoders` is the face."""
