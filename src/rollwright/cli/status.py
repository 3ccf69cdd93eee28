"""``status``: how a campaign stands, who works on it, what failed, and what to do next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rollwright.cli.console import AsJson, print_json, print_text
from rollwright.cli.pool_share import describe_unserved, needs_options
from rollwright.cli.text import draw_sign_legend, draw_signs, format_duration, format_time, list_names
from rollwright.core.text import count_noun, escape_lines, escape_text

if TYPE_CHECKING:
    from rollwright.app.status import CampaignStatus, WindowStatus

__all__ = ["Campaign", "describe_status", "draw_states", "status"]

Campaign = Annotated[str | None, typer.Argument(help="The campaign; the one that ran last if not given.")]

_MOST_FAILURES: Final = 5
_MOST_HOLDERS: Final = 16


def status(
    name: Campaign = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it until nothing is left to do.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks with --watch.")] = 2.0,
    as_json: AsJson = False,
) -> int:
    """Show how a campaign stands: windows by state, who works on what, what failed and why, what to do next."""
    from rollwright.app.status import read_status, watch_status  # noqa: PLC0415 - keeps --help light

    if not watch:
        found = read_status(name)
        print_json(found.to_json()) if as_json else print_text(describe_status(found))
        return 1 if found.failures else 0
    return _watch(watch_status(name, interval=interval), as_json=as_json)


def _watch(changes: Iterator[CampaignStatus], *, as_json: bool) -> int:
    """Show each look: in place on a terminal, elsewhere one line for each change."""
    failed, told = False, ""
    try:
        if sys.stdout.isatty() and not as_json:
            return _watch_live(changes)
        for found in changes:
            failed = bool(found.failures)
            line = _describe_counts(found)
            if as_json:
                print_json(found.to_json())
            elif line != told:
                print_text(line)
                sys.stdout.flush()
            told = line
    except KeyboardInterrupt:  # who looks may stop looking; nothing is stopped by it
        return 0
    return 1 if failed else 0


def _watch_live(changes: Iterator[CampaignStatus]) -> int:
    from rich.live import Live  # noqa: PLC0415 - only where it is shown
    from rich.text import Text  # noqa: PLC0415 - only where it is shown

    failed = False
    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        for found in changes:
            failed = bool(found.failures)
            live.update(Text(escape_lines(describe_status(found))), refresh=True)
    return 1 if failed else 0


def describe_status(found: CampaignStatus) -> str:
    """Return what there is to say about a campaign, as lines."""
    width = min(120, shutil.get_terminal_size((80, 24)).columns)
    lines = [_describe_counts(found)]
    variants: dict[str, list[WindowStatus]] = {}
    for window in found.windows:
        variants.setdefault(window.variant, []).append(window)
    margin = max((len(variant) for variant in variants), default=0) + 1 if len(variants) > 1 else 0
    for variant, windows in variants.items():
        head = f"{variant:<{margin}}" if margin else ""
        lines.append(f"{head}{draw_states(windows, width=max(10, width - margin))}")
    if found.windows:
        first, last = found.windows[0].name, found.windows[-1].name
        lines.append(f"{first} to {last}; {_draw_legend(found)}")
    lines += _describe_shards(found)
    for holder in found.holders[:_MOST_HOLDERS]:
        held = f"since {format_time(holder.since)} ({format_duration(holder.busy)})"
        lease = "" if holder.left >= 0 else "; its lease has ended, and whoever asks next takes them"
        lines.append(f"working: {escape_text(holder.owner, longest=100)}: {list_names(holder.labels)} {held}{lease}")
    if len(found.holders) > _MOST_HOLDERS:
        lines.append(f"  … and {count_noun(len(found.holders) - _MOST_HOLDERS, 'worker')} more")
    for group in found.failures[:_MOST_FAILURES]:
        lines.append(f"failed: {count_noun(len(group.windows), 'window')} ({list_names(group.windows)}): {group.cause}")
        lines += [f"  hint: {group.hint}"] if group.hint else []
        lines.append(f"  the whole of it: {group.command}")
    if len(found.failures) > _MOST_FAILURES:
        lines.append(f"  … and {count_noun(len(found.failures) - _MOST_FAILURES, 'cause')} more")
    lines += ["paused: the pool gives no task"] if found.paused else []
    lines += [
        f"needs: {describe_unserved('window', one.tasks, one.needs.text, needs_options(one.needs), found.name)}"
        for one in found.unserved
    ]
    lines += [f"report: {found.report}"] if found.report is not None else []
    if found.command is not None:
        mended = " (when the cause is mended: rollwright resume " + found.name + ")" if found.failures else ""
        lines.append(f"next: {found.command}{mended}")
    if found.others:
        lines.append(f"also started here: {list_names(found.others)}")
    return "\n".join(lines)


def _describe_shards(found: CampaignStatus) -> list[str]:
    """Return how far the windows are that are made in shards now."""
    divided = [window for window in found.windows if window.shards]
    done, of = (sum(window.shards[place] for window in divided) for place in (0, 1))
    return [f"in shards: {count_noun(len(divided), 'window')}, {done:,} of {of:,} shards done"] if divided else []


def _describe_counts(found: CampaignStatus) -> str:
    """Return the windows by state in one line, with the time that is left."""
    if not found.windows:
        return f"{found.name}: nothing was submitted yet"
    total = len(found.windows)
    states = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in found.counts.items())
    left = f"; about {format_duration(found.seconds_left)} left" if found.seconds_left is not None else ""
    return f"{found.name}: {count_noun(total, 'window')}: {states}{left}"


def draw_states(windows: Sequence[WindowStatus], *, width: int) -> str:
    """Return one sign for each window, in order; see `draw_signs`."""
    return draw_signs([_state(window) for window in windows], width=width)


def _draw_legend(found: CampaignStatus) -> str:
    return draw_sign_legend({_state(window) for window in found.windows})


def _state(window: WindowStatus) -> str:
    return "missing" if window.status is None else window.status.value
