"""Write the small tables of Qlib's values that the tests compare with.

python benchmarks/parity/handler_tables.py --peer-python PATH --out tests/data/parity
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import handler_cases
import numpy as np
import pandas as pd
from handler_parity import tolerances
from processors_parity import PROCESSORS, random_frame

from market import ask_peer_frames, rough_source, write_with_universe
from rollwright.testing.market import ArraySource

SEGMENTS = {"test": ["SESSION[900]", "SESSION[960]"]}
WHOLE = {"instruments": "all", "start_time": "SESSION[0]", "end_time": "SESSION[1000]"}
FIT = {"fit_start_time": "SESSION[600]", "fit_end_time": "SESSION[850]"}
HANDLERS: tuple[tuple[str, str, dict[str, Any], list[list[str]]], ...] = (
    ("alpha158", "Alpha158", {**WHOLE}, [[None, "__raw", "raw"], ["test", "__raw", "raw"], ["test", "label", "learn"]]),
    (
        "alpha158-robust",
        "Alpha158",
        {**WHOLE, **FIT, "infer_processors": handler_cases.ROBUST, "learn_processors": handler_cases.LABEL_RANK},
        [[None, "__raw", "raw"], ["test", "__raw", "infer"], ["test", "label", "learn"]],
    ),
    (
        "alpha158-independent",
        "Alpha158",
        {
            **WHOLE,
            **FIT,
            "infer_processors": handler_cases.ROBUST,
            "learn_processors": handler_cases.LABEL_ZSCORE,
            "process_type": "independent",
        },
        [[None, "__raw", "raw"], ["test", ["label", "feature"], "learn"]],
    ),
    ("alpha360", "Alpha360", {**WHOLE, **FIT}, [[None, "__raw", "raw"], ["test", "__raw", "infer"]]),
)


def market_table(source: ArraySource) -> pd.DataFrame:
    """Return the market as rows, exact to the bit."""
    names, calendar = source.instruments(), source.calendar()
    values = source.load(source.fields, names, 0, len(calendar))
    parts = []
    for column, (name, (first, stop)) in enumerate(zip(names, source.bounds(names), strict=True)):
        part = {field: values[i, first:stop, column] for i, field in enumerate(source.fields)}
        parts.append(pd.DataFrame({"symbol": name, "date": calendar.values[first:stop], **part}))
    return pd.concat(parts, ignore_index=True)


def long(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each cell, row by row: a file with hundreds of columns would be mostly headings."""
    labels = [np.asarray(frame.index.get_level_values(level)) for level in ("datetime", "instrument")]
    names = ["/".join(name) if isinstance(name, tuple) else str(name) for name in frame.columns]
    return pd.DataFrame(
        {
            "datetime": np.repeat(labels[0], len(names)),
            "instrument": np.repeat(labels[1].astype(str), len(names)),
            "column": np.tile(np.array(names, dtype=object), len(frame)),
            "value": frame.to_numpy(dtype=np.float32).ravel(),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    source = rough_source(instruments=5, sessions=100, seed=12)
    sessions = [str(value)[:10] for value in source.calendar().values]
    frame = random_frame(np.random.default_rng(4), sessions=36, instruments=8, infinite=0.01)
    market_table(source).to_parquet(options.out / "market.parquet", compression="zstd")
    frame.reset_index().to_parquet(options.out / "frame.parquet", compression="zstd")
    cases: list[dict[str, Any]] = [
        handler_cases.resolved(
            {"name": name, "kind": "handler", "handler": handler, "kwargs": kwargs, "segments": SEGMENTS,
             "fetches": fetches},
            sessions, "",
        )
        for name, handler, kwargs, fetches in HANDLERS
    ]  # fmt: skip
    cases += [
        {"name": f"{name}-{number}", "kind": "processor", "class": name, "kwargs": kwargs,
         "frame": str((options.out / "frame.parquet").resolve())}
        for number, (name, kwargs) in enumerate(PROCESSORS)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "market"
        write_with_universe(source, folder)
        answers = ask_peer_frames(options.peer_python, folder, cases)
    tables, described = {}, []
    for case, (error, frames) in zip(cases, answers, strict=True):
        if error is not None:
            raise SystemExit(f"the peer cannot compute {case['name']}: {error}")
        entry = {key: value for key, value in case.items() if key != "frame"}
        if case["kind"] == "handler":
            entry["tolerances"] = []
            for place, (segment, _, key) in enumerate(case["fetches"]):
                if segment is None:  # the whole raw frame only tells how much the others were stretched
                    entry["tolerances"].append(None)
                    continue
                tables[f"{case['name']}-{place}"] = long(frames[place][0])
                absolute, relative, _ = tolerances(frames[0][0], frames[place][0], key)
                entry["tolerances"].append(
                    [[float(f"{one:.2g}"), float(two)] for one, two in zip(absolute, relative, strict=True)]
                )
        else:
            tables[case["name"]] = long(frames[0][0])
        described.append(entry)
    whole = pd.concat(tables, names=["table"]).reset_index(level=0).reset_index(drop=True)
    whole.to_parquet(options.out / "tables.parquet", compression="zstd", index=False)
    (options.out / "cases.json").write_text(
        json.dumps(described, separators=(",", ":")).replace('{"name"', '\n{"name"')
    )


if __name__ == "__main__":
    main()
