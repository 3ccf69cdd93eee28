"""Reading a campaign file: templates, inheritance, positions."""
