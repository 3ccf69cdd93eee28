"""What a comparison knows of one of its runs: a model trained on a dataset with a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self, TypeAlias

import pandas as pd

from rollwright.compare.json_values import take_count, take_fields, take_number, take_text
from rollwright.core.canonical import JSON

__all__ = ["METRIC_KEYS", "RunCost", "RunEvaluation", "RunKey", "RunStatus", "RunTerms"]

RunStatus: TypeAlias = Literal["done", "failed", "waiting"]
"""``waiting``: the comparison was interrupted before the run had a result."""

METRIC_KEYS: Final = (
    "ic",
    "icir",
    "rank_ic",
    "rank_icir",
    "annualized_return",
    "information_ratio",
    "max_drawdown",
)
"""The numbers of a run, in the order of a table's columns. The last three are of the excess return after costs."""


class RunKey(NamedTuple):
    """Names one run of a comparison.

    Attributes
    ----------
    model : str
        The name of the model's folder, or of its entry in a file.
    dataset : str
        As ``Alpha158``; where a universe was asked for, ``Alpha158/csi300``.
    seed : int
        Counted from 1; the run's own seed is derived from it.
    """

    model: str
    dataset: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model}/{self.dataset}/{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """What a run took; of a run of several windows the sum, and of memory the largest.

    Attributes
    ----------
    seconds : float
        Wall time of its attempts that gave a result.
    cpu_seconds : float
        CPU time of all threads and child processes.
    peak_bytes : int
        The largest resident memory of its process.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What a run was judged by: only runs of equal terms can be compared.

    Attributes
    ----------
    label : str
        The expression of the label.
    universe : str
        Of the instruments that are scored.
    benchmark : str
        ``mean`` of the scored instruments, or a code; "" without a back-test.
    label_span : int
        Sessions of future that the label reads, from 1 on: days nearer than that share returns.
    periods : float
        Sessions of a year.
    """

    label: str
    universe: str
    benchmark: str
    label_span: int
    periods: float

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        ValueError
            For anything else, a label of no session and a year of none included.
        """
        fields = take_fields(value, ("label", "universe", "benchmark", "label_span", "periods"), "the terms of a run")
        span = take_count(fields["label_span"], "label_span")
        periods = take_number(fields["periods"], "periods")
        if span < 1 or periods <= 0:
            raise ValueError("the terms of a run have a label of no session, or a year of none")
        return cls(
            label=take_text(fields["label"], "a label"),
            universe=take_text(fields["universe"], "a universe"),
            benchmark=take_text(fields["benchmark"], "a benchmark"),
            label_span=span,
            periods=periods,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunEvaluation:
    """One run as a table takes it.

    Attributes
    ----------
    key : RunKey
    status : {"done", "failed", "waiting"}
    cause : str
        Of a run that failed: the last line of its error, secrets hidden; else "".
    ic, rank_ic : Series
        Of each session (index ``datetime``, float64), NaN where there is none; empty unless ``done``.
    excess : Series
        The daily return over the benchmark after costs, as a fraction (index ``datetime``, float64); empty unless
        ``done``.
    returns : Series
        The daily return after costs, likewise.
    metrics : mapping of str to float
        By `METRIC_KEYS`; empty unless ``done``.
    cost : RunCost or None
        None unless ``done``. What a machine took is no result: two runs of equal bytes differ in it.
    digest : str
        SHA-256 of the stitched prediction as it is stored; "" unless ``done``.
    terms : RunTerms or None
        None unless ``done``.
    """

    key: RunKey
    status: RunStatus
    cause: str
    ic: pd.Series
    rank_ic: pd.Series
    excess: pd.Series
    returns: pd.Series
    metrics: Mapping[str, float]
    cost: RunCost | None
    digest: str
    terms: RunTerms | None = None
