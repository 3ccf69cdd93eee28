"""Tables of dated rules: which value held for a board on a session."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import ConfigError

__all__ = ["Market", "RuleKind", "RuleRow", "RuleTable"]

Market: TypeAlias = Literal["cn", "us", "none"]
RuleKind: TypeAlias = Literal[
    "price_limit",
    "special_limit",
    "free_sessions",
    "tick",
    "sale_duty",
    "purchase_duty",
    "transfer_fee",
    "lot",
    "least_order",
    "shares_next_day",
    "cash_next_day",
]
"""What a row says; `RuleTable` tells what each means."""

_FILES: Final[Mapping[str, str | None]] = {"cn": "china.toml", "us": "united_states.toml", "none": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule: it holds on `boards` from `since` on, until a later row of its kind and board.

    Attributes
    ----------
    kind : RuleKind
    boards : tuple of str
    value : float
        A share of the price or of the traded value, shares, sessions, or 0 and 1 for no and yes.
    since : date
        The first session.
    source : str
        Where it is written.
    status : str
        ``verified`` where the source, or a record of it, was read; ``unverified`` where only memory supports it.
    """

    kind: RuleKind
    boards: tuple[str, ...]
    value: float
    since: date
    source: str
    status: str

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> RuleRow:
        """Read one row of a file.

        Raises
        ------
        ConfigError
            For a kind that there is not, and for a row without source.
        """
        if row.get("kind") not in get_args(RuleKind):
            raise ConfigError(f"{row.get('kind')!r} is no kind of rule", hint=f"known: {', '.join(get_args(RuleKind))}")
        if not row.get("source"):
            raise ConfigError(f"a rule of the kind {row['kind']} since {row.get('since')} names no source")
        return cls(**{**row, "boards": tuple(row["boards"]), "value": float(row["value"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTable:
    """The rules of one market.

    ``price_limit`` and ``special_limit`` are the greatest daily change, of a share and of one under special treatment;
    ``free_sessions`` how many sessions after its listing a share has no limit (by the date of its listing); ``tick``
    the step of prices. ``sale_duty``, ``purchase_duty`` and ``transfer_fee`` (on both sides) are shares of the traded
    value, charged beside the commission. ``lot`` counts the shares of a lot, ``least_order`` those of the smallest
    order. ``shares_next_day`` and ``cash_next_day`` say whether what was bought may be sold, and what a sale brought
    may be spent, on the next session only. What has no row is none.

    Attributes
    ----------
    market : {"cn", "us", "none"}
    rows : tuple of RuleRow
    """

    market: Market
    rows: tuple[RuleRow, ...] = field(repr=False)

    @classmethod
    def for_market(cls, market: str) -> RuleTable:
        """Return the table that comes with the package.

        Raises
        ------
        ConfigError
            For an unknown market.
        """
        if market not in _FILES:
            raise ConfigError(f"no rules of a market {market!r}", hint=f"known: {', '.join(_FILES)}")
        return _read_table(market)

    def values(self, kind: RuleKind, board: str, sessions: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Return the value that held on each session; NaN before the first row, and where there is none."""
        rows = sorted((row.since, row.value) for row in self.rows if row.kind == kind and board in row.boards)
        starts = np.array([since for since, _ in rows], dtype="datetime64[D]")
        known = np.array([np.nan, *(value for _, value in rows)], dtype=np.float64)
        return np.asarray(known[np.searchsorted(starts, sessions.astype("datetime64[D]"), side="right")])


@cache
def _read_table(market: Market) -> RuleTable:
    name = _FILES[market]
    if name is None:
        return RuleTable(market=market, rows=())
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return RuleTable(market=market, rows=tuple(RuleRow.from_mapping(row) for row in tomllib.loads(text)["rule"]))
