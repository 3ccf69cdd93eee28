"""Keys, signatures, and the one module that unpickles."""
