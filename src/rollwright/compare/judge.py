"""Judging one run: the correlations of its signal, and what it would have earned, by the code that judges campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from rollwright.analysis.portfolio import PortfolioPlan
from rollwright.analysis.signal import calc_ic, summarise
from rollwright.backtest.risk import measure_risk, periods_per_year
from rollwright.campaign.config import BacktestConfig, CampaignConfig
from rollwright.campaign.trade_terms import make_trade_terms
from rollwright.compare.evaluation import RunEvaluation, RunKey, RunTerms
from rollwright.compare.outcome import RunOutcome
from rollwright.market.source import DataSource

__all__ = ["RunJudge", "failed_run", "waiting_run"]

_PORTFOLIO: Final = "PortAnaRecord"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJudge:
    """Judges the runs of one workflow.

    It is traded as the section ``backtest`` of its file says; without one as its ``PortAnaRecord`` does, over all that
    was predicted; without either by the defaults of the section.

    Attributes
    ----------
    config : CampaignConfig
    source : DataSource
    region : str
        Market whose trading rules the back-test follows.
    """

    config: CampaignConfig
    source: DataSource
    region: str

    def judge(
        self,
        outcome: RunOutcome,
        pred: pd.DataFrame,
        label: pd.DataFrame,
        *,
        digest: str,
    ) -> RunEvaluation:
        """Return what a finished run is worth.

        Parameters
        ----------
        outcome : RunOutcome
            Of a run that is done.
        pred, label : DataFrame
            By (datetime, instrument): scores, and the raw labels of the same rows.
        digest : str
            SHA-256 of the prediction as it is stored.

        Raises
        ------
        DataError, ConfigError
            As the analysis and the back-test of a campaign.
        """
        ic, rank_ic = calc_ic(pred, label)
        summary = summarise(ic, rank_ic, label_span=outcome.label_span)
        report = self._trade(pred)
        returns: pd.Series = report["return"] - report["cost"]
        excess: pd.Series = returns - report["bench"]
        periods = periods_per_year(self.source.freq)
        risk = measure_risk(excess.to_numpy("float64"), periods=periods)
        return RunEvaluation(
            key=outcome.key,
            status="done",
            cause="",
            ic=_daily(ic, "ic"),
            rank_ic=_daily(rank_ic, "rank_ic"),
            excess=_daily(excess, "excess"),
            returns=_daily(returns, "returns"),
            metrics={
                "ic": summary.ic,
                "icir": summary.icir,
                "rank_ic": summary.rank_ic,
                "rank_icir": summary.rank_icir,
                "annualized_return": risk.annualized_return,
                "information_ratio": risk.information_ratio,
                "max_drawdown": risk.max_drawdown,
            },
            cost=outcome.cost,
            digest=digest,
            terms=RunTerms(
                label=outcome.label,
                universe=outcome.universe,
                benchmark=self._benchmark(),
                label_span=outcome.label_span,
                periods=periods,
            ),
        )

    def _benchmark(self) -> str:
        described = None if self.config.backtest is not None else _find_portfolio(self.config)
        if described is None:
            return (self.config.backtest or BacktestConfig()).benchmark
        given = described.get("backtest")
        named = given.get("benchmark") if isinstance(given, Mapping) else None
        return named if isinstance(named, str) else "none"

    def _trade(self, pred: pd.DataFrame) -> pd.DataFrame:
        described = None if self.config.backtest is not None else _find_portfolio(self.config)
        if described is not None:
            return PortfolioPlan.from_config(described).run(pred).report
        terms = make_trade_terms(self.config.backtest or BacktestConfig(), self.region)
        return terms.run(pred, self.source).report


def _find_portfolio(config: CampaignConfig) -> Mapping[str, Any] | None:
    """Return what the portfolio record of a workflow back-tests; None where it has no such record, or names nothing."""
    for record in config.task.record:
        if record.class_.rpartition(".")[2] == _PORTFOLIO:
            described = record.kwargs.get("config")
            return described if isinstance(described, Mapping) else None
    return None


def _daily(values: pd.Series, name: str) -> pd.Series:
    """Return a daily series as a `RunEvaluation` has it."""
    index = pd.DatetimeIndex(values.index, name="datetime")
    return pd.Series(values.to_numpy("float64"), index=index, name=name)


def failed_run(key: RunKey, cause: str) -> RunEvaluation:
    """Return a run that has no result, and why."""
    return _empty(key, cause=cause, failed=True)


def waiting_run(key: RunKey) -> RunEvaluation:
    """Return a run that has no result yet."""
    return _empty(key, cause="", failed=False)


def _empty(key: RunKey, *, cause: str, failed: bool) -> RunEvaluation:
    none = pd.Series([], index=pd.DatetimeIndex([], name="datetime"), dtype="float64")
    return RunEvaluation(
        key=key,
        status="failed" if failed else "waiting",
        cause=cause,
        ic=none.rename("ic"),
        rank_ic=none.rename("rank_ic"),
        excess=none.rename("excess"),
        returns=none.rename("returns"),
        metrics={},
        cost=None,
        digest="",
    )
