"""``plan``: what a campaign would do, before it does anything."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rollwright.cli.campaign import Overrides, Provider
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, print_wrapped
from rollwright.cli.roll_options import Jobs, default_jobs
from rollwright.cli.text import format_duration, format_size, list_names
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.app.plan import CampaignPreview, PreviewedWindow

__all__ = ["plan"]

LEAKS: Final = 4
_MOST: Final = 24
"""Windows that are drawn; of more the first and the last ones."""
_EDGE: Final = 10
_NARROW: Final = 60
"""Characters below which a window is named by the first day of its test alone."""
_WIDEST: Final = 120


def plan(
    file: Annotated[Path, typer.Argument(help="A campaign's YAML.")],
    overrides: Overrides = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Also say what would run again, and why. Reads every finished result.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Draw every window.")] = False,
    jobs: Jobs = None,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Show what a campaign would do: windows, gaps, leaks, time. Runs nothing and changes nothing."""
    from rollwright.app.open_campaign import open_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.plan import preview_campaign  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        campaign = open_campaign(file, overrides=overrides or (), provider_uri=provider_uri)
        preview = preview_campaign(campaign, diff=diff)
    if as_json:
        print_json({**preview.to_json(), "jobs": jobs or default_jobs()}, ok=not preview.leaks)
    else:
        _show(preview, jobs=jobs or default_jobs(), file=file, everything=everything)
    return LEAKS if preview.leaks else 0


def _show(preview: CampaignPreview, *, jobs: int, file: Path, everything: bool) -> None:
    variants: dict[str, list[PreviewedWindow]] = {}
    for window in preview.windows:
        variants.setdefault(window.variant, []).append(window)
    _show_head(preview, variants)
    width = min(_WIDEST, shutil.get_terminal_size((80, 24)).columns)
    for names, windows in _group_variants(variants):
        print()
        if len(variants) > 1:
            print_text(", ".join(names))
        _draw(windows, width=width, everything=everything)
    print()
    _show_changes(preview) if preview.is_diff else _show_states(preview, file)
    if preview.set_aside:
        print_text(
            f"set aside: {count_noun(len(preview.set_aside), 'window')} of the former file that no longer belong "
            f"({list_names(preview.set_aside)}); none of their results is removed"
        )
    _show_estimate(preview, jobs)
    _show_findings(preview)
    if not preview.leaks:
        print_text(f"start it: rollwright {'roll' if preview.walks else 'run'} {file}")


def _show_states(preview: CampaignPreview, file: Path) -> None:
    """Print how the windows stand in the pool, without asking whether what is done is still right."""
    states: dict[str, int] = {}
    for window in preview.windows:
        name = "new" if window.status is None else window.status.value
        states[name] = states.get(name, 0) + 1
    if states.keys() != {"new"}:
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        print_text(f"in the pool: {told}; whether what is done still stands: rollwright plan {file} --diff")


def _show_findings(preview: CampaignPreview) -> None:
    for note in preview.notes:
        print_text(f"note: {note}")
    for finding in preview.findings:
        reason = f"; declared: {finding.reason}" if finding.reason else ""
        print_wrapped(f"{finding.severity}: ", f"{finding.message}{reason}")
        if finding.members:
            print_wrapped("  members: ", list_names(finding.members))
        if finding.severity == "leak":
            print_wrapped("  hint: ", finding.hint)
    if not preview.findings:
        print_text("leaks: the configuration shows none; what the data show: rollwright audit")


def _show_head(preview: CampaignPreview, variants: dict[str, list[PreviewedWindow]]) -> None:
    tests = [window.segments["test"] for window in preview.windows if "test" in window.segments]
    ranged = f", test {min(t[0] for t in tests):%Y-%m-%d} to {max(t[1] for t in tests):%Y-%m-%d}" if tests else ""
    count = count_noun(len(preview.windows), "window") if preview.walks else "trained once, without rolling"
    members = f" of {count_noun(len(variants), 'member')}" if len(variants) > 1 else ""
    shards = f" in {count_noun(preview.shards, 'shard')}" if preview.shards else ""
    print_text(f"{preview.name}: {count}{shards}{members}{ranged}")
    gap = ""
    if preview.trunc_days:
        purge = preview.trunc_days - 1 - preview.embargo
        most = "at most " if len(variants) > 1 else ""
        gap = f"; before test {most}{count_noun(purge, 'session')} of purge"
        gap += f" and {count_noun(preview.embargo, 'session')} of embargo" if preview.embargo else ""
    print_text(f"label: {preview.label}{gap}")
    for name, windows in variants.items():
        if len(variants) > 1:
            print_text(f"  {name}: {count_noun(len(windows), 'task')}")


def _group_variants(
    variants: dict[str, list[PreviewedWindow]],
) -> list[tuple[list[str], list[PreviewedWindow]]]:
    """Return the variants, those with the same segments together: they are drawn once."""
    groups: list[tuple[list[str], list[PreviewedWindow]]] = []
    for name, windows in variants.items():
        segments = [window.segments for window in windows]
        for names, others in groups:
            if [other.segments for other in others] == segments:
                names.append(name)
                break
        else:
            groups.append(([name], windows))
    return groups


def _draw(windows: Sequence[PreviewedWindow], *, width: int, everything: bool) -> None:
    from rollwright.cli.timeline import Bar, BarPart, draw_axis, draw_bar, draw_legend  # noqa: PLC0415 - keeps --help light

    bars = [
        Bar(
            tuple(BarPart(role, start.date(), end.date()) for role, (start, end) in window.segments.items())
            + tuple(BarPart(gap.kind, gap.start.date(), gap.end.date()) for gap in window.gaps)
        )
        for window in windows
    ]
    names = [_name(window, narrow=width < _NARROW) for window in windows]
    margin = max(len(name) for name in names) + 1
    start, end = min(bar.start for bar in bars), max(bar.end for bar in bars)
    room = max(10, width - margin)
    print_text(f"{'test':<{margin}}{draw_axis(start, end, room)}")
    shown = range(len(bars))
    hidden = range(_EDGE, len(bars) - _EDGE) if len(bars) > _MOST and not everything else range(0)
    for number in shown:
        if number in hidden:
            if number == hidden.start:
                print_text(f"{'…':<{margin}}{len(hidden)} more like these (--all draws them)")
            continue
        print_text(f"{names[number]:<{margin}}{draw_bar(bars[number], start=start, end=end, width=room)}")
    print_text(f"{'':<{margin}}{draw_legend([span.kind for bar in bars for span in bar.spans])}")


def _name(window: PreviewedWindow, *, narrow: bool) -> str:
    if "test" not in window.segments:
        return window.name
    start, end = window.segments["test"]
    return f"{start:%y-%m-%d}" if narrow else f"{start:%Y-%m-%d}..{end:%Y-%m-%d}"


def _show_changes(preview: CampaignPreview) -> None:
    """Print what would run again; windows that share action and reason on one line."""
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for window in preview.windows:
        if window.change is not None:
            key = (window.change.action, window.change.reason, window.change.is_stale)
            groups.setdefault(key, []).append(window.name)
    words = {"keep": "kept", "records": "records only", "train": "to train"}
    for (action, reason, is_stale), names in groups.items():
        print_text(f"{words[action]}: {count_noun(len(names), 'window')} ({list_names(names)})")
        print_text(f"  {reason}" + ("; --accept-stale keeps the result as it is" if is_stale else ""))


def _show_estimate(preview: CampaignPreview, jobs: int) -> None:
    if not preview.to_train:
        print_text("time: nothing has to be trained")
        return
    estimate = preview.estimate
    count = count_noun(preview.to_train, "window")
    if estimate is None:
        print_text(f"time: not known for {count}, since no run of such a model is in the pool")
        return
    slots = min(jobs, preview.to_train)
    least, usual, most = (
        format_duration(seconds / slots) for seconds in (estimate.least, estimate.seconds, estimate.most)
    )
    at_once = "one after another" if slots == 1 else f"{slots} at the same time"
    runs = f"by {count_noun(estimate.runs, 'earlier run')} of {', '.join(estimate.pools[:3])}"
    unknown = f"; {count_noun(estimate.unknown, 'window')} not counted, no run is known" if estimate.unknown else ""
    print_text(f"time: about {usual} to train {count}, {at_once} ({least} to {most}), {runs}{unknown}")
    if estimate.memory is None or estimate.most_memory is None:
        print_text("memory: not known, since none of these runs was made by a worker process of this machine")
        return
    together = f"; {format_size(slots * estimate.most_memory)} for {slots}" if slots > 1 else ""
    each = f"{format_size(estimate.memory)} for a worker process, {format_size(estimate.most_memory)} at most"
    print_text(f"memory: about {each}{together}")
