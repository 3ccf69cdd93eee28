"""Finding every problem of a campaign file before anything runs."""
