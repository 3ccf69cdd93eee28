"""Raw prices and what adjusts them: a factor, or the adjusted close beside the close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import DataError
from rollwright.market.ingest.options import ReadOptions

__all__ = ["adjust_prices"]

_PRICES: Final = ("open", "high", "low", "close", "vwap")
_ALIKE: Final = 1e-4


def adjust_prices(
    values: Mapping[str, NDArray[np.float32]], options: ReadOptions
) -> tuple[dict[str, NDArray[np.float32]], tuple[str, ...]]:
    """Return the fields as they are to be stored, and what was done or left undone about their adjustment.

    Where it is declared that prices are raw, prices are multiplied by the factor and volumes divided by it; the factor
    is the field of that name, or the adjusted close divided by the close.

    Raises
    ------
    DataError
        When it was asked for and nothing in the source tells how.
    """
    fields = dict(values)
    wanted = options.layout.adjust if options.adjust is None else options.adjust
    close, adjusted = fields.get("close"), fields.get("adjclose")
    if not wanted:
        return fields, _warn(close, adjusted, asked=options.adjust is not None)
    if "factor" in fields:
        factor, source = fields["factor"].astype(np.float64), "the factor"
    elif close is not None and adjusted is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = adjusted.astype(np.float64) / close.astype(np.float64)
        source = "Adj Close / Close"
        del fields["adjclose"]
    elif options.adjust:
        raise DataError(
            "nothing in the source adjusts its prices: there is neither a factor nor an Adj Close",
            hint="leave --adjust out, and prices are stored as given",
        )
    else:
        return fields, ("prices were stored as given: the source has nothing that adjusts them",)
    factor = np.where(np.isfinite(factor) & (factor > 0), factor, np.nan)
    for name in _PRICES:
        if name in fields:
            fields[name] = (fields[name] * factor).astype(np.float32)
    if "volume" in fields:
        fields["volume"] = (fields["volume"] / factor).astype(np.float32)
    fields["factor"] = factor.astype(np.float32)
    lost = int(np.isnan(factor).sum())
    note = f"prices were multiplied by {source}, and volumes divided by it"
    return fields, (f"{note}; {lost} rows have none, and no price then" if lost else note,)


def _warn(close: NDArray[np.float32] | None, adjusted: NDArray[np.float32] | None, *, asked: bool) -> tuple[str, ...]:
    if asked or close is None or adjusted is None:
        return ()
    known = np.isfinite(close) & np.isfinite(adjusted)
    differ = known & (np.abs(close - adjusted) > _ALIKE * np.abs(close))
    if not differ.any():
        return ()
    note = (
        f"Close and Adj Close differ in {int(differ.sum())} rows, so prices are raw, and were stored as given: "
        "`$close` is not adjusted. To adjust by Adj Close: --adjust, or --preset yahoo"
    )
    return (note,)
