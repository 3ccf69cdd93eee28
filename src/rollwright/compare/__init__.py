"""Batch comparison of models, each in an environment of its own."""
