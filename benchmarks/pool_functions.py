"""What the slots of `pool_sqlite.py` run."""

import time


def stamp(_definition):
    """Return when the body began, by the clock that all processes of a machine share."""
    return time.monotonic()
