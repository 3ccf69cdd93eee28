"""The folder of a signal's results: what lies where, and summary and report, which are made of its stages alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from rollwright.analysis.conventions import BacktestTerms, Conventions
from rollwright.analysis.health import sort_findings
from rollwright.analysis.report import CampaignReport, render_report
from rollwright.analysis.stages.files import check_inputs, read_stage, table_path, write_stage
from rollwright.analysis.stages.locations import STAGE_FILE, STAGE_FOLDERS, StageName
from rollwright.analysis.stages.shown import SHOWN_TABLES, show_variant
from rollwright.analysis.stages.table import StageResult
from rollwright.campaign.about import ABOUT_FILE, AboutResults, AboutVariant, read_about
from rollwright.campaign.summary import SUMMARY_FILE, CampaignResult, VariantResult, write_summary
from rollwright.core.atomic import measure_file
from rollwright.errors import CorruptFileError, RollwrightError

__all__ = [
    "LABEL_FILE",
    "PRED_FILE",
    "REPORT_FILE",
    "join_stages",
    "make_page",
    "member_folder",
    "read_results",
    "read_variant_stage",
    "summarise_results",
    "variant_folder",
    "write_report",
    "write_variant_stage",
]

PRED_FILE: Final = "pred.parquet"
LABEL_FILE: Final = "label.parquet"
REPORT_FILE: Final = "report.html"
MEMBERS_FOLDER: Final = "members"
Stages: TypeAlias = Mapping[str, Mapping[StageName, StageResult]]
"""What the stages of each variant found."""

_FORMER: Final = ("trades.parquet", "unfilled.parquet")
"""Where they lay before there were stages."""


def member_folder(results: Path, name: str) -> Path:
    """Return where in the results of a campaign of several members those of one are."""
    return results / MEMBERS_FOLDER / name


def variant_folder(results: Path, about: AboutVariant) -> Path:
    """Return where in `results` those of a variant are."""
    return results if about.is_top else member_folder(results, about.name)


def write_variant_stage(stage: StageResult, about: AboutResults, variant: AboutVariant, results: Path) -> StageResult:
    """Write a stage of one variant, with the digests of the predictions and labels that lie there.

    Returns it as `read_variant_stage` does.
    """
    inputs = _find_inputs(stage.stage, about, variant, results)
    place = variant_folder(results, variant)
    digests = {name: measure_file(path).sha256 for name, path in inputs.items() if path.exists()}
    written = write_stage(replace(stage, inputs=digests), place)
    if stage.stage == "backtest":
        for name in _FORMER:
            (place / name).unlink(missing_ok=True)
    return written


def _find_inputs(stage: StageName, about: AboutResults, variant: AboutVariant, results: Path) -> Mapping[str, Path]:
    """Return the files that a stage of a variant is made from, by what they are called."""
    place = variant_folder(results, variant)
    own = {PRED_FILE: place / PRED_FILE, LABEL_FILE: place / LABEL_FILE}
    if stage == "collect" or not variant.is_signal:
        return own
    parts = () if about.combined is None else about.combined.members
    return {**own, **{f"{name}/{PRED_FILE}": member_folder(results, name) / PRED_FILE for name in parts}}


def read_variant_stage(
    stage: StageName,
    about: AboutResults,
    variant: AboutVariant,
    results: Path,
    *,
    tables: tuple[str, ...] | None = None,
) -> StageResult:
    """Return a stage of one variant, when it still fits the predictions that lie there.

    Parameters
    ----------
    stage, about, variant, results
    tables : tuple of str, optional
        The tables that are read; all if not given.

    Raises
    ------
    DataNotFoundError, CorruptFileError
        When it is missing or damaged.
    StaleResultsError
        When predictions or labels changed after it was made.
    """
    place = variant_folder(results, variant)
    command = about.command
    found = read_stage(place, stage, tables=tables, command=command)
    check_inputs(found, place, _find_inputs(stage, about, variant, results), command=command)
    return found


def read_results(
    results: Path, *, hint: str, tables: Mapping[StageName, tuple[str, ...]] | None = None
) -> tuple[AboutResults, Stages]:
    """Return what lies in `results`: whose they are, and the stages of each variant.

    Parameters
    ----------
    results : Path
    hint : str
        What to do where there are no results.
    tables : mapping, optional
        The tables that are read of each stage; all if not given.

    Raises
    ------
    DataNotFoundError, CorruptFileError, StaleResultsError
        As `read_variant_stage`.
    """
    about = read_about(results, hint=hint)
    return about, {
        variant.name: {
            stage: read_variant_stage(
                stage, about, variant, results, tables=None if tables is None else tables.get(stage, ())
            )
            for stage in variant.stages
        }
        for variant in about.variants
    }


def summarise_results(
    results: Path, *, hint: str, written: tuple[AboutResults, Stages] | None = None
) -> CampaignResult:
    """Write ``summary.json`` of what the stages in `results` found, and return it; no table is read.

    Parameters
    ----------
    results : Path
    hint : str
        What to do where there are no results.
    written : (AboutResults, mapping), optional
        What lies there, of whoever has just written it: the stages as `write_variant_stage` returned them. Nothing is
        read then.

    Raises
    ------
    DataNotFoundError, CorruptFileError, StaleResultsError
        As `read_results`; nothing is written then.
    """
    about, stages = written or read_results(results, hint=hint, tables={})
    with _refuse_odd(results, about):
        result = join_stages(about, stages, results)
        write_summary(result, result.files["summary"])
    return result


def write_report(results: Path, *, hint: str, written: tuple[AboutResults, Stages] | None = None) -> Path:
    """Render ``report.html`` of the stages in `results`, and return it; nothing is computed that a table tells.

    Guarantees: the same stages give the same bytes, whether they are read or `written`.

    Parameters
    ----------
    results, hint, written
        As `summarise_results` takes them.

    Raises
    ------
    DataNotFoundError, CorruptFileError, StaleResultsError
        As `read_results`; nothing is written then.
    """
    about, stages = written or read_results(results, hint=hint, tables=SHOWN_TABLES)
    with _refuse_odd(results, about):
        return render_report(make_page(about, stages), results / REPORT_FILE)


@contextmanager
def _refuse_odd(results: Path, about: AboutResults) -> Iterator[None]:
    """Say that results are damaged whose stages are whole, and hold values of a form that nothing of ours writes."""
    try:
        yield
    except (RollwrightError, OSError):
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"what its stages tell is of another form than a stage writes ({type(error).__name__}: {error})"
        raise CorruptFileError(results, reason, hint=f"make them anew: {about.command}") from error


def make_page(about: AboutResults, stages: Stages) -> CampaignReport:
    """Return what the report shows."""
    result = join_stages(about, stages, None)
    return CampaignReport(
        name=about.title,
        variants=[
            show_variant(variant.name, stages[variant.name], is_signal=variant.is_signal) for variant in about.variants
        ],
        facts=about.facts,
        created=about.created,
        notes=result.notes,
        health=result.health,
        conventions=result.conventions,
        config=about.config,
        lang=about.lang,
        correlations={} if about.combined is None else about.combined.correlations,
    )


def join_stages(about: AboutResults, stages: Stages, results: Path | None) -> CampaignResult:
    """Return what the stages found as one result.

    Parameters
    ----------
    about : AboutResults
    stages : mapping of str to mapping of StageName to StageResult
    results : Path or None
        The folder that they lie in; None for those that lie nowhere: then the result has no files.
    """
    findings = list(about.findings)
    for variant in about.variants:
        named = "" if len(about.variants) == 1 and variant.is_top else variant.name
        for stage in stages[variant.name].values():
            findings += [replace(finding, variant=named) for finding in stage.findings]
    files = {"summary": SUMMARY_FILE, "report": REPORT_FILE, "about": ABOUT_FILE}
    return CampaignResult(
        name=about.name,
        variants=tuple(_join_variant(variant, stages[variant.name], results) for variant in about.variants),
        files={} if results is None else {name: results / file for name, file in files.items()},
        notes=about.notes,
        health=sort_findings(findings),
        conventions=_make_conventions(about, stages),
        combined=about.combined,
        missing=about.missing,
        left_out=about.left_out,
    )


def _join_variant(
    variant: AboutVariant, stages: Mapping[StageName, StageResult], results: Path | None
) -> VariantResult:
    counts = {one.key: int(one.value) for one in stages["collect"].metrics}
    return VariantResult(
        variant=variant.name,
        windows=counts["windows"],
        days=counts["days"],
        rows=counts["rows"],
        metrics=tuple(metric for name, stage in stages.items() if name != "collect" for metric in stage.metrics),
        files={} if results is None else _list_files(variant_folder(results, variant), stages),
    )


def _list_files(place: Path, stages: Mapping[StageName, StageResult]) -> dict[str, Path]:
    files = {"predictions": place / PRED_FILE}
    if "analyze" in stages:
        files["labels"] = place / LABEL_FILE
    if "backtest" in stages:
        files |= {name: table_path(place, "backtest", name) for name in ("trades", "unfilled")}
    return files | {STAGE_FOLDERS[name]: place / STAGE_FOLDERS[name] / STAGE_FILE for name in stages}


def _make_conventions(about: AboutResults, stages: Stages) -> Conventions:
    """Return what the numbers count in: those of the signal, or of the members where they all count in the same."""
    first = stages[about.variants[0].name]
    alone = about.variants[0].is_signal or len(about.variants) == 1
    labels = {
        (stage["analyze"].settings["label_horizon"], stage["analyze"].settings["label_span"])
        for stage in ([first] if alone else stages.values())
        if "analyze" in stage
    }
    horizon, span = labels.pop() if len(labels) == 1 else (None, None)
    traded = first.get("backtest")
    return Conventions(
        days_per_year=float(first["collect"].settings["days_per_year"]),
        label_horizon=horizon,
        label_span=span,
        backtest=None if traded is None else BacktestTerms.from_json(traded.settings),
    )
