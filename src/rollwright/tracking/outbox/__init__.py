"""The outbox: what was recorded while a tracking server did not answer, until the server has it."""
