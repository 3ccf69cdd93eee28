"""Judge one signal that is given as scores: its stages, and the folder that they may be kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pandas as pd
from pydantic import ValidationError

from rollwright import __version__
from rollwright.analysis.given_columns import read_columns
from rollwright.analysis.given_signal import DEFAULT_LABEL, KnownLabel, find_label, fit_to_market
from rollwright.analysis.health import sort_findings
from rollwright.analysis.stages.analyze import AnalysisTerms, analyze
from rollwright.analysis.stages.honesty import Look, add_honesty
from rollwright.analysis.stages.locations import STAGES, StageName
from rollwright.analysis.stages.table import StageResult
from rollwright.analysis.stages.trade import TradeTerms, trade
from rollwright.analysis.stages.walk import collect_result
from rollwright.app.demo_finding import examine_demo
from rollwright.app.trials import open_book
from rollwright.campaign.about import ABOUT_FILE, AboutResults, AboutVariant, read_about, write_about
from rollwright.campaign.config import AnalysisConfig, BacktestConfig
from rollwright.campaign.health import examine_market
from rollwright.campaign.plan import ONLY_VARIANT
from rollwright.campaign.results_folder import (
    LABEL_FILE,
    PRED_FILE,
    read_variant_stage,
    summarise_results,
    write_variant_stage,
)
from rollwright.campaign.trade_terms import make_trade_terms
from rollwright.codecs.registry import codecs
from rollwright.config.context import Context, using
from rollwright.core.atomic import measure_file, write_atomically
from rollwright.core.clock import SystemClock
from rollwright.errors import ConfigError, RollwrightError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource

__all__ = ["GivenSignal", "SignalOptions", "judge_signal"]

Part = TypeVar("Part", AnalysisConfig, BacktestConfig)
HOW_TRADED: Final = "A score is taken as known after the close of its date, and is traded on the session after."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalOptions:
    """How a signal that is given as scores is judged; what is None is the usual.

    Attributes
    ----------
    label : str or None
        An expression, or the path of a file; None is `DEFAULT_LABEL`, or the labels that lie beside the scores.
    label_span, label_horizon : int or None
        Of labels from a file: sessions of future that they read, sessions over which their return runs.
    groups : int or None
        Score groups.
    analysis, trade : mapping
        Values of the sections ``analysis`` and ``backtest`` of a campaign's file; a relative path is one from here.
    member : str or None
        Whose scores, of a campaign of several members.
    """

    label: str | None = None
    label_span: int | None = None
    label_horizon: int | None = None
    groups: int | None = None
    analysis: Mapping[str, Any] = field(default_factory=dict)
    trade: Mapping[str, Any] = field(default_factory=dict)
    member: str | None = None

    @property
    def is_usual(self) -> bool:
        """Whether nothing was asked but the usual."""
        return self == SignalOptions()

    def make_terms(self, region: str) -> TradeTerms:
        """Return the terms of the back-test.

        Raises
        ------
        ConfigError
            When a value is none that a back-test can be made under.
        """
        return make_trade_terms(_check(BacktestConfig, self.trade), region)

    def make_analysis(self) -> tuple[AnalysisConfig, pd.DataFrame | None]:
        """Return how the signal is judged, and the columns of the user's that it is judged by.

        Raises
        ------
        ConfigError
            When a value is none that a signal can be judged by.
        DataNotFoundError, CorruptFileError, DataError
            As `read_columns` says.
        """
        config = _check(AnalysisConfig, self.analysis)
        return config, None if config.columns is None else read_columns(Path(config.columns))


def _check(kind: type[Part], values: Mapping[str, Any]) -> Part:
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = (
            "-".join(str(first["loc"][0]).split("_")) if first["loc"] else kind.__name__.removesuffix("Config").lower()
        )
        raise ConfigError(f"{name}: {first['msg']}, not {first['input']!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GivenSignal:
    """Scores that somebody made, and what is known of them.

    Attributes
    ----------
    name : str
    pred : Series
        By (datetime, instrument).
    label : KnownLabel or None
        The labels that lie beside them.
    context : Context
        The market they are of.
    facts : sequence of (str, str)
        Where they are from.
    look : Look or None
        What a back-test of them is registered as; None registers nothing.
    command : str
        What judges them again.
    """

    name: str
    pred: pd.Series
    label: KnownLabel | None
    context: Context
    facts: Sequence[tuple[str, str]]
    look: Look | None
    command: str


def judge_signal(
    signal: GivenSignal, stages: Sequence[StageName], options: SignalOptions, *, out: Path | None
) -> tuple[AboutResults, Mapping[StageName, StageResult]]:
    """Judge a signal in `stages`, and return what it is and what they found.

    Parameters
    ----------
    signal : GivenSignal
    stages : sequence of StageName
        ``analyze``, ``backtest`` or both.
    options : SignalOptions
    out : Path or None
        The folder that is written; what other stages left there stays where it is still true. None writes nothing.

    Raises
    ------
    ConfigError
        For options that do not go together, and when `out` holds something else.
    UnknownInstrumentError, DataError
        When the market has no such instruments or sessions; nothing is written then.
    """
    if out is not None:
        _check_folder(out, signal.name)
    with using(signal.context):
        source = current_market("day")
        pred = fit_to_market(signal.pred, source).rename("score")
        terms = options.make_terms(signal.context.settings.data.region)
        asked, columns = options.make_analysis()
        label = _find_label(signal, pred, source, options) if "analyze" in stages else signal.label
        made: dict[StageName, StageResult] = {"collect": collect_result(pred)}
        if "analyze" in stages and label is not None:
            made["analyze"] = analyze(
                pred,
                label.values,
                terms=AnalysisTerms(
                    label=label.text,
                    label_span=label.span,
                    label_horizon=label.horizon,
                    groups=5 if options.groups is None else options.groups,
                    topk=terms.topk if "backtest" in stages else None,
                    horizons=tuple(asked.horizons),
                    groups_by=tuple(asked.groups_by),
                    neutralise=tuple(asked.neutralise),
                ),
                source=source,
                columns=columns,
            )
        if "backtest" in stages:
            traded = trade(pred, source, terms=terms, label=None if label is None else label.values)
            made["backtest"] = traded
            if signal.look is not None:
                (made["backtest"],) = add_honesty([traded], [signal.look], open_book(signal.context, source))
        about = _describe(signal, pred, label if "analyze" in stages else None, source, made)
        if out is None:
            return about, made
        return _write(about, made, pred, label if "analyze" in stages else None, out)


def _check_folder(out: Path, name: str) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"{out} is a file, and the results need a folder", hint="name another with --out")
    try:
        held = read_about(out, hint="").name
    except RollwrightError as error:
        if not any(out.iterdir()):
            return
        raise ConfigError(
            f"{out} holds something that is no signal's results", hint="name another folder with --out"
        ) from error
    if held != name or (out / "origin.json").exists():
        raise ConfigError(f"{out} holds the results of `{held}`", hint="name another folder with --out")


def _find_label(signal: GivenSignal, pred: pd.Series, source: DataSource, options: SignalOptions) -> KnownLabel:
    if options.label is None and signal.label is not None:
        return signal.label
    return find_label(options.label, pred, source, span=options.label_span, horizon=options.label_horizon)


def _describe(
    signal: GivenSignal,
    pred: pd.Series,
    label: KnownLabel | None,
    source: DataSource,
    made: Mapping[StageName, StageResult],
) -> AboutResults:
    days = pred.index.get_level_values("datetime")
    names = sorted(pred.index.get_level_values("instrument").unique())
    notes = [HOW_TRADED]
    if label is not None:
        usual = "; Alpha158's, since no other was given" if label.text == DEFAULT_LABEL else ""
        notes.append(f"Label: {label.text}{usual}.")
    return AboutResults(
        name=signal.name,
        title=signal.name,
        command=signal.command,
        variants=(AboutVariant(name=ONLY_VARIANT, stages=tuple(made)),),
        findings=sort_findings(
            [*examine_market(source, None, names, (days.min(), days.max())), *examine_demo(signal.context)]
        ),
        notes=tuple(notes),
        facts=(*signal.facts, ("version", __version__)),
        created=f"{SystemClock().now():%Y-%m-%d %H:%M} UTC",
    )


def _write(
    about: AboutResults,
    made: Mapping[StageName, StageResult],
    pred: pd.Series,
    label: KnownLabel | None,
    out: Path,
) -> tuple[AboutResults, Mapping[StageName, StageResult]]:
    """Write the folder of a signal, keep in it what other stages left there of the same scores, and return it all."""
    before = _digest(out / PRED_FILE)
    _write_frame(pred.to_frame("score"), out / PRED_FILE)
    if label is not None:
        _write_frame(label.values.to_frame("label"), out / LABEL_FILE)
    (variant,) = about.variants
    for stage in made.values():
        write_variant_stage(stage, about, variant, out)
    kept = _find_earlier_stages(about, out, made) if before == _digest(out / PRED_FILE) else {}
    whole = {stage: {**kept, **made}[stage] for stage in STAGES if stage in kept or stage in made}
    about = replace(about, variants=(replace(variant, stages=tuple(whole)),))
    write_about(about, out)
    summarise_results(out, hint=about.command)
    return about, whole


def _find_earlier_stages(
    about: AboutResults, out: Path, made: Mapping[StageName, StageResult]
) -> dict[StageName, StageResult]:
    """Return the stages that lie in `out`, were not made now, and are still true."""
    earlier: dict[StageName, StageResult] = {}
    if not (out / ABOUT_FILE).exists():
        return earlier
    (variant,) = about.variants
    for stage in STAGES:
        if stage in made:
            continue
        try:
            earlier[stage] = read_variant_stage(stage, about, variant, out)
        except RollwrightError:  # it is not there, or not of these scores and labels
            continue
    return earlier


def _write_frame(frame: pd.DataFrame, path: Path) -> None:
    write_atomically(path, partial(codecs.for_kind("parquet").write, frame))


def _digest(path: Path) -> str | None:
    try:
        return measure_file(path).sha256
    except FileNotFoundError:
        return None
