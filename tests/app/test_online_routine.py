"""A campaign is served from its file as data arrive: each session once, in order, the same as the batch has it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pandas as pd
import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.online.record import open_ledger
from rollwright.app.online.routine import begin_serving, catch_up, run_routine
from rollwright.app.online.serving import open_serving
from rollwright.app.online.signals import read_signals, tabulate
from rollwright.app.open_campaign import open_campaign
from rollwright.errors import CalendarError, ConfigError, DataNotArrivedError, OnlineError, SignalRefusedError
from served_project import CAMPAIGN, TWO, arrive, make_arriving, session

KNOWN = 120


class At:
    """A clock that stands where it is set."""

    def __init__(self, text: str) -> None:
        self.text = text

    def now(self):
        return datetime.fromisoformat(self.text).astimezone(UTC)

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        raise AssertionError(seconds)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A project that serves one member from session 120 on; to be copied."""
    folder = tmp_path_factory.mktemp("online") / "project"
    file = make_arriving(folder, known=KNOWN)
    begin_serving(file, project=folder)
    return folder


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch):
    """Random prices make random signals, which the usual bounds refuse now and then."""
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())


@pytest.fixture
def project(begun, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(begun, folder)
    monkeypatch.chdir(folder)
    return folder


def entries(folder):
    with open_ledger(project=folder) as opened:
        return list(opened.ledger.list_entries())


def kinds(folder):
    return [(entry.kind, entry.session) for entry in entries(folder)]


def test_serving_begins_with_the_last_session_of_the_data_and_what_is_due_is_trained(project):
    (first,) = entries(project)
    assert (first.kind, first.session) == ("init", session(KNOWN - 1))
    (model,) = first.state["strategies"]["daily"]["online"]
    assert model["experiment"] == "daily-daily"
    assert model["serves_from"] <= first.session


def test_beginning_again_changes_nothing_and_says_so(project):
    before = entries(project)
    again = begin_serving(project / "daily.yaml", begin=session(50), project=project)
    assert not again.is_new
    assert again.begin == session(KNOWN - 1)
    assert entries(project) == before


def test_a_routine_publishes_each_session_once_as_its_data_arrive(project):
    arrive(project, KNOWN, KNOWN + 1)
    report = run_routine()
    assert [(one.session, one.outcome) for one in report.results] == [
        (session(place), "published") for place in range(KNOWN - 1, KNOWN + 2)
    ]
    before = kinds(project)
    again = run_routine()
    assert again.is_idle
    assert again.results[0].session == session(KNOWN + 1)
    assert kinds(project) == before
    assert run_routine(session=session(KNOWN)).is_idle
    arrive(project, KNOWN + 2, KNOWN + 2)
    assert [one.session for one in run_routine().results] == [session(KNOWN + 2)]


def test_what_is_served_day_by_day_is_what_the_batch_gives(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    file = make_arriving(folder, known=118, text=f"{CAMPAIGN}{TWO}")
    monkeypatch.chdir(folder)
    begin_serving(file)
    for place in range(118, 130):
        arrive(folder, place, place)
        run_routine()
    trained = [entry for entry in entries(folder) if entry.kind == "train" and entry.body["models"]]
    assert len(trained) == 1  # a window began meanwhile
    with open_serving() as serving:
        served = tabulate(read_signals(serving, start=session(117), end=session(129)))
    file.write_text(file.read_text().replace("2020-07-31", session(129)))
    batch = roll_campaign(open_campaign(file), jobs=1)
    pred = pd.read_parquet(folder / "results" / "daily" / "pred.parquet")
    assert batch is not None
    wanted = pred[pred["datetime"] >= session(117)]
    assert len(wanted) == 13 * 30
    assert served["score"].tolist() == wanted["score"].tolist()
    assert served["instrument"].tolist() == wanted["instrument"].tolist()


def test_sessions_that_were_missed_are_skipped_when_the_file_or_the_command_says_so(project):
    arrive(project, KNOWN, KNOWN + 4)
    report = catch_up(policy="latest")
    assert [(one.session, one.outcome) for one in report.results] == [
        (session(KNOWN + 3), "skipped"), (session(KNOWN + 4), "published"),
    ]  # fmt: skip
    arrive(project, KNOWN + 5, KNOWN + 8)
    report = catch_up(window=1)
    assert [one.outcome for one in report.results] == ["skipped", "published"]
    assert catch_up().is_idle


def set_online(project, text):
    (project / "daily.yaml").write_text(f"{CAMPAIGN}online: {text}\n")


def test_data_are_waited_for_until_the_deadline_and_late_from_then_on(project):
    set_online(project, '{deadline: "19:00", timezone: Asia/Shanghai}')
    run_routine(clock=At("2020-06-16T17:00:00+08:00"))
    last = session(KNOWN - 1)
    assert last == "2020-06-16"
    before = entries(project)
    report = run_routine(clock=At("2020-06-17T18:00:00+08:00"))
    assert [(one.session, one.outcome) for one in report.results] == [("2020-06-17", "waiting")]
    assert not report.is_idle
    with pytest.raises(DataNotArrivedError, match="2020-06-17 were due at 19:00"):
        run_routine(clock=At("2020-06-17T19:00:00+08:00"))
    with pytest.raises(DataNotArrivedError, match="2020-06-17 were due"):
        run_routine(clock=At("2020-06-18T01:00:00+08:00"))
    assert entries(project) == before
    arrive(project, KNOWN, KNOWN)
    report = run_routine(clock=At("2020-06-17T19:30:00+08:00"))
    assert [(one.session, one.outcome) for one in report.results] == [("2020-06-17", "published")]


def test_nobody_waits_for_a_weekend(project):
    set_online(project, '{deadline: "19:00"}')
    arrive(project, KNOWN, KNOWN + 2)
    assert session(KNOWN + 2) == "2020-06-19"  # a Friday
    run_routine(clock=At("2020-06-19T18:00:00+00:00"))
    assert run_routine(clock=At("2020-06-21T23:00:00+00:00")).is_idle
    (waiting,) = run_routine(clock=At("2020-06-22T10:00:00+00:00")).results
    assert (waiting.session, waiting.outcome) == ("2020-06-22", "waiting")


def test_what_was_published_is_delivered_once_and_made_again_where_it_is_missing(project):
    set_online(project, "{publish: {folder: out}}")
    arrive(project, KNOWN, KNOWN)
    report = run_routine()
    names = [session(KNOWN - 1), session(KNOWN)]
    assert [file.table.name for file in report.delivered] == [f"{name}.csv" for name in names]
    table = pd.read_csv(project / "out" / f"{names[1]}.csv")
    note = json.loads((project / "out" / f"{names[1]}.json").read_text())
    closing = entries(project)[-1]
    assert (note["entry"], note["digest"], note["rows"]) == (closing.number, closing.digest, len(table))
    with open_serving() as serving:
        (kept,) = read_signals(serving, start=names[1], end=names[1])
    assert kept.scores.tolist() == table["score"].tolist()
    assert run_routine().delivered == ()
    written = (project / "out" / f"{names[1]}.csv").read_bytes()
    (project / "out" / f"{names[1]}.csv").unlink()
    assert len(run_routine().delivered) == 1
    assert (project / "out" / f"{names[1]}.csv").read_bytes() == written
    (project / "out" / f"{names[1]}.csv").write_text("mine")
    assert run_routine().delivered == ()
    assert (project / "out" / f"{names[1]}.csv").read_text() == "mine"


@pytest.mark.parametrize("command", [run_routine, catch_up])
def test_what_was_published_before_a_session_that_cannot_be_served_is_delivered(project, monkeypatch, command):
    set_online(project, "{publish: {folder: out}}")
    run_routine()
    arrive(project, KNOWN, KNOWN + 1)
    broken = Refusing(breaks_at=session(KNOWN + 1))
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: (broken,))
    with pytest.raises(OnlineError, match="there is no check"):
        command()
    assert entries(project)[-1].session == session(KNOWN + 1)
    assert (project / "out" / f"{session(KNOWN)}.csv").is_file()


def test_a_member_that_was_changed_or_taken_out_is_told_by_name(project):
    run_routine()
    before = entries(project)
    file = project / "daily.yaml"
    file.write_text(CAMPAIGN.replace("alpha: 0.1", "alpha: 0.2"))
    with pytest.raises(OnlineError, match="another member under that name"):
        run_routine()
    file.write_text(f"{CAMPAIGN}{TWO}")
    with pytest.raises(OnlineError, match=r"no member of that name any more"):
        run_routine()
    assert entries(project) == before
    file.write_text(f"{CAMPAIGN}report: {{title: other}}\n".replace("step: 10, ", "step: 10,  "))
    assert run_routine().is_idle


@pytest.mark.parametrize(
    ("text", "begin", "said"),
    [
        (CAMPAIGN, "2019-01-01", "the data have sessions from 2020-01-01"),
        (CAMPAIGN, "2020-12-01", "the data have sessions from 2020-01-01"),
        (CAMPAIGN.replace("rolling: {step: 10, rtype: sliding}\n", ""), None, "no `rolling` section"),
        (f"as_of: 2020-12-01\n{CAMPAIGN}", None, "daily.yaml:1:8: the market is seen as it was"),
        (f"{CAMPAIGN}{TWO.replace('average', 'ic_weighted')}", None, "`ic_weighted` weighs members"),
        (f"{CAMPAIGN}{TWO.replace('average', 'none')}", None, "2 champions would be published as one"),
        (f"{CAMPAIGN}online: {{champions: [ridge]}}\n", None, "the campaign has no member `ridge`"),
        (f"{CAMPAIGN}online: {{challengers: [daily]}}\n", None, "no member is left to be a champion"),
    ],
)
def test_what_cannot_be_served_is_refused_and_nothing_is_written(tmp_path, text, begin, said):
    file = make_arriving(tmp_path / "project", text=text)
    with pytest.raises(ConfigError) as caught:
        begin_serving(file, begin=begin, project=file.parent)
    assert said in str(caught.value)
    assert not (file.parent / ".rollwright" / "online").exists()


@pytest.mark.parametrize("begin", ["soon", "2020-13-01", ""])
def test_a_first_session_that_is_no_day_is_refused(tmp_path, begin):
    file = make_arriving(tmp_path / "project")
    with pytest.raises(CalendarError):
        begin_serving(file, begin=begin, project=file.parent)


def test_a_day_without_a_session_begins_with_the_next_and_serves_the_one_before(tmp_path, monkeypatch):
    file = make_arriving(tmp_path / "project")
    monkeypatch.chdir(file.parent)
    begun = begin_serving(file, begin="2020-06-13")  # a Saturday
    assert begun.begin == "2020-06-15"
    run_routine(session="2020-06-15")
    with pytest.raises(OnlineError, match="before 2020-06-15"):
        run_routine(session="2020-06-14")


def test_one_name_serves_one_file(project):
    shutil.copy(project / "daily.yaml", project / "other.yaml")
    with pytest.raises(ConfigError, match=r"`daily` serves daily\.yaml already"):
        begin_serving(project / "other.yaml", project=project)
    assert begin_serving(project / "other.yaml", name="second", project=project).is_new
    with pytest.raises(ConfigError, match="names no serving"):
        begin_serving(project / "other.yaml", name="../x", project=project)


def test_a_refused_signal_is_no_success_and_the_next_session_goes_on(project, monkeypatch):
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: (Refusing(),))
    with pytest.raises(SignalRefusedError, match="it is a bad day"):
        run_routine()
    with pytest.raises(SignalRefusedError):
        run_routine()
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())
    arrive(project, KNOWN, KNOWN)
    assert [one.outcome for one in run_routine().results] == ["published"]


class Refusing:
    """A check that nothing passes; or, where it is to break at a session, that all before it pass."""

    name = "refusing"

    def __init__(self, breaks_at=""):
        self.breaks_at = breaks_at

    def check(self, context):
        from rollwright.online.checks import CheckResult  # noqa: PLC0415 - used by one test

        if context.session == self.breaks_at:
            raise OnlineError("there is no check today")
        violated = not self.breaks_at
        return CheckResult(name="refusing", value=1.0, bound=0.0, violated=violated, text="it is a bad day")
