"""Print what Qlib's records make of the market of `tests/helpers/portfolio_market.py`, as JSON.

Run by the interpreter that has pyqlib, with ``PYTHONPATH=tests/helpers``; what it prints is
``tests/analysis/qlib_portfolio.json``.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import qlib
from qlib.contrib.workflow import SignalMseRecord
from qlib.utils.exceptions import LoadObjectError
from qlib.workflow.record_temp import HFSignalRecord, PortAnaRecord

from portfolio_market import CALENDAR, CONFIGS, NAMES, make_labels, make_market, make_predictions


class Kept:
    """As much of a recorder as a portfolio record asks for."""

    experiment_id = "0"

    def __init__(self, pred: pd.DataFrame) -> None:
        self.objects: dict[str, Any] = {"pred.pkl": pred, "label.pkl": make_labels()}
        self.metrics: dict[str, float] = {}

    def load_object(self, name: str) -> Any:
        """Return what was saved."""
        if name not in self.objects:
            raise LoadObjectError(name)
        return self.objects[name]

    def list_artifacts(self, artifact_path: str | None = None) -> list[str]:
        """Return the names of a folder."""
        return [name for name in self.objects if name.rpartition("/")[0] == (artifact_path or "")]

    def save_objects(self, artifact_path: str | None = None, **objects: Any) -> None:
        """Keep them."""
        self.objects.update({f"{artifact_path}/{name}" if artifact_path else name: objects[name] for name in objects})

    def log_metrics(self, **metrics: float) -> None:
        """Keep them."""
        self.metrics.update(metrics)


def write_folder(folder: Path, fields: dict[str, np.ndarray], names: list[str], days: list[str]) -> None:
    """Write the market as a Qlib provider folder."""
    (folder / "calendars").mkdir()
    (folder / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    (folder / "instruments").mkdir()
    lines = [f"{name}\t{days[0]}\t{days[-1]}\n" for name in names]
    (folder / "instruments" / "all.txt").write_text("".join(lines))
    for column, name in enumerate(names):
        place = folder / "features" / name.lower()
        place.mkdir(parents=True)
        for field, values in fields.items():
            np.concatenate([[0], values[:, column]]).astype("<f4").tofile(place / f"{field}.day.bin")


def plain(values: Any) -> list[Any]:
    """Return the values as JSON has them."""
    return [None if math.isnan(value) else value for value in np.asarray(values, dtype=np.float64).ravel().tolist()]


def table(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of a frame."""
    return {str(name): plain(frame[name]) for name in frame.columns}


def main() -> None:
    """Run every configuration."""
    folder = Path(tempfile.mkdtemp())
    write_folder(folder, make_market(), NAMES, [f"{day:%Y-%m-%d}" for day in CALENDAR])
    qlib.init(provider_uri=str(folder), region="cn", kernels=1, logging_level=40)
    told: dict[str, Any] = {"qlib": qlib.__version__}
    for name, config in CONFIGS.items():
        kept = Kept(make_predictions())
        with contextlib.redirect_stdout(io.StringIO()):
            PortAnaRecord(kept, config).generate()
        made = {key.removeprefix("portfolio_analysis/"): value for key, value in kept.objects.items()}
        held = {
            f"{day:%Y-%m-%d}": {code: position.get_stock_amount(code) for code in position.get_stock_list()}
            for day, position in made["positions_normal_1day.pkl"].items()
        }
        told[name] = {
            "sessions": [f"{day:%Y-%m-%d}" for day in made["report_normal_1day.pkl"].index],
            "report": table(made["report_normal_1day.pkl"]),
            "indicators": table(made["indicators_normal_1day.pkl"]),
            "positions": held,
            "metrics": {key: float(value) for key, value in sorted(kept.metrics.items())},
        }
    kept = Kept(make_predictions())
    with contextlib.redirect_stdout(io.StringIO()):
        HFSignalRecord(kept).generate()
        SignalMseRecord(kept).generate()
    told["signal"] = {
        "metrics": {key: float(value) for key, value in sorted(kept.metrics.items())},
        "days": {
            name: plain(kept.objects[f"hg_sig_analysis/{name}"])
            for name in ("ic.pkl", "ric.pkl", "long_pre.pkl", "short_pre.pkl", "long_short_r.pkl", "long_avg_r.pkl")
        },
    }
    json.dump(told, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
