"""Settings, the current context, and the objects a configuration names."""
