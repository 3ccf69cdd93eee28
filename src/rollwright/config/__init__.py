"""Settings, the ambient context, and the objects a configuration names."""
