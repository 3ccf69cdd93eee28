"""Small files that would fill the memory: how far a file may unfold when it is read."""

from __future__ import annotations

from typing import Final

__all__ = ["unfolds_too_far"]

_ALWAYS: Final = 128 << 20
_RATIO: Final = 3000  # a frame of nothing but zeros reaches 2750, one of scores less than 60


def unfolds_too_far(*, rows: int, columns: int, size: int) -> bool:
    """Tell whether a table of `rows` and `columns` is no honest content of a file of `size` bytes.

    Eight bytes are counted for each value; 128 MiB of them are always fine.
    """
    values = 8 * rows * max(columns, 1)
    return values > _ALWAYS and values > _RATIO * size
