"""Worker services: systemd units and launchd agents that keep a worker running, and how such files are written."""

from __future__ import annotations

import math
import plistlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rollwright.config.settings import DRAIN
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_whole
from rollwright.errors import ConfigError

__all__ = [
    "ServiceFile",
    "ServiceKind",
    "check_words",
    "detect_service_kind",
    "make_service",
    "quote_word",
    "write_service",
]

ServiceKind = Literal["systemd", "launchd"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """A service as its manager wants it.

    Attributes
    ----------
    kind : str
    path : Path
        Where the manager of this user's services looks for it.
    text : str
    commands : tuple of str
        What to type to start it, and to follow it.
    """

    kind: ServiceKind
    path: Path
    text: str
    commands: tuple[str, ...]


def detect_service_kind() -> ServiceKind:
    """Return the service manager of this system."""
    return "launchd" if sys.platform == "darwin" else "systemd"


def make_service(
    campaign: str,
    *,
    folder: Path,
    arguments: Sequence[str],
    kind: ServiceKind,
    home: Path | None = None,
    drain: float = DRAIN,
) -> ServiceFile:
    """Return the service that runs ``rollwright worker`` for a campaign.

    Parameters
    ----------
    campaign : str
    folder : Path
        The project; the worker runs there.
    arguments : sequence of str
        What follows ``rollwright``.
    kind : str
        ``systemd`` or ``launchd``.
    home : Path, optional
        The user's; the process's own if not given.
    drain : float
        Seconds that the worker goes on when it is told to end; the service manager waits a little longer.

    Raises
    ------
    ConfigError
        For a path or an argument with control characters, which no such file can hold.
    """
    command = [sys.executable, "-m", "rollwright", *arguments]
    check_words([str(folder), *command])
    place = home if home is not None else Path.home()
    if kind == "launchd":
        return _make_launchd(campaign, folder, command, place, _stop_seconds(drain))
    return _make_systemd(campaign, folder, command, place, _stop_seconds(drain))


def _stop_seconds(drain: float) -> int:
    """Return after how many seconds what is still there hangs."""
    return math.ceil(1.25 * drain + 5)


def _make_systemd(campaign: str, folder: Path, command: Sequence[str], home: Path, stop_seconds: int) -> ServiceFile:
    name = f"rollwright-{campaign}.service"
    line = " ".join(quote_word(word) for word in command)
    text = f"""\
[Unit]
Description=rollwright worker of campaign {campaign}
After=network.target

[Service]
WorkingDirectory={str(folder).replace("%", "%%")}
ExecStart={line}
Restart=on-failure
RestartSec=10
# The worker alone ends its slots, and gives their tasks back; what is left after that is killed.
KillMode=mixed
TimeoutStopSec={stop_seconds}
Nice=10

[Install]
WantedBy=default.target
"""
    commands = (
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {name}",
        f"journalctl --user --follow --unit {name}",
    )
    path = home / ".config" / "systemd" / "user" / name
    return ServiceFile(kind="systemd", path=path, text=text, commands=commands)


def check_words(words: Sequence[str]) -> None:
    """Refuse what no file of a service manager can hold.

    Raises
    ------
    ConfigError
        For control characters.
    """
    for word in words:
        if _CONTROL.search(word):
            raise ConfigError(f"{word!r} cannot be part of a service: it holds control characters")


def quote_word(word: str) -> str:
    """Return a word as systemd reads it back from a command line."""
    for char, instead in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(char, instead)
    return f'"{word}"'


def _make_launchd(campaign: str, folder: Path, command: Sequence[str], home: Path, stop_seconds: int) -> ServiceFile:
    label = f"org.rollwright.worker.{campaign}"
    path = home / "Library" / "LaunchAgents" / f"{label}.plist"
    log = home / "Library" / "Logs" / f"{label}.log"
    values = {
        "Label": label,
        "ProgramArguments": [*command],
        "WorkingDirectory": str(folder),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": stop_seconds,
        "Nice": 10,
        "StandardErrorPath": str(log),
        "StandardOutPath": str(log),
    }
    text = plistlib.dumps(values, sort_keys=False).decode("utf-8")
    return ServiceFile(
        kind="launchd", path=path, text=text, commands=(f"launchctl load -w '{path}'", f"tail -f '{log}'")
    )


def write_service(service: ServiceFile, *, force: bool = False) -> bool:
    """Write the file where the manager looks; return whether that changed anything.

    Raises
    ------
    ConfigError
        When another one is there, without `force`.
    """
    if service.path.is_file():
        if read_whole(service.path, limit=SMALL) == service.text.encode():
            return False
        if not force:
            raise ConfigError(
                f"{service.path} is there already and says something else",
                hint="look at it, and give --force to replace it",
            )
    write_text(service.path, service.text)
    return True
