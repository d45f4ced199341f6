"""Pre-training an encoder: its data, the model with its heads, the loop, what is saved."""
