"""What the sessions that were served say of a challenger beside the champion: the evidence that a promotion needs.

Both signals of a session are compared on the instruments that both score, so the two figures of a day differ by the
scores alone, and the daily differences are one series whose mean has an interval (`estimate_mean`).

.. warning:: **Look-ahead.** A label of session ``t`` is known when the session ``t + label_span`` is. `compare_signals`
   leaves out every session whose label was not known by the data's last session, whatever labels it is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.signal import daily_ic
from rollwright.core.canonical import JSON
from rollwright.errors import ConfigError, DataError, LedgerError
from rollwright.online.entry import take_session
from rollwright.online.stored_values import take_count, take_fields, take_list, take_name

__all__ = ["Evidence", "PairedMean", "PromotionTerms", "compare_signals", "judge_evidence"]

_FIELDS: Final = (
    "challenger", "champions", "days", "first", "label_span", "last", "level", "rank_ic", "top_return", "topk",
)  # fmt: skip
_LARGEST_PART: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionTerms:
    """What a promotion needs.

    Attributes
    ----------
    min_days : int, default 20
        Sessions with a known label on which both signals were recorded.
    level : float, default 0.95
        Level of the intervals; the lower end of that of the difference in rank IC must be above 0.
    topk : int, default 50
        Names whose mean return is compared beside it; at most a fifth of the names.
    """

    min_days: int = 20
    level: float = 0.95
    topk: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(
                f"the level of a promotion's interval is {self.level}: a number between 0 and 1 is needed"
            )
        if self.min_days < 1 or self.topk < 1:
            raise ConfigError(
                f"a promotion needs {self.min_days} days and {self.topk} names: 1 or more is needed of each"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedMean:
    """Means of one daily figure of both signals, and of their difference.

    Attributes
    ----------
    champion, challenger : float
    difference : float
        Challenger less champion.
    lower, upper : float or None
        Interval of the difference; None where the days are too few to tell one.
    block : int
        Days of a block of the bootstrap, 0 where there is no interval.
    """

    champion: float
    challenger: float
    difference: float
    lower: float | None
    upper: float | None
    block: int

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {name: getattr(self, name) for name in sorted(self.__slots__)}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("champion", "challenger", "difference", "lower", "upper", "block"), "a comparison")
        block = take_count(fields.pop("block"), "the block of a comparison")
        numbers = {name: _take_number(one, name, optional=name in _ENDS) for name, one in fields.items()}
        return cls(**numbers, block=block)


_ENDS: Final = ("lower", "upper")


def _take_number(value: object, name: str, *, optional: bool = False) -> Any:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LedgerError(f"`{name}` of a comparison is no number")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How a challenger did beside the champions.

    Attributes
    ----------
    challenger : str
    champions : tuple of str
        Those whose one signal was published.
    first, last : str or None
        The sessions that were compared; None where none could be.
    days : int
        How many.
    label_span : int
        Sessions of future that the label reads.
    level : float
        Of the intervals.
    topk : int
    rank_ic, top_return : PairedMean or None
        Daily rank IC, and mean label of the names at the top; None where no session could be compared.
    """

    challenger: str
    champions: tuple[str, ...]
    first: str | None
    last: str | None
    days: int
    label_span: int
    level: float
    topk: int
    rank_ic: PairedMean | None
    top_return: PairedMean | None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "challenger": self.challenger,
            "champions": list(self.champions),
            "days": self.days,
            "first": self.first,
            "label_span": self.label_span,
            "last": self.last,
            "level": self.level,
            "rank_ic": None if self.rank_ic is None else self.rank_ic.to_json(),
            "top_return": None if self.top_return is None else self.top_return.to_json(),
            "topk": self.topk,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, _FIELDS, "the evidence of a promotion")
        first, last = fields["first"], fields["last"]
        rank_ic, top_return = fields["rank_ic"], fields["top_return"]
        return cls(
            challenger=take_name(fields["challenger"]),
            champions=take_list(fields["champions"], take_name, "the champions"),
            first=None if first is None else take_session(first, "the first session compared"),
            last=None if last is None else take_session(last, "the last session compared"),
            days=take_count(fields["days"], "the days compared"),
            label_span=take_count(fields["label_span"], "the span of the label"),
            level=_take_number(fields["level"], "level"),
            topk=take_count(fields["topk"], "the names at the top"),
            rank_ic=None if rank_ic is None else PairedMean.from_json(rank_ic),
            top_return=None if top_return is None else PairedMean.from_json(top_return),
        )


def compare_signals(
    champion: Mapping[str, pd.Series],
    challenger: Mapping[str, pd.Series],
    labels: pd.Series,
    *,
    names: tuple[str, Sequence[str]],
    sessions: Sequence[str],
    label_span: int,
    terms: PromotionTerms | None = None,
) -> Evidence:
    """Return how a challenger did beside the champions.

    Parameters
    ----------
    champion, challenger : mapping of str to Series
        Signals by session: a score for each instrument.
    labels : Series
        Returns by datetime and instrument, as the data have them now.
    names : tuple
        The challenger, and the champions.
    sessions : sequence of str
        The calendar in order, up to the last session that the data have.
    label_span : int
        Sessions of future that a label reads: 1 or more.
    terms : PromotionTerms, optional
        Level and names at the top.

    Guarantees: no label is used that needs a session later than the last of `sessions`. A session that only one of them
    scored, or whose label is unknown or equal for all names, is left out of both.

    Raises
    ------
    ConfigError
        For a `label_span` below 1.
    DataError
        When the labels name a row twice.
    """
    if label_span < 1:
        raise ConfigError(f"a label that reads {label_span} sessions: 1 or more is needed")
    terms = terms if terms is not None else PromotionTerms()
    known = {*sessions[: max(0, len(sessions) - label_span)]}
    if labels.index.has_duplicates:
        raise DataError("the labels name an instrument twice on one session")
    days = sorted(champion.keys() & challenger.keys() & known)
    rows = _pair_rows(champion, challenger, labels, days)
    figures = _find_figures(rows, terms.topk)
    rank_ic, top = (
        _estimate(figures[f"champion_{key}"], figures[f"challenger_{key}"], label_span=label_span, level=terms.level)
        for key in ("ic", "top")
    )
    compared = [f"{day:%Y-%m-%d}" if day == day.normalize() else f"{day:%Y-%m-%dT%H:%M:%S}" for day in figures.index]
    return Evidence(
        challenger=names[0],
        champions=tuple(sorted(names[1])),
        first=compared[0] if compared else None,
        last=compared[-1] if compared else None,
        days=len(compared),
        label_span=label_span,
        level=terms.level,
        topk=terms.topk,
        rank_ic=rank_ic,
        top_return=top,
    )


def _pair_rows(
    champion: Mapping[str, pd.Series], challenger: Mapping[str, pd.Series], labels: pd.Series, days: Sequence[str]
) -> pd.DataFrame:
    """Return both scores and the label of each session and instrument that has all three."""
    index = pd.MultiIndex.from_arrays(
        [pd.DatetimeIndex([]), pd.Index([], dtype=object)], names=["datetime", "instrument"]
    )
    parts = [pd.DataFrame({"champion": [], "challenger": []}, index=index, dtype=np.float64)]
    for day in days:
        pair = pd.DataFrame({"champion": champion[day], "challenger": challenger[day]}, dtype=np.float64)
        parts.append(pd.concat({pd.Timestamp(day): pair}, names=["datetime", "instrument"]))
    rows = pd.concat(parts)
    rows["label"] = labels.reindex(rows.index).astype(np.float64)
    finite: pd.DataFrame = rows.loc[np.isfinite(rows.to_numpy()).all(axis=1)]
    return finite


def _find_figures(rows: pd.DataFrame, topk: int) -> pd.DataFrame:
    """Return rank IC and mean label of the top of both, for the sessions that have all of them."""
    figures = {}
    for name in ("champion", "challenger"):
        figures[f"{name}_ic"] = daily_ic(rows[name], rows["label"], method="spearman")
        figures[f"{name}_top"] = _average_top(rows, name, topk)
    return pd.DataFrame(figures).dropna()


def _average_top(rows: pd.DataFrame, name: str, topk: int) -> pd.Series:
    """Return the mean label of the names with the highest scores of each session; of equal ones the first by name."""
    ordered = rows.sort_index().sort_values(name, ascending=False, kind="stable")
    days = ordered.groupby(level="datetime")
    rank = days.cumcount()
    count = np.clip(days["label"].transform("size").to_numpy() // _LARGEST_PART, 1, topk)
    top: pd.Series = ordered["label"].loc[rank.to_numpy() < count].groupby(level="datetime").mean()
    return top


def _estimate(champion: pd.Series, challenger: pd.Series, *, label_span: int, level: float) -> PairedMean | None:
    if champion.empty:
        return None
    difference = challenger - champion
    found = estimate_mean(difference.to_numpy(), label_span=label_span, level=level)
    return PairedMean(
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        difference=float(difference.mean()),
        lower=None if found is None else found.lower,
        upper=None if found is None else found.upper,
        block=0 if found is None else found.block,
    )


def judge_evidence(evidence: Evidence | None, terms: PromotionTerms) -> tuple[str, ...]:
    """Return one line for each thing that `evidence` lacks; none where it is enough.

    It is enough when there are `min_days`, the interval of the difference in rank IC lies above 0, and that of the
    difference in the return of the top does not lie below 0.
    """
    if evidence is None:
        return ("no session has been compared",)
    lacking = []
    if evidence.days < terms.min_days:
        lacking.append(f"{evidence.days} sessions with a known label were compared, and {terms.min_days} are needed")
    if evidence.level < terms.level:
        lacking.append(f"the intervals are of level {evidence.level:g}, and {terms.level:g} is needed")
    if evidence.rank_ic is None or evidence.rank_ic.lower is None:
        lacking.append("the sessions are too few for an interval of the difference in rank IC")
    elif evidence.rank_ic.lower <= 0:
        one = evidence.rank_ic
        lacking.append(
            f"the difference in rank IC, {one.difference:+.4f}, may be 0: its {evidence.level:.0%} interval is "
            f"{one.lower:+.4f} to {one.upper:+.4f}"
        )
    top = evidence.top_return
    if top is not None and top.upper is not None and top.upper < 0:
        lacking.append(
            f"the top of the challenger earned {top.difference:+.4%} a session against that of the champion, and the "
            "interval lies below 0"
        )
    return tuple(lacking)
