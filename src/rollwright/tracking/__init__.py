"""Experiments, recorders and artifacts."""
