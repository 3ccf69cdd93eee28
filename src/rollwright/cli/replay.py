"""``rollwright show`` and ``rollwright replay``: the provenance of a run, and training it again to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr

if TYPE_CHECKING:
    from rollwright.app.replay import Replay
    from rollwright.app.runs import RunDetails, StoredRun

__all__ = ["replay", "show"]

DIFFERS = 4

What = Annotated[
    str,
    typer.Argument(help="A run: the beginning of its id or of its task's fingerprint, or its window.", metavar="RUN"),
]


def show(what: What, as_json: AsJson = False) -> int:
    """Show a recorded run, the provenance of its model, and what has changed since."""
    from rollwright.app.runs import show_run  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        story = show_run(what)
    if as_json:
        data = {
            **_collect_facts(story.run),
            "metrics": dict(story.metrics),
            "artifacts": {ref.name: {"sha256": ref.sha256, "length": ref.length} for ref in story.artifacts},
            "provenance": dict(story.provenance),
            "changed": _list_changes(story.changed),
        }
        print_json(data)
        return 0
    _show_story(story)
    return 0


def replay(what: What, as_json: AsJson = False) -> int:
    """Train a finished run's task again on this machine and compare model, prediction and all else byte by byte.

    The original is only read. Exit code 0: every byte is the same; 1: it could not be trained; 4: something differs.
    """
    from rollwright.app import replay as app  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        done = app.replay(what)
    if as_json:
        data = {
            **_collect_facts(done.run),
            "same": done.same,
            "artifacts": {item.name: {"then": item.then, "now": item.now} for item in done.artifacts},
            "changed": _list_changes(done.changed),
        }
        print_json(data, ok=done.same)
    else:
        _show_replay(done)
    return 0 if done.same else DIFFERS


def _collect_facts(run: StoredRun) -> dict[str, Any]:
    recorder = run.recorder
    return {
        "recorder": recorder.id,
        "experiment": run.experiment,
        "name": recorder.name,
        "window": run.window or None,
        "fingerprint": run.fingerprint or None,
        "status": recorder.status,
        "started": recorder.start_time.isoformat(timespec="seconds"),
        "ended": None if recorder.end_time is None else recorder.end_time.isoformat(timespec="seconds"),
    }


def _list_changes(changed: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"what": what, "then": then, "now": now} for what, then, now in changed]


def _show_story(story: RunDetails) -> None:
    for name, value in _collect_facts(story.run).items():
        if value is not None:
            print_text(f"{name:<12} {value}")
    if story.run.recorder.status == story.run.recorder.STATUS_FA:
        stderr.print("why it failed stands with its task: `rollwright pool tasks POOL`, where POOL is one of `pool ls`")
    for name, number in sorted(story.metrics.items()):
        print_text(f"{'metric':<12} {name} {number:.6g}")
    for ref in story.artifacts:
        print_text(f"{'artifact':<12} {ref.name} {ref.length:,} bytes sha256 {ref.sha256[:12]}")
    if not story.provenance:
        stderr.print("where its model comes from was not recorded")
        return
    print_text("\nwhere its model comes from")
    later = {name: now for name, _, now in story.changed}
    for name, text in _flatten(story.provenance):
        mark = f"   now: {later[name] or 'none'}" if name in later else ""
        print_text(f"  {name:<30} {text}{mark}")
    for name, then, now in story.changed:
        if not then:
            print_text(f"  {name:<30} none   now: {now}")


def _show_replay(done: Replay) -> None:
    rows = [
        (item.name, _shorten(item.then), "the same" if item.same else _shorten(item.now)) for item in done.artifacts
    ]
    _print_table(("artifact", "then", "now"), rows)
    if done.changed:
        _print_table(("what differs", "then", "now"), done.changed)
    print_text(f"{done.run.title()}: {'the same bytes' if done.same else 'NOT the same bytes'}")
    if done.same:
        return
    stderr.print(_explain(done))


def _explain(done: Replay) -> str:
    """Return the most likely reason why the bytes differ."""
    if not done.has_provenance:
        return "where its model comes from was not recorded, so nothing says why"
    pickled = [item.name for item in done.artifacts if item.pickled and not item.same]
    only = all(item.same or item.pickled for item in done.artifacts)
    rest = "; every other artifact is the same" if only else ""
    files = [name.removeprefix("code.files.") for name, _, _ in done.changed if name.startswith("code.files.")]
    if files:
        carried = f"; {', '.join(pickled)} is stored with its code, a remark in it too" if pickled else ""
        return f"hint: the code changed since, in {', '.join(files)}{carried}{rest}"
    if done.changed:
        return "hint: the table above says what changed since: give that back, and replay again"
    same = "hint: data, code, libraries and platform are those of the original: the model itself does not repeat"
    advice = "look at its threads, its seed, and whether it computes on a GPU"
    if only and pickled:
        names = ", ".join(pickled)
        return (
            f"{same}, or {names} holds a set, which every process writes in another order, or the project moved since; "
            f"{advice}"
        )
    return f"{same}; {advice}"


def _shorten(digest: str | None) -> str:
    return "none" if digest is None else digest[:16]


def _flatten(value: Mapping[str, Any], head: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            rows += _flatten(item, f"{head}{key}.")
        elif item is not None:
            rows.append((f"{head}{key}", str(item)))
    return rows


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - keeps --help light
    from rich.table import Table  # noqa: PLC0415 - keeps --help light
    from rich.text import Text  # noqa: PLC0415 - keeps --help light

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # a value is never markup
    Console().print(table)
