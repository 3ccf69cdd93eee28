"""When the routine runs: systemd timers, lines for cron, and launchd agents; rollwright itself is no daemon."""

from __future__ import annotations

import plistlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from rollwright.app.online.record import open_ledger
from rollwright.app.service import ServiceFile, check_words, detect_service_kind, quote_word
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import ConfigError

__all__ = ["Schedule", "ScheduleKind", "list_times", "make_schedule", "plan_schedule"]

ScheduleKind = Literal["systemd", "cron", "launchd"]
_DAY_MINUTES: Final = 24 * 60
_BEFORE_DEADLINE: Final = 60
"""Minutes before the deadline at which the routine runs first, where nobody says when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What makes a system run the routine.

    Attributes
    ----------
    kind : {"systemd", "cron", "launchd"}
    text : str
        All of it, as it is printed.
    files : tuple of ServiceFile
        What is written; none for cron, whose table only its own program may change.
    commands : tuple of str
        What to type to start it.
    times : tuple of str
        When it runs, by the clock of `timezone`.
    timezone : str
    notes : tuple of str
        What does not go without saying.
    """

    kind: ScheduleKind
    text: str
    files: tuple[ServiceFile, ...]
    commands: tuple[str, ...]
    times: tuple[str, ...]
    timezone: str
    notes: tuple[str, ...] = ()


def plan_schedule(
    name: str | None = None,
    *,
    at: time | None = None,
    every: int = 10,
    daily: bool = False,
    kind: ScheduleKind | None = None,
    project: Path | None = None,
    home: Path | None = None,
    clock: Clock | None = None,
) -> Schedule:
    """Return the schedule of a serving's routine.

    Parameters
    ----------
    name : str, optional
        The serving; may be left out where there is only one.
    at : time, optional
        When it runs first on a day, by the clock of the serving's time zone; an hour before the deadline if not given.
    every : int
        Minutes until it runs again, up to and including the deadline. A routine that has nothing to do ends at once.
    daily : bool
        On Saturdays and Sundays too.
    kind : str, optional
        This system's if not given.
    project, home : Path, optional
    clock : Clock, optional

    Raises
    ------
    ConfigError
        When there is no such serving, no time, or a time after the deadline.
    """
    with open_ledger(name, project=project) as opened:
        options, serving, folder = opened.options, opened.name, opened.settings.root
    deadline = options.deadline_time
    times = list_times(at, deadline=deadline, every=every)
    return make_schedule(
        serving,
        folder=folder,
        times=times,
        timezone=options.timezone,
        daily=daily,
        kind=kind or detect_service_kind(),
        home=home,
        clock=clock,
    )


def list_times(at: time | None, *, deadline: time | None, every: int) -> list[time]:
    """Return when the routine runs on a day: first `at`, then every so many minutes, last at the deadline.

    Raises
    ------
    ConfigError
    """
    if every < 1:
        raise ConfigError(f"every {every} minutes is no length of time", hint="every 1 minute or more")
    if at is None and deadline is None:
        raise ConfigError(
            "nothing says when the data are there: no time was given, and the section `online` has no `deadline`",
            hint='say when: --at 18:30, or `online: {deadline: "19:00"}` in the file',
        )
    if deadline is None:
        return [at] if at is not None else []
    end = _minutes(deadline)
    start = max(0, end - _BEFORE_DEADLINE) if at is None else _minutes(at)
    if start > end:
        raise ConfigError(
            f"the routine would run first at {_show(start)}, after the deadline at {_show(end)}",
            hint="let it run before the deadline, or set `online.deadline` later",
        )
    return [time(minute // 60, minute % 60) for minute in sorted({*range(start, end, every), end})]


def _minutes(moment: time) -> int:
    return moment.hour * 60 + moment.minute


def _show(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def make_schedule(
    serving: str,
    *,
    folder: Path,
    times: Sequence[time],
    timezone: str,
    daily: bool,
    kind: ScheduleKind,
    home: Path | None = None,
    clock: Clock | None = None,
) -> Schedule:
    """Return what makes a system run ``rollwright online routine`` at these times of the day.

    Parameters
    ----------
    serving : str
    folder : Path
        The project; the routine runs there.
    times : sequence of time
        By the clock of `timezone`.
    timezone : str
    daily : bool
        On Saturdays and Sundays too.
    kind : str
    home : Path, optional
        The user's; the process's own if not given.
    clock : Clock, optional

    Raises
    ------
    ConfigError
        For a path with control characters, which no such file can hold.
    """
    command = [sys.executable, "-m", "rollwright", "online", "routine", serving]
    check_words([str(folder), *command])
    place = home if home is not None else Path.home()
    shown = tuple(_show(_minutes(moment)) for moment in times)
    if kind == "systemd":
        files = _make_systemd(serving, folder, command, times, timezone, daily=daily, home=place)
        return Schedule(
            kind=kind,
            text="".join(f"# {file.path}\n{file.text}" for file in files),
            files=files,
            commands=(
                "systemctl --user daemon-reload",
                f"systemctl --user enable --now rollwright-online-{serving}.timer",
                "loginctl enable-linger",
                f"journalctl --user --unit rollwright-online-{serving}.service",
            ),
            times=shown,
            timezone=timezone,
            notes=("without `loginctl enable-linger` it runs only while you are logged in",),
        )
    local, notes = _to_local(times, timezone, clock if clock is not None else SystemClock())
    if kind == "cron":
        text = _make_cron(folder, command, local, daily=daily or bool(notes))
        return Schedule(
            kind=kind,
            text=text,
            files=(),
            commands=(f"(crontab -l; rollwright online schedule {serving} --kind cron) | crontab -",),
            times=shown,
            timezone=timezone,
            notes=notes,
        )
    file = _make_launchd(serving, folder, command, local, daily=daily or bool(notes), home=place)
    return Schedule(
        kind=kind,
        text=file.text,
        files=(file,),
        commands=file.commands,
        times=shown,
        timezone=timezone,
        notes=notes,
    )


def _to_local(times: Sequence[time], timezone: str, clock: Clock) -> tuple[list[time], tuple[str, ...]]:
    """Return the times by this machine's clock, and what has to be said where that is another."""
    now = clock.now()
    own, there = now.astimezone().utcoffset(), now.astimezone(ZoneInfo(timezone)).utcoffset()
    if own is None or there is None or own == there:
        return list(times), ()
    shift = int((own - there) / timedelta(minutes=1))
    moved = sorted((_minutes(moment) + shift) % _DAY_MINUTES for moment in times)
    note = (
        f"the times are those of {timezone} by this machine's clock of today, on every day of the week; where clocks "
        "change between summer and winter, make it anew then, or take a systemd timer, which knows time zones"
    )
    return [time(minute // 60, minute % 60) for minute in moved], (note,)


def _by_hour(times: Sequence[time]) -> dict[int, list[int]]:
    hours: dict[int, list[int]] = {}
    for moment in times:
        hours.setdefault(moment.hour, []).append(moment.minute)
    return hours


def _make_systemd(
    serving: str,
    folder: Path,
    command: Sequence[str],
    times: Sequence[time],
    timezone: str,
    *,
    daily: bool,
    home: Path,
) -> tuple[ServiceFile, ServiceFile]:
    name = f"rollwright-online-{serving}"
    units = home / ".config" / "systemd" / "user"
    service = f"""\
[Unit]
Description=rollwright: the routine of serving {serving.replace("%", "%%")}

[Service]
Type=oneshot
WorkingDirectory={str(folder).replace("%", "%%")}
ExecStart={" ".join(quote_word(word) for word in command)}
Nice=5
"""
    days = "" if daily else "Mon..Fri "
    moments = "".join(
        f"OnCalendar={days}*-*-* {hour:02d}:{','.join(f'{minute:02d}' for minute in minutes)}:00 {timezone}\n"
        for hour, minutes in _by_hour(times).items()
    )
    timer = f"""\
[Unit]
Description=rollwright: when the routine of serving {serving.replace("%", "%%")} runs

[Timer]
{moments}# A run that was missed, because the machine was off, is made up for when it is on again.
Persistent=true

[Install]
WantedBy=timers.target
"""
    return (
        ServiceFile(kind="systemd", path=units / f"{name}.service", text=service, commands=()),
        ServiceFile(kind="systemd", path=units / f"{name}.timer", text=timer, commands=()),
    )


def _make_cron(folder: Path, command: Sequence[str], times: Sequence[time], *, daily: bool) -> str:
    line = f"cd {shlex.quote(str(folder))} && {shlex.join(command)}".replace(
        "%", "\\%"
    )  # cron ends a line at a percent
    days = "*" if daily else "1-5"
    return "".join(
        f"{','.join(str(minute) for minute in minutes)} {hour} * * {days} {line}\n"
        for hour, minutes in _by_hour(times).items()
    )


def _make_launchd(
    serving: str, folder: Path, command: Sequence[str], times: Sequence[time], *, daily: bool, home: Path
) -> ServiceFile:
    label = f"org.rollwright.online.{serving}"
    path = home / "Library" / "LaunchAgents" / f"{label}.plist"
    log = home / "Library" / "Logs" / f"{label}.log"
    moments = [{"Hour": moment.hour, "Minute": moment.minute} for moment in times]
    if not daily:
        moments = [{**moment, "Weekday": day} for day in range(1, 6) for moment in moments]
    values = {
        "Label": label,
        "ProgramArguments": [*command],
        "WorkingDirectory": str(folder),
        "StartCalendarInterval": moments,
        "Nice": 5,
        "StandardErrorPath": str(log),
        "StandardOutPath": str(log),
    }
    text = plistlib.dumps(values, sort_keys=False).decode("utf-8")
    return ServiceFile(
        kind="launchd", path=path, text=text, commands=(f"launchctl load -w '{path}'", f"tail -f '{log}'")
    )
