"""Ensembles: many predictions into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import DayPanel, Frame, rank_by_day, standardise_by_day, take_column
from rollwright.analysis.signal import correlate_by_day
from rollwright.calendar.trading import SessionLike, TradingCalendar
from rollwright.collect.coverage import describe_key, describe_rows
from rollwright.collect.score_table import Missing, ScoreTable
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError, CoverageError, DataError, DataNotFoundError
from rollwright.market.current import current_market

__all__ = [
    "AverageEnsemble",
    "Ensemble",
    "ICWeightedEnsemble",
    "MeanEnsemble",
    "Overlap",
    "RankEnsemble",
    "RollingEnsemble",
    "SingleKeyEnsemble",
    "check_dictionary",
    "flatten_keys",
]

Overlap: TypeAlias = Literal["last", "same", "error"]
_SHOWN: Final = 120


class Ensemble(ABC):
    """Reduces ``{key: object}`` to one object; subclasses say how."""

    @abstractmethod
    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> Any:
        """Return the ensemble of `ensemble_dict`."""


class SingleKeyEnsemble(Ensemble):
    """Takes the only value out of a dictionary of one key; others stay as they are.

    With ``recursion=True`` nested dictionaries are unwrapped too.
    """

    def __call__(self, ensemble_dict: Any, recursion: bool = True) -> Any:  # noqa: FBT001, FBT002 - Qlib's signature
        """Return the unwrapped object."""
        if not isinstance(ensemble_dict, Mapping):
            return ensemble_dict
        if recursion:
            inner = {key: self(value, recursion) for key, value in ensemble_dict.items()}
        else:
            inner = dict(ensemble_dict)
        return next(iter(inner.values())) if len(inner) == 1 else inner


class RollingEnsemble(Ensemble):
    """Joins the predictions of consecutive windows into one, in order of time.

    Windows are taken in the order of their first day, ties in the order of their keys. Where two windows score the
    same row the later one wins, but never with NaN over a number (defect C2).

    Parameters
    ----------
    overlap : {"last", "same", "error"}
        With ``"same"`` rows that two windows score differently fail instead, with ``"error"`` all that two score.
    allow_gaps : bool or sequence of (date, date)
        False: sessions between two windows that neither predicts fail; with ranges, those outside of them.
    calendar : TradingCalendar, optional
        What the sessions are, for gaps. If not given, those of the current market; windows of days that it does not
        have, or without a market, are not looked at for gaps.
    """

    def __init__(
        self,
        *,
        overlap: Overlap = "last",
        allow_gaps: bool | Sequence[tuple[SessionLike, SessionLike]] = True,
        calendar: TradingCalendar | None = None,
    ) -> None:
        if overlap not in ("last", "same", "error"):
            raise ConfigError(f"overlap is last, same or error, not {overlap!r}")
        self.overlap = overlap
        self.allow_gaps = allow_gaps if isinstance(allow_gaps, bool) else list(allow_gaps)
        self.calendar = calendar

    def __call__(self, ensemble_dict: Mapping[Any, Frame]) -> Frame:
        """Return the joined prediction, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, a window is empty, rows overlap or sessions are left out that are not declared. It
            names windows and dates.
        """
        check_dictionary(ensemble_dict, who="RollingEnsemble")
        if not ensemble_dict:
            raise CoverageError("there is no window to join")
        _check_frames(ensemble_dict)
        empty = [describe_key(key) for key, frame in ensemble_dict.items() if len(frame) == 0]
        if empty:
            raise CoverageError(f"{len(empty)} window(s) have no prediction", problems=empty)
        _check_alike(ensemble_dict)
        ordered = sorted(ensemble_dict.items(), key=lambda item: (_find_first_day(item[1]), str(item[0])))
        if self.allow_gaps is not True:
            self._check_gaps(ordered)
        joined = pd.concat([frame for _, frame in ordered])
        if not joined.index.is_unique:
            self._check_overlap(ordered, joined)
            joined = joined.groupby(level=list(range(joined.index.nlevels)), sort=False).last()  # skips NaN
        return joined if joined.index.is_monotonic_increasing else joined.sort_index()

    def _check_overlap(self, ordered: Sequence[tuple[Any, Frame]], joined: Frame) -> None:
        if self.overlap == "last":
            return
        rows = joined[joined.index.duplicated(keep=False)]
        what = "scored by more than one window"
        if self.overlap == "same":
            values = rows.to_frame() if isinstance(rows, pd.Series) else rows
            grouped = values.groupby(level=list(range(values.index.nlevels)))
            differs = (grouped.max() != grouped.min()) & grouped.count().gt(0)
            rows = values[values.index.isin(differs.index[differs.any(axis=1)])]
            what = "scored differently by two windows"
        if not len(rows):
            return
        found = rows.index.unique().sort_values()
        inside = ((key, frame.index[frame.index.isin(found)]) for key, frame in ordered)
        problems = [
            f"{describe_key(key)}: {len(part)} rows, {describe_rows(part)}" for key, part in inside if len(part)
        ]
        raise CoverageError(
            f"{len(found)} rows are {what}",
            problems=problems,
            hint='`RollingEnsemble(overlap="last")` declares that the later window wins',
        )

    def _check_gaps(self, ordered: Sequence[tuple[Any, Frame]]) -> None:
        """Refuse sessions between two windows that neither has."""
        ends = [(key, *_find_ends(frame)) for key, frame in ordered]
        calendar = self.calendar if self.calendar is not None else _find_calendar()
        if calendar is None:
            return
        known = calendar.to_index()
        if self.calendar is None and not all(day in known for _, *pair in ends for day in pair):
            return
        declared = [calendar.positions(*pair) for pair in self.allow_gaps] if isinstance(self.allow_gaps, list) else []
        problems: list[str] = []
        former, last = ends[0][0], ends[0][2]
        for key, start, end in ends[1:]:
            between = range(calendar.at_or_before(last) + 1, calendar.at_or_after(start))
            lost = [place for place in between if not any(place in allowed for allowed in declared)]
            if lost:
                days = f"{known[lost[0]]:%Y-%m-%d} to {known[lost[-1]]:%Y-%m-%d}"
                where = f"between {describe_key(former)} and {describe_key(key)}"
                problems.append(f"no window predicts the {len(lost)} session(s) from {days}, {where}")
            if end >= last:
                former, last = key, end
        if problems:
            raise CoverageError(
                f"{len(problems)} gap(s) between windows",
                problems=problems,
                hint="train what is missing, or declare the ranges with `allow_gaps=[(first, last)]`",
            )


class MeanEnsemble(Ensemble):
    """What the ensembles have in common that average members row by row, weighted or not.

    Parameters
    ----------
    missing : {"error", "skip"}
        What to do when a model lacks a row that another has: fail, or average over the models that have it.
    """

    def __init__(self, *, missing: Missing = "error") -> None:
        self.missing = missing

    def __call__(self, ensemble_dict: Mapping[Any, Any]) -> pd.Series:
        """Return the mean score, sorted by (datetime, instrument).

        Raises
        ------
        CoverageError
            When nothing was given, or rows are missing and `missing` is ``"error"``.
        """
        table = self._tabulate(ensemble_dict)
        return _average(table, (self._scale(table.day, line) for line in table.scores), self._weigh(table))

    def explain(self, ensemble_dict: Mapping[Any, Any], row: tuple[Any, Any]) -> pd.DataFrame:
        """Return what each member adds to one row's score: ``weight``, ``scaled`` and ``part``, by member.

        A part is the weight times the scaled score, and all parts add up to the score. A member that lacks the row has
        the weight 0 and no scaled score.

        Parameters
        ----------
        ensemble_dict : mapping
            As it was averaged.
        row : (date, instrument)

        Raises
        ------
        CoverageError
            As when it is averaged, and when no member has the row.
        """
        table = self._tabulate(ensemble_dict)
        place = int(table.index.get_indexer(pd.MultiIndex.from_tuples([row], names=table.index.names))[0])
        if place < 0:
            raise CoverageError(f"no member scores {row[1]} on {row[0]}")
        scaled = np.array([self._scale(table.day, line)[place] for line in table.scores])
        given = self._weigh(table)
        weights = np.ones(len(scaled)) if given is None else given[:, table.day[place]]
        weights = np.where(np.isnan(scaled), 0.0, weights)
        if not weights.sum() > 0:  # nobody who has the row has a weight
            weights = np.where(np.isnan(scaled), 0.0, 1.0)
        weights = weights / weights.sum()
        parts = weights * np.where(np.isnan(scaled), 0.0, scaled)
        return pd.DataFrame({"weight": weights, "scaled": scaled, "part": parts}, index=_name_members(table))

    def _tabulate(self, ensemble_dict: Mapping[Any, Any]) -> ScoreTable:
        check_dictionary(ensemble_dict, who=type(self).__name__)
        return ScoreTable.of(flatten_keys(ensemble_dict), missing=self.missing)

    @abstractmethod
    def _scale(self, day: NDArray[np.intp], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one member's scores as they are averaged; NaN where it has none."""

    def _weigh(self, table: ScoreTable) -> NDArray[np.float64] | None:  # noqa: ARG002 - derived classes look at it
        """Return the weights, float64 [members, days]; None where all weigh the same."""
        return None


class AverageEnsemble(MeanEnsemble):
    """Averages the z-scored predictions of several models, day by day.

    Each model's scores are standardised within each day (mean 0, deviation 1 with ``ddof=1``), then averaged per row.
    A day on which a model scores one instrument only, or all alike, gives that model's score 0 there rather than NaN
    (defect C3).

    Parameters
    ----------
    missing : {"error", "skip"}
        What to do when a model lacks a row that another has: fail, or average over the models that have it.
    """

    def _scale(self, day: NDArray[np.intp], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return standardise_by_day(day, scores)


class RankEnsemble(MeanEnsemble):
    """Averages the ranks that several models give within each day: the rank mean.

    A rank is the instrument's place from the lowest score up, over the number of scores of that model and day, so in
    (0, 1] as ``rank(pct=True)`` of pandas; equal scores share the mean of their ranks. No outlier of one model weighs
    more than its place.

    Parameters
    ----------
    missing : {"error", "skip"}
        As in `AverageEnsemble`.
    """

    def _scale(self, day: NDArray[np.intp], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return _rank(day, scores)


class ICWeightedEnsemble(MeanEnsemble):
    """Averages z-scored predictions, each model weighted by what its IC has been until then.

    The weight of a model on a day is the mean of its last `window` daily ICs that were known before that day, 0 where
    that is negative or rests on fewer than `min_days` ICs, over the sum of all models' weights. Where all are 0, as on
    the first days, all models weigh the same.

    .. warning:: **Look-ahead.** An IC of session `t` is known when the label of `t` is: after session
       ``t + label_span``. The weights of a day rest on ICs of sessions at least ``label_span + 1`` predicted days
       earlier, so no later label changes them. With a `label_span` below what the label really reads
       (``dataset.label_reach.span``) they know the future.

    Parameters
    ----------
    label : DataFrame or Series
        The label of each (datetime, instrument), its first column; rows without one do not count in an IC.
    label_span : int
        How many sessions after its own the label reads.
    window : int, optional
        How many daily ICs a weight rests on at most; None for all there are.
    min_days : int
        How many it rests on at least.
    method : {"pearson", "spearman"}
        Whether scores and labels are compared, or their ranks.
    missing : {"error", "skip"}
        As in `AverageEnsemble`; the weights of a row are those of the models that have it.
    """

    def __init__(
        self,
        label: Frame,
        *,
        label_span: int,
        window: int | None = 60,
        min_days: int = 20,
        method: Literal["pearson", "spearman"] = "pearson",
        missing: Missing = "error",
    ) -> None:
        if label_span < 0:
            raise ConfigError(f"label_span = {label_span}: a label reads 0 sessions ahead or more")
        if min_days < 1 or (window is not None and window < min_days):
            raise ConfigError(f"window = {window}, min_days = {min_days}: 1 ≤ min_days ≤ window is needed")
        self.label = label
        self.label_span = label_span
        self.window = window
        self.min_days = min_days
        self.method: Literal["pearson", "spearman"] = method
        super().__init__(missing=missing)

    def _scale(self, day: NDArray[np.intp], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return standardise_by_day(day, scores)

    def weights(self, ensemble_dict: Mapping[Any, Any]) -> pd.DataFrame:
        """Return the weight of each model on each day: float64 [days, models], each line sums to 1."""
        table = self._tabulate(ensemble_dict)
        return pd.DataFrame(self._weigh(table).T, index=table.days, columns=_name_members(table))

    def _weigh(self, table: ScoreTable) -> NDArray[np.float64]:
        """Return the weights: float64 [members, days]."""
        label = table.align(self.label, what="label")
        panels = (DayPanel(days=table.days, day=table.day, score=line, label=label) for line in table.scores)
        coefficients = np.stack([correlate_by_day(panel, self.method) for panel in panels])
        # Sums up to a day, then those of a window that ended label_span + 1 days before.
        known = ~np.isnan(coefficients)
        lag, size = self.label_span + 1, len(table.days)
        ended = np.maximum(np.arange(size) - lag + 1, 0)  # how many days count
        begun = np.zeros_like(ended) if self.window is None else np.maximum(ended - self.window, 0)
        sums, counts = (
            np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
            for values in (np.where(known, coefficients, 0.0), known.astype(np.float64))
        )
        number = counts[:, ended] - counts[:, begun]
        means = np.divide(sums[:, ended] - sums[:, begun], number, out=np.zeros_like(number), where=number > 0)
        weights = np.where(number >= self.min_days, np.maximum(means, 0.0), 0.0)
        weights[:, weights.sum(axis=0) <= 0] = 1.0
        shares: NDArray[np.float64] = weights / weights.sum(axis=0)
        return shares


def _name_members(table: ScoreTable) -> pd.Index:
    names = [key[0] if isinstance(key, tuple) and len(key) == 1 else key for key in table.members]
    return pd.Index(names, tupleize_cols=False, name="member")


def _rank(day: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    if known.all():
        return rank_by_day(day, values) / np.bincount(day)[day]
    days = day[known]
    ranks = np.full(len(values), np.nan)
    ranks[known] = rank_by_day(days, values[known]) / np.bincount(days)[days]
    return ranks


def _average(
    table: ScoreTable, lines: Iterable[NDArray[np.float64]], weights: NDArray[np.float64] | None = None
) -> pd.Series:
    """Return the mean of the members' lines, row by row, over those that have the row, weighted by member and day."""
    size = len(table.index)
    total, weight = np.zeros(size), np.zeros(size)
    plain, count = np.zeros(size), np.zeros(size)
    for place, line in enumerate(lines):
        known = ~np.isnan(line)
        values = np.where(known, line, 0.0)
        plain += values
        count += known
        if weights is not None:
            share = weights[place][table.day]
            total += values * share
            weight += known * share
    mean = np.divide(plain, count, out=np.full(size, np.nan), where=count > 0)
    np.divide(total, weight, out=mean, where=weight > 0)  # elsewhere nobody who has the row has a weight
    return pd.Series(mean, index=table.index, name="score")


def flatten_keys(nested: Mapping[Any, Any], prefix: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Return nested dictionaries as one, under the tuples of the keys that lead to each value (defect C4).

    Raises
    ------
    CoverageError
        When two values would have one key, or a dictionary within is empty: either would lose a member silently.
    """
    flat: dict[tuple[Any, ...], Any] = {}
    for key, value in nested.items():
        path = (*prefix, *key) if isinstance(key, tuple) else (*prefix, key)
        if isinstance(value, Mapping) and not value:
            raise CoverageError(f"there is nothing beneath {describe_key(path)}")
        for inner, one in (flatten_keys(value, path) if isinstance(value, Mapping) else {path: value}).items():
            if inner in flat:
                raise CoverageError(f"two members are called {describe_key(inner)}, written in two ways")
            flat[inner] = one
    return flat


def check_dictionary(given: object, *, who: str) -> None:
    """Refuse what is no dictionary, as a list of predictions: without keys nothing tells which is whose.

    Raises
    ------
    ConfigError
    """
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{who} takes a dictionary of predictions by their keys, not {escape_text(repr(given), longest=_SHOWN)}",
            hint="give {key: prediction}, as RecorderCollector collects them",
        )


def _check_frames(windows: Mapping[Any, Any]) -> None:
    """Refuse windows that are no predictions of days."""
    for key, frame in windows.items():
        column = take_column(frame, what=f"prediction of window {describe_key(key)}", column=0)
        if "datetime" not in column.index.names:
            raise DataError(
                f"the index of the prediction of window {describe_key(key)} has the levels "
                f"{list(column.index.names)} and no `datetime`"
            )


def _check_alike(windows: Mapping[Any, Frame]) -> None:
    """Refuse windows of other columns or index levels than the first: joined, they would leave holes in each other."""
    named = any(isinstance(frame, pd.DataFrame) for frame in windows.values())  # joined, series may have any name
    shapes = {
        key: (
            [*frame.index.names],
            [*frame.columns] if isinstance(frame, pd.DataFrame) else [frame.name] if named else [],
        )
        for key, frame in windows.items()
    }
    first, expected = next(iter(shapes.items()))
    for key, shape in shapes.items():
        if shape != expected:
            raise DataError(
                f"window {describe_key(key)} has the index {shape[0]} and the columns {shape[1]}, and window "
                f"{describe_key(first)} the index {expected[0]} and the columns {expected[1]}"
            )


def _find_first_day(frame: Frame) -> Any:
    return frame.index.get_level_values("datetime").min()


def _find_ends(frame: Frame) -> tuple[Any, Any]:
    days = frame.index.get_level_values("datetime")
    return days.min(), days.max()


def _find_calendar() -> TradingCalendar | None:
    try:
        return current_market().calendar()
    except DataNotFoundError:
        return None
