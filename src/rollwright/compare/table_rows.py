"""What the table of a comparison is made of: rows, how they stand, and the groups they are compared in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from rollwright.analysis.honesty.paired import PairedDifference
from rollwright.compare.evaluation import METRIC_KEYS, RunStatus, RunTerms
from rollwright.compare.json_values import (
    take_count,
    take_digest,
    take_fields,
    take_list,
    take_number,
    take_one_of,
    take_optional_number,
    take_text,
    write_number,
)

__all__ = [
    "SERIES_KEYS",
    "ComparedGroup",
    "FailedRun",
    "MetricSummary",
    "RankStanding",
    "RankedBy",
    "TableNote",
    "TableRow",
    "Versus",
    "Winner",
    "group_from_json",
    "group_to_json",
    "note_from_json",
    "note_to_json",
    "row_from_json",
    "row_to_json",
]

RankedBy: TypeAlias = Literal["rank_ic", "ic", "excess"]
"""The daily series whose mean ranks the models; ``excess`` is the return over the benchmark after costs."""

SERIES_KEYS: Final[tuple[RankedBy, ...]] = ("rank_ic", "ic", "excess")
_DIFFERENCES: Final = ("ic", "rank_ic", "annualized_return", "information_ratio")
_NOTES: Final = (
    "baseline_missing", "few_sessions", "left_out", "not_comparable", "one_seed", "runs_failed", "runs_waiting",
    "same_predictions", "sessions_dropped", "too_many_models", "unequal_seeds",
)  # fmt: skip


class MetricSummary(NamedTuple):
    """A metric over all seeds of a model.

    Attributes
    ----------
    mean : float
        NaN where no run has it.
    std : float
        ``ddof=1``; 0 of one run, which says nothing of the spread, and NaN of none.
    runs : int
        How many have it.
    """

    mean: float
    std: float
    runs: int


class FailedRun(NamedTuple):
    """A run without a result: its seed, whether it failed or waits, and why."""

    seed: int
    status: RunStatus
    cause: str


class Versus(NamedTuple):
    """A model less the baseline, on the sessions that both have, seeds averaged by session.

    Attributes
    ----------
    ic, rank_ic, annualized_return, information_ratio : PairedDifference
    win_sessions : float
        Share of sessions on which the model is better in what ranks the models; half for equal ones.
    win_seeds : float
        Share of those seeds that both have, likewise.
    """

    ic: PairedDifference
    rank_ic: PairedDifference
    annualized_return: PairedDifference
    information_ratio: PairedDifference
    win_sessions: float
    win_seeds: float


class RankStanding(NamedTuple):
    """How a model stands among those it can be compared with, on the sessions that all of them have.

    Attributes
    ----------
    mean : float
        Of what ranks the models, seeds averaged by session.
    rank, rank_lower, rank_upper : int
        1 is the best; ends of 0 where the sessions are too few to tell.
    set_p, set_p_range : float
        p-value of the model confidence set by T_max, which tells who is in, and by T_R; NaN where it cannot be told.
    in_set : bool or None
        Whether it cannot be told apart from the best; None where that cannot be told.
    win_sessions, win_seeds : float
        Mean over all others of the share of sessions, and of common seeds, on which it is better; NaN without others.
    versus : Versus or None
        None without a baseline, and for the baseline itself.
    """

    mean: float
    rank: int
    rank_lower: int
    rank_upper: int
    set_p: float
    set_p_range: float
    in_set: bool | None
    win_sessions: float
    win_seeds: float
    versus: Versus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A model on a dataset.

    Attributes
    ----------
    model, dataset : str
    group : int
        Place among the groups of the table: only rows of one group are compared with one another; −1 without a result.
    metrics : mapping of str to MetricSummary
        By `METRIC_KEYS`, each run over all its sessions.
    digests : mapping of int to str
        SHA-256 of the prediction of each run that is done, by its seed.
    failures : tuple of FailedRun
    sessions : int
        On which it has a value of what ranks the models.
    standing : RankStanding or None
        None where it cannot be compared.
    """

    model: str
    dataset: str
    group: int
    metrics: Mapping[str, MetricSummary]
    digests: Mapping[int, str]
    failures: tuple[FailedRun, ...]
    sessions: int
    standing: RankStanding | None

    @property
    def name(self) -> str:
        """Model and dataset, which no other row has."""
        return f"{self.model}/{self.dataset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The first of a group, and what is left of its Sharpe ratio after the number of runs that were tried.

    Attributes
    ----------
    model, dataset : str
    sharpe : float
        Annual, of the daily return over the benchmark after costs, the mean of its seeds; NaN where not defined.
    probabilistic, deflated : float
        Probability that the true ratio is above 0, and above the best of `trials` worthless runs (2012/14).
    trials : int
        Runs of the whole comparison that gave a result: each was looked at.
    """

    model: str
    dataset: str
    sharpe: float
    probabilistic: float
    deflated: float
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedGroup:
    """Rows that were judged by the same terms.

    Attributes
    ----------
    terms : RunTerms
    first, last : str
        The common sessions; "" where there are none.
    sessions : int
        How many are common.
    dropped : int
        Sessions that some of the rows have and others do not.
    block : int
        Sessions of a block of the bootstrap; 0 where the sessions are too few for one.
    winner : Winner or None
    """

    terms: RunTerms
    first: str
    last: str
    sessions: int
    dropped: int
    block: int
    winner: Winner | None


class TableNote(NamedTuple):
    """Something to read with the table: its kind, and the rows or numbers it is about."""

    kind: str
    values: Mapping[str, str | int]


def group_to_json(group: ComparedGroup) -> dict[str, Any]:
    """Return a group as JSON."""
    winner = group.winner
    return {
        "terms": group.terms.to_json(),
        "first": group.first,
        "last": group.last,
        "sessions": group.sessions,
        "dropped": group.dropped,
        "block": group.block,
        "winner": None
        if winner is None
        else {
            "model": winner.model,
            "dataset": winner.dataset,
            "sharpe": write_number(winner.sharpe),
            "probabilistic": write_number(winner.probabilistic),
            "deflated": write_number(winner.deflated),
            "trials": winner.trials,
        },
    }


def group_from_json(value: object) -> ComparedGroup:
    """Return what `group_to_json` wrote; a ValueError says what is odd."""
    fields = take_fields(value, ("terms", "first", "last", "sessions", "dropped", "block", "winner"), "a group")
    return ComparedGroup(
        terms=RunTerms.from_json(fields["terms"]),
        first=take_text(fields["first"], "the first session"),
        last=take_text(fields["last"], "the last session"),
        sessions=take_count(fields["sessions"], "the sessions of a group"),
        dropped=take_count(fields["dropped"], "the sessions that were left out"),
        block=take_count(fields["block"], "the sessions of a block"),
        winner=None if fields["winner"] is None else _winner_from_json(fields["winner"]),
    )


def _winner_from_json(value: object) -> Winner:
    fields = take_fields(value, Winner.__slots__, "a winner")
    return Winner(
        model=take_text(fields["model"], "a model"),
        dataset=take_text(fields["dataset"], "a dataset"),
        sharpe=take_optional_number(fields["sharpe"], "a Sharpe ratio"),
        probabilistic=take_optional_number(fields["probabilistic"], "a probability"),
        deflated=take_optional_number(fields["deflated"], "a probability"),
        trials=take_count(fields["trials"], "the trials"),
    )


def row_to_json(row: TableRow) -> dict[str, Any]:
    """Return a row as JSON; null stands for a number that is not known."""
    standing = row.standing
    return {
        "model": row.model,
        "dataset": row.dataset,
        "group": None if row.group < 0 else row.group,
        "metrics": {
            name: {"mean": write_number(one.mean), "std": write_number(one.std), "runs": one.runs}
            for name, one in row.metrics.items()
        },
        "runs": [{"seed": seed, "digest": digest} for seed, digest in row.digests.items()],
        "failures": [one._asdict() for one in row.failures],
        "sessions": row.sessions,
        "standing": None
        if standing is None
        else {**_numbers(standing, "mean", "set_p", "set_p_range", "win_sessions", "win_seeds"),
              **{name: getattr(standing, name) for name in ("rank", "rank_lower", "rank_upper", "in_set")},
              "versus": _versus_to_json(standing.versus)},
    }  # fmt: skip


def _versus_to_json(versus: Versus | None) -> dict[str, Any] | None:
    if versus is None:
        return None
    differences = {name: _numbers(getattr(versus, name), *PairedDifference._fields) for name in _DIFFERENCES}
    return {**differences, **_numbers(versus, "win_sessions", "win_seeds")}


def _numbers(value: object, *names: str) -> dict[str, float | None]:
    return {name: write_number(getattr(value, name)) for name in names}


def row_from_json(value: object) -> TableRow:
    """Return what `row_to_json` wrote; a ValueError says what is odd."""
    names = ("model", "dataset", "group", "metrics", "runs", "failures", "sessions", "standing")
    fields = take_fields(value, names, "a row")
    metrics = fields["metrics"]
    if not isinstance(metrics, Mapping) or not (metrics.keys() == {*METRIC_KEYS} or not metrics):
        raise ValueError("the metrics of a row are others")
    runs = dict(take_list(fields["runs"], _run_from_json, "the runs of a row"))
    if len(runs) != len(fields["runs"]):
        raise ValueError("a seed of a row stands there twice")
    return TableRow(
        model=take_text(fields["model"], "a model"),
        dataset=take_text(fields["dataset"], "a dataset"),
        group=-1 if fields["group"] is None else take_count(fields["group"], "the group of a row"),
        metrics={name: _summary_from_json(metrics[name]) for name in METRIC_KEYS if name in metrics},
        digests=runs,
        failures=take_list(fields["failures"], _failure_from_json, "the failures of a row"),
        sessions=take_count(fields["sessions"], "the sessions of a row"),
        standing=None if fields["standing"] is None else _standing_from_json(fields["standing"]),
    )


def _run_from_json(value: object) -> tuple[int, str]:
    fields = take_fields(value, ("seed", "digest"), "a run")
    return take_count(fields["seed"], "a seed"), take_digest(fields["digest"], "the digest of a run")


def _summary_from_json(value: object) -> MetricSummary:
    fields = take_fields(value, MetricSummary._fields, "a metric")
    mean, std = (take_optional_number(fields[name], f"the {name} of a metric") for name in ("mean", "std"))
    return MetricSummary(mean, std, take_count(fields["runs"], "the runs of a metric"))


def _failure_from_json(value: object) -> FailedRun:
    fields = take_fields(value, FailedRun._fields, "a failure")
    status: RunStatus = take_one_of(fields["status"], ("failed", "waiting"), "the status of a failure")
    return FailedRun(take_count(fields["seed"], "a seed"), status, take_text(fields["cause"], "a cause"))


def _standing_from_json(value: object) -> RankStanding:
    fields = take_fields(value, RankStanding._fields, "how a row stands")
    in_set, versus = fields["in_set"], fields["versus"]
    return RankStanding(
        mean=take_number(fields["mean"], "the mean of a row"),
        rank=take_count(fields["rank"], "a rank"),
        rank_lower=take_count(fields["rank_lower"], "a rank"),
        rank_upper=take_count(fields["rank_upper"], "a rank"),
        set_p=take_optional_number(fields["set_p"], "set_p"),
        set_p_range=take_optional_number(fields["set_p_range"], "set_p_range"),
        in_set=None if in_set is None else take_one_of(in_set, (True, False), "whether it is in the set"),
        win_sessions=take_optional_number(fields["win_sessions"], "win_sessions"),
        win_seeds=take_optional_number(fields["win_seeds"], "win_seeds"),
        versus=None if versus is None else _versus_from_json(versus),
    )


def _versus_from_json(value: object) -> Versus:
    fields = take_fields(value, Versus._fields, "a difference from the baseline")
    found = {name: _difference_from_json(fields[name], name) for name in _DIFFERENCES}
    return Versus(
        **found,
        win_sessions=take_optional_number(fields["win_sessions"], "win_sessions"),
        win_seeds=take_optional_number(fields["win_seeds"], "win_seeds"),
    )


def _difference_from_json(value: object, name: str) -> PairedDifference:
    fields = take_fields(value, PairedDifference._fields, f"the difference in {name}")
    return PairedDifference(*(take_optional_number(fields[key], key) for key in PairedDifference._fields))


def note_to_json(note: TableNote) -> dict[str, Any]:
    """Return a note as JSON."""
    return {"kind": note.kind, "values": dict(note.values)}


def note_from_json(value: object) -> TableNote:
    """Return what `note_to_json` wrote; a ValueError says what is odd."""
    fields = take_fields(value, ("kind", "values"), "a note")
    values = fields["values"]
    if not isinstance(values, Mapping) or len(values) > 10:
        raise ValueError("a note has no values")
    known = {
        take_text(name, "a note"): take_text(one, "a note") if isinstance(one, str) else take_count(one, "a note")
        for name, one in values.items()
    }
    return TableNote(take_one_of(fields["kind"], _NOTES, "the kind of a note"), known)
