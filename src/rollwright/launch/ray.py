"""Workers as actors of Ray, each of which runs one as a process beside it."""

from __future__ import annotations

import math
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from rollwright.core.masking import mask_secrets
from rollwright.core.optional import require
from rollwright.core.text import escape_text, is_name
from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.launcher import LaunchedWorker, LauncherTraits, Resources, WorkerCommand
from rollwright.launch.ray_worker import WorkerProcess

__all__ = ["RayLauncher"]

_ID: Final = re.compile(r"[0-9a-f]{16}")
_RESOURCE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.:/-]{0,62})(?:=([0-9]{1,6}(?:\.[0-9]{1,4})?))?")
_ANSWER: Final = 5.0
"""Seconds in which an actor that runs answers; one that does not is waiting for a node."""
_ANYTIME: Final = 10
"""Calls that an actor answers at the same time, so that one is never kept waiting by another."""


class RayLauncher:
    """Starts workers as actors of a Ray cluster that this machine reaches.

    An actor holds the resources and runs ``rollwright worker`` as a process; Ray starts it again where its node is
    lost, and it ends when the process does. Actors outlive the command that started them; a namespace for each project
    holds them. Ray carries the words of the command and nothing of a task. All but `describe` need the package ``ray``.

    Parameters
    ----------
    address : str
        Of the cluster's head; ``auto`` for the one that this machine is part of.
    resources : sequence of str
        Further resources of Ray that each worker asks for, as ``highmem=1``.
    project : str
        What tells the workers of this project from those of others.
    patience : float
        Seconds within which the cluster must answer.

    Raises
    ------
    ConfigError
        For a resource that is none.
    """

    traits: Final = LauncherTraits(
        multi_host=True, warns_before_end=True, has_time_limit=False, restarts=True, elastic=True
    )

    def __init__(
        self, *, address: str = "auto", resources: Sequence[str] = (), project: str, patience: float = 30.0
    ) -> None:
        self._resources: dict[str, float] = {}
        for text in resources:
            found = _RESOURCE.fullmatch(text)
            if found is None or float(found[2] or 1) <= 0:
                raise ConfigError(
                    f"`{escape_text(text, longest=100)}` is no resource of Ray", hint="write each as name or name=1"
                )
            self._resources[found[1]] = float(found[2] or 1)
        self._address = address
        self._patience = patience
        self._namespace = f"rollwright-{project}"

    @cached_property
    def _ray(self) -> Any:
        return require("ray", extra="ray")

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        """Start `count` actors; see `Launcher.submit`. One that no node has room for waits."""
        options = self._options(command, resources)
        self._connect()
        actor = self._ray.remote(WorkerProcess)
        words, environ = [*command.words], dict(command.environ)
        made: list[str] = []
        try:
            while len(made) < count:
                worker_id = secrets.token_hex(8)
                actor.options(name=f"{worker_id}/{command.name}", **options).remote(
                    words, str(command.folder), str(command.logs / f"ray-{worker_id}.log"), environ, command.notice
                )
                made.append(worker_id)
        except (self._ray.exceptions.RayError, ValueError, OSError) as error:
            self.cancel(made)
            raise LaunchError(f"Ray refused to start a worker: {_first_line(error)}", hint="see: ray status") from error
        return made

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        """Ask Ray for the actors of this project, and each where it is; see `Launcher.list`."""
        known = {worker_id: (of, actor) for worker_id, (of, actor) in self._find().items() if name in (None, of)}
        answers = self._ask({worker_id: actor for worker_id, (_, actor) in known.items()})
        found = []
        for worker_id in sorted(known):
            host, pid, ending = answers.get(worker_id, ("", 0, False))
            found.append(
                LaunchedWorker(
                    id=worker_id,
                    name=known[worker_id][0],
                    state="ending" if ending else ("running" if pid else "pending"),
                    place=host,
                    owner=f"{host}:{pid}:" if pid else "",
                )
            )
        return found

    def cancel(self, ids: Sequence[str]) -> None:
        """Let each actor send its process SIGTERM, and remove those that wait for a node; see `Launcher.cancel`."""
        for one in ids:
            if _ID.fullmatch(one) is None:
                raise ConfigError(f"`{escape_text(one, longest=100)}` is no worker of Ray")
        if not ids:
            return
        known = {worker_id: actor for worker_id, (_, actor) in self._find().items() if worker_id in {*ids}}
        running = self._ask(known)
        calls = []
        for worker_id, actor in known.items():
            if worker_id in running:
                calls.append(actor.drain.remote())
            else:
                self._ray.kill(actor, no_restart=True)
        if calls:
            self._ray.wait(calls, num_returns=len(calls), timeout=_ANSWER)

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        """Return what each actor asks for, and the command that it runs."""
        options = self._options(command, resources)
        asked = "\n".join(f"#   {name}: {value}" for name, value in options.items() if value not in (None, {}))
        words = " ".join(escape_text(repr(word)) for word in command.words)
        return f"# {count} actors of Ray at {self._address}, each with\n{asked}\n# runs in {command.folder}:\n{words}\n"

    def _options(self, command: WorkerCommand, resources: Resources) -> dict[str, Any]:
        if resources.seconds is not None:
            raise ConfigError(
                "Ray keeps no limit of time for a worker", hint="leave cluster.time_limit out, or use --on slurm"
            )
        if not is_name(command.name):
            raise ConfigError(f"`{escape_text(command.name, longest=100)}` is no name of a campaign")
        return {
            "namespace": self._namespace,
            "lifetime": "detached",
            "max_restarts": -1,
            "max_concurrency": _ANYTIME,
            "num_cpus": resources.cores,
            "num_gpus": resources.gpus,
            "memory": None if resources.memory is None else math.ceil(resources.memory * 1e9),
            "resources": self._resources,
        }

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        if not self._address.startswith("ray://"):  # a client gives up by itself
            self._check_head()
        try:
            self._ray.init(
                address=self._address, namespace=self._namespace, log_to_driver=False, configure_logging=False
            )
        except (ConnectionError, ValueError, RuntimeError, OSError, self._ray.exceptions.RayError) as error:
            raise self._make_error(_first_line(error)) from error

    def _check_head(self) -> None:
        """Ask whether the head is healthy by Ray's own program: `ray.init` cannot be given up where nobody answers."""
        words = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
        words += [] if self._address == "auto" else ["--address", self._address]
        try:
            done = subprocess.run(  # noqa: S603 - an argument each, and no shell
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=self._patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise self._make_error(f"nothing came within {self._patience:g} s") from error
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise self._make_error(escape_text(mask_secrets(said[-1] if said else ""), longest=300))

    def _make_error(self, said: str) -> LaunchError:
        return LaunchError(
            f"no cluster of Ray answers at {escape_text(self._address, longest=200)}: {said}",
            hint="start one (ray start --head), or name its head: cluster.ray_address",
        )

    def _find(self) -> dict[str, tuple[str, Any]]:
        """Return the campaign and the handle of every actor of this project, by id."""
        self._connect()
        found: dict[str, tuple[str, Any]] = {}
        try:
            for one in self._ray.util.list_named_actors(all_namespaces=True):
                worker_id, _, name = str(one["name"]).partition("/")
                if one["namespace"] == self._namespace and _ID.fullmatch(worker_id) and is_name(name):
                    try:
                        handle = self._ray.get_actor(one["name"], namespace=self._namespace)
                    except ValueError:  # it ended meanwhile
                        continue
                    found[worker_id] = name, handle
        except (self._ray.exceptions.RayError, OSError, RuntimeError) as error:
            raise LaunchError(f"Ray did not answer: {_first_line(error)}", hint="see: ray status") from error
        return found

    def _ask(self, actors: dict[str, Any]) -> dict[str, tuple[str, int, bool]]:
        """Return the machine, the process and whether it is ending, of every actor that answers."""
        calls = {actor.look.remote(): worker_id for worker_id, actor in actors.items()}
        if not calls:
            return {}
        done, _ = self._ray.wait([*calls], num_returns=len(calls), timeout=_ANSWER)
        answers: dict[str, tuple[str, int, bool]] = {}
        for call in done:
            try:
                host, pid, ending = self._ray.get(call)
            except self._ray.exceptions.RayError:  # it ended, or its node did
                continue
            answers[calls[call]] = str(host), int(pid), bool(ending)
        return answers


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return escape_text(text.splitlines()[0] if text else type(error).__name__, longest=300)
