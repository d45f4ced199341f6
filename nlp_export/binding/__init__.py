"""How are gin files read, and what of them had no effect? `nlp_export.config` is the face."""
