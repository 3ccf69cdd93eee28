"""Run benchmarks and compare their ratios with the committed results: did anything get slower?

    python benchmarks/guard.py [NAME ...] [--peer-python PATH] [--share 0.25] [--keep]

Every script is run once with what it takes by default, and writes into a folder of its own. Compared are the rows that
are ratios, which are the same on every machine but for noise, and stand in both results: one that is worse by more than
`--share` ends the program with 1, and so does a script that fails otherwise than by missing a target. `--keep` puts the
new results in the place of the committed ones; `make docs` renews docs/performance.md from them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import report

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NAMES = (
    "features", "handler", "rolling", "one_task", "members", "demo", "finished", "start", "collect", "backtest",
    "judging", "audit", "record", "prediction_frame", "pool_sqlite", "pool_postgres", "pool_size", "pit", "pit_import",
    "serving_api", "online", "compare", "join", "shards",
)  # fmt: skip
WITH_PEER = (
    "features", "handler", "rolling", "one_task", "collect", "backtest", "pool_sqlite", "pool_postgres", "pit",
    "online",
)  # fmt: skip


def ratios(result):
    """Return the rows of a result that can be compared between machines, by what names them."""
    return {(row["case"], row["work"]): row for row in result["rows"] if row["unit"] in report.RATIOS}


def worsening(old, new):
    """Return by which share of the old figure the new one is worse; negative when it is better."""
    before, now = old["figure"], new["figure"]
    if old["at_least"]:
        return (before - now) / before if before else 0.0
    return (now - before) / before if before else float(now > 0)


def committed():
    """Return the committed rows of each script."""
    rows = {}
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        rows.setdefault(result["script"], {}).update(ratios(result))
    return rows


def compare(old, new, share):
    """Print every ratio beside the committed one; return how many are worse by more than `share`."""
    worse = 0
    for name, row in ratios(new).items():
        if name not in old:
            continue
        by = worsening(old[name], row)
        worse += by > share
        said = "WORSE" if by > share else "ok"
        where = ": ".join(part for part in name if part)
        print(f"  {where:<90} {old[name]['figure']:>9.4g} -> {row['figure']:>9.4g} {row['unit']:<2} {said}", flush=True)
    return worse


def run(name, peer, path):
    """Run one benchmark; return its result, or None when it made none."""
    command = [sys.executable, HERE / f"{name}.py", "--json", path]
    if peer is not None and name in WITH_PEER:
        command += ["--peer-python", peer]
    done = subprocess.run([str(part) for part in command], check=False)
    return json.loads(path.read_text()) if done.returncode in (0, 1) and path.is_file() else None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}, or any other script")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args(arguments)
    known, failed = committed(), 0
    with tempfile.TemporaryDirectory() as folder:
        for name in given.names or NAMES:
            print(f"== {name}", flush=True)
            path = Path(folder) / f"{name}.json"
            result = run(name, given.peer_python, path)
            if result is None:
                print(f"{name} made no result")
                failed += 1
                continue
            print("beside the committed results:")
            failed += compare(known.get(name, {}), result, given.share)
            if given.keep:
                shutil.copy(path, RESULTS / path.name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
