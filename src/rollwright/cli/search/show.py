"""``rollwright search show`` and ``best``: what a search found, and the campaign's file with the best values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli.console import AsJson, print_json, print_text, print_wrapped

if TYPE_CHECKING:
    from rollwright.app.search_results import SearchReport

__all__ = ["best", "describe_params", "show", "show_report"]

Name = Annotated[str, typer.Argument(help="The search: the name of its campaign.")]


def show(name: Name, as_json: AsJson = False) -> int:
    """Show the trials of a search, which keys matter, and what the best is worth after so many."""
    from rollwright.app.search_results import read_search  # noqa: PLC0415 - keeps --help light

    report = read_search(name)
    if as_json:
        print_json(report.to_json())
    else:
        show_report(report)
    return 0


def best(
    name: Name,
    out: Annotated[Path | None, typer.Option("--out", help="Where; beside the campaign's file if not given.")] = None,
    as_json: AsJson = False,
) -> int:
    """Write the campaign's file with the values of the best trial, for `rollwright roll`: its windows are trained."""
    from rollwright.app.search_results import write_best  # noqa: PLC0415 - keeps --help light

    path = write_best(name, out)
    if as_json:
        print_json({"name": name, "file": str(path)})
    else:
        print_text(f"{path}\nroll it: rollwright roll {path}")
    return 0


def show_report(report: SearchReport) -> None:
    """Print what a search found."""
    from rollwright.core.sqlite_urls import sqlite_url  # noqa: PLC0415 - keeps --help light

    metric = report.section.metric
    print_text(f"search {report.name}: {len(report.trials)} of {report.planned} trials, by {metric}")
    print_text(f"  {'trial':10}  {'state':8}  {metric:>17}  windows  values")
    for one in report.trials:
        mark = "*" if report.best is not None and one.number == report.best.number else " "
        value = "–" if math.isnan(one.value) else f"{one.value:.4f}"
        windows = f"{one.windows}/{one.planned}"
        cause = f"  {one.cause}" if one.cause else ""
        print_text(
            f"{mark} {one.name:10}  {one.state:8}  {value:>17}  {windows:>7}  {describe_params(one.params)}{cause}"
        )
    if report.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in report.importance.items())
        print_text(f"what decides of the best (PED-ANOVA): {shares}")
    if report.best is not None:
        _show_best(report)
    print_text(f"table      {report.folder}")
    print_text(f"dashboard  optuna-dashboard {sqlite_url(report.storage)}")


def _show_best(report: SearchReport) -> None:
    found = report.best
    if found is None:
        return
    numbers = ", ".join(f"{key} {value:.4f}" for key, value in found.metrics.items() if not math.isnan(value))
    print_text(f"best {found.name}: {numbers}")
    if report.honesty:
        deflated, trials = report.honesty.get("deflated_sharpe", math.nan), report.honesty.get("trials", math.nan)
        said = "not defined" if math.isnan(deflated) else f"{deflated:.3f}"
        print_text(f"deflated Sharpe ratio of its back-test: {said}, of {trials:.0f} trials on these data")
    print_wrapped("", report.choice)
    print_text(f"go on      rollwright search best {report.name}")


def describe_params(params: Mapping[str, Any]) -> str:
    """Return a trial's values on one line, each key by its last part."""
    from rollwright.search.space import show_value  # noqa: PLC0415 - keeps --help light

    names = [key.rpartition(".")[2] for key in params]
    shown = [key if names.count(key.rpartition(".")[2]) > 1 else key.rpartition(".")[2] for key in params]
    return ", ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={show_value(value)}"
        for name, value in zip(shown, params.values(), strict=True)
    )
