"""Handlers, processors, loaders and datasets: what a model learns from."""
