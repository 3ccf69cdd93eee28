"""The operators of field expressions."""
