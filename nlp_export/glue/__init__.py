"""GLUE: its tasks, their data and metrics, fine-tuning on them, statistics, the submission."""
