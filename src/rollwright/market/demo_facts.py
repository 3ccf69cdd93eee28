"""What a synthetic market says of itself: told wherever its numbers are, by who has no need to make one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rollwright.core.bounded_read import SMALL, read_text
from rollwright.errors import CorruptFileError
from rollwright.market.folder.manifest import DEMO_NAME

__all__ = ["read_demo"]


def read_demo(root: Path) -> dict[str, Any] | None:
    """Return what was planted in a synthetic market, and what came out; None for any other folder.

    Raises
    ------
    CorruptFileError
        When ``demo.json`` is not what `make_demo_market` wrote.
    """
    path = root / DEMO_NAME
    if not path.is_file():
        return None
    try:
        facts = json.loads(read_text(path, limit=SMALL))
        return {**facts, "planted_ic": float(facts["planted_ic"]), "realised_ic": float(facts["realised_ic"])}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(path, f"it does not state a synthetic market: {error}") from error
