"""Compare every cell of the 158 expressions with Qlib's on a made-up market.

python benchmarks/parity/expression_alpha158.py --peer-python PATH [--instruments 60] [--sessions 600]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from expression_alpha158_fields import alpha158
from expression_market import ask_peer, ask_us, compare, report, write_market

from rollwright.testing.market import random_source


def _rule(name: str) -> dict[str, float | bool]:
    """Return the rule for a feature: Qlib's correlation cancels, and relative error is no use for residuals."""
    if name.startswith(("CORR", "CORD")):
        return {"absolute": 2e-5, "relative": 0.0}
    return {"absolute": 1e-6, "relative": 1e-5, "may_leave_residue": name.startswith(("STD", "VSTD", "WVMA"))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--instruments", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--details", action="store_true")
    options = parser.parse_args()
    source = random_source(
        np.random.default_rng(options.seed), sessions=options.sessions, instruments=options.instruments
    )
    names, expressions = alpha158()
    span = {"start": 0, "stop": options.sessions}
    with tempfile.TemporaryDirectory() as folder:
        write_market(source, Path(folder))
        peers, _ = ask_peer(options.peer_python, Path(folder), expressions, **span)
    ours = ask_us(source, expressions, **span)
    return report(
        [
            compare(f"{name}: {text}", ours[index], peers[index], **_rule(name))
            for index, (name, text) in enumerate(zip(names, expressions, strict=True))
        ],
        details=options.details,
    )


if __name__ == "__main__":
    raise SystemExit(main())
