"""From a signal to an account."""
