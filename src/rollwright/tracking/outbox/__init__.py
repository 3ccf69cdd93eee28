"""What was recorded while the tracking server did not answer, kept on this disk until the server has it."""
