"""The live view of a campaign on a terminal: a bar with the time left, the windows, and a line for each worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from rollwright.cli.text import draw_signs, format_duration
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.text import escape_text

if TYPE_CHECKING:
    from rollwright.pool.worker.worker import WorkerEvent

__all__ = ["LiveView"]

_BAR = 20
_MARGIN = 2


class LiveView:
    """Shows how the windows of a campaign fill, in place; give it the worker's events.

    Parameters
    ----------
    name : str
    windows : sequence of str
        Ids of the tasks, in the order of the plan.
    done : set of str
        Those that are finished already.
    names : mapping of str to str
        What tasks are called.
    console : Console
    clock : Clock, optional
    """

    def __init__(
        self,
        name: str,
        windows: Sequence[str],
        *,
        done: frozenset[str],
        names: dict[str, str],
        console: Console,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock if clock is not None else SystemClock()
        self._console = console
        self._names = names
        self._states: dict[str, str] = {one: "done" if one in done else "waiting" for one in windows}
        self._slots: dict[int, tuple[str, float, str]] = {}
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(escape_text(name), total=len(windows), completed=len(done))
        self._live = Live(get_renderable=self.render, console=console, transient=True, refresh_per_second=4)

    def start(self) -> None:
        """Begin to show it."""
        self._live.start()

    def stop(self) -> None:
        """Take it from the terminal."""
        self._live.stop()

    def note(self, event: WorkerEvent) -> None:
        """Note what happened to a task."""
        if event.task_id is None:
            return
        is_window = event.task_id in self._states  # and no shard of one
        if event.kind == "started" and event.slot is not None:
            if is_window:
                self._states[event.task_id] = "running"
            self._slots[event.slot] = (event.task_id, self._clock.monotonic(), "")
        elif event.kind == "round" and event.slot in self._slots:
            task_id, since, _ = self._slots[event.slot]
            self._slots[event.slot] = (task_id, since, event.detail)
        elif event.kind != "round":
            self._slots = {slot: held for slot, held in self._slots.items() if held[0] != event.task_id}
            states = {"done": "done", "part_done": "part_done", "failed": "failed"}
            if is_window:
                self._states[event.task_id] = states.get(event.kind, "waiting")
        if event.kind in ("done", "failed"):
            self._bar.update(self._task, completed=sum(state in ("done", "failed") for state in self._states.values()))

    def render(self) -> Group:
        """Return what is shown now."""
        width = max(10, self._console.width - _MARGIN)
        lines = [draw_signs([*self._states.values()], width=width)]
        now = self._clock.monotonic()
        for slot, (task_id, since, rounds) in sorted(self._slots.items()):
            name = escape_text(self._names.get(task_id, f"task {task_id}"))
            lines.append(
                f"{slot:>3}  {name}  {format_duration(now - since):>6}  {_draw_rounds(rounds)}".rstrip()[:width]
            )
        return Group(self._bar, Text("\n".join(lines), no_wrap=True, overflow="crop"))


def _draw_rounds(rounds: str) -> str:
    """Return how far a fit is, as a small bar with its numbers; that it learns, where the model tells no more."""
    done, _, of = rounds.partition("/")
    if not of or not int(of):
        return "learning"
    filled = min(_BAR, int(done) * _BAR // int(of))
    return f"round {rounds}  [{'=' * filled}{' ' * (_BAR - filled)}]"
