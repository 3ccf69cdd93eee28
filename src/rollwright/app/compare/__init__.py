"""Comparisons of models: making them, and what is read of them afterwards."""
