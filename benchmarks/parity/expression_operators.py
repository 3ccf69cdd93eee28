"""Compare every operator with Qlib's, cell by cell, on windows drawn at random.

python benchmarks/parity/expression_operators.py --peer-python PATH [--prices FILE] [--instruments 20] [--sessions 300]
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from expression_market import arguments, ask_peer, ask_us, compare, market_of, report, within_lifetimes, write_market

INPUTS = (
    "$close",
    "$volume",
    "$close/$open-1",
    "($close>$open)",
    "Mean($close,3)",
    "($high-$low)/($close-$open)",  # infinities where the day ended where it began
    "Log($volume)",
)
ROLLING = (
    *("Ref", "Mean", "Sum", "Std", "Var", "Skew", "Kurt", "Max", "Min", "IdxMax", "IdxMin"),
    *("Med", "Mad", "Rank", "Count", "Delta", "Slope", "Rsquare", "Resi", "WMA", "EMA"),
)
PAIRS = (("$close", "$volume"), ("$close", "Log($volume)"), ("$open/$close", "$high/Ref($low,3)"))
SINGLE = (
    "Power($close,2)",
    "Power($close/$open,0.5)",
    "$close**0.5",
    "Sign($close-$open)",
    "Abs($open-$close)",
    "Log($close/$open)",
    "Not($close>$open)",
    "And($close>$open,$volume>200000)",
    "($close>$open)|($volume>200000)",
    "($close>=$open)&($volume<=200000)",
    "Or($close<$open,Eq($close,Ref($close,1)))",
    "$close!=Ref($close,1)",
    "Ne($close,Ref($close,1))",
    "Ge($close,20)",
    "Le($close,20.5)",
    "If($close>$open,$close,$open)",
    "If($close>$open,1,0)",
    "If($close>$open,1,-1)*$volume",
    "Greater($close,20)",
    "Less($close,$open)",
    "1-$close",
    "2/$close",
    "($close>$open)*$volume",
    "Ref($close>$open,2)",
    "Ref($close,-3)",
    "Ref($close,-2)/Ref($close,-1)-1",
    "Mean(Ref($close,-5),3)",
    "Ref(Mean($close,5),-3)",
    "Ref(Std($close,5)/Mean($close,20),4)",
    "Quantile($close,0,0.3)",
    "Mean($close,0.2)",
    "EMA($close,0.1)",
    "ChangeInstrument('ONE',$close)",
    "$close/ChangeInstrument('ONE',Mean($close,5))",
    "Mask($close,'TWO')",
    "Std(Mean(Abs($close-$open),5),10)",
    "Rank(Rank($close,10),10)",
    "Slope(EMA($close,5),10)",
)
SHORTEST = {"Skew": 3, "Kurt": 4, "Slope": 2, "Rsquare": 2, "Resi": 2}
INFINITIES_POISON = ("Slope", "Rsquare", "Resi")


def expressions(rng: np.random.Generator, instruments: Sequence[str]) -> list[str]:
    """Return the calls to compare."""
    found = [text.replace("ONE", instruments[1]).replace("TWO", instruments[2]) for text in SINGLE]
    for name in ROLLING:
        for source in INPUTS:
            if name in INFINITIES_POISON and source in (INPUTS[5], INPUTS[6]):
                continue  # Qlib's running sums stay infinite from then on
            for window in (0, SHORTEST.get(name, 1), int(rng.integers(5, 70))):
                if window == 0 and ">" in source and name in ("Delta", "Slope", "Rsquare", "Resi"):
                    continue  # Qlib raises on truth values
                found.append(f"{name}({source},{window})")
    found += [f"Quantile({source},{int(rng.integers(2, 70))},{rng.random():.2f})" for source in INPUTS]
    for left, right in PAIRS:
        for window in (2, 5, int(rng.integers(6, 70))):
            found += [f"Corr({left},{right},{window})", f"Cov({left},{right},{window})"]
    return found


def rule(expression: str) -> dict[str, float | bool]:
    """Return what the rounding of Qlib's running sums calls for."""
    if expression.startswith("Rsquare") and expression.endswith(",2)"):
        return {
            "absolute": 5e-3,
            "relative": 0.0,
            "may_leave_infinities": True,
        }  # a line through two points explains all: exactly 1 here
    if expression.startswith(("Corr", "Cov", "Resi", "Slope", "Skew", "Kurt", "Rsquare")):
        is_line = expression.startswith(("Slope", "Rsquare", "Resi"))
        return {"absolute": 2e-5, "relative": 1e-4, "may_leave_infinities": is_line}
    return {"absolute": 1e-6, "relative": 1e-5, "may_leave_residue": expression.startswith(("Std", "Var"))}


def main() -> int:
    parser = arguments(__doc__, instruments=20, sessions=300, seed=11)
    options = parser.parse_args()
    source = market_of(options)
    texts = expressions(np.random.default_rng(options.seed), source.instruments())
    span = {"start": 0, "stop": len(source.calendar())}
    with tempfile.TemporaryDirectory() as folder:
        write_market(source, Path(folder))
        peers, notes = ask_peer(options.peer_python, Path(folder), texts, **span)
    ours = within_lifetimes(source, ask_us(source, texts, **span))
    for place in notes["refused"]:
        print(f"the peer cannot compute {texts[place]}")
    rows = [
        compare(text, ours[index], peers[index], **rule(text))
        for index, text in enumerate(texts)
        if index not in notes["refused"]
    ]
    return report(rows, details=options.details)


if __name__ == "__main__":
    raise SystemExit(main())
