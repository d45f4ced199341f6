"""How does a matrix of fine-tunings go from exports to a report? `planning.plan` answers."""
