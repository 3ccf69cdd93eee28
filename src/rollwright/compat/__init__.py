"""What Qlib's users bring along."""
