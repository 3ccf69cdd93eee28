"""The ready-made feature sets Alpha158 and Alpha360: their names, order, expressions and labels are Qlib's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rollwright.dataset.handler import PTYPE_A, DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.dataset.processors import with_fit_range
from rollwright.errors import ConfigError, UnknownSettingError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.source import DataSource

__all__ = [
    "Alpha158",
    "Alpha158DL",
    "Alpha158vwap",
    "Alpha360",
    "Alpha360DL",
    "Alpha360vwap",
    "alpha158_fields",
    "alpha360_fields",
]

Fields = tuple[list[str], list[str]]
"""Expressions and their names."""

WINDOWS: Final = (5, 10, 20, 30, 60)
LABEL: Final[Fields] = (["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"])
VWAP_LABEL: Final[Fields] = (["Ref($vwap, -2)/Ref($vwap, -1) - 1"], ["LABEL0"])

LEARN_PROCESSORS: Final[tuple[Mapping[str, Any], ...]] = (
    {"class": "DropnaLabel"},
    {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}},
)
INFER_PROCESSORS_360: Final[tuple[Mapping[str, Any], ...]] = (
    {"class": "ProcessInf", "kwargs": {}},
    {"class": "ZScoreNorm", "kwargs": {}},
    {"class": "Fillna", "kwargs": {}},
)

# The shape of one day's candle: body, range and shadows, over the open and over the range.
_RANGE: Final = "($high-$low+1e-12)"
KBAR: Final[dict[str, str]] = {
    "KMID": "($close-$open)/$open",
    "KLEN": "($high-$low)/$open",
    "KMID2": f"($close-$open)/{_RANGE}",
    "KUP": "($high-Greater($open, $close))/$open",
    "KUP2": f"($high-Greater($open, $close))/{_RANGE}",
    "KLOW": "(Less($open, $close)-$low)/$open",
    "KLOW2": f"(Less($open, $close)-$low)/{_RANGE}",
    "KSFT": "(2*$close-$high-$low)/$open",
    "KSFT2": f"(2*$close-$high-$low)/{_RANGE}",
}

_RETURN_SIZE: Final = "Abs($close/Ref($close, 1)-1)*$volume"


def _gains(field: str, window: int) -> str:
    return f"Sum(Greater({field}-Ref({field}, 1), 0), {window})"


def _losses(field: str, window: int) -> str:
    return f"Sum(Greater(Ref({field}, 1)-{field}, 0), {window})"


def _moves(field: str, window: int) -> str:
    return f"(Sum(Abs({field}-Ref({field}, 1)), {window})+1e-12)"


ROLLING: Final[dict[str, Callable[[int], str]]] = {
    # price against its past
    "ROC": lambda d: f"Ref($close, {d})/$close",
    "MA": lambda d: f"Mean($close, {d})/$close",
    "STD": lambda d: f"Std($close, {d})/$close",
    "BETA": lambda d: f"Slope($close, {d})/$close",
    "RSQR": lambda d: f"Rsquare($close, {d})",
    "RESI": lambda d: f"Resi($close, {d})/$close",
    "MAX": lambda d: f"Max($high, {d})/$close",
    "MIN": lambda d: f"Min($low, {d})/$close",
    "QTLU": lambda d: f"Quantile($close, {d}, 0.8)/$close",
    "QTLD": lambda d: f"Quantile($close, {d}, 0.2)/$close",
    "RANK": lambda d: f"Rank($close, {d})",
    "RSV": lambda d: f"($close-Min($low, {d}))/(Max($high, {d})-Min($low, {d})+1e-12)",
    # how long ago the extremes were
    "IMAX": lambda d: f"IdxMax($high, {d})/{d}",
    "IMIN": lambda d: f"IdxMin($low, {d})/{d}",
    "IMXD": lambda d: f"(IdxMax($high, {d})-IdxMin($low, {d}))/{d}",
    # price with volume
    "CORR": lambda d: f"Corr($close, Log($volume+1), {d})",
    "CORD": lambda d: f"Corr($close/Ref($close,1), Log($volume/Ref($volume, 1)+1), {d})",
    # days and sums of rise and fall
    "CNTP": lambda d: f"Mean($close>Ref($close, 1), {d})",
    "CNTN": lambda d: f"Mean($close<Ref($close, 1), {d})",
    "CNTD": lambda d: f"Mean($close>Ref($close, 1), {d})-Mean($close<Ref($close, 1), {d})",
    "SUMP": lambda d: f"{_gains('$close', d)}/{_moves('$close', d)}",
    "SUMN": lambda d: f"{_losses('$close', d)}/{_moves('$close', d)}",
    "SUMD": lambda d: f"({_gains('$close', d)}-{_losses('$close', d)})/{_moves('$close', d)}",
    # volume against its past
    "VMA": lambda d: f"Mean($volume, {d})/($volume+1e-12)",
    "VSTD": lambda d: f"Std($volume, {d})/($volume+1e-12)",
    "WVMA": lambda d: f"Std({_RETURN_SIZE}, {d})/(Mean({_RETURN_SIZE}, {d})+1e-12)",
    "VSUMP": lambda d: f"{_gains('$volume', d)}/{_moves('$volume', d)}",
    "VSUMN": lambda d: f"{_losses('$volume', d)}/{_moves('$volume', d)}",
    "VSUMD": lambda d: f"({_gains('$volume', d)}-{_losses('$volume', d)})/{_moves('$volume', d)}",
}

# Qlib asks for the group of lows under this name, while the features are called MIN.
_ASKED_AS: Final = {"MIN": "LOW"}
DEFAULT_PARTS: Final[dict[str, Any]] = {
    "kbar": {},
    "price": {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]},
    "rolling": {},
}


def alpha158_fields(config: Mapping[str, Any] | None = None) -> Fields:
    """Return the expressions and names of Alpha158, or of the parts of it that `config` asks for.

    Parameters
    ----------
    config : mapping, optional
        Any of ``kbar`` (no options), ``price`` (``windows``, ``feature``), ``volume`` (``windows``) and ``rolling``
        (``windows``, ``include``, ``exclude``); the 158 if not given.

    Raises
    ------
    UnknownSettingError
        For a part or an option nobody knows.
    """
    parts = DEFAULT_PARTS if config is None else config
    options = {
        "kbar": (), "price": ("windows", "feature"), "volume": ("windows",),
        "rolling": ("windows", "include", "exclude"),
    }  # fmt: skip
    for part, chosen in parts.items():
        if part not in options:
            raise UnknownSettingError(part, options, where="the parts of Alpha158")
        for option in chosen:
            if option not in options[part]:
                raise UnknownSettingError(option, options[part], where=f"the options of `{part}`")
    named: list[tuple[str, str]] = []
    if "kbar" in parts:
        named += KBAR.items()
    if "price" in parts:
        chosen = parts["price"]
        for field in chosen.get("feature", ("OPEN", "HIGH", "LOW", "CLOSE", "VWAP")):
            named += [_past(field.upper(), f"${field.lower()}", d, "$close") for d in chosen.get("windows", range(5))]
    if "volume" in parts:
        windows = parts["volume"].get("windows", range(5))
        named += [_past("VOLUME", "$volume", d, "($volume+1e-12)") for d in windows]
    if "rolling" in parts:
        named += _rolling(parts["rolling"])
    return [expression for _, expression in named], [name for name, _ in named]


def _past(name: str, field: str, days: int, base: str) -> tuple[str, str]:
    return f"{name}{days}", f"Ref({field}, {days})/{base}" if days else f"{field}/{base}"


def _rolling(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    include = options.get("include")
    exclude = options.get("exclude") or ()
    asked = [_ASKED_AS.get(name, name) for name in ROLLING]
    for name in (*(include or ()), *exclude):
        if name not in asked:
            raise UnknownSettingError(name, asked, where="the rolling features of Alpha158")
    return [
        (f"{name}{days}", make(days))
        for (name, make), word in zip(ROLLING.items(), asked, strict=True)
        if (include is None or word in include) and word not in exclude
        for days in options.get("windows", WINDOWS)
    ]


def alpha360_fields() -> Fields:
    """Return the expressions and names of Alpha360: six fields of 60 sessions over today's close or volume."""
    named = [
        _past(field.upper(), f"${field}", days, "($volume+1e-12)" if field == "volume" else "$close")
        for field in ("close", "open", "high", "low", "vwap", "volume")
        for days in range(59, -1, -1)
    ]
    return [expression for _, expression in named], [name for name, _ in named]


class Alpha158DL(QlibDataLoader):
    """A loader of the 158 features, and of whatever groups `config` adds or replaces."""

    def __init__(self, config: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__({"feature": self.get_feature_config(), **(config or {})}, **kwargs)

    @staticmethod
    def get_feature_config(config: Mapping[str, Any] | None = None) -> Fields:
        """Return what `alpha158_fields` does."""
        return alpha158_fields(config)


class Alpha360DL(QlibDataLoader):
    """A loader of the 360 features, and of whatever groups `config` adds or replaces."""

    def __init__(self, config: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__({"feature": self.get_feature_config(), **(config or {})}, **kwargs)

    @staticmethod
    def get_feature_config() -> Fields:
        """Return what `alpha360_fields` does."""
        return alpha360_fields()


def _join(fields: Fields, extra: Any) -> Fields:
    """Return the features of a handler with those that are asked for beside them."""
    if extra is None:
        return fields
    expressions, names = fields
    found = QlibDataLoader({"extra_features": extra}).groups[0]
    twice = sorted(set(names) & set(found.names))
    if twice:
        raise ConfigError(
            f"the feature `{twice[0]}` is there twice", hint="give the ones of `extra_features` other names"
        )
    return [*expressions, *found.expressions], [*names, *found.names]


class _Alpha(DataHandlerLP):
    """What the ready-made handlers share: a loader of their fields, and a fit range given to every processor."""

    def __init__(
        self,
        *,
        fields: Fields,
        label: Any,
        extra_features: Any,
        freq: str,
        infer_processors: Sequence[Any],
        learn_processors: Sequence[Any],
        fit_start_time: Any,
        fit_end_time: Any,
        filter_pipe: Sequence[Any] | None,
        inst_processors: Any,
        **kwargs: Any,
    ) -> None:
        loader = {
            "class": "QlibDataLoader",
            "kwargs": {
                "config": {"feature": _join(fields, extra_features), "label": label},
                "filter_pipe": filter_pipe,
                "freq": freq,
                "inst_processors": inst_processors,
            },
        }
        super().__init__(
            data_loader=loader,
            infer_processors=with_fit_range(infer_processors, fit_start_time, fit_end_time),
            learn_processors=with_fit_range(learn_processors, fit_start_time, fit_end_time),
            **kwargs,
        )


class Alpha158(_Alpha):
    """158 price and volume features and the return from tomorrow's close to the next one as label.

    .. warning:: **Look-ahead.** The default label of session `t` reads the closes of `t + 1` and `t + 2`: a train
       segment must end at least two sessions before the test segment begins. `fit_end_time` must not reach into the
       test segment.

    Parameters
    ----------
    instruments : str, dict or sequence of str
        A universe, what `D.instruments` returns, or codes.
    start_time, end_time : date, optional
        Closed range; open sides reach to the ends of the calendar.
    freq : str
    infer_processors, learn_processors : sequence
        Processors, their names or configurations. Without any in `infer_processors` the features are Qlib's raw ones.
    fit_start_time, fit_end_time : date, optional
        Given to every processor that learns from data.
    process_type : str
        ``append``: learn processors work on what the infer processors made; ``independent``: on the raw data.
    filter_pipe, inst_processors : optional
        As in `QlibDataLoader`.
    label : (expressions, names), optional
        Given by keyword; replaces the default label.
    extra_features : (expressions, names) or sequence of str, optional
        More features, after those of the handler: of reports, as ``P(TTM($$profit_q))/P($$equity_q)``, or any other.

        .. warning:: **Look-ahead.** None may read a later session; one that does is refused. A report is seen on the
           day of its announcement unless the settings say otherwise.
    source : DataSource, optional
        The current market if not given.
    store : FeatureStore, optional
        The current one if not given.
    """

    def __init__(
        self,
        instruments: Any = "csi500",
        start_time: Any = None,
        end_time: Any = None,
        freq: str = "day",
        infer_processors: Sequence[Any] = (),
        learn_processors: Sequence[Any] = LEARN_PROCESSORS,
        fit_start_time: Any = None,
        fit_end_time: Any = None,
        process_type: str = PTYPE_A,
        filter_pipe: Sequence[Any] | None = None,
        inst_processors: Any = None,
        *,
        label: Any = None,
        extra_features: Any = None,
        source: DataSource | None = None,
        store: FeatureStore | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instruments=instruments, start_time=start_time, end_time=end_time, freq=freq,
            infer_processors=infer_processors, learn_processors=learn_processors, fit_start_time=fit_start_time,
            fit_end_time=fit_end_time, process_type=process_type, filter_pipe=filter_pipe,
            inst_processors=inst_processors, fields=self.get_feature_config(),
            label=label if label is not None else self.get_label_config(), extra_features=extra_features,
            source=source, store=store, **kwargs,
        )  # fmt: skip

    def get_feature_config(self) -> Fields:
        """Return the expressions and names of the features; a subclass may choose others."""
        return alpha158_fields()

    def get_label_config(self) -> Fields:
        """Return the expressions and names of the label; a subclass may choose another."""
        return LABEL


class Alpha158vwap(Alpha158):
    """`Alpha158` whose label is the return between average prices instead of closes."""

    def get_label_config(self) -> Fields:
        """Return the label."""
        return VWAP_LABEL


class Alpha360(_Alpha):
    """Six fields of the last 60 sessions over today's close or volume; label and parameters as `Alpha158`.

    The features are by default cleared of infinities, normalised over the fit range and filled, as Qlib does it;
    without a fit range that is an error.

    .. warning:: **Look-ahead.** As `Alpha158`.
    """

    def __init__(
        self,
        instruments: Any = "csi500",
        start_time: Any = None,
        end_time: Any = None,
        freq: str = "day",
        infer_processors: Sequence[Any] = INFER_PROCESSORS_360,
        learn_processors: Sequence[Any] = LEARN_PROCESSORS,
        fit_start_time: Any = None,
        fit_end_time: Any = None,
        filter_pipe: Sequence[Any] | None = None,
        inst_processors: Any = None,
        *,
        label: Any = None,
        extra_features: Any = None,
        source: DataSource | None = None,
        store: FeatureStore | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            instruments=instruments, start_time=start_time, end_time=end_time, freq=freq,
            infer_processors=infer_processors, learn_processors=learn_processors, fit_start_time=fit_start_time,
            fit_end_time=fit_end_time, filter_pipe=filter_pipe, inst_processors=inst_processors,
            fields=self.get_feature_config(), label=label if label is not None else self.get_label_config(),
            extra_features=extra_features, source=source, store=store, **kwargs,
        )  # fmt: skip

    def get_feature_config(self) -> Fields:
        """Return the expressions and names of the features; a subclass may choose others."""
        return alpha360_fields()

    def get_label_config(self) -> Fields:
        """Return the expressions and names of the label; a subclass may choose another."""
        return LABEL


class Alpha360vwap(Alpha360):
    """`Alpha360` whose label is the return between average prices instead of closes."""

    def get_label_config(self) -> Fields:
        """Return the label."""
        return VWAP_LABEL
