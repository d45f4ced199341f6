"""How do fine-tuned exports become a submission to the GLUE server? `planning.plan` answers."""
