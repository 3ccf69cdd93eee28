"""Compare every processor with Qlib's on random frames holding NaN, infinities, ties and constant columns.

python benchmarks/parity/processors_parity.py --peer-python PATH [--details]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from market import FrameDifference, ask_peer_frames, compare_frames, report_frames, rough_source, write_with_universe
from rollwright.dataset import processors

FIT: Final = {"fit_start_time": "2021-01-08", "fit_end_time": "2021-02-19"}
COLUMNS: Final = ("feature/A", "feature/B", "feature/TIES", "feature/FLAT", "label/LABEL0")
PROCESSORS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("DropnaProcessor", {}),
    ("DropnaProcessor", {"fields_group": "feature"}),
    ("DropnaLabel", {}),
    ("DropCol", {"col_list": ["B", "LABEL0"]}),
    ("FilterCol", {"fields_group": "feature", "col_list": ["A", "FLAT"]}),
    ("TanhProcess", {}),
    ("ProcessInf", {}),
    ("Fillna", {}),
    ("Fillna", {"fields_group": "feature", "fill_value": -2.5}),
    ("MinMaxNorm", FIT),
    ("MinMaxNorm", {**FIT, "fields_group": "feature"}),
    ("ZScoreNorm", FIT),
    ("ZScoreNorm", {**FIT, "fields_group": "feature"}),
    ("RobustZScoreNorm", FIT),
    ("RobustZScoreNorm", {**FIT, "fields_group": "feature", "clip_outlier": False}),
    ("CSZScoreNorm", {}),
    ("CSZScoreNorm", {"fields_group": "label"}),
    ("CSZScoreNorm", {"fields_group": ["feature", "label"]}),
    ("CSZScoreNorm", {"fields_group": "feature", "method": "robust"}),
    ("CSRankNorm", {}),
    ("CSRankNorm", {"fields_group": "label"}),
    ("CSZFillna", {}),
    ("CSZFillna", {"fields_group": "feature"}),
)


def random_frame(rng: np.random.Generator, *, sessions: int, instruments: int, infinite: float) -> pd.DataFrame:
    """Return a float32 frame with two groups; rows are missing, and the second session has one row alone."""
    days = pd.bdate_range("2021-01-04", periods=sessions, unit="s")
    index = pd.MultiIndex.from_product([days, [f"SH{600000 + i}" for i in range(instruments)]])
    index = index.set_names(["datetime", "instrument"])
    second = index.get_level_values(0) == days[1]
    keep = (rng.random(len(index)) > 0.1) & ~(second & (index.get_level_values(1) != "SH600000"))
    index = index[keep]
    values = rng.normal(1, 2, (len(index), len(COLUMNS))).astype(np.float32)
    values[:, 2] = rng.integers(0, 4, len(index))
    values[:, 3] = 0.25
    values[rng.random(values.shape) < 0.08] = np.nan
    values[rng.random(values.shape) < infinite] = np.inf
    values[rng.random(values.shape) < infinite] = -np.inf
    values[index.get_level_values(0) == days[3], 0] = np.nan  # a session of which nothing is known
    return pd.DataFrame(values, index=index, columns=list(COLUMNS))


def grouped(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its groups as a level of the columns."""
    columns = pd.MultiIndex.from_tuples([tuple(str(name).split("/")) for name in frame.columns])
    return frame.set_axis(columns, axis=1)


def our_frame(frame: pd.DataFrame, name: str, kwargs: dict[str, Any]) -> pd.DataFrame:
    """Return what our processor makes of a frame."""
    processor = getattr(processors, name)(**kwargs)
    processor.fit(grouped(frame))
    return processor(grouped(frame))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--instruments", type=int, default=15)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--details", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    size = {"sessions": options.sessions, "instruments": options.instruments}
    frames = {
        "finite": random_frame(rng, **size, infinite=0.0),
        "with infinities": random_frame(rng, **size, infinite=0.01),
    }
    found: list[FrameDifference] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "market"
        write_with_universe(rough_source(instruments=3, sessions=40, seed=1), folder)  # the peer wants some market
        for kind, frame in frames.items():
            path = Path(scratch) / f"{kind}.parquet"
            frame.reset_index().to_parquet(path)
            cases = [
                {"name": name, "kind": "processor", "class": name, "kwargs": kwargs, "frame": str(path)}
                for name, kwargs in PROCESSORS
            ]
            for case, (error, peers) in zip(cases, ask_peer_frames(options.peer_python, folder, cases), strict=True):
                what = f"{case['name']} {case['kwargs'] or ''} on a frame {kind}"
                if error is not None:
                    print(f"the peer cannot compute {what}: {error}")
                    continue
                ours = our_frame(frame, case["class"], case["kwargs"])
                tolerance = np.full(ours.shape[1], 2e-6)
                widened = case["class"] == "CSRankNorm"
                found.append(
                    compare_frames(what, ours, *peers[0], absolute=tolerance, relative=tolerance * 2, widened=widened)
                )
    return report_frames(found, details=options.details)


if __name__ == "__main__":
    raise SystemExit(main())
