"""Progress of a comparison: one line for each model on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rollwright.cli.console import stderr
from rollwright.core.text import count_noun, escape_text

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from rollwright.compare.evaluation import RunEvaluation, RunKey

__all__ = ["ComparisonProgress"]

_QUIET = ("started", "round", "done", "waiting", "stopping")
_LONGEST = 200


@dataclass(slots=True, kw_only=True)
class _Standing:
    """How a model stands."""

    runs: int = 0
    done: int = 0
    failed: int = 0
    tasks: int = 0
    finished: int = 0
    text: str = "waits for its environment"

    def describe(self, name: str) -> str:
        tasks = f"  {self.finished}/{self.tasks} tasks" if self.tasks else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{name:<24} {self.done}/{self.runs} runs{failed}{tasks}  {self.text}"


class ComparisonProgress:
    """Prints the progress of a comparison; call it with what `run_comparison` reports."""

    def __init__(self) -> None:
        self._models: dict[str, _Standing] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, what: str, model: str, value: Any) -> None:
        """Tell one step of `run_comparison`."""
        if what == "changed":
            for line in value:
                stderr.print(f"changed: {line}")
        elif what == "runs":
            self._begin(value)
        elif what == "features":
            self._say("the features are computed, once for all models")
        elif what == "environment":
            self._note_environment(model, value)
        elif what == "message":
            self._note_message(model, value)
        elif what == "evaluated":
            self._note_evaluation(model, value)

    def _begin(self, keys: Sequence[RunKey]) -> None:
        for key in keys:
            self._models.setdefault(key.model, _Standing()).runs += 1
        stderr.print(f"{count_noun(len(self._models), 'model')}, {count_noun(len(keys), 'run')}")
        if stderr.console.is_terminal:
            from rich.live import Live  # noqa: PLC0415 - only where it is shown

            self._live = Live(get_renderable=self._render, console=stderr.console, transient=True, refresh_per_second=4)
            self._live.start()

    def _render(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 - only where it is shown

        lines = [standing.describe(escape_text(name)) for name, standing in self._models.items()]
        return Text("\n".join(lines), no_wrap=True, overflow="crop")

    def _note_environment(self, model: str, environment: object) -> None:
        failed = isinstance(environment, Exception)
        self._models[model].text = "has no environment" if failed else "has its environment"
        if not failed:
            self._say(f"{model}: its environment is ready")

    def _note_message(self, model: str, message: Mapping[str, Any]) -> None:
        standing = self._models[model]
        kind = message.get("kind")
        if kind == "planned":
            tasks, kept = _count(message.get("windows")), _count(message.get("kept"))
            standing.tasks += tasks
            standing.finished += kept
            standing.text = "trains"
            told = f", {kept} finished before and kept" if kept else ""
            self._say(f"{model}: {count_noun(tasks, 'task')} on {message.get('dataset')}{told}")
        elif kind == "died":
            self._say(f"{model}: {message.get('detail')}; it is started again")
        elif kind == "event":
            event, detail = str(message.get("event")), escape_text(message.get("detail") or "", longest=_LONGEST)
            standing.finished += event == "done"
            if event == "round":
                standing.text = f"trains, round {detail}"
            elif event not in _QUIET:
                about = escape_text(message.get("window") or "its worker", longest=_LONGEST)
                stderr.print(f"{model}: {about} {event}" + (f": {detail}" if detail else ""))

    def _note_evaluation(self, model: str, evaluation: RunEvaluation) -> None:
        standing = self._models[model]
        if evaluation.status == "done":
            standing.done += 1
            ic = evaluation.metrics["rank_ic"]
            self._say(f"{evaluation.key}: rank IC {ic: .4f}")
        else:
            standing.failed += 1
            stderr.print(f"{evaluation.key} failed: {evaluation.cause}")
        if standing.done + standing.failed == standing.runs:
            standing.text = "done" if not standing.failed else "ended"

    def _say(self, line: str) -> None:
        """Print a line, where no table shows the same."""
        if self._live is None:
            stderr.print(line)


def _count(value: object) -> int:
    """Return a count that a model's process told; 0 for what is none, since that process runs other people's code."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
