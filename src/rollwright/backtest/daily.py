"""Daily back-test: from predictions and a data source to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.costs import Costs, Mode
from rollwright.backtest.inputs import BacktestInputs, Benchmark, RulesLike, check_benchmark, load_inputs
from rollwright.backtest.rules.exchange_rules import ExchangeRules
from rollwright.backtest.simulate import Simulation, Trade, simulate
from rollwright.backtest.strategy import Strategy
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.backtest.unfilled import UnfilledOrder
from rollwright.calendar.trading import SessionLike
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import current_settings
from rollwright.errors import ConfigError
from rollwright.market.source import DataSource

__all__ = [
    "BacktestResult",
    "Benchmark",
    "backtest_daily",
    "backtest_topk",
    "backtest_whole",
    "check_benchmark",
    "make_costs",
    "make_strategy",
    "run_inputs",
]

REPORT_COLUMNS: Final = (
    "account",
    "return",
    "total_turnover",
    "turnover",
    "total_cost",
    "cost",
    "value",
    "cash",
    "bench",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BacktestResult:
    """Result of a daily back-test.

    Attributes
    ----------
    report : DataFrame
        One row per session (index ``datetime``), float64: ``account`` (cash and holdings at the close), ``return``
        (change of the account over the day before, *before* costs), ``total_turnover`` and ``total_cost`` (since the
        beginning, in currency), ``turnover`` and ``cost`` (of the day, as shares of the account the day before),
        ``value`` (holdings), ``cash``, ``bench`` (change of the benchmark; 0 without one). The return after costs is
        ``return - cost``.
    positions : DataFrame
        Holdings at each close: index (datetime, instrument), columns ``amount`` (adjusted shares), ``price`` (the
        last one), ``value``, ``weight`` (of the account).
    trades : DataFrame
        Index (datetime, instrument), columns ``side`` (buy, sell, or settle at the end of a listing), ``amount``,
        ``price``, ``value``, ``cost``; in the order they were made.
    unfilled : DataFrame
        Orders that the strategy wanted and that were not made, or made smaller; each other one is in `trades` at its
        whole size. Index (datetime, instrument), columns ``side``, ``reason`` (a key of `unfilled.REASONS`),
        ``wanted_amount``, ``wanted_value``, ``made_amount``, as in `UnfilledOrder`; in the order they were tried.
    strategy : Strategy
    costs : Costs
        The terms as they were applied: without factors, without lots. Under `rules` those that they began with.
    benchmark_gaps : int
        Sessions after the first on which the benchmark had no value of its own; it counts as unchanged there.
    rules : ExchangeRules or None
        The dated rules that held.
    """

    report: pd.DataFrame
    positions: pd.DataFrame
    trades: pd.DataFrame
    unfilled: pd.DataFrame
    strategy: Strategy
    costs: Costs
    benchmark_gaps: int = 0
    rules: ExchangeRules | None = None

    @property
    def net_return(self) -> pd.Series[float]:
        """Daily returns after costs."""
        return (self.report["return"] - self.report["cost"]).rename("return")

    @property
    def excess_return(self) -> pd.Series[float]:
        """Daily returns after costs over the benchmark."""
        return (self.net_return - self.report["bench"]).rename("excess_return")


def backtest_topk(
    pred: pd.DataFrame | pd.Series[float],
    source: DataSource | None = None,
    *,
    topk: int = 50,
    n_drop: int = 5,
    costs: Costs | None = None,
    account: float = 1e8,
    benchmark: Benchmark = None,
    settle_delisted: bool = True,
) -> BacktestResult:
    """Back-test the top-k dropout rule on predictions.

    See `simulate` for the rules of trading and `backtest` for the parameters.
    """
    strategy = TopkDropoutStrategy(topk=topk, n_drop=n_drop)
    return backtest(
        strategy, pred, source, costs=costs, account=account, benchmark=benchmark, settle_delisted=settle_delisted
    )


def backtest(
    strategy: Strategy,
    pred: pd.DataFrame | pd.Series[float],
    source: DataSource | None = None,
    *,
    costs: Costs | None = None,
    account: float = 1e8,
    benchmark: Benchmark = None,
    settle_delisted: bool = True,
    deal_price: str | tuple[str, str] = "close",
    mode: Mode = "strict",
    start: SessionLike | None = None,
    end: SessionLike | None = None,
    rules: RulesLike | None = None,
) -> BacktestResult:
    """Back-test `strategy` on predictions and the prices of `source`.

    Parameters
    ----------
    strategy : Strategy
    pred : Series or DataFrame
        Scores with the index (datetime, instrument); of a frame the first column. The rows of a session were
        predicted after its close, and are traded at the close of the next.
    source : DataSource, optional
        The market of the current context if not given. Its fields ``close`` and ``factor`` are read. Without factors,
        adjusted shares are traded without lots, and the log says so.
    costs : Costs, optional
        Those of region ``us`` if not given. Under `rules` its costs are commissions, without duties, and its lots and
        limits are not used.
    account : float
        Cash to begin with.
    benchmark : "mean", code, Series or None
        ``"mean"`` is the mean change, at equal weights, of the instruments the session before scored.
    settle_delisted : bool
        Settle a holding once its series has ended for good, at `Costs.delisting` of its last price; see
        `MarketPrices.ends`.
    deal_price : str or (str, str)
        Field of the source that purchases and sales are made at, or one for each: ``open``, ``$close``, ``vwap``. Where
        it has no price above zero the close is taken, as in Qlib, and the log counts how often.
    mode : {"strict", "qlib"}
        ``qlib`` gives the numbers of pyqlib 0.9.7, with what `simulate` tells of that mode; limits are then those of
        the source's field ``change``, and holdings are never settled. Equal scores are still told apart by lots.
    start, end : date, optional
        Sessions to simulate; those from the first to the last prediction if not given. Scores of the session before
        `start` are traded on `start`. The end may be the last session there is.
    rules : str, mapping or ExchangeRules, optional
        The dated rules of a market: ``cn``, ``us`` or ``none``, as in `ExchangeRules.from_config`. If not given,
        `costs` hold on every session and for every instrument.

    .. warning:: **Look-ahead.** The scores are taken to be out of sample. Predictions on what the model learnt from
       give a fine curve that means nothing.

    Raises
    ------
    DataError
        For predictions without rows, with a doubled row, or without prices.
    CalendarRangeError
        For predictions of a day that is not a session.
    UnknownInstrumentError
        For an instrument or a benchmark the source does not have.
    HoldoutSealedError
        For predictions, a start or an end in the sealed holdout.
    """
    return run_inputs(
        load_inputs(
            strategy,
            pred,
            source,
            costs=costs,
            account=account,
            benchmark=benchmark,
            settle_delisted=settle_delisted,
            deal_price=deal_price,
            mode=mode,
            start=start,
            end=end,
            rules=rules,
        )
    )


def run_inputs(inputs: BacktestInputs) -> BacktestResult:
    """Return the back-test of what `load_inputs` read."""
    made = simulate(
        inputs.strategy,
        inputs.scores,
        inputs.market,
        costs=inputs.terms,
        account=inputs.account,
        mode=inputs.mode,
    )
    index, columns = inputs.rows, pd.Index(inputs.names, name="instrument")
    bench = np.concatenate([np.zeros(inputs.eve), inputs.bench])
    return BacktestResult(
        report=_make_report(made, index, bench).iloc[inputs.eve :],
        positions=_make_positions(made, index, columns),
        trades=_make_orders(made.trades, Trade._fields, index, columns),
        unfilled=_make_orders(made.unfilled, UnfilledOrder._fields, index, columns),
        strategy=inputs.strategy,
        costs=inputs.costs,
        benchmark_gaps=inputs.benchmark_gaps,
        rules=inputs.rules,
    )


def backtest_daily(
    start_time: SessionLike | None,
    end_time: SessionLike | None,
    strategy: Strategy | Mapping[str, Any],
    executor: None = None,
    account: float = 1e8,
    benchmark: Benchmark = "SH000300",
    exchange_kwargs: Mapping[str, Any] | None = None,
    pos_type: str = "Position",
    *,
    source: DataSource | None = None,
    mode: Mode = "strict",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Back-test `strategy` on its own signal, as Qlib's function of this name does.

    Parameters
    ----------
    start_time, end_time : date or None
    strategy : Strategy or its configuration
        With its ``signal``.
    executor : None
        Only None: each day's orders are filled at once, which is Qlib's default.
    account : float
        Cash to begin with.
    benchmark : "mean", code, Series or None
        As in `backtest`. Qlib's default is an index of the Chinese market; None compares with nothing.
    exchange_kwargs : mapping, optional
        Of Qlib's exchange: ``open_cost``, ``close_cost``, ``min_cost``, ``trade_unit``, ``limit_threshold``,
        ``deal_price``; ``freq`` and ``codes`` may say ``day`` and ``all``. What is not given is that of the
        settings' ``data.region``, also a limit of None; `backtest` takes `Costs` without one. Beside them the other
        fields of `Costs`, and ``rules`` as in `backtest`: what those say may not be given with them.
    pos_type : {"Position"}
    source : DataSource, optional
        The market of the current context if not given.
    mode : {"strict", "qlib"}
        As in `backtest`.

    Returns
    -------
    report, positions : DataFrame
        As in `BacktestResult`.

    Raises
    ------
    ConfigError
        For a strategy without signal, and for what is not simulated: another executor, a position to begin with,
        other terms of an exchange.
    UnknownInstrumentError
        When the market has no such benchmark.
    """
    if executor is not None:
        raise ConfigError(
            "an executor is given, and only the daily one that fills each order at once is simulated",
            hint="leave `executor` out",
        )
    made = backtest_whole(
        start_time, end_time, strategy, account, benchmark, exchange_kwargs, pos_type, source=source, mode=mode
    )
    return made.report, made.positions


def backtest_whole(
    start_time: SessionLike | None,
    end_time: SessionLike | None,
    strategy: Strategy | Mapping[str, Any],
    account: float = 1e8,
    benchmark: Benchmark = "SH000300",
    exchange_kwargs: Mapping[str, Any] | None = None,
    pos_type: str = "Position",
    *,
    source: DataSource | None = None,
    mode: Mode = "strict",
) -> BacktestResult:
    """Return all of what `backtest_daily` finds, trades and terms with it; the parameters and errors are the same."""
    if pos_type != "Position":
        raise ConfigError(
            f"pos_type = {pos_type!r} is not simulated, only `Position`: cash and holdings", hint="leave `pos_type` out"
        )
    if isinstance(account, bool) or not isinstance(account, int | float):
        raise ConfigError(
            f"the account is a {type(account).__name__}, and a back-test begins with cash alone",
            hint="give the cash as a number: account=1e8",
        )
    rule = make_strategy(strategy)
    if rule.signal is None:
        raise ConfigError("the strategy has no signal to trade", hint="TopkDropoutStrategy(signal=pred, …)")
    asked = exchange_kwargs or {}
    return backtest(
        rule,
        rule.signal,
        source,
        costs=make_costs(asked),
        account=account,
        benchmark=benchmark,
        deal_price=asked.get("deal_price") or "close",
        mode=mode,
        start=start_time,
        end=end_time,
        rules=asked.get("rules"),
    )


def make_strategy(config: Strategy | Mapping[str, Any]) -> Strategy:
    """Return a strategy as it is, or the one that a configuration means.

    Raises
    ------
    ConfigError
        For what is no strategy.
    """
    rule = init_instance_by_config(
        config,
        "rollwright.backtest.topk_dropout",
        accept_types=Strategy,
        slot="strategy",
    )
    if not isinstance(rule, Strategy):
        raise ConfigError(
            f"a {type(rule).__name__} is not simulated",
            hint="take a TopkDropoutStrategy, or what fits rollwright.backtest.strategy.Strategy",
        )
    return rule


def make_costs(kwargs: Mapping[str, Any]) -> Costs:
    """Return the terms of the settings' region, with what Qlib's `kwargs` say in their place."""
    fixed: dict[str, tuple[object, ...]] = {"freq": ("day",), "codes": ("all",)}
    for name, accepted in fixed.items():
        if kwargs.get(name, accepted[0]) not in accepted:
            raise ConfigError(f"exchange_kwargs: {name} = {kwargs[name]!r} is not simulated, only {accepted[0]!r}")
    own = {name: value for name, value in kwargs.items() if name not in (*fixed, "deal_price", "rules")}
    if own.get("limit_threshold", 0) is None:  # in Qlib, too, no limit means the region's
        del own["limit_threshold"]
    if isinstance(own.get("limit_threshold"), list):  # files have no tuples
        own["limit_threshold"] = tuple(own["limit_threshold"])
    unknown = sorted(set(own) - set(Costs.__dataclass_fields__))
    if unknown:
        raise ConfigError(f"exchange_kwargs: {', '.join(unknown)} is not simulated")
    region = Costs.for_region(current_settings().data.region)
    if kwargs.get("rules") is None:
        return replace(region, **own)
    rules = ExchangeRules.from_config(kwargs["rules"])
    rules.check_terms(own)
    base = replace(region, **own)
    return replace(base, close_cost=base.open_cost) if rules.has_duties else base


def _make_report(made: Simulation, index: pd.DatetimeIndex, bench: NDArray[np.float64]) -> pd.DataFrame:
    account = made.cash + made.value
    before = np.concatenate([[made.account], account[:-1]])
    columns = {
        "account": account,
        "return": (account - before + made.cost) / before,
        "total_turnover": made.turnover.cumsum(),
        "turnover": made.turnover / before,
        "total_cost": made.cost.cumsum(),
        "cost": made.cost / before,
        "value": made.value,
        "cash": made.cash,
        "bench": bench,
    }
    return pd.DataFrame(columns, index=index, columns=list(REPORT_COLUMNS))


def _make_index(
    days: NDArray[np.intp], places: NDArray[np.intp], index: pd.DatetimeIndex, names: pd.Index[str]
) -> pd.MultiIndex:
    """Return (datetime, instrument) of each row, with the levels that occur; no label has to be sorted for it."""
    levels: list[Any] = [index, names]
    codes: list[Any] = [days, places]
    return pd.MultiIndex(levels=levels, codes=codes, names=["datetime", "instrument"]).remove_unused_levels()


def _make_positions(made: Simulation, index: pd.DatetimeIndex, names: pd.Index[str]) -> pd.DataFrame:
    days, places = made.sessions, made.instruments
    value = made.amounts * made.prices
    weight = value / (made.cash + made.value)[days]
    return pd.DataFrame(
        {"amount": made.amounts, "price": made.prices, "value": value, "weight": weight},
        index=_make_index(days, places, index, names),
    )


def _make_orders(
    orders: Sequence[Trade] | Sequence[UnfilledOrder],
    fields: tuple[str, ...],
    index: pd.DatetimeIndex,
    names: pd.Index[str],
) -> pd.DataFrame:
    """Return orders as a table: session and instrument are its index, texts and numbers its columns."""
    # column by column: `zip(*orders)` makes an iterator for each order, and the collector of garbage looks at them all
    columns = {name: list(map(itemgetter(place), orders)) for place, name in enumerate(fields)}
    days = np.array(columns.pop("session"), dtype=np.intp)
    places = np.array(columns.pop("instrument"), dtype=np.intp)
    told = [name for name in ("side", "reason") if name in columns]
    texts = {name: pd.array(columns.pop(name), dtype="str") for name in told}
    numbers = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    return pd.DataFrame(
        texts | numbers,
        index=_make_index(days, places, index, names),
    )
