"""What a daily back-test simulates, read once: for the back-test itself, and for others of the same signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.cases import simulate_cases
from rollwright.backtest.costs import Costs, Mode
from rollwright.backtest.prices import load_deal_prices, load_prices, load_terms
from rollwright.backtest.rules.exchange_rules import ExchangeRules
from rollwright.backtest.simulate import MarketPrices
from rollwright.backtest.strategy import Strategy
from rollwright.backtest.terms import DatedTerms
from rollwright.calendar.trading import SessionLike, TradingCalendar
from rollwright.errors import CalendarRangeError, ConfigError, DataError, UnknownInstrumentError, nearest
from rollwright.market.current import choose_market
from rollwright.market.source import DataSource

__all__ = ["BacktestInputs", "Benchmark", "RulesLike", "check_benchmark", "load_inputs"]

Floats: TypeAlias = NDArray[np.float64]
Benchmark: TypeAlias = "str | pd.Series[float] | None"
"""``"mean"`` of the scored instruments at equal weights, a code, a series of daily changes, or none."""

RulesLike: TypeAlias = "str | Mapping[str, Any] | ExchangeRules"
"""What `ExchangeRules.from_config` takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BacktestInputs:
    """The scores, prices and terms of one back-test.

    Attributes
    ----------
    strategy : Strategy
    scores : ndarray of float64 [rows, instruments]
        NaN where there is none.
    market : MarketPrices
        Of the same rows.
    terms : DatedTerms
        As they hold for each row and instrument.
    costs : Costs
        The same, as they are told: without factors, without lots; under `rules` those that they began with.
    account : float
    mode : {"strict", "qlib"}
    rows : DatetimeIndex
        The session of each row.
    eve : int
        Rows before the first session of the report: a simulation waits through the one whose scores are traded then.
    bench : ndarray of float64 [sessions]
        Daily change of the benchmark on the sessions of the report; 0 where it has none.
    benchmark_gaps : int
        As in `BacktestResult`.
    names : tuple of str
        The instruments.
    rules : ExchangeRules or None
    """

    strategy: Strategy
    scores: Floats
    market: MarketPrices
    terms: DatedTerms
    costs: Costs
    account: float
    mode: Mode
    rows: pd.DatetimeIndex
    eve: int
    bench: Floats
    benchmark_gaps: int
    names: tuple[str, ...]
    rules: ExchangeRules | None = None

    @property
    def sessions(self) -> pd.DatetimeIndex:
        """The sessions of the report."""
        return self.rows[self.eve :]

    @property
    def case(self) -> Case:
        """The back-test itself."""
        return Case(strategy=self.strategy, costs=self.terms, account=self.account)

    def compare(self, cases: Sequence[Case], *, market: MarketPrices | None = None) -> CaseResults:
        """Return the accounts of several cases over the sessions of the report; on another market if one is given."""
        made = simulate_cases(cases, self.scores, self.market if market is None else market, mode=self.mode)
        return made.after(self.eve)


def load_inputs(
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
) -> BacktestInputs:
    """Read what the back-test of a signal needs.

    Parameters and errors are those of `rollwright.backtest.daily.backtest`.
    """
    known = None if rules is None else ExchangeRules.from_config(rules)
    base = known.make_base(costs) if known else Costs.for_region("us") if costs is None else costs
    source = choose_market(source, "day")
    calendar = source.calendar()
    positions, names, table = _to_table(pred, calendar)
    low = positions[0] if start is None else calendar.at_or_after(start)
    high = positions[-1] if end is None else calendar.at_or_before(end)
    high = min(high, calendar.known - 1)
    if high < low:
        raise DataError(f"nothing to simulate: sessions {low} to {high} of {calendar!r}")
    # a simulation trades nothing in its first session: it waits through the eve, whose scores are traded on `low`
    eve = int(low - 1 in positions)
    low -= eve
    scores = np.full((high - low + 1, len(names)), np.nan)
    inside = (positions >= low) & (positions <= high)
    scores[positions[inside] - low] = table[inside]
    check_benchmark(benchmark, source)
    market = load_prices(source, names, low, high + 1, settle=settle_delisted)
    terms = load_terms(base, known, market, source, low)
    is_mean = isinstance(benchmark, str) and benchmark == "mean"
    changes = market.changes() if is_mean or terms.goes_by_change() else None
    market = replace(load_deal_prices(market, source, names, low, deal_price), begins_on_eve=bool(eve))
    if strategy.fields:
        read = source.load(list(strategy.fields), list(names), low, high + 1).astype(np.float64)
        market = replace(market, fields=dict(zip(strategy.fields, read, strict=True)))
    if terms.goes_by_change():
        if mode == "qlib":
            change = source.load(["change"], list(names), low, high + 1).astype(np.float64)[0]
            market = replace(market, change=change)
        else:
            market = replace(market, change=changes)
    index = pd.DatetimeIndex(calendar.values[low : high + 1], name="datetime")
    bench = _load_benchmark(benchmark, source, index, low, high + 1, scores, changes)[eve:]
    return BacktestInputs(
        strategy=strategy,
        scores=scores,
        market=market,
        terms=terms,
        costs=base if market.factor is not None else replace(base, trade_unit=None, min_unit=None),
        account=account,
        mode=mode,
        rows=index,
        eve=eve,
        bench=np.where(np.isfinite(bench), bench, 0.0),
        benchmark_gaps=int((~np.isfinite(bench[1:])).sum()),
        names=names,
        rules=known,
    )


def _to_table(
    pred: pd.DataFrame | pd.Series[float], calendar: TradingCalendar
) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.float64]]:
    """Return the calendar positions, the instruments, and the scores [positions, instruments]."""
    series = pred.iloc[:, 0] if isinstance(pred, pd.DataFrame) else pred
    if not isinstance(series.index, pd.MultiIndex) or series.index.nlevels != 2 or not len(series):
        raise DataError("predictions need rows with the index (datetime, instrument)")
    days, day_values = _number(series.index, 0)
    codes, names = _number(series.index, 1)
    places = np.multiply(days, len(names), dtype=np.intp)
    places += codes
    if not (places[1:] > places[:-1]).all():  # rows in order are all different
        filled = np.bincount(places)
        if (filled > 1).any():
            raise DataError(f"{int((filled - 1).clip(0).sum())} predictions are there twice")
    table = np.full((len(day_values), len(names)), np.nan)
    table.reshape(-1)[places] = series.to_numpy(dtype=np.float64)
    calendar.refuse_sealed(end=day_values[-1])
    wanted = day_values.to_numpy().astype("datetime64[s]")
    positions = np.searchsorted(calendar.values, wanted)
    exact = positions < len(calendar)
    exact[exact] = calendar.values[positions[exact]] == wanted[exact]
    if not exact.all():
        odd = day_values[int(np.argmin(exact))]
        raise CalendarRangeError(f"predictions of {odd}, which is not a session of {calendar!r}")
    return positions.astype(np.int64), tuple(str(name) for name in names), table


def _number(index: pd.MultiIndex, level: int) -> tuple[NDArray[np.signedinteger], pd.Index[Any]]:
    """Return the number of each row's value among the different ones that occur, and these, sorted."""
    codes, values = np.asarray(index.codes[level]), index.levels[level]
    if codes.min(initial=0) < 0:
        raise DataError(f"{int((codes < 0).sum())} predictions have no {index.names[level] or 'day or instrument'}")
    is_there = np.zeros(len(values), dtype=np.bool_)
    is_there[codes] = True
    found = np.flatnonzero(is_there)
    found = found[values[found].argsort()]
    if len(found) == len(values) and (found == np.arange(len(found))).all():
        return codes, values
    number = np.zeros(len(values), dtype=np.intp)
    number[found] = np.arange(len(found))
    return number[codes], values[found]


def check_benchmark(benchmark: Benchmark, source: DataSource) -> None:
    """Find out whether `source` has such a benchmark.

    Raises
    ------
    ConfigError
        When it is nothing that could be one.
    UnknownInstrumentError
        When there is no such instrument.
    """
    if isinstance(benchmark, pd.Series) or benchmark in (None, "mean"):
        return
    if not isinstance(benchmark, str):
        raise ConfigError(
            f"a {type(benchmark).__name__} is not a benchmark",
            hint="give a code, `mean`, a series of daily changes, or None",
        )
    known = source.instruments()
    if benchmark not in known:
        near = nearest(benchmark, known)
        raise UnknownInstrumentError(
            f"there is no instrument `{benchmark}` to be the back-test's benchmark",
            hint=(f"did you mean `{near}`? " if near else "take a code of this market, `mean` or a series of changes; ")
            + "benchmark=None compares with nothing",
        )


def _load_benchmark(
    benchmark: Benchmark,
    source: DataSource,
    index: pd.DatetimeIndex,
    start: int,
    stop: int,
    scores: NDArray[np.float64],
    changes: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the daily change of the benchmark, NaN where it has none; without a benchmark it is 0."""
    found: NDArray[np.float64]
    if benchmark is None:
        return np.zeros(len(index))
    if isinstance(benchmark, pd.Series):
        found = np.asarray(benchmark.reindex(index), dtype=np.float64)
    elif benchmark == "mean" and changes is not None:
        counted = np.isfinite(changes) & _find_members(scores)
        total: NDArray[np.float64] = np.where(counted, changes, 0.0).sum(axis=1, dtype=np.float64)
        found = np.where(counted.any(axis=1), total / np.maximum(counted.sum(axis=1), 1), np.nan)
    else:
        found = load_prices(source, (benchmark,), start, stop, settle=False).changes()[:, 0]
    return found


def _find_members(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return who makes up the mean of each session: whom the last signal before it scored, and at first whom it will.

    They are known before the session, like the holdings they are compared with.
    """
    scored: NDArray[np.bool_] = ~np.isnan(scores)
    rows: NDArray[np.intp] = np.maximum.accumulate(np.where(scored.any(axis=1), np.arange(len(scores)), 0))
    return np.take(scored, np.concatenate([rows[:1], rows[:-1]]), axis=0)
