"""The options that ``roll`` and ``resume`` share."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rollwright.cli.quantities import Duration, Memory

if TYPE_CHECKING:
    from rollwright.app.open_campaign import OpenCampaign
    from rollwright.campaign.run import TrainingTerms

__all__ = ["AcceptStale", "Jobs", "RollOptions", "default_jobs", "with_roll_options"]

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Windows trained at the same time; half the cores if not given."),
]
AcceptStale = Annotated[
    bool,
    typer.Option("--accept-stale", help="Keep finished results though data or code changed since; the report says so."),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first attempt that fails.")]
Attempts = Annotated[
    int | None,
    typer.Option(
        "--max-attempts",
        min=1,
        help="How often a window is tried before it has failed; counted from 0 for those that failed before.",
        show_default=False,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="WINDOW",
        help="Train only this window, those whose test begins like this (2020-05), or this member; may be given again.",
        show_default=False,
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Go on in the background when the terminal is closed.")]
On = Annotated[
    Literal["local", "slurm", "kubernetes", "ray"] | None,
    typer.Option(
        "--on", help="Let workers that this starts train the windows, in place of this process.", show_default=False
    ),
]
Background = Annotated[bool, typer.Option("--in-background", hidden=True)]
"""What `--detach` gives to the process that it starts."""


def default_jobs() -> int:
    """Return the default number of windows that train at the same time."""
    return max(1, (os.cpu_count() or 2) // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollOptions:
    """How a campaign is rolled, as it was typed.

    Attributes
    ----------
    jobs : int
    accept_stale, fail_fast : bool
    max_attempts : int or None
    timeout : float or None
        Seconds that a window may take.
    memory : float or None
        GB that a window may take.
    only : tuple of str
    detach : bool
        Whether it goes on in the background.
    in_background : bool
        Whether this is the process that ``--detach`` started.
    on : str or None
        What starts workers that train in place of this process.
    """

    jobs: int
    accept_stale: bool = False
    fail_fast: bool = False
    max_attempts: int | None = None
    timeout: float | None = None
    memory: float | None = None
    only: tuple[str, ...] = ()
    detach: bool = False
    in_background: bool = False
    on: Literal["local", "slurm", "kubernetes", "ray"] | None = None

    @property
    def terms(self) -> TrainingTerms:
        """Which windows are trained, and what ends them."""
        from rollwright.campaign.run import TrainingTerms  # noqa: PLC0415 - keeps --help light

        return TrainingTerms(fail_fast=self.fail_fast, max_attempts=self.max_attempts, only=self.only)

    def apply(self, campaign: OpenCampaign) -> OpenCampaign:
        """Return the campaign under what was typed over its settings."""
        values = {"worker.task_timeout": self.timeout, "worker.task_memory": self.memory}
        given = {name: value for name, value in values.items() if value is not None}
        return campaign.with_settings(given) if given else campaign

    def list_arguments(self) -> list[str]:
        """Return the arguments that say the same again."""
        words = ["--jobs", str(self.jobs)]
        words += ["--accept-stale"] if self.accept_stale else []
        words += ["--fail-fast"] if self.fail_fast else []
        words += ["--on", self.on] if self.on is not None else []
        words += ["--max-attempts", str(self.max_attempts)] if self.max_attempts is not None else []
        words += ["--timeout", repr(self.timeout)] if self.timeout is not None else []
        words += ["--mem-limit", repr(self.memory)] if self.memory is not None else []
        return [*words, *(word for window in self.only for word in ("--only", window))]


def read_options(
    jobs: Jobs = None,
    fail_fast: FailFast = False,
    max_attempts: Attempts = None,
    timeout: Duration = None,
    memory: Memory = None,
    only: Only = None,
    detach: Detach = False,
    accept_stale: AcceptStale = False,
    in_background: Background = False,
    on: On = None,
) -> RollOptions:
    """Return what was typed; its parameters are the options of every command that has `with_roll_options`."""
    return RollOptions(
        jobs=jobs or default_jobs(),
        accept_stale=accept_stale,
        fail_fast=fail_fast,
        max_attempts=max_attempts,
        timeout=timeout,
        memory=memory,
        only=tuple(only or ()),
        detach=detach,
        in_background=in_background,
        on=on,
    )


def with_roll_options(command: Callable[..., int]) -> Callable[..., int]:
    """Let a command take the options of `read_options` before its own; it gets them as one value, `options`."""
    shared = inspect.signature(read_options, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True)
    named = [parameter for name, parameter in own.parameters.items() if name != "options"]

    @wraps(command)
    def run(**given: Any) -> int:
        options = read_options(**{name: given.pop(name) for name in shared})
        return command(**given, options=options)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*shared.values(), *named)]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # Typer asks for it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
