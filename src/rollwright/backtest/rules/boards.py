"""Which board a Chinese share is listed on, by its code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rollwright.errors import ConfigError

__all__ = ["BOARDS", "find_boards"]

BOARDS: Final = ("main", "chinext", "star", "beijing")
"""Main boards of Shanghai and Shenzhen, ChiNext, STAR, and Beijing."""

_SHOWN: Final = 3
_SIX: Final = re.compile(r"(?<!\d)(\d{6})(?!\d)")
_PREFIXES: Final = (
    ("star", ("688", "689")),
    ("chinext", ("300", "301", "302")),
    ("beijing", ("43", "82", "83", "87", "88", "920")),
    ("main", ("600", "601", "603", "605", "000", "001", "002", "003")),
)
_INDICES: Final = re.compile(r"sh[._]?000\d{3}$|000\d{3}[._](?:sh|ss|xshg)$")


def find_boards(codes: Sequence[str]) -> tuple[str, ...]:
    """Return the board of each code: ``SH600000``, ``sz.300750``, ``688981.SH``, ``830799``.

    The six digits decide; what stands around them only tells indices of Shanghai (``SH000300``) from shares of
    Shenzhen.

    Raises
    ------
    ConfigError
        For codes that are no A shares: indices, funds, bonds, B shares, and those of other markets.
    """
    found = [_find_board(code) for code in codes]
    unknown = [code for code, board in zip(codes, found, strict=True) if board is None]
    if unknown:
        shown = ", ".join(unknown[:_SHOWN]) + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else "")
        raise ConfigError(
            f"rules of `cn`: {shown}: no code of an A share, so its board is not known",
            hint="leave them out of the predictions, or leave `rules` out: the terms of the region hold for all alike",
        )
    return tuple(board for board in found if board is not None)


def _find_board(code: str) -> str | None:
    six = _SIX.search(code)
    if six is None or _INDICES.search(code.lower()):
        return None
    digits = six.group(1)
    return next((board for board, prefixes in _PREFIXES if digits.startswith(prefixes)), None)
