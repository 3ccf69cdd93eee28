"""Import and examination of fields by period."""
