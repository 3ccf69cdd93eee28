"""How large the crash tests are: whole, or in the small form that CI runs within ten minutes."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["REQUIRED", "SMALL", "sized"]

SMALL: Final = os.environ.get("ROLLWRIGHT_TEST_CRASH") == "small"  # read once: tests run in an empty environment
REQUIRED: Final = bool(os.environ.get("ROLLWRIGHT_TEST_REQUIRE_SERVERS"))
"""Whether a server that is not there is an error and not a skip."""


def sized(whole: int, small: int) -> int:
    """Return the number for this run."""
    return small if SMALL else whole
