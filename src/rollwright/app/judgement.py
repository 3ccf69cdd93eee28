"""Judge a signal, wherever it is from: a campaign, a recorded run, a file of scores, a folder of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.given_signal import KnownLabel, is_signal_file, read_signal
from rollwright.analysis.metrics import Metric, name_recorder_metrics
from rollwright.analysis.panel import take_column
from rollwright.analysis.records import HORIZON_TAG, SPAN_TAG, keep_finite
from rollwright.analysis.stages.files import read_stage
from rollwright.analysis.stages.honesty import Look, add_honesty
from rollwright.analysis.stages.locations import StageName
from rollwright.analysis.stages.table import StageResult
from rollwright.app.campaign import plan_campaign, read_analysis_columns
from rollwright.app.campaign_record import find_record, list_records, results_folder
from rollwright.app.given_signal import GivenSignal, SignalOptions, judge_signal
from rollwright.app.open_campaign import open_campaign, reopen_campaign
from rollwright.app.runs import StoredRun, find_run, restore_settings
from rollwright.app.trials import open_book
from rollwright.campaign.about import ABOUT_FILE, AboutVariant, read_about
from rollwright.campaign.member_names import COMBINED
from rollwright.campaign.results import name_look, run_stage
from rollwright.campaign.results_folder import (
    LABEL_FILE,
    PRED_FILE,
    join_stages,
    read_results,
    read_variant_stage,
    summarise_results,
    variant_folder,
    write_report,
    write_variant_stage,
)
from rollwright.campaign.summary import CampaignResult
from rollwright.codecs.registry import codecs
from rollwright.config.context import Context, using
from rollwright.config.settings import Settings, load_settings
from rollwright.core.text import is_name
from rollwright.errors import ArtifactNotFoundError, ConfigError, RecorderNotFoundError, nearest
from rollwright.market.current import current_market
from rollwright.tracking.recorder import Recorder
from rollwright.training.provenance import PROVENANCE_ARTIFACT

__all__ = ["Judgement", "judge", "report"]

_YAML: Final = (".yaml", ".yml")
BOTH: Final[tuple[StageName, ...]] = ("analyze", "backtest")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What the stages found of a signal.

    Attributes
    ----------
    result : CampaignResult
        The numbers, what stands against them, how they count, and the files; no files where nothing was written.
    stages : mapping of str to mapping of StageName to StageResult
        By variant; of results that lie on the disk without their tables.
    """

    result: CampaignResult
    stages: Mapping[str, Mapping[StageName, StageResult]]

    @property
    def left_out(self) -> dict[str, str]:
        """The tables that were not made of the first variant, each with the reason."""
        first = next(iter(self.stages.values()))
        return {name: reason for stage in first.values() for name, reason in stage.left_out.items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {**self.result.to_json(), "tables_left_out": self.left_out}


def judge(
    what: str | None,
    stages: Sequence[StageName],
    *,
    options: SignalOptions | None = None,
    provider_uri: str | None = None,
    region: str | None = None,
    out: Path | None = None,
    project: Path | None = None,
) -> Judgement:
    """Judge a signal in `stages`.

    Parameters
    ----------
    what : str or None
        A file of scores (``.csv``, ``.parquet``); a campaign, by its name or its file; the results folder of a signal;
        a recorded run, as `rollwright.app.runs.find_run` has it. None is the campaign that ran last.
    stages : sequence of StageName
        ``analyze``, ``backtest`` or both.
    options : SignalOptions, optional
        Without any, a campaign's stages are made anew in its own results, as its file asks for them. With any, its
        scores are judged as those of a file, and its results stay as they are.
    provider_uri, region : str, optional
        Market data and region, over those of the settings, or of the run.
    out : Path, optional
        Where results are written; of scores that are given, nowhere if not given.
    project : Path, optional

    Raises
    ------
    ConfigError
        When `what` is nothing of these.
    RollwrightError
        Whatever is wrong with it; nothing is written then.
    """
    asked = SignalOptions() if options is None else options
    settings = load_settings(start=project)
    kind, named = _find(what, settings)
    over = _settings_over(settings, provider_uri, region)
    if kind == "campaign" and asked.is_usual and out is None and over is settings:
        return _renew(named, stages, settings)
    if kind == "folder" and out is None:
        out = Path(named)
    if kind == "run":
        run = find_run(named, settings)
        signal = _take_run(run, settings, provider_uri, region)
    elif kind == "campaign":
        run, signal = None, _take_variant(named, asked.member, settings, provider_uri, region)
    elif kind == "folder":
        run, signal = None, _take_folder(Path(named), over)
    else:
        run, signal = None, _take_file(Path(named), over)
    about, made = judge_signal(signal, stages, asked, out=out)
    if run is not None:
        _log(run.recorder, [metric for name in stages for metric in made[name].metrics])
    found = {about.variants[0].name: made}
    return Judgement(result=join_stages(about, found, out), stages=found)


def report(
    what: str | None,
    *,
    options: SignalOptions | None = None,
    provider_uri: str | None = None,
    region: str | None = None,
    out: Path | None = None,
    project: Path | None = None,
) -> Judgement:
    """Render the report of a signal: of results that lie on the disk from their tables alone, else judge it first.

    The parameters are those of `judge`. Scores that are given are judged in both stages, into ``results/NAME`` of the
    project if no folder is named.

    Raises
    ------
    StaleResultsError
        When the scores changed after their stages were made; the hint names the command to give.
    RollwrightError
        As `judge`.
    """
    asked = SignalOptions() if options is None else options
    settings = load_settings(start=project)
    kind, named = _find(what, settings)
    if kind in ("campaign", "folder") and asked.is_usual and out is None and provider_uri is None and region is None:
        folder = results_folder(settings, named) if kind == "campaign" else Path(named)
    else:
        folder = out if out is not None else results_folder(settings, _name(kind, named))
        judge(what, BOTH, options=asked, provider_uri=provider_uri, region=region, out=folder, project=project)
    hint = f"rollwright collect {named}" if kind == "campaign" else f"rollwright analyze {named}"
    about, stages = read_results(folder, hint=hint, tables={})
    write_report(folder, hint=hint)
    return Judgement(result=join_stages(about, stages, folder), stages=stages)


def _find(what: str | None, settings: Settings) -> tuple[str, str]:
    """Return what is named: a ``campaign`` by its name, a ``folder`` or ``file`` by its path, a ``run``."""
    if what is None:
        return "campaign", find_record(settings, None).name
    path = Path(what)
    if path.suffix.lower() in _YAML:
        return "campaign", _check_started(open_campaign(path, project=settings.root).name, settings)
    if is_signal_file(path):
        return "file", what
    started = [record.stem for record in list_records(settings)]
    if path.is_dir() and (path / ABOUT_FILE).is_file():
        own = [name for name in started if results_folder(settings, name).resolve() == path.resolve()]
        return ("campaign", own[0]) if own else ("folder", what)
    if what in started:
        return "campaign", what
    _check_run(what, settings, started)
    return "run", what


def _check_run(what: str, settings: Settings, started: Sequence[str]) -> None:
    try:
        find_run(what, settings)
    except (RecorderNotFoundError, ConfigError) as error:
        if isinstance(error, ConfigError) and "names" in error.message:  # it names several
            raise
        near = nearest(what, started)
        if Path(what).suffix.lower() in (".pkl", ".pickle"):
            raise ConfigError(
                f"`{what}` is a pickle, and nothing is unpickled",
                hint=f"convert it, without running it: rollwright import pickle {what}",
            ) from error
        raise ConfigError(
            f"`{what}` is no file of scores, no folder of results, and names no campaign and no run of {settings.root}",
            hint=f"did you mean `{near}`?" if near else "give a .csv or .parquet file, a campaign's name, or a run's",
        ) from error


def _check_started(name: str, settings: Settings) -> str:
    return find_record(settings, name).name


def _settings_over(settings: Settings, provider_uri: str | None, region: str | None) -> Settings:
    values = {"data.provider_uri": provider_uri, "data.region": region}
    given = {name: value for name, value in values.items() if value is not None}
    return settings.with_values(given, origin="command line") if given else settings


def _name(kind: str, named: str) -> str:
    name = Path(named).stem if kind == "file" else named
    if not is_name(name):
        raise ConfigError(f"`{name}` cannot name a folder of results", hint="name one with --out")
    return name


def _renew(name: str, stages: Sequence[StageName], settings: Settings) -> Judgement:
    """Make stages of a campaign anew in its results, as its file asks for them, and the summary of all."""
    # 1. Find out whether the predictions are those that were collected. 2. Run the stages of every variant. 3. Write.
    campaign = reopen_campaign(name, project=settings.root)
    folder, hint = campaign.results, f"rollwright collect {name}"
    about = read_about(folder, hint=hint)
    with using(campaign.context):
        source = current_market()
        plan, _ = plan_campaign(campaign, source)
        columns = read_analysis_columns(campaign)
        preds: dict[str, pd.DataFrame] = {}
        labels: dict[str, pd.DataFrame] = {}
        for variant in about.variants:
            read_variant_stage("collect", about, variant, folder, tables=())
            place = variant_folder(folder, variant)
            preds[variant.name] = codecs.for_kind("parquet").read(place / PRED_FILE)
            labels[variant.name] = codecs.for_kind("parquet").read(place / LABEL_FILE)
        made = {
            stage: [
                run_stage(
                    stage, plan=plan, config=campaign.config, source=source, region=campaign.settings.data.region,
                    variant=variant.name, pred=preds[variant.name], label=labels[variant.name], members=preds,
                    columns=columns,
                )
                for variant in about.variants
            ]
            for stage in stages
        }  # fmt: skip
        if "backtest" in made:
            looks = [name_look(plan.name, variant.name) for variant in about.variants]
            made["backtest"] = add_honesty(made["backtest"], looks, open_book(campaign.context, source))
        for each in made.values():
            for variant, stage in zip(about.variants, each, strict=True):
                write_variant_stage(stage, about, variant, folder)
        summarise_results(folder, hint=hint)
    about, found = read_results(folder, hint=hint, tables={})
    return Judgement(result=join_stages(about, found, folder), stages=found)


def _take_file(path: Path, settings: Settings) -> GivenSignal:
    return GivenSignal(
        name=_name("file", str(path)),
        pred=read_signal(path),
        label=None,
        context=Context(settings=settings),
        facts=(("file", path.name),),
        look=Look("signal", path.name),
        command=f"rollwright analyze {path}",
    )


def _take_folder(folder: Path, settings: Settings) -> GivenSignal:
    about = read_about(folder, hint=f"rollwright report {folder}")
    if len(about.variants) > 1:
        raise ConfigError(
            f"{folder} holds the results of a campaign of several members", hint="give the campaign's name instead"
        )
    return GivenSignal(
        name=about.name,
        pred=read_signal(folder / PRED_FILE),
        label=_read_label(folder, about.variants[0], about.command),
        context=Context(settings=settings),
        facts=tuple(fact for fact in about.facts if fact[0] != "version"),
        look=Look("signal", about.name),
        command=about.command,
    )


def _take_variant(
    name: str, member: str | None, settings: Settings, provider_uri: str | None, region: str | None
) -> GivenSignal:
    """Return the scores of a campaign's signal, or of one of its members, as those of a file."""
    campaign = reopen_campaign(name, project=settings.root)
    about = read_about(campaign.results, hint=f"rollwright collect {name}")
    found = {variant.name: variant for variant in about.variants}
    chosen = member if member is not None else COMBINED if COMBINED in found else next(iter(found))
    if chosen not in found or (member is None and len(found) > 1 and COMBINED not in found):
        near = nearest(chosen, list(found)) if member is not None else None
        wrong = f"campaign {name} has no member `{member}`" if member else f"{name} makes no one signal"
        raise ConfigError(wrong, hint=f"did you mean `{near}`?" if near else f"--member: {', '.join(found)}")
    place = variant_folder(campaign.results, found[chosen])
    read_variant_stage("collect", about, found[chosen], campaign.results, tables=())
    context = Context(settings=_settings_over(campaign.settings, provider_uri, region))
    return GivenSignal(
        name=name if len(found) == 1 else f"{name}-{chosen}".replace("=", "-"),
        pred=take_column(codecs.for_kind("parquet").read(place / PRED_FILE), what="prediction"),
        label=_read_label(place, found[chosen], about.command),
        context=context,
        facts=(("campaign", name),),
        look=name_look(name, chosen),
        command=f"rollwright analyze {name}",
    )


def _read_label(folder: Path, variant: AboutVariant, command: str) -> KnownLabel | None:
    """Return the labels that lie beside scores, and what the analysis knew of them; None where there are none."""
    if "analyze" not in variant.stages or not (folder / LABEL_FILE).is_file():
        return None
    told = read_stage(folder, "analyze", tables=(), command=command).settings
    return KnownLabel(
        values=take_column(codecs.for_kind("parquet").read(folder / LABEL_FILE), what="label"),
        text=str(told.get("label") or LABEL_FILE),
        span=told.get("label_span"),
        horizon=told.get("label_horizon"),
    )


def _take_run(run: StoredRun, settings: Settings, provider_uri: str | None, region: str | None) -> GivenSignal:
    recorder = run.recorder
    if recorder.status != Recorder.STATUS_FI:
        raise ConfigError(f"{run.title()} is {recorder.status}, and only what is finished is judged")
    if PROVENANCE_ARTIFACT in run.refs:
        settings = restore_settings(recorder.load_object(PROVENANCE_ARTIFACT), settings)
    pred = take_column(recorder.load_object("pred.pkl"), what="prediction")
    return GivenSignal(
        name=f"{run.experiment}-{recorder.id[:8]}",
        pred=pred.dropna().rename_axis(["datetime", "instrument"]),
        label=_load_label(recorder, pred),
        context=Context(settings=_settings_over(settings, provider_uri, region)),
        facts=(("run", run.title()),),
        look=Look("recorder", run.title()),
        command=f"rollwright analyze {recorder.id[:12]}",
    )


def _load_label(recorder: Recorder, pred: pd.Series) -> KnownLabel | None:
    try:
        label = take_column(recorder.load_object("label.pkl"), what="label")
    except ArtifactNotFoundError:
        return None
    tags = recorder.list_tags()
    span, horizon = (tags.get(name) for name in (SPAN_TAG, HORIZON_TAG))
    return KnownLabel(
        values=label.reindex(pred.index),
        text="label.pkl",
        span=None if span is None else int(span),
        horizon=None if horizon is None else int(horizon),
    )


def _log(recorder: Recorder, metrics: Sequence[Metric]) -> None:
    recorder.log_metrics(step=None, **keep_finite(name_recorder_metrics(metrics)))
