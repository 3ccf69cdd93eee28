"""A frame of 1,000,000 predictions saved and loaded, beside pandas in the same process.

    python benchmarks/prediction_frame.py [--repeats 7] [--json FILE]

The peers are `DataFrame.to_parquet` and `read_parquet` with the codec that ours has (Zstandard), and the safe path is
beside one made as safe by hand. Each figure is the median ratio of neighbours, measured by turns; a missed target ends
the program with 1. A pickle is shown for information: it copies memory in a tenth of the time, and proves nothing.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import machine
import numpy as np
import pandas as pd
import report

from rollwright.codecs.frames import ParquetCodec
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore

FRAME_LIMIT = 0.6
SIZE_LIMIT = 0.9
DURABLE_LIMIT = 1.0
HAND = "Parquet made safe by hand"
SAME = {"compression": "zstd", "compression_level": 1}


def interleaved(ours, peer, repeats):
    """Return the seconds of each, measured in turns so that a slow moment of the machine hits both."""
    times = ([], [])
    for _ in range(repeats):
        for taken, call in zip(times, (ours, peer), strict=True):
            gc.collect()
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times


def compare(what, ours, peer, limit, against):
    """Print both sides, and the ratio beside its target; return the row."""
    shown = [f"{statistics.median(t) * 1e3:.1f} ms [{min(t) * 1e3:.1f}, {max(t) * 1e3:.1f}]" for t in (ours, peer)]
    print(f"{what}: {shown[0]} beside {shown[1]}")
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return report.row(f"{what}: ours / {against}", ratios, limit, at_least=False, unit="x", against=against)


def prediction_frame(kind):
    """1,000,000 rows of scores: `full` of 53 random bits, `float32` as a model's single-precision output."""
    rng = np.random.default_rng(7)
    days = pd.bdate_range("2016-01-01", periods=2000, unit="us")
    index = pd.MultiIndex.from_product([days, [f"SH{600000 + place}" for place in range(515)]])
    index = index.set_names(["datetime", "instrument"])
    index = index[rng.random(len(index)) > 0.03][:1_000_000]
    scores = rng.normal(size=len(index))
    if kind == "float32":
        scores = scores.astype("float32").astype("float64")
    elif kind == "trees":  # a boosted model gives few distinct values: here 40 rounds of 32 leaves
        leaves = rng.normal(scale=0.01, size=(40, 32))
        scores = sum(leaves[tree][rng.integers(0, 32, len(index))] for tree in range(4))
    return pd.DataFrame({"score": scores}, index=index)


def frames(folder, repeats):
    """The codec beside `to_parquet`; and the whole safe path beside one made as safe by hand."""
    rows = []
    codec = ParquetCodec()
    ours, peers, pickled = folder / "x.parquet", folder / "peer.parquet", folder / "x.pkl"
    for kind in ("full", "float32", "trees"):
        frame = prediction_frame(kind)
        saved = interleaved(partial(codec.write, frame, ours), partial(frame.to_parquet, peers, **SAME), repeats)
        rows.append(compare(f"save 1,000,000 rows ({kind})", *saved, FRAME_LIMIT, "to_parquet"))
        loaded = interleaved(partial(codec.read, ours), partial(pd.read_parquet, peers), repeats)
        rows.append(compare(f"load 1,000,000 rows ({kind})", *loaded, FRAME_LIMIT, "read_parquet"))
        pd.testing.assert_frame_equal(codec.read(ours), pd.read_parquet(peers))
        sizes = ours.stat().st_size, peers.stat().st_size
        print(f"size of 1,000,000 rows ({kind}): {sizes[0]:,} bytes beside {sizes[1]:,}")
        what = f"size of 1,000,000 rows ({kind}): ours / to_parquet"
        rows.append(report.row(what, sizes[0] / sizes[1], SIZE_LIMIT, at_least=False, against="to_parquet"))
        for_information(frame, pickled, repeats)
    rows += durable_frames(folder, prediction_frame("full"), repeats)
    return rows


def for_information(frame, path, repeats):
    """Print what a pickle of the same frame takes."""
    saved, loaded = interleaved(partial(frame.to_pickle, path), partial(pd.read_pickle, path), repeats)
    times = [f"{statistics.median(taken) * 1e3:.1f} ms" for taken in (saved, loaded)]
    print(f"  a pickle, for information: saved in {times[0]}, loaded in {times[1]}, {path.stat().st_size:,} bytes")


def durable_frames(folder, frame, repeats):
    """An artifact of a run, beside Parquet by pandas that is flushed, hashed and checked by hand."""
    codec = ParquetCodec()
    files = LocalArtifactStore(folder / "run")
    draft, path, digest = folder / "peer.tmp", folder / "peer.parquet", folder / "peer.sha256"

    def ours():
        fill = partial(codec.write, frame)
        files.write([ArtifactWrite(name="pred.pkl", kind="parquet", suffix=".parquet", fill=fill)])

    def peer():
        frame.to_parquet(draft, **SAME)
        with draft.open("rb") as handle:
            os.fsync(handle.fileno())
        draft.replace(path)
        digest.write_text(hashlib.sha256(path.read_bytes()).hexdigest())

    def peer_load():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest.read_text()
        pd.read_parquet(path)

    saved = compare("save, durable and with SHA-256", *interleaved(ours, peer, repeats), DURABLE_LIMIT, HAND)
    loaded = interleaved(lambda: codec.read(files.local_path("pred.pkl")[0]), peer_load, repeats)
    return [saved, compare("load, SHA-256 verified", *loaded, FRAME_LIMIT, HAND)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    with tempfile.TemporaryDirectory() as folder:
        rows = frames(Path(folder), given.repeats)
    return report.finish("prediction_frame", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
