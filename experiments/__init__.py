"""One file per question that a run can answer, each with one gin root."""
