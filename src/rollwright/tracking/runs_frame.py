"""The table of runs that a search returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

from rollwright.errors import RecordError
from rollwright.tracking.store import RunRecord, RunView

__all__ = ["build_runs_frame", "parse_run_view"]

_VIEWS: Final[dict[int, RunView]] = {1: "active", 2: "deleted", 3: "all"}  # MLflow's ViewType


def parse_run_view(run_view_type: int) -> RunView:
    """Return which runs MLflow's number of a view means.

    Raises
    ------
    RecordError
        For any other number.
    """
    if run_view_type not in _VIEWS:
        raise RecordError(f"run_view_type {run_view_type} is none of 1 (active), 2 (deleted), 3 (all)")
    return _VIEWS[run_view_type]


def build_runs_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """Return one row for each run: what it is, then ``params.*``, ``metrics.*`` and ``tags.*``, sorted by name."""
    fixed = {
        "run_id": pd.Series([run.id for run in runs], dtype="str"),
        "run_name": pd.Series([run.name for run in runs], dtype="str"),
        "experiment_id": pd.Series([run.experiment_id for run in runs], dtype="str"),
        "status": pd.Series([run.status for run in runs], dtype="str"),
        "start_time": pd.Series([run.start for run in runs], dtype="datetime64[ms, UTC]"),
        "end_time": pd.Series([run.end for run in runs], dtype="datetime64[ms, UTC]"),
    }
    for head, dtype in (("params", "str"), ("metrics", "float64"), ("tags", "str")):
        keys = sorted({key for run in runs for key in getattr(run, head)})
        for key in keys:
            fixed[f"{head}.{key}"] = pd.Series([getattr(run, head).get(key) for run in runs], dtype=dtype)
    return pd.DataFrame(fixed)
