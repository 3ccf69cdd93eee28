"""Executing tasks: one, many, or those of a pool."""
