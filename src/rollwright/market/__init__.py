"""Market data: Qlib's provider layout, imports, features, handlers and datasets."""
