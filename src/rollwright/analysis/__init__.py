"""Analysis of signals: metrics, record templates and the report."""
