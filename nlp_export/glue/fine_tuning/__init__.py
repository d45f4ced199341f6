"""Fine-tuning an encoder on a task: text to batches, batches to a trained head, to a score."""
