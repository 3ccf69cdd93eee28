"""`online schedule`: the system's own scheduler runs the routine, at a time and again until the deadline."""

from __future__ import annotations

import json
import plistlib
import time as clocks
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from rollwright.app.online.schedule import list_times, make_schedule
from rollwright.cli.root import run
from rollwright.errors import ConfigError
from served_ledgers import begin, make_served
from small_campaign import CAMPAIGN


class At:
    """A clock that stands."""

    def now(self):
        return datetime(2024, 5, 17, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    clocks.tzset()
    yield
    monkeypatch.undo()
    clocks.tzset()


@pytest.fixture
def served(fresh):
    (fresh / "small.yaml").write_text(f'{CAMPAIGN}online: {{deadline: "19:00", timezone: Asia/Shanghai}}\n')
    make_served(fresh / "small.yaml", [begin("lgb")])
    return fresh


def make(kind, **changes):
    given = {
        "folder": Path("/srv/my %project"),
        "times": [time(18, 30), time(18, 40), time(19, 0)],
        "timezone": "Asia/Shanghai",
        "daily": False,
        "kind": kind,
        "home": Path("/somewhere"),
        "clock": At(),
    }
    return make_schedule("us", **{**given, **changes})


@pytest.mark.parametrize(
    ("at", "deadline", "every", "expected"),
    [
        (time(18, 30), None, 10, ["18:30"]),
        (time(18, 30), time(19, 0), 10, ["18:30", "18:40", "18:50", "19:00"]),
        (time(18, 30), time(19, 0), 25, ["18:30", "18:55", "19:00"]),
        (None, time(19, 0), 30, ["18:00", "18:30", "19:00"]),
        (None, time(0, 20), 15, ["00:00", "00:15", "00:20"]),
        (time(19, 0), time(19, 0), 10, ["19:00"]),
    ],
)
def test_it_runs_again_until_the_deadline_and_last_at_it(at, deadline, every, expected):
    assert [f"{moment:%H:%M}" for moment in list_times(at, deadline=deadline, every=every)] == expected


def test_a_time_that_is_missing_or_after_the_deadline_is_refused():
    with pytest.raises(ConfigError, match="nothing says when"):
        list_times(None, deadline=None, every=10)
    with pytest.raises(ConfigError, match=r"at 19:01, after the deadline at 19:00"):
        list_times(time(19, 1), deadline=time(19, 0), every=10)


def test_systemd_gets_a_service_and_a_timer_that_knows_the_time_zone():
    service, timer = make("systemd").files
    assert service.path == Path("/somewhere/.config/systemd/user/rollwright-online-us.service")
    assert "WorkingDirectory=/srv/my %%project\n" in service.text
    assert '"-m" "rollwright" "online" "routine" "us"\n' in service.text
    assert "Type=oneshot" in service.text
    assert "OnCalendar=Mon..Fri *-*-* 18:30,40:00 Asia/Shanghai\n" in timer.text
    assert "OnCalendar=Mon..Fri *-*-* 19:00:00 Asia/Shanghai\n" in timer.text
    assert "Persistent=true" in timer.text
    assert "Mon..Fri" not in make("systemd", daily=True).files[1].text


def test_cron_gets_lines_in_which_nothing_is_cut_off():
    made = make("cron", timezone="UTC")
    first, second = made.text.splitlines()
    assert first.startswith("30,40 18 * * 1-5 cd '/srv/my \\%project' && ")
    assert second.startswith("0 19 * * 1-5 ")
    assert first.endswith("-m rollwright online routine us")
    assert made.files == ()


def test_cron_and_launchd_get_the_times_of_this_machine_and_say_so():
    made = make("cron")
    assert made.text.startswith("30,40 10 * * * ")
    assert "Asia/Shanghai" in made.notes[0]
    (file,) = make("launchd").files
    moments = plistlib.loads(file.text.encode())["StartCalendarInterval"]
    assert moments == [{"Hour": 10, "Minute": 30}, {"Hour": 10, "Minute": 40}, {"Hour": 11, "Minute": 0}]
    (file,) = make("launchd", timezone="UTC").files
    assert len(plistlib.loads(file.text.encode())["StartCalendarInterval"]) == 15


def test_a_folder_that_no_unit_can_hold_is_refused():
    with pytest.raises(ConfigError, match="control characters"):
        make("systemd", folder=Path("/srv/a\nb"))


def test_the_verb_prints_it_and_takes_the_deadline_of_the_file(served, capsys):
    assert run(["online", "schedule", "--kind", "systemd", "--every", "30"]) == 0
    said = capsys.readouterr()
    assert "18:00,30:00 Asia/Shanghai" in said.out
    assert "18:00, 18:30, 19:00 (Asia/Shanghai)" in said.err
    assert run(["online", "schedule", "--at", "18:45", "--json", "--kind", "cron"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["times"] == ["18:45", "18:55", "19:00"]


def test_it_is_written_once_and_never_over_something_else(served, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(served / "home"))
    words = ["online", "schedule", "--kind", "systemd", "--write"]
    assert run(words) == 0
    timer = served / "home" / ".config" / "systemd" / "user" / "rollwright-online-small.timer"
    text = timer.read_text()
    assert run(words) == 0
    assert "it was there already" in capsys.readouterr().err
    timer.write_text("mine")
    assert run(words) == 2
    assert timer.read_text() == "mine"
    assert run([*words, "--force"]) == 0
    assert timer.read_text() == text
    assert run(["online", "schedule", "--kind", "cron", "--write"]) == 2
    assert "crontab -" in capsys.readouterr().err


@pytest.mark.parametrize("at", ["25:00", "noon", "18", "18:30:00", ""])
def test_a_time_that_is_none_ends_with_2(served, capsys, at):
    assert run(["online", "schedule", "--at", at]) == 2
    assert "no time of day" in capsys.readouterr().err
