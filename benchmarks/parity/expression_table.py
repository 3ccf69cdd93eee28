"""Write the small table of Qlib's values that the tests compare with.

python benchmarks/parity/expression_table.py --peer-python PATH tests/expression/qlib_values.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from expression_alpha158_fields import alpha158
from expression_market import ask_peer, write_market
from expression_operators import expressions

from rollwright.testing.market import random_source

SESSIONS, INSTRUMENTS, OPERATOR_CALLS = 90, 3, 90
# Both sides compute in double precision and give single: they differ in the last digit, and by what Qlib's running sums
# leave where all values of a window are equal, some 1e-8 after so few sessions.
ABSOLUTE, RELATIVE = 2e-8, 1e-6


def _numbers(values: np.ndarray) -> list:
    """Return single precision numbers in their shortest form, missing and infinite ones as texts."""
    return [float(str(value)) if np.isfinite(value) else str(value) for value in values.astype(np.float32).ravel()]


def is_trivial(expression: str) -> bool:
    """Return whether the call is undefined or 0 everywhere: one session has no deviation, two lie on their line."""
    of_one = expression.startswith(("Std(", "Var(", "Mad(")) and expression.endswith(",1)")
    return of_one or (expression.startswith("Resi(") and expression.endswith(",2)"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(158)
    source = random_source(rng, sessions=SESSIONS, instruments=INSTRUMENTS, suspensions=0.04)
    names = source.instruments()
    features = alpha158()
    calls = [text for text in expressions(rng, names) if not is_trivial(text)]
    chosen = [calls[place] for place in np.sort(rng.choice(len(calls), OPERATOR_CALLS, replace=False))]
    texts = [*features[1], *chosen]
    with tempfile.TemporaryDirectory() as folder:
        write_market(source, Path(folder))
        values, notes = ask_peer(options.peer_python, Path(folder), texts, start=0, stop=SESSIONS)
    rows = sorted({0, 1, 5, SESSIONS - 2, SESSIONS - 1, *rng.choice(SESSIONS, 5, replace=False).tolist()})
    market = source.load(source.fields, names, 0, SESSIONS)
    table = {
        "made_by": "pyqlib 0.9.7",
        "instruments": list(names),
        "bounds": source.bounds(names).tolist(),
        "market": {field: _numbers(market[index]) for index, field in enumerate(source.fields)},
        "rows": rows,
        "absolute": ABSOLUTE,
        "relative": RELATIVE,
        "values": {
            text: _numbers(values[index, rows]) for index, text in enumerate(texts) if index not in notes["refused"]
        },
    }
    lines = json.dumps(table, separators=(",", ":")).replace('],"', '],\n"')
    options.table.write_text(lines + "\n")


if __name__ == "__main__":
    main()
