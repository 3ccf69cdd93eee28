"""Compare every cell of the 158 expressions with Qlib's on a made-up market.

python benchmarks/parity/expression_alpha158.py --peer-python PATH [--prices FILE] [--instruments 60] [--sessions 600]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from expression_alpha158_fields import alpha158
from expression_market import arguments, ask_peer, ask_us, compare, market_of, report, write_market


def rule(name: str) -> dict[str, float | bool]:
    """Return the rule for a feature: Qlib's correlation cancels, and relative error is no use for residuals."""
    if name.startswith(("CORR", "CORD")):
        return {"absolute": 2e-5, "relative": 0.0}
    return {"absolute": 1e-6, "relative": 1e-5, "may_leave_residue": name.startswith(("STD", "VSTD", "WVMA"))}


def main() -> int:
    parser = arguments(__doc__, instruments=60, sessions=600, seed=7)
    options = parser.parse_args()
    source = market_of(options)
    names, expressions = alpha158()
    span = {"start": 0, "stop": len(source.calendar())}
    with tempfile.TemporaryDirectory() as folder:
        write_market(source, Path(folder))
        peers, _ = ask_peer(options.peer_python, Path(folder), expressions, **span)
    ours = ask_us(source, expressions, **span)
    return report(
        [
            compare(f"{name}: {text}", ours[index], peers[index], **rule(name))
            for index, (name, text) in enumerate(zip(names, expressions, strict=True))
        ],
        details=options.details,
    )


if __name__ == "__main__":
    raise SystemExit(main())
