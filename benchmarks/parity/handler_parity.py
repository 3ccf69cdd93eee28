"""Compare the frames of handlers, datasets and `D.features` with Qlib's, cell by cell.

python benchmarks/parity/handler_parity.py --peer-python PATH [--market demo|rough|real --prices FILE] [--details]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from expression_alpha158 import rule
from expression_market import market_of_prices
from handler_cases import CASES, resolved
from handler_frames import sampled

from market import (
    FrameDifference,
    ask_peer_frames,
    compare_frames,
    demo_source,
    report_frames,
    rough_source,
    write_with_universe,
)
from rollwright.config.context import init
from rollwright.dataset import alpha as features
from rollwright.dataset.dataset import DatasetH, TSDatasetH
from rollwright.features.api import D

PROCESSORS = "rollwright.dataset.processors"


def our_frames(case: dict[str, Any]) -> list[pd.DataFrame]:
    """Return the frames of a case."""
    if case["kind"] == "features":
        kwargs = dict(case["kwargs"])
        universe = D.instruments(kwargs.pop("instruments"))
        return [D.features(universe, case["fields"], **kwargs)]
    handler = getattr(features, case["handler"])(**case["kwargs"])
    segments = {name: tuple(pair) for name, pair in case["segments"].items()}
    if case["kind"] == "series":
        series = TSDatasetH(handler=handler, segments=segments, step_len=case["step_len"])
        frames = [handler.fetch(col_set="__raw", data_key="raw")]
        for segment in case["sampled"]:
            sampler = series.prepare(segment, col_set=["feature", "label"], data_key="infer")
            sampler.config(fillna_type=case["fillna_type"])
            frames.append(sampled(sampler, case["step_len"]))
        return frames
    dataset = DatasetH(handler, segments)
    return [
        handler.fetch(col_set=columns, data_key=key)
        if segment is None
        else dataset.prepare(segment, col_set=columns, data_key=key)
        for segment, columns, key in case["fetches"]
    ]


def compared(case: dict[str, Any], ours: list[pd.DataFrame], peers: list[Any]) -> list[FrameDifference]:
    """Compare the frames of a case: raw ones by the rules of the expressions, others by what the norms make of them."""
    fetches = case.get("fetches") or [[None, "", "raw"]]
    if case["kind"] == "series":
        fetches = [[None, "__raw", "raw"], *([segment, "samples", "infer"] for segment in case["sampled"])]
    found = []
    for (segment, columns, key), mine, (theirs, dtypes) in zip(fetches, ours, peers, strict=True):
        absolute, relative, residue = tolerances(peers[0][0], theirs, key)
        found.append(
            compare_frames(
                f"{case['name']}: {segment or 'whole'} {columns} {key}", mine, theirs, dtypes,
                absolute=absolute, relative=relative, residue=residue, widened=key == "learn",
            )
        )  # fmt: skip
    return found


def tolerances(raw: pd.DataFrame, frame: pd.DataFrame, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each column of `frame` the absolute and the relative tolerance, and whether a residue is admitted."""
    names = [name[-1] if isinstance(name, tuple) else name for name in frame.columns]
    if names[0] not in {name[-1] for name in raw.columns} and isinstance(raw.columns, pd.MultiIndex):
        names = [raw.columns[int(name.partition("/")[2])][-1] for name in names]  # samples: step and field
    rules = [rule(name) for name in names]
    absolute = np.array([each["absolute"] for each in rules])
    relative = np.array([each["relative"] for each in rules])
    residue = np.array([bool(each.get("may_leave_residue")) for each in rules])
    if key == "raw":
        return absolute, relative, residue
    return np.maximum(5e-6, absolute * _scales(raw, frame, names)), np.maximum(relative, 1e-4), np.zeros_like(residue)


def _scales(raw: pd.DataFrame, processed: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Return by how much a processor stretched each column: a rounding error grows with it."""
    plain = {name[-1]: place for place, name in enumerate(raw.columns)}
    before = _spread(raw.to_numpy()[:, [plain[name] for name in names]])
    after = _spread(processed.to_numpy())
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = (after / before).max(axis=0)
    return np.where(np.isfinite(scale), scale, 1.0)


def _spread(values: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column may hold nothing
        low, high = np.nanpercentile(finite, [25, 75], axis=0)
        return np.stack([high - low, np.nanstd(finite, axis=0)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--market", choices=("demo", "rough", "real"), default="demo")
    parser.add_argument("--prices", type=Path, help="a Parquet file of real prices, for --market real")
    parser.add_argument("--instruments", type=int, default=24)
    parser.add_argument("--sessions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", help="a part of the names of the cases")
    parser.add_argument("--details", action="store_true")
    options = parser.parse_args()
    if options.market == "real" and options.prices is None:
        parser.error("--market real needs --prices")
    size = {"instruments": options.instruments, "sessions": options.sessions, "seed": options.seed}
    source = market_of_prices(options.prices) if options.prices else None
    if source is None:
        source = demo_source(**size) if options.market == "demo" else rough_source(**size)
    sessions = [str(value)[:10] for value in source.calendar().values]
    cases = [case for case in CASES if options.only is None or options.only in case["name"]]
    found: list[FrameDifference] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "market"
        write_with_universe(source, folder)
        init(provider_uri=str(folder), store__path=str(Path(scratch) / "store"))
        for case in cases:
            ((error, peers),) = ask_peer_frames(options.peer_python, folder, [case])
            if error is not None:
                print(f"the peer cannot make {case['name']}: {error}")
                continue
            found += compared(case, our_frames(resolved(case, sessions, PROCESSORS)), peers)
    return report_frames(found, details=options.details)


if __name__ == "__main__":
    raise SystemExit(main())
