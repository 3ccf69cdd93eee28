"""``rollwright worker``: what it passes on, who works, and services."""

from __future__ import annotations

import json
import plistlib
import sys
from pathlib import Path

import pytest

from rollwright.app.campaign_helper import WorkerOptions
from rollwright.app.service import make_service
from rollwright.cli.progress import tell_event
from rollwright.cli.root import run
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.task_function import WorkerEvent, WorkerReport

WINDOW = {
    "model": {"class": "LGBModel"},
    "dataset": {"kwargs": {"segments": {"test": ("2019-01-02", "2019-02-28")}}},
}


@pytest.fixture
def helped(monkeypatch):
    """What `help_campaign` was called with; it says that two of three tasks are done."""
    calls = []

    def help_campaign(name, *, on_event, **given):
        calls.append((name, given))
        on_event(WorkerEvent(kind="done", task_id="7", slot=0), "2019-01-02..2019-02-28")
        return WorkerReport(done=2, failed=len(given["options"].tags), released=0, seconds=1.0)

    monkeypatch.setattr("rollwright.app.campaign_helper.help_campaign", help_campaign)
    return calls


@pytest.fixture
def campaign(tmp_path):
    """A project in the working directory in which campaign `c` was started."""
    folder = tmp_path / "work" / ".rollwright" / "campaigns"
    folder.mkdir(parents=True)
    (folder / "c.json").write_text("{}")
    return tmp_path / "work"


@pytest.mark.parametrize("words", [["worker"], ["worker", "run"]])
def test_a_worker_helps_the_campaign_and_speaks_of_windows(capsys, helped, words):
    assert run([*words, "c", "-j", "3"]) == 0
    ((name, given),) = helped
    assert (name, given["jobs"], given["until_empty"], given["query"]) == ("c", 3, True, {})
    said = capsys.readouterr().err
    assert "window 2019-01-02..2019-02-28 done" in said
    assert "2 done, 0 failed" in said


def test_a_worker_without_a_name_and_with_options(helped):
    assert run(["worker"]) == 0
    assert run(["worker", "--keep-waiting", "--tag", "gpu", "--trust", "my.models", "-w", "def.x>1"]) == 1
    name, given = helped[1]
    assert (name, given["until_empty"]) == (None, False)
    assert given["options"] == WorkerOptions(tags=("gpu",), trusted=("my.models",))
    assert given["query"] == {"$and": [{"def.x": {"$gt": 1}}]}


def test_a_pool_of_a_trainer_is_helped_without_a_campaign(monkeypatch, capsys):
    calls = []

    def help_pool(name, **given):
        calls.append((name, given))
        return WorkerReport(done=1, failed=0, released=0, seconds=1.0)

    monkeypatch.setattr("rollwright.app.worker.help_pool", help_pool)
    assert run(["worker", "p", "--prepared", "--tag", "gpu", "--url", "sqlite:///x.db"]) == 0
    assert run(["worker", "p", "--experiment", "e"]) == 0
    (name, prepared), (_, waiting) = calls
    assert (name, prepared["prepared"], prepared["url"]) == ("p", True, "sqlite:///x.db")
    assert prepared["options"] == WorkerOptions(tags=("gpu",))
    assert (waiting["prepared"], waiting["experiment"], waiting["url"]) == (False, "e", None)
    assert "1 done, 0 failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["worker", "--prepared"], "no pool is named"),
        (["worker", "nowhere", "--prepared"], "there is no pool 'nowhere'"),
        (["worker", "c", "--url", "memory:"], "--url is for a pool of a trainer"),
    ],
)
def test_a_pool_that_is_not_there_is_an_error(capsys, arguments, named):
    assert run(arguments) == 2
    assert named in capsys.readouterr().err


def test_a_task_without_a_window_is_told_by_its_id(capsys):
    tell_event(WorkerEvent(kind="done", task_id="7", slot=0), None)
    assert capsys.readouterr().err == "task 7 done\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["worker", "c", "-j", "0"], "--jobs"),
        (["worker", "c", "-w", "nonsense=1"], "nonsense"),
        (["worker", "c", "--nonsense"], "--nonsense"),
        (["worker", "nobody"], "no campaign"),
        (["worker", "install", "nobody"], "no campaign"),
        (["worker", "install", "-w", "x"], "not a condition"),
        (["worker", "install", "--kind", "cron"], "--kind"),
        (["worker", "ls", "nobody"], "no pool"),
    ],
)
def test_bad_input_is_named(capsys, arguments, named, tmp_path):
    assert run(arguments) == 2
    assert named in capsys.readouterr().err
    assert list((tmp_path / "work").iterdir()) == []


def test_help_shows_what_there_is(capsys):
    assert run(["worker", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "install" in printed
    assert "worker run NAME" in printed


def test_workers_that_hold_tasks_are_listed(capsys, tmp_path):
    store = SqliteStore(tmp_path / "work" / ".rollwright" / "pool.db", durable=False)
    manager = TaskManager("p", store=store)
    manager.create_task([WINDOW, {"x": 1}])
    assert run(["worker", "ls", "p"]) == 0
    assert "no worker holds a task" in capsys.readouterr().out
    manager.fetch_task()
    assert run(["worker", "ls", "p"]) == 0
    printed = capsys.readouterr().out
    assert manager.owner in printed
    assert "LGBModel 2019-01-02..2019-02-28" in printed
    assert run(["worker", "ls", "p", "--json"]) == 0
    ((holder),) = json.loads(capsys.readouterr().out)["data"]
    assert (holder["owner"], holder["tasks"]) == (manager.owner, ["1"])
    store.close()


# -- services ----------------------------------------------------------------------------------------------------


def test_a_systemd_unit_is_printed_or_written_once(capsys, campaign, tmp_path):
    has = ["-w", "def.x=50% $HOME", "--tag", "gpu", "--memory", "16G"]
    given = ["worker", "install", "c", "-j", "2", *has, "--kind", "systemd"]
    assert run([*given, "--print"]) == 0
    unit = capsys.readouterr().out
    assert f'ExecStart="{sys.executable}" "-m" "rollwright" "worker" "run" "c" "--keep-waiting"' in unit
    assert '"--where" "def.x=50%% $$HOME" "--tag" "gpu" "--memory" "16G"' in unit
    assert f"WorkingDirectory={campaign}\n" in unit
    path = tmp_path / "home" / ".config" / "systemd" / "user" / "rollwright-c.service"
    assert not path.exists()
    assert run(given) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{path}\n"
    assert "systemctl --user enable --now rollwright-c.service" in captured.err
    assert path.read_text() == unit
    assert run(given) == 0
    assert "there already" in capsys.readouterr().err


def test_a_service_waits_for_as_long_as_its_worker_drains(capsys, campaign):
    stops = {}
    for drain, words in (("set", ["--drain", "100"]), ("usual", [])):
        assert run(["worker", "install", "c", *words, "--kind", "systemd", "--print"]) == 0
        (stops[drain],) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("TimeoutStopSec=")]
    assert stops == {"set": "TimeoutStopSec=130", "usual": "TimeoutStopSec=10"}
    (campaign / "rollwright.toml").write_text("[worker]\ndrain = 20.0\n")
    assert run(["worker", "install", "c", "--kind", "systemd", "--print"]) == 0
    assert "TimeoutStopSec=30\n" in capsys.readouterr().out


def test_a_service_that_somebody_changed_is_replaced_only_by_force(capsys, campaign, tmp_path):
    given = ["worker", "install", "--kind", "launchd"]
    assert run(given) == 0
    path = Path(capsys.readouterr().out.strip())
    path.write_text("mine")
    assert run(given) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run([*given, "--force"]) == 0
    values = plistlib.loads(path.read_bytes())
    assert values["ProgramArguments"][:5] == [sys.executable, "-m", "rollwright", "worker", "run"]
    assert values["WorkingDirectory"] == str(campaign)
    assert values["KeepAlive"] == {"SuccessfulExit": False}


def test_what_no_service_can_hold_is_refused(tmp_path):
    for folder, argument in ((tmp_path / "a\nb", "x"), (tmp_path, "x\nExecStartPre=rm")):
        with pytest.raises(ConfigError, match="control characters"):
            make_service("c", folder=folder, arguments=["worker", argument], kind="systemd")
