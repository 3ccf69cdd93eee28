"""What everything stands on: the ambient context, settings, identities, construction, codecs, time."""
