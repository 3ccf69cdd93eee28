"""What a signal is worth: metrics, records and the report."""
