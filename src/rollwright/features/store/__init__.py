"""The feature store: computed columns in memory-mapped files."""
