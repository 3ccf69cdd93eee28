"""Market data in Qlib's folder layout."""
