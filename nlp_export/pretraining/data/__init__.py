"""Text to training batches: every batch a function of (seed, step), whatever machine makes it."""
