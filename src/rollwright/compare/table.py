"""The table of a comparison: what each model reached, and which of them can be told apart.

It holds nothing but what the same comparison gives again: no times, no paths, no name. What the runs took is in the
costs (`rollwright.compare.costs`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from rollwright.analysis.honesty.sharpe import deflated_sharpe_ratio, measure_returns, probabilistic_sharpe_ratio
from rollwright.backtest.risk import standard_deviation
from rollwright.compare.evaluation import METRIC_KEYS, RunEvaluation, RunTerms
from rollwright.compare.json_values import (
    take_count,
    take_fields,
    take_json,
    take_list,
    take_number,
    take_one_of,
    take_text,
)
from rollwright.compare.session_series import ModelRuns, gather_models
from rollwright.compare.standings import GroupStandings, compare_models
from rollwright.compare.table_rows import (
    SERIES_KEYS,
    ComparedGroup,
    FailedRun,
    MetricSummary,
    RankedBy,
    TableNote,
    TableRow,
    Winner,
    group_from_json,
    group_to_json,
    note_from_json,
    note_to_json,
    row_from_json,
    row_to_json,
)
from rollwright.core.canonical import JSON
from rollwright.core.text import escape_text
from rollwright.errors import CompareError, DataError

__all__ = ["ComparisonTable", "find_baseline", "make_table"]

_FORMAT: Final = 1
_KIND: Final = "comparison"
_DRAWS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonTable:
    """What a comparison found.

    Attributes
    ----------
    metric : {"rank_ic", "ic", "excess"}
        What ranks the models.
    level : float
        Of the confidence set and of all intervals.
    baseline : str
        The model that the others are compared with, "" for none.
    draws, seed : int
        Of the bootstrap.
    groups : tuple of ComparedGroup
        The largest first.
    rows : tuple of TableRow
        By group and rank; those without a result last.
    trials : int
        Runs that gave a result.
    notes : tuple of TableNote
    origin : mapping
        What it was made of, so that it can be made again: versions, locks, digests of files; JSON.

    Guarantees: the same evaluations, in any order, give a table of equal JSON; `from_json` takes only what `to_json`
    makes.
    """

    metric: RankedBy
    level: float
    baseline: str
    draws: int
    seed: int
    groups: tuple[ComparedGroup, ...]
    rows: tuple[TableRow, ...]
    trials: int
    notes: tuple[TableNote, ...]
    origin: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every run gave a result."""
        return not any(row.failures for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; null stands for a number that is not known."""
        return {
            "format": _FORMAT,
            "kind": _KIND,
            "metric": self.metric,
            "level": self.level,
            "baseline": self.baseline,
            "draws": self.draws,
            "seed": self.seed,
            "trials": self.trials,
            "groups": [group_to_json(group) for group in self.groups],
            "rows": [row_to_json(row) for row in self.rows],
            "notes": [note_to_json(note) for note in self.notes],
            "origin": dict(self.origin),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        CompareError
            For anything else.
        """
        try:
            return cls(**_take_table(value))
        except (ValueError, OverflowError, RecursionError) as error:
            raise CompareError(
                f"this is no table of a comparison: {error}",
                hint="make it anew: rollwright compare table NAME",
            ) from error


def _take_table(value: object) -> dict[str, Any]:
    """Return the arguments of a table from its JSON."""
    names = (
        "format", "kind", "metric", "level", "baseline", "draws", "seed", "trials", "groups", "rows", "notes", "origin",
    )  # fmt: skip
    fields = take_fields(value, names, "the table")
    take_one_of(fields["format"], (_FORMAT,), "its format")
    take_one_of(fields["kind"], (_KIND,), "its kind")
    level = take_number(fields["level"], "its level")
    if not 0 < level < 1:
        raise ValueError("its level is no probability")
    groups = take_list(fields["groups"], group_from_json, "its groups")
    rows = take_list(fields["rows"], row_from_json, "its rows")
    if len({(row.model, row.dataset) for row in rows}) != len(rows):
        raise ValueError("a model stands there twice on a dataset")
    if any(row.group >= len(groups) for row in rows):
        raise ValueError("a row is of a group that is not there")
    origin = take_json(fields["origin"], "its origin")
    if not isinstance(origin, dict):
        raise ValueError("its origin is no JSON object")
    return {
        "metric": take_one_of(fields["metric"], SERIES_KEYS, "what ranks the models"),
        "level": level,
        "baseline": take_text(fields["baseline"], "the baseline"),
        "draws": take_count(fields["draws"], "its draws"),
        "seed": take_count(fields["seed"], "its seed"),
        "groups": groups,
        "rows": rows,
        "trials": take_count(fields["trials"], "its trials"),
        "notes": take_list(fields["notes"], note_from_json, "its notes"),
        "origin": origin,
    }


def make_table(
    evaluations: Sequence[RunEvaluation],
    *,
    baseline: str | None = None,
    metric: RankedBy = "rank_ic",
    level: float = 0.9,
    seed: int = 0,
    origin: Mapping[str, JSON] | None = None,
) -> ComparisonTable:
    """Return the table of a comparison.

    Models are tested on the daily values of `metric`, averaged over their seeds session by session first: seeds tell
    how much a model's fitting varies, and nothing of how much the market does. Ten seeds on one market are one look at
    that market, not ten, and counted as ten they would make every difference look sure. The metrics with their
    deviation over seeds are those of each run over all its own sessions.

    Parameters
    ----------
    evaluations : sequence of RunEvaluation
        In any order, each key once.
    baseline : str, optional
        A model that the others are compared with, on the same dataset; upper and lower case are the same.
    metric : {"rank_ic", "ic", "excess"}, default "rank_ic"
    level : float, default 0.9
        Of the confidence set and of all intervals.
    seed : int, default 0
        Of the bootstrap.
    origin : mapping, optional
        What the table says it was made of; JSON.

    .. warning:: **Look-ahead.** The winner is known when all test sessions are: to go on with it is a choice that the
       deflated Sharpe ratio counts for the runs of this comparison, and for nothing that was tried before.

    Raises
    ------
    CompareError
        For a key that stands there twice, a run that is done and does not say what it was judged by, runs of one model
        that were judged by different terms, or an unknown `baseline`.
    DataError
        For sessions of a run that do not rise, or a `level` that is no probability.
    """
    if metric not in SERIES_KEYS:
        raise CompareError(f"models cannot be ranked by {metric!r}", hint=f"known: {', '.join(SERIES_KEYS)}")
    if not 0 < level < 1:
        raise DataError(f"level {level}: a number between 0 and 1 is needed")
    models = gather_models(evaluations)
    chosen = "" if baseline is None else find_baseline(baseline, [one.model for one in models])
    groups = _group_models(models)
    rows: list[TableRow] = []
    notes: list[TableNote] = [*_note_groups(groups)]
    compared: list[ComparedGroup] = []
    trials = [run for one in models for run in one.done]
    for place, (terms, members) in enumerate(groups):
        found = compare_models(
            members, terms, baseline=chosen, metric=metric, level=level, draws=_DRAWS, rng=_make_rng(seed, place)
        )
        notes += found.notes
        order = sorted(members, key=lambda one, found=found: found.order_key(one.name))  # type: ignore[misc] # bound now
        rows += [_make_row(one, place, found) for one in order]
        compared.append(
            ComparedGroup(
                terms=terms,
                first=found.first,
                last=found.last,
                sessions=found.sessions,
                dropped=found.dropped,
                block=found.block,
                winner=_judge_winner(order[0], trials) if found.standings.get(order[0].name) else None,
            )
        )
    rows += [_make_row(one, -1, None) for one in models if not one.done]
    if chosen and not any(one.done for one in models if one.model == chosen):
        notes.append(TableNote("baseline_missing", {"model": chosen}))
    notes += _note_runs(models)
    return ComparisonTable(
        metric=metric,
        level=level,
        baseline=chosen,
        draws=_DRAWS,
        seed=seed,
        groups=tuple(compared),
        rows=tuple(rows),
        trials=len(trials),
        notes=tuple(notes),
        origin={} if origin is None else origin,
    )


def _make_rng(seed: int, group: int) -> np.random.Generator:
    return np.random.default_rng([seed, group])


def find_baseline(baseline: str, models: Iterable[str]) -> str:
    """Return the name of a baseline as the models spell it; upper and lower case are the same.

    Raises
    ------
    CompareError
        When it is none of the models, with the nearest name.
    """
    names = sorted({*models})
    found = [name for name in names if name.casefold() == baseline.casefold()]
    exact = [name for name in found if name == baseline] or found
    if not exact:
        near = difflib.get_close_matches(baseline, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(names[:20])}"
        raise CompareError(
            f"the baseline `{escape_text(baseline, longest=100)}` is none of the {len(names)} models compared",
            hint=hint,
        )
    return exact[0]


def _group_models(models: Sequence[ModelRuns]) -> list[tuple[RunTerms, list[ModelRuns]]]:
    """Return the models that have a result by what they were judged by, the largest group first."""
    found: dict[RunTerms, list[ModelRuns]] = {}
    for one in models:
        if one.terms is not None:
            found.setdefault(one.terms, []).append(one)
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[1][0].model, item[1][0].dataset))


def _make_row(one: ModelRuns, group: int, found: GroupStandings | None) -> TableRow:
    return TableRow(
        model=one.model,
        dataset=one.dataset,
        group=group,
        metrics={name: _summarise([run.metrics.get(name, math.nan) for run in one.done]) for name in METRIC_KEYS}
        if one.done
        else {},
        digests={run.key.seed: run.digest for run in one.done},
        failures=tuple(FailedRun(run.key.seed, run.status, run.cause) for run in one.failed),
        sessions=0 if found is None else found.counts[one.name],
        standing=None if found is None else found.standings.get(one.name),
    )


def _summarise(values: Sequence[float]) -> MetricSummary:
    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return MetricSummary(math.nan, math.nan, 0)
    return MetricSummary(float(known.mean()), standard_deviation(known) if len(known) > 1 else 0.0, len(known))


def _judge_winner(best: ModelRuns, trials: Sequence[RunEvaluation]) -> Winner:
    """Return what is left of the Sharpe ratio of the best after all runs that were tried.

    It is that of the return over the benchmark: in a rising market a model without an edge has a ratio of its own, too.
    """
    periods = best.require_terms().periods
    values = best.average("excess").values
    sharpe = probabilistic = deflated = math.nan
    ratios = [ratio for run in trials if math.isfinite(ratio := _measure_sharpe(run.excess.to_numpy(np.float64)))]
    try:
        moments = measure_returns(values)
        sharpe = moments.sharpe * math.sqrt(periods)
        probabilistic = probabilistic_sharpe_ratio(moments)
        deviation = float(np.std(ratios, ddof=1)) if len(ratios) > 1 else 1 / math.sqrt(moments.count - 1)
        deflated = deflated_sharpe_ratio(moments, trials=len(trials), deviation=deviation)
    except DataError:
        pass  # returns that are all equal or too few have no ratio: what could be told stays, the rest is NaN
    return Winner(
        model=best.model,
        dataset=best.dataset,
        sharpe=sharpe,
        probabilistic=probabilistic,
        deflated=deflated,
        trials=len(trials),
    )


def _measure_sharpe(returns: Any) -> float:
    try:
        return measure_returns(returns[np.isfinite(returns)]).sharpe
    except DataError:
        return math.nan


def _note_groups(groups: Sequence[tuple[RunTerms, Sequence[ModelRuns]]]) -> Iterator[TableNote]:
    """Yield what the groups differ in, where there are several."""
    if len(groups) > 1:
        names = [name for name in RunTerms.__slots__ if len({getattr(terms, name) for terms, _ in groups}) > 1]
        yield TableNote("not_comparable", {"groups": len(groups), "terms": ", ".join(names)})


def _note_runs(models: Sequence[ModelRuns]) -> Iterator[TableNote]:
    """Yield what the runs of the models do not tell, and how many runs have no result."""
    for status, kind in (("failed", "runs_failed"), ("waiting", "runs_waiting")):
        number = sum(run.status == status for one in models for run in one.failed)
        if number:
            yield TableNote(kind, {"runs": number})
    single = [one.name for one in models if len(one.done) == 1]
    if single:
        yield TableNote("one_seed", {"rows": _list_names(single)})
    alike = [one.name for one in models if len(one.done) > 1 and len({run.digest for run in one.done}) == 1]
    if alike:
        yield TableNote("same_predictions", {"rows": _list_names(alike)})
    if len({len(one.done) for one in models if one.done}) > 1:
        yield TableNote("unequal_seeds", {})


def _list_names(names: Sequence[str]) -> str:
    more = len(names) - 10
    return ", ".join(names[:10]) + (f" and {more} more" if more > 0 else "")
