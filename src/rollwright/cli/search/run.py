"""``rollwright search run``: try what the section ``search`` of a campaign's file asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli import INTERRUPTED
from rollwright.cli.campaign import Overrides, Provider
from rollwright.cli.console import AsJson, clean_stdout, print_json, stderr
from rollwright.cli.roll_options import Jobs, default_jobs
from rollwright.core.library_threads import limit_libraries
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollwright.campaign.plan import CampaignPlan
    from rollwright.pool.worker.worker import WorkerEvent
    from rollwright.search.trial import AskedTrial, ToldTrial

__all__ = ["run_trials"]

_QUIET = ("done", "round", "started")


def run_trials(
    file: Annotated[Path, typer.Argument(help="A campaign's YAML with a section `search`.")],
    overrides: Overrides = None,
    jobs: Jobs = None,
    provider_uri: Provider = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin with the first trial; what is trained and stands is kept.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Try values of a campaign's keys, and tell the best with what choosing it costs.

    Killed and given again, it goes on where it stopped and ends with the same trials. Exit code 1 when trials failed.
    """
    limit_libraries()  # before anything could import one
    from rollwright.app.open_campaign import open_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.search import run_search  # noqa: PLC0415 - keeps --help light
    from rollwright.app.search_results import read_search  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.search.show import show_report  # noqa: PLC0415 - as the other command

    campaign = open_campaign(file, overrides=overrides or (), provider_uri=provider_uri)
    with clean_stdout():
        found = run_search(campaign, jobs=jobs or default_jobs(), anew=anew, on_progress=_Progress())
    if found is None:
        stderr.print("stopped; nothing is lost. Go on with the same command")
        return INTERRUPTED
    report = read_search(campaign.name, project=campaign.settings.root)
    has_failed = any(one.state == "failed" for one in found)
    if as_json:
        print_json(report.to_json(), ok=not has_failed)
    else:
        show_report(report)
    return 1 if has_failed else 0


class _Progress:
    """Prints the progress of a search; call it with what `run_search` reports."""

    def __init__(self) -> None:
        self._best: ToldTrial | None = None

    def __call__(self, what: str, value: Any) -> None:
        tell: dict[str, Callable[[Any], None]] = {
            "begun": self._show_plan,
            "resumed": self._show_resumed,
            "asked": self._show_asked,
            "event": self._show_event,
            "told": self._show_told,
        }
        if what in tell:
            tell[what](value)

    def _show_plan(self, plan: CampaignPlan) -> None:
        stderr.print(f"{plan.name}: {count_noun(len(plan.windows), 'window')} a trial")

    def _show_resumed(self, told: Sequence[ToldTrial]) -> None:
        stderr.print(f"{count_noun(len(told), 'trial')} told before, and kept")
        for one in told:
            self._note(one)

    def _show_asked(self, trials: Sequence[AskedTrial]) -> None:
        stderr.print(f"trying {trials[0].name} to {trials[-1].name}" if len(trials) > 1 else f"trying {trials[0].name}")

    def _show_event(self, event: WorkerEvent) -> None:
        from rollwright.cli.progress import tell_event  # noqa: PLC0415 - keeps --help light

        if event.kind not in _QUIET:
            tell_event(event)

    def _show_told(self, trial: ToldTrial) -> None:
        from rollwright.cli.search.show import describe_params  # noqa: PLC0415 - as the other command

        best = self._note(trial)
        mark = "  ← the best so far" if best else ""
        number = "" if trial.state == "failed" else f" {trial.value:.4f} of {trial.windows}/{trial.planned} windows"
        cause = f": {trial.cause}" if trial.cause else ""
        stderr.print(f"{trial.name} {trial.state}{number}  {describe_params(trial.params)}{cause}{mark}")

    def _note(self, trial: ToldTrial) -> bool:
        """Note a trial, and tell whether it is the best so far."""
        from rollwright.search.trial import find_best  # noqa: PLC0415 - keeps --help light

        known = [trial] if self._best is None else [self._best, trial]
        self._best = find_best(known) or self._best
        return self._best is trial
