"""The table `honesty` of the stage `backtest`: made when all signals of a result are back-tested, and registered."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from rollwright.analysis.health import HealthFinding
from rollwright.analysis.honesty.comparison import Comparisons
from rollwright.analysis.honesty.honest_numbers import HonestNumbers, honest_numbers
from rollwright.analysis.honesty.trial_set import TrialSet
from rollwright.analysis.stages.table import ColumnUnit, ResultTable, StageResult
from rollwright.core.text import escape_text
from rollwright.errors import DataError
from rollwright.trials.registry import RegistryState, TrialRegistry
from rollwright.trials.return_series import ReturnSeries
from rollwright.trials.trial import Trial, TrialSource

__all__ = ["HONESTY_TABLE", "Look", "TrialBook", "add_honesty", "judge_returns"]

_logger: Final = logging.getLogger("rollwright.analysis")

HONESTY_TABLE: Final = "honesty"

_UNITS: Final[dict[str, ColumnUnit]] = {
    "number": "text",
    "standard": "text",
    "count": "text",
    "trials": "count",
    "value": "mixed",
    "unit": "text",
    "reason": "text",
}
_KEPT_SETTINGS: Final = ("topk", "n_drop", "mode", "deal_price", "account", "benchmark")
_LONGEST: Final = 200


class Look(NamedTuple):
    """What a back-test is of: where it comes from, and its name."""

    source: TrialSource
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialBook:
    """Where the trials of one data set are registered.

    Attributes
    ----------
    registry : TrialRegistry
    data : str
        Identity of the data set.
    synthetic : bool
        Whether it is made up.
    opened : tuple of datetime64[D]
        The first days of the holdouts that were unsealed: everything from there on was unseen before.
    """

    registry: TrialRegistry
    data: str
    synthetic: bool = False
    opened: tuple[np.datetime64, ...] = ()

    def make_trial(self, net: pd.Series, look: Look, settings: Mapping[str, Any]) -> Trial:
        """Return the trial of a back-test.

        Parameters
        ----------
        net : Series
            Daily returns after costs (index ``datetime``).
        look : Look
        settings : mapping
            What the back-test was told; those that tell strategies apart are kept.

        Raises
        ------
        DataError
            For returns of which there is no Sharpe ratio.
        """
        series = ReturnSeries.of(net.index.to_numpy(), net.to_numpy())
        return Trial(
            data=self.data,
            synthetic=self.synthetic,
            holdout=any(bool(series.sessions[-1] >= start) for start in self.opened),
            source=look.source,
            name=escape_text(look.name, longest=_LONGEST) or "unnamed",
            settings={name: settings[name] for name in _KEPT_SETTINGS if name in settings},
            series=series,
        )

    def register(self, trials: Sequence[Trial]) -> tuple[RegistryState, str]:
        """Register trials, and return what is registered then; where it cannot be written, as if it had been, and why.

        A result is not lost because of a full disk or a project that may only be read.
        """
        try:
            return self.registry.register(trials), ""
        except OSError as error:
            reason = f"{error.strerror or error}: {error.filename or self.registry.folder}"
            _logger.warning("trials.not_registered reason=%s", reason)
        try:
            state = self.registry.read()
        except OSError:
            state = RegistryState(chains=(), trials=(), damage=(), lost=0)
        return replace(state, trials=(*state.trials, *trials)), reason


def add_honesty(stages: Sequence[StageResult], looks: Sequence[Look], book: TrialBook) -> list[StageResult]:
    """Return stages `backtest` with their honest numbers: each registered as a trial, all judged beside one another.

    All signals of a result are registered before the first is judged, so that the numbers do not depend on their order,
    and a result that is made again has the same ones, unless something else was tried meanwhile.

    Parameters
    ----------
    stages : sequence of StageResult
        Of the stage ``backtest``, each with its table ``account``.
    looks : sequence of Look
        What each is.
    book : TrialBook

    Returns
    -------
    list of StageResult
        Each with the table ``honesty`` (as `HonestNumbers`), its metrics and findings; one of which there is no Sharpe
        ratio as it was, with the reason among what is left out.
    """
    nets = [_net_returns(stage) for stage in stages]
    trials: dict[int, Trial] = {}
    reasons: dict[int, str] = {}
    for place, (stage, look, net) in enumerate(zip(stages, looks, nets, strict=True)):
        try:
            trials[place] = book.make_trial(net, look, stage.settings)
        except DataError as error:
            reasons[place] = error.message
    state, problem = book.register([*trials.values()])
    distinct = state.distinct(book.data, synthetic=book.synthetic)
    comparisons = Comparisons()
    found: list[StageResult] = []
    for place, (stage, net) in enumerate(zip(stages, nets, strict=True)):
        if place in reasons:
            found.append(replace(stage, left_out={**stage.left_out, HONESTY_TABLE: reasons[place]}))
            continue
        made = honest_numbers(
            net,
            TrialSet.of(state, trials[place], distinct=distinct),
            periods=float(stage.settings["days_per_year"]),
            risk_free=float(stage.settings["risk_free"]),
            comparisons=comparisons,
        )
        found.append(_join(stage, made, problem))
    return found


def judge_returns(
    net: pd.Series,
    look: Look,
    book: TrialBook,
    *,
    settings: Mapping[str, Any],
    periods: float,
    risk_free: float = 0.0,
) -> HonestNumbers:
    """Register one back-test that is no stage, such as that of a portfolio record, and return its honest numbers.

    Parameters
    ----------
    net : Series
        Daily returns after costs (index ``datetime``).
    look, book, settings
        As `TrialBook.make_trial` takes them.
    periods, risk_free
        As `honest_numbers` takes them.

    Raises
    ------
    DataError
        For returns of which there is no Sharpe ratio; nothing is registered then.
    """
    trial = book.make_trial(net, look, settings)
    state, problem = book.register([trial])
    made = honest_numbers(net, TrialSet.of(state, trial), periods=periods, risk_free=risk_free)
    return replace(made, findings=(*made.findings, *_tell_problem(problem)))


def _tell_problem(problem: str) -> list[HealthFinding]:
    """Return that a result could not be registered, and why; nothing where it was."""
    if not problem:
        return []
    touched = ("deflated_sharpe", "trials", "pbo")
    return [
        HealthFinding(kind="trials_not_registered", severity="warning", values={"reason": problem}, metrics=touched)
    ]


def _net_returns(stage: StageResult) -> pd.Series:
    account = stage.tables["account"].frame
    net: pd.Series = account["return"] - account["cost"]
    return net


def _join(stage: StageResult, made: HonestNumbers, problem: str) -> StageResult:
    table = ResultTable(name=HONESTY_TABLE, frame=made.table, units=_UNITS)
    return replace(
        stage,
        tables={**stage.tables, HONESTY_TABLE: table},
        metrics=(*stage.metrics, *made.metrics),
        findings=(*stage.findings, *made.findings, *_tell_problem(problem)),
        left_out={name: reason for name, reason in stage.left_out.items() if name != HONESTY_TABLE},
    )
