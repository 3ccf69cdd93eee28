"""The expressions that both sides of `features.py` compute; it imports nothing of either side."""

from __future__ import annotations

import random
from typing import Final

from expression_alpha158_fields import alpha158

_FIELDS: Final = ("$open", "$high", "$low", "$close", "$volume", "$vwap")
_WINDOWS: Final = (5, 7, 10, 12, 20, 24, 30, 45, 60, 90, 120)
_ROLLING: Final = (
    "Mean", "Sum", "Std", "Var", "Max", "Min", "Med", "Mad", "Rank", "Skew", "Kurt", "Slope", "Rsquare", "Resi",
    "IdxMax", "IdxMin", "Ref", "Delta", "EMA", "WMA", "Count",
)  # fmt: skip
NESTED: Final = 60


def expressions_of(kind: str) -> list[str]:
    """Return the 158 features, or `NESTED` random expressions, four levels deep."""
    if kind == "158":
        return list(alpha158()[1])
    rng = random.Random(7)
    return [_nested(rng, 4) for _ in range(NESTED)]


def _nested(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(_FIELDS)

    def inner() -> str:
        return _nested(rng, depth - 1)

    window = rng.choice(_WINDOWS)
    kind = rng.random()
    if kind < 0.12:
        return f"{rng.choice(('Abs', 'Log', 'Sign'))}({inner()})"
    if kind < 0.38:
        return f"({inner()}{rng.choice('+-*/')}{inner()})"
    if kind < 0.46:
        return f"If(Gt({inner()},{inner()}),{inner()},{inner()})"
    if kind < 0.56:
        return f"{rng.choice(('Corr', 'Cov'))}({inner()},{inner()},{window})"
    if kind < 0.6:
        return f"Quantile({inner()},{window},{rng.choice((0.2, 0.5, 0.8))})"
    return f"{rng.choice(_ROLLING)}({inner()},{window})"
