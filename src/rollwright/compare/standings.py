"""How the models of a group stand among one another: the tests behind the table of a comparison."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.analysis.honesty.block_draws import BlockDraws, choose_common_block
from rollwright.analysis.honesty.confidence_set import find_confidence_set
from rollwright.analysis.honesty.paired import PairedDifference, compare_information_ratios, compare_means
from rollwright.analysis.honesty.rank_intervals import RankInterval, bound_ranks
from rollwright.compare.evaluation import RunTerms
from rollwright.compare.session_series import ModelRuns, SessionSeries, read_series, take_sessions
from rollwright.compare.table_rows import RankedBy, RankStanding, TableNote, Versus

__all__ = ["GroupStandings", "compare_models", "count_wins"]

_LEAST_SHARE: Final = 0.5
"""Of the sessions of the longest: a model with fewer is left out, for all others would be cut to its sessions."""
_MOST_PAIRS: Final = 300
"""Models of which every pair is tested; of more the confidence set is that of T_max alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStandings:
    """How the models of a group stand.

    Attributes
    ----------
    standings : mapping of str to RankStanding
        By the name of a model on a dataset; those that are left out are not there.
    counts : mapping of str to int
        Sessions on which each has a value.
    first, last : str
    sessions, dropped, block : int
        As those of a `ComparedGroup`.
    notes : tuple of TableNote
    """

    standings: Mapping[str, RankStanding]
    counts: Mapping[str, int]
    first: str
    last: str
    sessions: int
    dropped: int
    block: int
    notes: tuple[TableNote, ...]

    def order_key(self, name: str) -> tuple[bool, float, str]:
        """Return what rows of a table are sorted by: the mean, of equal ones the name; who is left out comes last."""
        standing = self.standings.get(name)
        return (standing is None, 0.0 if standing is None else -standing.mean, name)


def compare_models(
    models: Sequence[ModelRuns],
    terms: RunTerms,
    *,
    baseline: str,
    metric: RankedBy,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> GroupStandings:
    """Return how models that were judged by the same terms stand, on the sessions that all of them have.

    Parameters
    ----------
    models : sequence of ModelRuns
        In the order of their names, each with a run that is done.
    terms : RunTerms
    baseline : str
        A model, or "".
    metric, level : as `make_table` takes them
    draws : int
        Of the bootstrap.
    rng : Generator
    """
    averages = {one.name: one.average(metric) for one in models}
    counts = {name: len(series.sessions) for name, series in averages.items()}
    most = max(counts.values())
    kept = [one for one in models if counts[one.name] > 0 and counts[one.name] >= _LEAST_SHARE * most]
    series = [averages[one.name] for one in kept]
    notes = [
        TableNote("left_out", {"row": one.name, "sessions": counts[one.name], "most": most})
        for one in models
        if one not in kept
    ]
    common = functools.reduce(np.intersect1d, [one.sessions for one in series]) if kept else np.array([], "M8[ns]")
    dropped = len(np.unique(np.concatenate([one.sessions for one in series]))) - len(common) if kept else 0
    if dropped:
        notes.append(TableNote("sessions_dropped", {"sessions": len(common), "dropped": dropped}))
    if not len(common):
        notes.append(TableNote("few_sessions", {"sessions": 0}))
        return GroupStandings(
            standings={}, counts=counts, first="", last="", sessions=0, dropped=dropped, block=0, notes=tuple(notes)
        )
    values = np.column_stack([take_sessions(one, common) for one in series])
    means = values.mean(axis=0)
    block = choose_common_block(values, label_span=terms.label_span)
    if block is None:
        notes.append(TableNote("few_sessions", {"sessions": len(common)}))
        better = (means[None, :] > means[:, None]).sum(axis=1)
        ranks = [RankInterval(int(number) + 1, 0, 0) for number in better]
        by_max = by_range = np.full(len(kept), np.nan)
    else:
        blocks = len(common) / block
        drawn = BlockDraws.make(len(common), block, draws=draws, rng=rng).means(values)
        ranks = bound_ranks(means, drawn, level=level, blocks=blocks)
        by_max = find_confidence_set(means, drawn, statistic="max", blocks=blocks).p_values
        by_range = np.full(len(kept), np.nan)
        if len(kept) <= _MOST_PAIRS:
            by_range = find_confidence_set(means, drawn, statistic="range", blocks=blocks).p_values
        else:
            notes.append(TableNote("too_many_models", {"models": len(kept), "most": _MOST_PAIRS}))
    wins, seed_wins = count_wins(values), _count_seed_wins(kept, common, metric)
    bases = {one.dataset: place for place, one in enumerate(kept) if one.model == baseline}
    standings = {}
    for place, one in enumerate(kept):
        base = bases.get(one.dataset, place)
        standings[one.name] = RankStanding(
            mean=float(means[place]),
            rank=ranks[place].rank,
            rank_lower=ranks[place].lower,
            rank_upper=ranks[place].upper,
            set_p=float(by_max[place]),
            set_p_range=float(by_range[place]),
            in_set=None if block is None else bool(by_max[place] > 1 - level),
            win_sessions=_average_others(wins, place),
            win_seeds=_average_others(seed_wins, place),
            versus=None
            if base == place
            else _compare_with(one, kept[base], terms, level, (wins[place, base], seed_wins[place, base])),
        )
    return GroupStandings(
        standings=standings,
        counts=counts,
        first=_name_session(common[0]),
        last=_name_session(common[-1]),
        sessions=len(common),
        dropped=dropped,
        block=0 if block is None else block,
        notes=tuple(notes),
    )


def count_wins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of rows on which each column is above each other one; half counts where both are equal.

    Parameters
    ----------
    values : ndarray of float64, shape (T, N)
        A row counts for two columns where both have a number.

    Returns
    -------
    ndarray of float64, shape (N, N)
        Of the column (first axis) against the other (second); NaN where no row counts.
    """
    shares = np.full((values.shape[1],) * 2, np.nan)
    for place in range(values.shape[1]):
        own = values[:, place, None]
        known = (~(np.isnan(own) | np.isnan(values))).sum(axis=0)
        won = (own > values).sum(axis=0) + (own == values).sum(axis=0) / 2
        shares[place] = np.where(known > 0, won / np.maximum(known, 1), np.nan)
    return shares


def _count_seed_wins(
    models: Sequence[ModelRuns], sessions: NDArray[np.datetime64], metric: RankedBy
) -> NDArray[np.float64]:
    """Return the share of common seeds whose mean over the common sessions is above that of each other model."""
    seeds = sorted({run.key.seed for one in models for run in one.done})
    means = np.full((len(seeds), len(models)), np.nan)
    for place, one in enumerate(models):
        for run in one.done:
            values = take_sessions(read_series(run, metric), sessions)
            known = values[~np.isnan(values)]
            if len(known):
                means[seeds.index(run.key.seed), place] = known.mean()
    return count_wins(means)


def _average_others(wins: NDArray[np.float64], place: int) -> float:
    others = np.delete(wins[place], place)
    known = others[~np.isnan(others)]
    return float(known.mean()) if len(known) else math.nan


def _compare_with(own: ModelRuns, base: ModelRuns, terms: RunTerms, level: float, wins: tuple[float, float]) -> Versus:
    """Return a model less the baseline, each series on the sessions that both have."""

    def pair(one: SessionSeries, other: SessionSeries) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sessions = np.intersect1d(one.sessions, other.sessions, assume_unique=True)
        return take_sessions(one, sessions), take_sessions(other, sessions)

    def differ(name: RankedBy, *, label_span: int, scale: float = 1.0) -> PairedDifference:
        return compare_means(
            *pair(own.average(name), base.average(name)), label_span=label_span, level=level, scale=scale
        )

    return Versus(
        ic=differ("ic", label_span=terms.label_span),
        rank_ic=differ("rank_ic", label_span=terms.label_span),
        annualized_return=differ("excess", label_span=1, scale=terms.periods),
        information_ratio=compare_information_ratios(
            *pair(own.average("excess"), base.average("excess")), periods=terms.periods, level=level
        ),
        win_sessions=float(wins[0]),
        win_seeds=float(wins[1]),
    )


def _name_session(session: np.datetime64) -> str:
    text = str(session.astype("datetime64[s]"))
    return text.removesuffix("T00:00:00")
