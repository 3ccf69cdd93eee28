"""Objects as files: one codec for each kind."""
