"""What of the stages the report shows of one signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from rollwright.analysis.order_counts import OrderCounts, count_orders
from rollwright.analysis.report import VariantReport, WindowRow
from rollwright.analysis.stages.locations import STAGES, StageName
from rollwright.analysis.stages.table import StageResult

__all__ = ["SHOWN_TABLES", "show_variant"]

SHOWN_TABLES: Final[Mapping[StageName, tuple[str, ...]]] = {
    "collect": ("windows", "missing_rows"),
    "analyze": ("ic", "groups"),
    "backtest": ("account", "trades", "unfilled"),
}
"""The tables that `show_variant` takes."""


def show_variant(name: str, stages: Mapping[StageName, StageResult], *, is_signal: bool = False) -> VariantReport:
    """Return what the report shows of one signal; nothing is computed but counts of rows.

    Parameters
    ----------
    name : str
    stages : mapping of StageName to StageResult
        Those that were made, each with its tables `SHOWN_TABLES`.
    is_signal : bool
        Whether it is made of others.
    """
    collected, analyzed, traded = (stages.get(stage, StageResult(stage=stage)) for stage in STAGES)
    counts = {one.key: int(one.value) for one in collected.metrics}
    daily = analyzed.frame("ic")
    missing = collected.frame("missing_rows")
    return VariantReport(
        name=name,
        metrics=(*analyzed.metrics, *traded.metrics),
        days=counts.get("days"),
        windows=_list_windows(collected.frame("windows")),
        ic=None if daily is None else daily[["ic", "rank_ic"]].rename(columns={"rank_ic": "ric"}),
        groups=analyzed.frame("groups"),
        backtest=traded.frame("account"),
        orders=_count(traded),
        coverage={} if missing is None else dict(zip(missing["cause"], missing["rows"].tolist(), strict=True)),
        expected_rows=counts.get("expected_rows"),
        predicted_rows=counts.get("predicted_rows"),
        is_signal=is_signal,
    )


def _count(traded: StageResult) -> OrderCounts | None:
    trades, unfilled = traded.frame("trades"), traded.frame("unfilled")
    return None if trades is None or unfilled is None else count_orders(trades, unfilled)


def _list_windows(table: pd.DataFrame | None) -> list[WindowRow]:
    if table is None:
        return []
    roles = [str(name).removesuffix("_start") for name in table.columns if str(name).endswith("_start")]
    return [
        WindowRow(
            name=row["window"],
            segments={
                role: (row[f"{role}_start"], row[f"{role}_end"]) for role in roles if not pd.isna(row[f"{role}_start"])
            },
            rows=row["rows"],
            ic=row["ic"],
            rank_ic=row["rank_ic"],
            best_iteration=None if pd.isna(row["best_iteration"]) else int(row["best_iteration"]),
            seconds=None if pd.isna(row["seconds"]) else row["seconds"],
            recorder=row["recorder"],
        )
        for row in table.to_dict("records")
    ]
