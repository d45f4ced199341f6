"""Measurements beside the reference; results in README.md."""
