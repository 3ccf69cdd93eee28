"""The port to what starts workers: an engine that people have starts them and lets them die.

Nothing of a task goes through a launcher. It starts ``rollwright worker …``, which claims tasks from the pool like any
other worker; so an engine that starts a worker twice, or ends it at any moment, does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from rollwright.config.settings import DRAIN

__all__ = ["LaunchedWorker", "Launcher", "LauncherTraits", "Resources", "WorkerCommand", "WorkerState"]

WorkerState: TypeAlias = Literal["pending", "running", "ending", "held"]
"""``pending``: the engine has not started it yet, or starts it again after it was preempted. ``held``: the engine could
not start it and does not try again by itself, so that another is needed in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherTraits:
    """What engines differ in.

    Attributes
    ----------
    multi_host : bool
        Whether workers may run on other machines, so that the task store must be one that machines share.
    warns_before_end : bool
        Whether a worker is told some time before it is ended by force, so that it can give its tasks back.
    has_time_limit : bool
        Whether `Resources.seconds` is kept.
    restarts : bool
        Whether the engine starts a worker again that it ended.
    elastic : bool
        Whether one of several workers that were submitted together can be ended alone. Where not, `Launcher.cancel`
        takes all of a submission or none of it; submit workers one by one to end them so.
    own_files : bool
        Whether workers run from an image, with programs and folders of its own: what is started there is
        ``rollwright`` of its PATH.
    """

    multi_host: bool
    warns_before_end: bool
    has_time_limit: bool
    restarts: bool
    elastic: bool
    own_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What each worker is given.

    Attributes
    ----------
    cores : int
    memory : float or None
        GB; what the engine gives if None.
    gpus : int
    seconds : float or None
        How long a worker may run; what the engine allows if None.
    """

    cores: int = 1
    memory: float | None = None
    gpus: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCommand:
    """The worker that is started.

    Attributes
    ----------
    name : str
        What it works for; a name as `rollwright.core.text.is_name` takes it.
    words : tuple of str
        The program and its arguments.
    folder : Path
        The project; the worker runs there.
    logs : Path
        The folder that what workers print goes to.
    environ : mapping of str to str
        Variables beside those of this process.
    ends : bool
        Whether it ends by itself when nothing is left to do.
    drain : float
        Seconds that it goes on with what it has in hand after it was told to end.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    logs: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    ends: bool = True
    drain: float = DRAIN

    @property
    def notice(self) -> float:
        """Seconds between telling it and ending it by force that let it give back, without haste, what is left then."""
        return max(30.0, 1.25 * self.drain + 15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedWorker:
    """A worker that the engine knows.

    Attributes
    ----------
    id : str
        The engine's own.
    name : str
        What it works for.
    state : {"pending", "running", "ending", "held"}
    place : str
        The machine it runs on; "" while it runs on none.
    reason : str
        Why it does not run, in the engine's words; "" where there is nothing to say.
    owner : str
        What the name begins with under which it claims tasks; "" where the engine does not tell enough for that.
    """

    id: str
    name: str
    state: WorkerState
    place: str = ""
    reason: str = ""
    owner: str = ""


class Launcher(Protocol):
    """Starts workers and ends them."""

    @property
    def traits(self) -> LauncherTraits:
        """What this engine can do."""
        ...

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        """Start `count` workers, or ask the engine to; return their ids.

        Raises
        ------
        LaunchError
            When the engine refuses, or does not answer; none is started then.
        """
        ...

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        """Return the workers of this user and project that have not ended, by id; those for `name`, or all."""
        ...

    def cancel(self, ids: Sequence[str]) -> None:
        """Tell workers to give their tasks back and end; those that ended are left alone.

        An engine that `warns_before_end` does so; what does not end by itself is ended.

        Raises
        ------
        ConfigError
            For a text that is no id of this engine, and where it is not `elastic` for a part of a submission; nothing
            is ended then.
        LaunchError
            When the engine refuses, or does not answer.
        """
        ...

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        """Return what `submit` would give to the engine, for reading; nothing is started."""
        ...
