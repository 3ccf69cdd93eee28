"""Import what Qlib's users already have."""
