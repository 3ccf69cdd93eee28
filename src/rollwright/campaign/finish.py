"""What is made of a campaign's predictions: files, numbers, an account, a report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.signal import SignalSummary, calc_ic, group_returns, summarise
from rollwright.backtest.costs import Costs
from rollwright.backtest.risk import risk_analysis
from rollwright.backtest.topk_dropout import backtest_topk
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.gather import Gathered, gather
from rollwright.campaign.plan import CampaignPlan
from rollwright.core.atomic import write_atomically
from rollwright.core.serial import codecs
from rollwright.expression.source import DataSource
from rollwright.record.recorder import Recorder

__all__ = ["CampaignResult", "finish", "universe_of"]

PRED_FILE: Final = "pred.parquet"
LABEL_FILE: Final = "label.parquet"
SUMMARY_FILE: Final = "summary.json"
REPORT_FILE: Final = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """What a campaign came to.

    Attributes
    ----------
    name : str
    windows, days, rows : int
        Windows walked, sessions and rows predicted.
    signal : SignalSummary
        IC and Rank IC of the collected prediction against the raw label.
    backtest : mapping of str to float
        Empty without a ``backtest`` section.
    files : mapping of str to Path
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    name: str
    windows: int
    days: int
    rows: int
    signal: SignalSummary
    backtest: Mapping[str, float]
    files: Mapping[str, Path]
    notes: tuple[str, ...]

    def headline(self) -> list[tuple[str, str]]:
        """Return the numbers that matter, as (name, text)."""
        signal = self.signal
        rows = [
            ("IC", f"{signal.ic:.4f} ± {signal.ic_error:.4f}"),
            ("ICIR", f"{signal.icir:.4f}"),
            ("Rank IC", f"{signal.rank_ic:.4f} ± {signal.rank_ic_error:.4f}"),
            ("Rank ICIR", f"{signal.rank_icir:.4f}"),
        ]
        percent = {"annualized return", "excess return", "max drawdown", "turnover per day"}
        rows += [(name, f"{value:.2%}" if name in percent else f"{value:.3f}") for name, value in self.backtest.items()]
        return rows

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON: the same numbers as the terminal and the report show."""
        return {
            "name": self.name,
            "windows": self.windows,
            "days": self.days,
            "rows": self.rows,
            "signal": {
                name: _number(getattr(self.signal, name))
                for name in ("ic", "ic_error", "icir", "rank_ic", "rank_ic_error", "rank_icir", "days")
            },
            "backtest": {name: _number(value) for name, value in self.backtest.items()},
            "files": {name: str(path) for name, path in self.files.items()},
            "notes": list(self.notes),
        }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def universe_of(config: CampaignConfig) -> str | None:
    """Return the name of the universe that the task's handler studies; None when it lists instruments or has none."""
    handler = config.task.dataset.kwargs.get("handler")
    kwargs = handler.get("kwargs", {}) if isinstance(handler, Mapping) else {}
    instruments = kwargs.get("instruments")
    return instruments if isinstance(instruments, str) else None
