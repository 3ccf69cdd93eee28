"""Field expressions: parsed, planned, and computed on panels."""
