"""Record templates: what a finished model leaves as evidence, under names that other templates and collectors know.

Paths are those of Qlib: ``pred.pkl`` is a logical name, the bytes behind it are Parquet (no pickle anywhere).
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from rollwright.analysis.indicators import METHODS, Method, indicator_analysis, list_orders, trade_indicators
from rollwright.analysis.metrics import to_recorder_metrics
from rollwright.analysis.panel import take_column
from rollwright.analysis.portfolio import DAILY, PortfolioPlan, read_frequencies, tell_risk
from rollwright.analysis.signal import calc_ic, calc_long_short_return, summarise
from rollwright.backtest.risk import periods_per_year, standard_deviation
from rollwright.dataset.contract import ReadScope, TaskDataset
from rollwright.dataset.dataset import read_labels
from rollwright.errors import ArtifactNotFoundError, ConfigError, ModelError, NoActiveRecorderError
from rollwright.market.current import current_market
from rollwright.models.base import Model
from rollwright.models.scores import check_scores
from rollwright.tracking.recorder import Recorder

__all__ = [
    "ACRecordTemp",
    "MultiPassPortAnaRecord",
    "PortAnaRecord",
    "RecordTemp",
    "ShardRecord",
    "SigAnaRecord",
    "SignalRecord",
    "keep_finite",
    "refuse_inputs",
]

_logger: Final = logging.getLogger("rollwright.analysis")

HORIZON_TAG: Final = "label.horizon"
SPAN_TAG: Final = "label.span"
_DESCRIBES_BACKTEST: Final = ("config", "risk_analysis_freq", "indicator_analysis_freq", "indicator_analysis_method")


class RecordTemp:
    """A template that turns what a recorder holds into further artifacts and metrics of it.

    Attributes
    ----------
    artifact_path : str or None
        Folder of this template's artifacts within the recorder.
    depend_cls : type or None
        The template whose artifacts this one reads.
    """

    artifact_path: ClassVar[str | None] = None
    depend_cls: ClassVar[type[RecordTemp] | None] = None

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder

    @property
    def recorder(self) -> Recorder:
        """The recorder this template writes into.

        Raises
        ------
        NoActiveRecorderError
            When it was given none.
        """
        if self._recorder is None:
            raise NoActiveRecorderError(
                f"{type(self).__name__} has no recorder", hint="give it one: recorder=R.get_recorder()"
            )
        return self._recorder

    @classmethod
    def get_path(cls, path: str | None = None) -> str:
        """Return where `path` of this template lies in the recorder; without one, its folder ("" for the top)."""
        return "/".join(part for part in (cls.artifact_path, path) if part)

    def generate(self, **kwargs: Any) -> Any:
        """Make and save what this template is for."""
        raise NotImplementedError

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether a template could be made with `arguments`, which a task names; no data are read.

        This one asks for nothing. Placeholders of run-time objects are not filled yet.

        Raises
        ------
        ConfigError
            For what would stop it once the model is fitted.
        """

    @classmethod
    def check_market(cls, arguments: Mapping[str, Any]) -> None:
        """Find out, before anything is fitted, whether the market of the context has what it would need of it."""

    def reads(self) -> tuple[ReadScope, ...]:
        """Return which data `generate` read beside the dataset it was given and the recorder's artifacts: none here.

        A template that reads prices tells their scope, so that its result is judged by them.
        """
        return ()

    def list(self) -> list[str]:
        """Return the names of the artifacts this template saves, without its folder."""
        return []

    def save(self, **objects: Any) -> None:
        """Save `objects` under their names, in this template's folder."""
        self.recorder.save_objects(artifact_path=self.get_path() or None, **objects)

    def load(self, name: str, parents: bool = True) -> Any:  # noqa: FBT001, FBT002 - the signature users know
        """Return the artifact `name` of this template or, with `parents`, of the nearest template it depends on.

        Raises
        ------
        ArtifactNotFoundError
            When none of them has it; the error names every place that was looked at.
        """
        looked: list[str] = []
        template: type[RecordTemp] | None = type(self)
        while template is not None:
            path = template.get_path(name)
            if path not in looked:
                looked.append(path)
                try:
                    return self.recorder.load_object(path)
                except ArtifactNotFoundError:
                    pass
            template = template.depend_cls if parents else None
        raise ArtifactNotFoundError(
            f"{type(self).__name__} needs `{name}` and the recorder has none of {', '.join(looked)}",
            hint=self._remedy(),
        )

    def check(self, include_self: bool = False, parents: bool = True) -> None:  # noqa: FBT001, FBT002 - as users know it
        """Find out whether the artifacts this template builds on, and with `include_self` its own, are there.

        Raises
        ------
        ArtifactNotFoundError
            When one is missing; the error names all that are.
        """
        template: type[RecordTemp] | None = type(self) if include_self else self.depend_cls
        wanted: list[str] = []
        while template is not None and (include_self or parents):
            wanted += [template.get_path(name) for name in template.list(self)]
            template = template.depend_cls if parents else None
        self._require(wanted)

    def _require(self, paths: Sequence[str]) -> None:
        folders = {path.rpartition("/")[0] for path in paths}
        present = {path for folder in sorted(folders) for path in self.recorder.list_artifacts(folder or None)}
        missing = [path for path in paths if path not in present]
        if missing:
            raise ArtifactNotFoundError(
                f"{type(self).__name__}: the recorder has no {', '.join(missing)}", hint=self._remedy()
            )

    def _remedy(self) -> str:
        if self.depend_cls is None:
            return "generate this record first"
        return f"put {self.depend_cls.__name__} before {type(self).__name__} in the task's `record`"


def refuse_inputs(template: RecordTemp, given: Mapping[str, Any], known: str) -> None:
    """Refuse what `generate` of `template` was given beside what is `known` to it."""
    if given:
        raise ConfigError(
            f"{type(template).__name__}.generate was given {', '.join(given)}, which it would not use",
            hint=f"it takes {known}",
        )


class SignalRecord(RecordTemp):
    """Scores of the segment ``test``, and what they are to be judged by.

    It saves, in this order:

    - ``expected_index.pkl``: the rows that must be scored, as a frame without columns on the index (datetime,
      instrument), written **before** the model is asked, so that a collector can prove afterwards that nothing is
      missing (the coverage contract);
    - ``pred.pkl``: a frame with the column ``score``, and behind it whatever else the model returned;
    - ``label.pkl``: the raw labels of those sessions, as they were before any processor.

    The metrics ``IC``, ``ICIR``, ``Rank IC`` and ``Rank ICIR`` of the first label are logged where they are defined, so
    that every run can be compared by them; `SigAnaRecord` keeps the days behind them, and takes another label.

    A model that tells how it learnt (``best_iteration_``, ``evals_result_``) also gives the metrics ``best_iteration``
    and, at that round, ``l2.valid`` and the like; its whole history is saved with the model.

    A task in shards gives the `scores` that they made; the model is not asked again then.

    .. warning:: **Look-ahead.** ``label.pkl`` holds returns that lie after the day they stand on. It judges scores; it
       must not be read by whatever makes them.
    """

    def __init__(
        self,
        model: Model | None = None,
        dataset: TaskDataset | None = None,
        recorder: Recorder | None = None,
        *,
        scores: pd.DataFrame | None = None,
    ) -> None:
        super().__init__(recorder=recorder)
        self.model = model
        self.dataset = dataset
        self._scores = scores

    def generate(self, **kwargs: Any) -> None:
        """Save the rows to be scored, their scores and their labels.

        Raises
        ------
        ConfigError
            For an argument: scores and labels come from the model and the dataset alone.
        ModelError
            When what the model returned is no score for exactly the rows that were to be scored.
        """
        refuse_inputs(self, kwargs, "nothing")
        frame, dataset = self._score()
        label = self.generate_label(dataset)
        self.save(**{"pred.pkl": frame, "label.pkl": label})
        self._tell_label()
        metrics = {**_learning_metrics(self.model), **_signal_metrics(frame, label)}
        self.recorder.log_metrics(step=None, **metrics)
        _logger.info("record.signal_stored rows=%d days=%d", len(frame), frame.index.get_level_values(0).nunique())

    def _score(self) -> tuple[pd.DataFrame, TaskDataset]:
        """Save the rows to be scored, and then return their scores, and the dataset."""
        if self.model is None or self.dataset is None:
            raise ModelError(f"{type(self).__name__} needs a model and a dataset", hint="in a task: <MODEL>, <DATASET>")
        expected = self.dataset.inference_index("test")
        self.save(**{"expected_index.pkl": pd.DataFrame(index=expected)})
        pred = self.model.predict(self.dataset) if self._scores is None else self._scores
        return check_scores(pred, expected, model=self.model), self.dataset

    def _tell_label(self) -> None:
        """Leave in the recorder what a template without the dataset has to know of the label."""
        reach = None if self.dataset is None else self.dataset.label_reach
        if reach is not None:
            horizon = {} if reach.horizon is None else {HORIZON_TAG: str(reach.horizon)}
            self.recorder.set_tags(**{SPAN_TAG: str(reach.span), **horizon})

    @staticmethod
    def generate_label(dataset: TaskDataset) -> pd.DataFrame:
        """Return the raw labels of the segment ``test``: a column per label, NaN where the future is not known yet."""
        return read_labels(dataset, "test")

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        return ["expected_index.pkl", "pred.pkl", "label.pkl"]


class ShardRecord(SignalRecord):
    """Scores of the segment ``test`` of a shard, and the rows that they had to be on: what `SignalRecord` saves first.

    Guarantees: it reads no label. A shard that has no row to score leaves two empty frames.
    """

    def generate(self, **kwargs: Any) -> None:
        """Save the rows to be scored, and their scores.

        Raises
        ------
        ModelError
            When what the model returned is no score for exactly those rows.
        """
        refuse_inputs(self, kwargs, "nothing")
        if self.dataset is not None and self.dataset.inference_index("test").empty:
            self._scores = pd.DataFrame({"score": np.zeros(0)}, index=self.dataset.inference_index("test"))
        self.save(**{"pred.pkl": self._score()[0]})

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        return ["expected_index.pkl", "pred.pkl"]


class ACRecordTemp(RecordTemp, ABC):
    """A template that checks, before it works, that what it builds on is there.

    Parameters
    ----------
    skip_existing : bool
        Do nothing when all of this template's artifacts are there already.

    Attributes
    ----------
    needs : tuple of str or None
        The artifacts of ``depend_cls`` that this template reads, so that it never asks for one it has no use for. None
        stands for all of them.
    """

    needs: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, recorder: Recorder | None, skip_existing: bool = False) -> None:  # noqa: FBT001, FBT002 - as known
        super().__init__(recorder=recorder)
        self.skip_existing = skip_existing

    def generate(self, **kwargs: Any) -> dict[str, Any] | None:
        """Make, save and return this template's artifacts; None when they were there and `skip_existing` is set.

        An argument named like an artifact (``label`` for ``label.pkl``) takes its place.

        Raises
        ------
        ArtifactNotFoundError
            When something it builds on is missing; nothing is ever skipped for that.
        """
        if self.skip_existing and self._is_complete():
            _logger.info("record.exists template=%s", type(self).__name__)
            return None
        self._check_inputs(given=set(kwargs))
        made = self._generate(**kwargs)
        if made:
            self.save(**made)
        return made

    @abstractmethod
    def _generate(self, **kwargs: Any) -> dict[str, Any]:
        """Return the artifacts by name; `generate` saves them."""

    def _check_inputs(self, given: set[str]) -> None:
        if self.needs is None or self.depend_cls is None:
            self.check()
            return
        wanted = [self.depend_cls.get_path(name) for name in self.needs if name.partition(".")[0] not in given]
        self._require(wanted)

    def _is_complete(self) -> bool:
        try:
            self.check(include_self=True, parents=False)
        except ArtifactNotFoundError:
            return False
        return True


class SigAnaRecord(ACRecordTemp):
    """The daily IC and Rank IC of a recorded signal.

    Artifacts: ``sig_analysis/ic.pkl`` and ``sig_analysis/ric.pkl``. Metrics: ``IC``, ``ICIR``, ``Rank IC``,
    ``Rank ICIR``. With `ana_long_short` also ``long_short_r.pkl``, ``long_avg_r.pkl`` and four ``Long-…`` metrics.

    Parameters
    ----------
    ana_long_short : bool
        Also judge the best fifth against the worst. Needs labels that are plain returns.
    ann_scaler : float, optional
        Sessions of a year, for the ``Long-…`` metrics; those of the settings if not given, as in every annual figure
        (`periods_per_year`: 238 in the region ``cn``, 252 in ``us``). Qlib takes 252 here and 238 in `risk_analysis`.
        A label that is the return over `h` sessions has an `h`-th of them in a year. Where the recorder does not tell
        that the label is a return (`SignalRecord` leaves it there), nothing is annualised unless this is given.
    label_col : int
        Which column of the label is judged.
    """

    artifact_path = "sig_analysis"
    depend_cls = SignalRecord
    needs = ("pred.pkl", "label.pkl")

    def __init__(
        self,
        recorder: Recorder | None,
        ana_long_short: bool = False,  # noqa: FBT001, FBT002 - the signature users know
        ann_scaler: float | None = None,
        label_col: int = 0,
        skip_existing: bool = False,  # noqa: FBT001, FBT002 - the signature users know
    ) -> None:
        super().__init__(recorder=recorder, skip_existing=skip_existing)
        self.ana_long_short = ana_long_short
        self.ann_scaler = periods_per_year("day") if ann_scaler is None else ann_scaler
        self._has_scaler = ann_scaler is not None
        self.label_col = label_col

    def _generate(
        self, label: pd.DataFrame | None = None, pred: pd.DataFrame | pd.Series | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        refuse_inputs(self, kwargs, "pred, label")
        scores = take_column(self.load("pred.pkl") if pred is None else pred, what="prediction")
        frame = self.load("label.pkl") if label is None else label
        if not isinstance(frame, pd.DataFrame | pd.Series) or frame.empty:
            raise ArtifactNotFoundError(
                "SigAnaRecord needs labels and `label.pkl` is empty",
                hint="the segment `test` has no rows, or the handler dropped its raw data: keep it with drop_raw=False",
            )
        truth = take_column(frame, what="label", column=self.label_col)
        ic, ric = calc_ic(scores, truth)
        metrics = to_recorder_metrics(summarise(ic, ric).metrics())
        made: dict[str, Any] = {"ic.pkl": ic, "ric.pkl": ric}
        if self.ana_long_short:
            both, average = calc_long_short_return(scores, truth)
            made |= {"long_short_r.pkl": both, "long_avg_r.pkl": average}
            if (horizon := self._find_horizon()) is not None:
                metrics |= self._annual("Long-Short", both, horizon) | self._annual("Long-Avg", average, horizon)
        self.recorder.log_metrics(step=None, **keep_finite(metrics))
        return made

    def _find_horizon(self) -> int | None:
        """Return over how many sessions the label's return runs; None, said in the log, when that is not known."""
        told = self.recorder.list_tags().get(HORIZON_TAG)
        if told is not None:
            return int(told)
        if self._has_scaler:  # whoever gives the periods of a year says what a period of the label is
            return 1
        _logger.warning("record.label_unknown template=%s action=nothing_annualised", type(self).__name__)
        return None

    def _annual(self, name: str, daily: pd.Series, horizon: int) -> dict[str, float]:
        known = daily.dropna().to_numpy(dtype="float64")
        mean, spread = float(known.mean()) if len(known) else math.nan, standard_deviation(known)
        periods = self.ann_scaler / horizon  # of a return over `horizon` sessions, a year has so many
        return {
            f"{name} Ann Return": mean * periods,
            f"{name} Ann Sharpe": mean / spread * math.sqrt(periods) if spread > 0 else math.nan,
        }

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        names = ["ic.pkl", "ric.pkl"]
        # a template that depends on this one asks through its own instance, which has no such setting
        both = getattr(self, "ana_long_short", False)
        return [*names, "long_short_r.pkl", "long_avg_r.pkl"] if both else names


class PortAnaRecord(ACRecordTemp):
    """A back-test of the recorded predictions: report, positions, orders, and the risk of the excess return.

    Artifacts, beneath ``portfolio_analysis/``:

    - ``report_normal_1day.pkl`` and ``positions_normal_1day.pkl``: the frames of `BacktestResult`;
    - ``indicators_normal_1day.pkl``: the `trade_indicators` of each session; ``indicators_normal_1day_obj.pkl``: the
      orders they are made of (`list_orders`);
    - ``port_analysis_1day.pkl``: `tell_risk`, each figure also a metric: ``1day.excess_return_with_cost.mean`` …;
    - ``indicator_analysis_1day.pkl``: `indicator_analysis`; metrics ``1day.ffr``, ``1day.pa``, ``1day.pos``.

    Parameters
    ----------
    config : mapping, optional
        ``strategy``, ``backtest`` and ``executor`` as in Qlib's files, with ``<PRED>`` for the recorded predictions
        (`PortfolioPlan`). If not given, Qlib's: fifty names, five replaced a day, against SH000300.
    risk_analysis_freq, indicator_analysis_freq : str or sequence of str, optional
        Only ``day``: one executor on daily bars is simulated.
    indicator_analysis_method : {"mean", "amount_weighted", "value_weighted"}, optional
        ``mean`` if not given.
    dataset : TaskDataset, optional
        What tells how far a result depends on the market; without it, any change of the data makes it stale.

    .. warning:: **Look-ahead.** The predictions are taken to be out of sample, made after the close of their session
       and traded at the close of the next.
    """

    artifact_path = "portfolio_analysis"
    depend_cls = SignalRecord
    needs = ("pred.pkl",)

    def __init__(
        self,
        recorder: Recorder | None,
        config: Mapping[str, Any] | None = None,
        risk_analysis_freq: str | Sequence[str] | None = None,
        indicator_analysis_freq: str | Sequence[str] | None = None,
        indicator_analysis_method: Method | None = None,
        skip_existing: bool = False,  # noqa: FBT001, FBT002 - the signature users know
        *,
        dataset: TaskDataset | None = None,
    ) -> None:
        super().__init__(recorder=recorder, skip_existing=skip_existing)
        self.plan = PortfolioPlan.from_config(config)
        self.risk_analysis_freq = read_frequencies(risk_analysis_freq, what="risk_analysis_freq")
        self.indicator_analysis_freq = read_frequencies(indicator_analysis_freq, what="indicator_analysis_freq")
        self.indicator_analysis_method: Method = (
            "mean" if indicator_analysis_method is None else indicator_analysis_method
        )
        if self.indicator_analysis_method not in METHODS:
            raise ConfigError(
                f"indicator_analysis_method = {indicator_analysis_method!r} is unknown",
                hint=f"known: {', '.join(METHODS)}",
            )
        self.dataset = dataset
        self._reads: tuple[ReadScope, ...] = ()

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether the back-test that `arguments` describe is one that is simulated; no data are read."""
        # not of `cls`, whose constructor may ask for what only a run can give
        PortAnaRecord(None, **{name: arguments[name] for name in _DESCRIBES_BACKTEST if name in arguments})

    @classmethod
    def check_market(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether the market has the benchmark."""
        PortfolioPlan.from_config(arguments.get("config")).check_market()

    def reads(self) -> tuple[ReadScope, ...]:
        """Return which prices the last `generate` read."""
        return self._reads

    def _generate(self, pred: pd.DataFrame | pd.Series | None = None, **kwargs: Any) -> dict[str, Any]:
        refuse_inputs(self, kwargs, "pred")
        scores = self.load("pred.pkl") if pred is None else pred
        made = self.plan.run(scores)
        self._note_reads(scores)
        orders = list_orders(made)
        report, daily = made.report, trade_indicators(orders, pd.DatetimeIndex(made.report.index))
        risk, filled = tell_risk(report), indicator_analysis(daily, self.indicator_analysis_method)
        metrics = _name_figures(risk["risk"]) | _name_figures(filled["value"])
        self.recorder.log_metrics(step=None, **keep_finite({f"{DAILY}.{name}": each for name, each in metrics.items()}))
        _logger.info("record.portfolio_stored sessions=%d orders=%d", len(report), len(orders))
        return {
            f"report_normal_{DAILY}.pkl": report,
            f"positions_normal_{DAILY}.pkl": made.positions,
            f"indicators_normal_{DAILY}.pkl": daily,
            f"indicators_normal_{DAILY}_obj.pkl": orders,
            f"port_analysis_{DAILY}.pkl": risk,
            f"indicator_analysis_{DAILY}.pkl": filled,
        }

    def _note_reads(self, pred: pd.DataFrame | pd.Series) -> None:
        source = current_market("day")
        scope = ReadScope(generation=source.generation, freq="day")
        if self.dataset is not None:
            told = self.dataset.scope_until(self.plan.find_stop(pred, source.calendar()))
            if (told.generation, told.freq) == (scope.generation, scope.freq):  # prices of the market it was made from
                scope = replace(told, vintages=None)  # prices, and nothing by period
        self._reads = (scope,)

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        names = ("report_normal", "positions_normal", "indicators_normal", "port_analysis", "indicator_analysis")
        return [*(f"{name}_{DAILY}.pkl" for name in names), f"indicators_normal_{DAILY}_obj.pkl"]


class MultiPassPortAnaRecord(PortAnaRecord):
    """The same back-test from several first holdings: how much of its figures is the luck of the first day.

    Artifact ``portfolio_analysis/multi_pass_port_analysis_1day.pkl``: index (part, figure), columns ``mean``, ``std``
    (``ddof=1``) and ``mean_std``, their ratio, over the passes, of ``annualized_return`` and ``information_ratio``.
    Metrics ``mean.excess_return_with_cost.annualized_return`` …

    Parameters
    ----------
    pass_num : int
        How many passes.
    shuffle_init_score : bool
        Shuffle, in each pass, the scores that make the first holdings: those of the session before a start that is
        given, where Qlib shuffles those of the start, which come too late. Without it all passes are equal.
    seed : int
        Of the shuffles; the same seed gives the same result. Qlib draws from NumPy's global generator.

    Other parameters are those of `PortAnaRecord`.
    """

    def __init__(
        self,
        recorder: Recorder | None,
        pass_num: int = 10,
        shuffle_init_score: bool = True,  # noqa: FBT001, FBT002 - the signature users know
        config: Mapping[str, Any] | None = None,
        risk_analysis_freq: str | Sequence[str] | None = None,
        indicator_analysis_freq: str | Sequence[str] | None = None,
        indicator_analysis_method: Method | None = None,
        skip_existing: bool = False,  # noqa: FBT001, FBT002 - the signature users know
        *,
        seed: int = 0,
        dataset: TaskDataset | None = None,
    ) -> None:
        super().__init__(
            recorder,
            config,
            risk_analysis_freq,
            indicator_analysis_freq,
            indicator_analysis_method,
            skip_existing,
            dataset=dataset,
        )
        _check_passes(pass_num)
        self.pass_num = pass_num
        self.shuffle_init_score = shuffle_init_score
        self.seed = seed

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether there is a pass, and as `PortAnaRecord` does."""
        super().check_arguments(arguments)
        _check_passes(arguments.get("pass_num", 1))

    def _generate(self, pred: pd.DataFrame | pd.Series | None = None, **kwargs: Any) -> dict[str, Any]:
        refuse_inputs(self, kwargs, "pred")
        scores = self.load("pred.pkl") if pred is None else pred
        if self.shuffle_init_score and not self.plan.trades_predictions(scores):
            raise ConfigError(
                f"{type(self).__name__} shuffles the predictions, and its strategy trades another signal",
                hint="write signal: <PRED>, or shuffle_init_score: false",
            )
        passes = [tell_risk(self.plan.run(scores, signal=signal).report)["risk"] for signal in self._draw(scores)]
        self._note_reads(scores)
        figures = pd.concat(passes, axis=1).loc[(slice(None), ["annualized_return", "information_ratio"]), :]
        mean = figures.mean(axis=1, skipna=False)
        # passes that differ by rounding only are equal
        std = pd.Series([standard_deviation(row) for row in figures.to_numpy()], mean.index).where(mean.notna())
        made = pd.DataFrame({"mean": mean, "std": std, "mean_std": mean / std.where(std > 0)})
        metrics = {f"{column}.{name}": value for column in made for name, value in _name_figures(made[column]).items()}
        self.recorder.log_metrics(step=None, **keep_finite(metrics))
        return {f"multi_pass_port_analysis_{DAILY}.pkl": made}

    def _draw(self, pred: pd.DataFrame | pd.Series) -> Iterator[pd.Series | None]:
        """Yield the signal of each pass; None for the strategy's own."""
        if not self.shuffle_init_score:
            yield from [None] * self.pass_num
            return
        scores = take_column(pred, what="prediction")
        first = self.plan.find_first(scores, current_market("day").calendar())
        rows = np.flatnonzero(scores.index.get_level_values(0) == first)
        for generator in np.random.default_rng(self.seed).spawn(self.pass_num):
            shuffled = scores.copy()
            shuffled.iloc[rows] = generator.permutation(scores.to_numpy()[rows])
            yield shuffled

    def list(self) -> list[str]:
        """Return the names of what `generate` saves."""
        return [f"multi_pass_port_analysis_{DAILY}.pkl"]


def _check_passes(number: int) -> None:
    if number < 1:
        raise ConfigError(f"pass_num = {number}: at least one pass is needed")


def _name_figures(table: pd.Series[float]) -> dict[str, float]:
    """Return the values by the dotted names of their rows."""
    names = [".".join(key) if isinstance(key, tuple) else str(key) for key in table.index.to_list()]
    return dict(zip(names, table.to_numpy(dtype=np.float64).tolist(), strict=True))


def _signal_metrics(pred: pd.DataFrame, label: pd.DataFrame) -> dict[str, float]:
    """Return the signal's metrics that are defined; a window of today has no labels yet."""
    if label.empty or label.iloc[:, 0].isna().all():
        return {}
    ic, ric = calc_ic(take_column(pred, what="prediction"), take_column(label, what="label", column=0))
    found = to_recorder_metrics(summarise(ic, ric).metrics())
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _learning_metrics(model: Any) -> dict[str, float]:
    best = getattr(model, "best_iteration_", 0)
    if not best:
        return {}
    history: Mapping[str, Mapping[str, Sequence[float]]] = getattr(model, "evals_result_", {})
    found = {
        f"{metric}.{segment}".replace("@", "_"): float(values[min(best, len(values)) - 1])
        for segment, metrics in history.items()
        for metric, values in metrics.items()
        if len(values)
    }
    return keep_finite({"best_iteration": float(best), **found})


def keep_finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are numbers; a tracker stores no NaN, so the log says which are missing."""
    missing = sorted(name for name, value in metrics.items() if not math.isfinite(value))
    if missing:
        _logger.warning("record.metrics_undefined names=%s reason=too_few_or_equal_days", ", ".join(missing))
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
