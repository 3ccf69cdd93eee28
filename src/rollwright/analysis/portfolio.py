"""What a portfolio record trades, read from the configuration that Qlib's files have for it, and its risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import pandas as pd

from rollwright.backtest.costs import Mode
from rollwright.backtest.daily import (
    BacktestResult,
    Benchmark,
    backtest_whole,
    check_benchmark,
    make_costs,
    make_strategy,
)
from rollwright.backtest.risk import risk_analysis
from rollwright.backtest.strategy import Strategy
from rollwright.calendar.trading import Session, SessionLike, TradingCalendar, to_session
from rollwright.config.placeholders import fill_values
from rollwright.errors import ConfigError, DataError, nearest
from rollwright.market.current import current_market

__all__ = ["DAILY", "PortfolioPlan", "read_frequencies", "tell_risk"]

DAILY: Final = "1day"
"""The frequency in the names of artifacts and metrics: the only one that is simulated."""

_SPELLINGS: Final = ("day", "1day", "d", "1d")
_DEFAULT: Final[Mapping[str, Any]] = {
    "strategy": {
        "class": "TopkDropoutStrategy",
        "module_path": "qlib.contrib.strategy",
        "kwargs": {"signal": "<PRED>", "topk": 50, "n_drop": 5},
    },
    "backtest": {
        "account": 1e8,
        "benchmark": "SH000300",
        "exchange_kwargs": {"limit_threshold": 0.095, "open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5},
    },
}
"""Qlib's, of a record that is given no configuration."""
# Of a section that says nothing of them: Qlib has other ones than in its default configuration.
_ACCOUNT: Final = 1e9
_BENCHMARK: Final = "SH000300"
_TERMS: Final[Mapping[str, Any]] = {"open_cost": 0.0015, "close_cost": 0.0025, "min_cost": 5.0}
_BACKTEST: Final = ("start_time", "end_time", "account", "benchmark", "exchange_kwargs", "pos_type", "mode")
_EXECUTOR: Final[Mapping[str, tuple[object, ...]]] = {
    "time_per_step": _SPELLINGS,
    "generate_portfolio_metrics": (True,),
    "trade_type": ("serial",),
    "indicator_config": (None, {}),
    "track_data": (False,),
    "start_time": (None,),
    "end_time": (None,),
    "verbose": (False,),
}
"""What the one executor may be given; the first of each is Qlib's, or what must be said."""
_SAID: Final = ("time_per_step", "generate_portfolio_metrics")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PortfolioPlan:
    """One back-test, as the sections ``strategy``, ``backtest`` and ``executor`` describe it.

    Attributes
    ----------
    strategy : mapping or Strategy
        In a mapping ``<PRED>`` stands for the recorded predictions.
    start, end : date or None
        Sessions of the report. A prediction of the session before `start` is traded on it, as in Qlib. None is the
        first prediction, and the session after the last one, on which it is traded.
    account : float
    benchmark : code, ``"mean"``, Series or None
    exchange_kwargs : mapping
    pos_type : str
    mode : {"strict", "qlib"}
        Ours alone, not of Qlib's files: whether Qlib's quirks are kept, see `backtest`.
    """

    strategy: Any
    start: SessionLike | None
    end: SessionLike | None
    account: Any
    benchmark: Benchmark
    exchange_kwargs: Mapping[str, Any]
    pos_type: str
    mode: Mode = "strict"

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> PortfolioPlan:
        """Read a configuration; nothing is built of it, and no data are read.

        Raises
        ------
        ConfigError
            For an unknown key, a missing section, and whatever is not simulated.
        """
        config = _DEFAULT if config is None else config
        _check_keys(config, ("strategy", "backtest", "executor"), "the portfolio's configuration")
        missing = [name for name in ("strategy", "backtest") if name not in config]
        if missing:
            raise ConfigError(
                f"the portfolio's configuration has no section {' and no '.join(missing)}",
                hint="write config: {strategy: {class: …, module_path: …, kwargs: {…}}, backtest: {…}}",
            )
        if config.get("executor") is not None:
            _check_executor(config["executor"])
        section = config["backtest"] or {}
        _check_keys(section, _BACKTEST, "the section `backtest` of a portfolio")
        own = section.get("exchange_kwargs") or {}
        terms = {**_fill_terms(own), **own}
        make_costs(terms)
        mode = section.get("mode", "strict")
        if mode not in get_args(Mode):
            raise ConfigError(f"the portfolio's mode is {mode!r}", hint=f"take one of {', '.join(get_args(Mode))}")
        return cls(
            strategy=config["strategy"],
            start=section.get("start_time"),
            end=section.get("end_time"),
            account=section.get("account", _ACCOUNT),
            benchmark=section.get("benchmark", _BENCHMARK),
            exchange_kwargs=terms,
            pos_type=section.get("pos_type", "Position"),
            mode=mode,
        )

    def check_market(self) -> None:
        """Find out whether it can be traded on the market of the context, before there are predictions.

        Raises
        ------
        UnknownInstrumentError
            When the market has no such benchmark.
        ConfigError
            For arguments that the strategy does not take.
        """
        self._build_strategy({}, signal=None)
        check_benchmark(self.benchmark, current_market("day"))

    def run(self, pred: pd.DataFrame | pd.Series[float], *, signal: Any = None) -> BacktestResult:
        """Trade `pred` on the market of the context.

        Parameters
        ----------
        pred : DataFrame or Series
            The recorded predictions: they fill ``<PRED>``, and their dates stand in for those that are not given.
        signal : DataFrame or Series, optional
            What the strategy trades in place of its own signal.

        Raises
        ------
        ConfigError
            When the strategy has no signal, and for what `backtest_daily` refuses.
        """
        own = {} if signal is None else {"signal": signal}
        source = current_market("day")
        calendar = source.calendar()
        return backtest_whole(
            self.start,
            self.end if self.end is not None else self._find_end(pred, calendar),
            self._build_strategy({"PRED": pred}, **own),
            self.account,
            self.benchmark,
            self.exchange_kwargs,
            self.pos_type,
            source=source,
            mode=self.mode,
        )

    def find_stop(self, pred: pd.DataFrame | pd.Series[float], calendar: TradingCalendar) -> int:
        """Return the calendar position before which everything lies that decides the result.

        It is beyond what is known where the last prediction is of the last session: the next one will be traded on.
        """
        last = calendar.at_or_before(pd.Timestamp(pred.index.get_level_values(0).max()))
        return last + 2 if self.end is None else calendar.at_or_before(self.end) + 1

    def find_first(self, pred: pd.DataFrame | pd.Series[float], calendar: TradingCalendar) -> Session:
        """Return the session whose predictions make the first holdings.

        Raises
        ------
        DataError
            When there is none at or after the start.
        """
        eve = self._find_eve(pred, calendar)
        if eve is not None:
            return eve
        days = pd.DatetimeIndex(pred.index.get_level_values(0))
        if self.start is not None:
            days = days[days >= to_session(self.start)]
        if not len(days):
            raise DataError(f"no prediction at or after {self.start}, where the back-test begins")
        return days.min()

    def trades_predictions(self, pred: pd.DataFrame | pd.Series[float]) -> bool:
        """Tell whether the signal that the strategy is given is `pred`."""
        kwargs = self.strategy.get("kwargs") if isinstance(self.strategy, Mapping) else None
        signal = (kwargs or {}).get("signal")
        if isinstance(signal, pd.DataFrame):
            return isinstance(pred, pd.DataFrame) and signal.equals(pred)
        return isinstance(signal, str) and signal == "<PRED>"

    def _find_eve(self, pred: pd.DataFrame | pd.Series[float], calendar: TradingCalendar) -> Session | None:
        """Return the session before a given start when it has predictions: they are traded on the start."""
        if self.start is None:
            return None
        first = calendar.at_or_after(self.start)
        eve = calendar[first - 1] if first else None
        return eve if eve is not None and eve in pred.index.get_level_values(0) else None

    def _find_end(self, pred: pd.DataFrame | pd.Series[float], calendar: TradingCalendar) -> SessionLike:
        last = calendar.at_or_before(pd.Timestamp(pred.index.get_level_values(0).max()))
        return calendar[min(last + 1, calendar.known - 1)]

    def _build_strategy(self, placeholders: Mapping[str, Any], **own: Any) -> Strategy:
        config = self.strategy
        if isinstance(config, Mapping):
            kwargs = dict(config.get("kwargs") or {})
            if "signal" in own:
                kwargs = {name: value for name, value in kwargs.items() if name not in ("signal", "model", "dataset")}
            config = {**config, "kwargs": fill_values({**kwargs, **own}, placeholders)}
        return make_strategy(config)


def read_frequencies(given: str | Sequence[str] | None, *, what: str) -> tuple[str, ...]:
    """Return the frequencies of an analysis in one spelling: ``1day``, the default.

    Raises
    ------
    ConfigError
        For another one: only daily bars are simulated.
    """
    asked = (DAILY,) if given is None else (given,) if isinstance(given, str) else tuple(given)
    for freq in asked:
        if freq not in _SPELLINGS:
            raise ConfigError(
                f"{what} = {freq!r}: there is no back-test of that frequency, only of daily bars", hint="write day"
            )
    return tuple(dict.fromkeys(DAILY for _ in asked))


def tell_risk(report: pd.DataFrame) -> pd.DataFrame:
    """Return the risk of the return over the benchmark, before and after costs.

    Returns
    -------
    DataFrame
        One column ``risk``; index (``excess_return_without_cost`` or ``excess_return_with_cost``, figure of
        `risk_analysis`).
    """
    excess = report["return"] - report["bench"]
    parts = {"excess_return_without_cost": excess, "excess_return_with_cost": excess - report["cost"]}
    return pd.concat({name: risk_analysis(values, freq=DAILY) for name, values in parts.items()})


def _fill_terms(own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what Qlib takes for terms that are not given; rules say by themselves what a sale costs."""
    if own.get("rules") is None:
        return _TERMS
    return {name: value for name, value in _TERMS.items() if name != "close_cost"}


def _check_keys(given: object, known: Sequence[str], what: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} is {type(given).__name__}, not a mapping")
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        near = nearest(unknown[0], known)
        raise ConfigError(
            f"{what} has the unknown key `{unknown[0]}`",
            hint=f"did you mean `{near}`?" if near else f"known: {', '.join(known)}",
        )


def _check_executor(config: object) -> None:
    """Refuse whatever is not the daily executor that fills each order at once."""
    name = config.get("class") if isinstance(config, Mapping) else config
    if not isinstance(name, str) or name.rpartition(".")[2] != "SimulatorExecutor":
        told = name if isinstance(name, str) else type(config).__name__
        raise ConfigError(
            f"the executor `{told}` is not simulated, only `SimulatorExecutor` on daily bars",
            hint="leave `executor` out",
        )
    kwargs = (config.get("kwargs") or {}) if isinstance(config, Mapping) else {}
    _check_keys(kwargs, tuple(_EXECUTOR), "the executor")
    for key, accepted in _EXECUTOR.items():
        value = kwargs.get(key, None if key in _SAID else accepted[0])
        if value not in accepted:
            said = f"{key} = {value!r}" if key in kwargs else f"no `{key}`"
            raise ConfigError(
                f"an executor with {said} is not simulated",
                hint=f"write `{key}: {str(accepted[0]).lower()}`, or leave `executor` out",
            )
