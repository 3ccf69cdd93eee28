"""What a check before publishing is asked, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

import numpy as np
import pandas as pd

from rollwright.core.canonical import JSON
from rollwright.core.text import escape_text
from rollwright.errors import LedgerError
from rollwright.online.stored_values import take_fields, take_text

__all__ = [
    "HISTORY_SESSIONS",
    "CheckContext",
    "CheckResult",
    "SignalCheck",
    "judge_share",
    "list_names",
    "list_violations",
    "run_checks",
]

HISTORY_SESSIONS: Final = 20
"""Published signals that a check may compare with."""
_NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """A signal that is to be published, and what is known beside it.

    Attributes
    ----------
    session : str
        The session it is for.
    signal : Series
        A float64 score for each instrument, each named once.
    previous : Series or None
        The last published signal.
    history : sequence of Series
        The last published signals, the latest first, at most `HISTORY_SESSIONS`; `previous` is the first of them.
    members : sequence of str
        Instruments of the universe on that session.
    generation_session : str
        The last session that the data have.
    """

    session: str
    signal: pd.Series
    previous: pd.Series | None = None
    history: Sequence[pd.Series] = ()
    members: Sequence[str] = field(default_factory=tuple)
    generation_session: str

    @property
    def scores(self) -> pd.Series:
        """The scores that are finite, in the order of their names."""
        finite: pd.Series = self.signal.loc[np.isfinite(self.signal.to_numpy(dtype=np.float64))]
        return finite.sort_index()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A figure beside its bound.

    Attributes
    ----------
    name : str
        The check's.
    value : float or None
        None where there is nothing to compare with yet; such a check is not violated.
    bound : float
    violated : bool
    text : str
        One line: the figure, the bound and what it counts.
    """

    name: str
    value: float | None
    bound: float
    violated: bool
    text: str

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, as the entries `publish` and `refuse` hold it."""
        return {
            "name": self.name,
            "value": self.value,
            "bound": self.bound,
            "violated": self.violated,
            "text": self.text,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("name", "value", "bound", "violated", "text"), "the result of a check")
        figure, bound = fields["value"], fields["bound"]
        if (
            not isinstance(fields["violated"], bool)
            or not _is_number(bound)
            or not (figure is None or _is_number(figure))
        ):
            raise LedgerError("the result of a check holds a figure that is no number")
        return cls(
            name=take_text(fields["name"], "the name of a check"),
            value=None if figure is None else float(figure),
            bound=float(bound),
            violated=fields["violated"],
            text=take_text(fields["text"], "the text of a check"),
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class SignalCheck(Protocol):
    """One check; a class of one's own fits as well.

    Guarantees asked of it: it is pure (the same context gives the same result), and changes nothing of what it is
    given.
    """

    @property
    def name(self) -> str:
        """What it is called in entries and in options."""
        ...

    def check(self, context: CheckContext) -> CheckResult:
        """Compare its figure with its bound."""
        ...


def run_checks(checks: Sequence[SignalCheck], context: CheckContext) -> tuple[CheckResult, ...]:
    """Return the result of each check, in their order."""
    return tuple(check.check(context) for check in checks)


def list_violations(results: Sequence[CheckResult]) -> tuple[str, ...]:
    """Return one line for each bound that is violated."""
    return tuple(result.text for result in results if result.violated)


def judge_share(name: str, value: float | None, bound: float, text: str) -> CheckResult:
    """Return the result of a check whose figure must not exceed its bound.

    A figure that is not finite exceeds every bound, and is noted as the largest float.
    """
    if value is None:
        return CheckResult(name=name, value=None, bound=bound, violated=False, text=f"{name}: not judged, {text}")
    figure = value if math.isfinite(value) else float(np.finfo(np.float64).max)
    violated = figure > bound
    relation = ">" if violated else "<="
    return CheckResult(
        name=name,
        value=figure,
        bound=bound,
        violated=violated,
        text=f"{name} {figure:.4g} {relation} {bound:g}: {text}",
    )


def list_names(names: Sequence[str]) -> str:
    """Return the first few of some instruments, in order and escaped, and how many more there are."""
    shown = ", ".join(escape_text(name, longest=40) for name in sorted(names)[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
