"""The durable task pool and its workers."""
