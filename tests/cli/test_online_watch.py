"""`online watch`: data that are late, labels that become known, a promise that is not kept, and who looked at it."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.online.record import ServingRecord, write_serving
from rollwright.app.online.routine import begin_serving, catch_up
from rollwright.app.online.serving import open_record, open_serving
from rollwright.app.online.watch import acknowledge_alarm, watch_serving
from rollwright.app.open_campaign import open_campaign
from rollwright.cli.root import run
from rollwright.config.settings import load_settings
from rollwright.core.clock import SystemClock
from rollwright.errors import ConfigError, OnlineError
from rollwright.online.ledger import Draft
from rollwright.online.state import OnlineModel, StrategyState
from rollwright.online.watch.record import WatchRecord
from rollwright.training.execute import task_train
from served_project import CAMPAIGN, TWO, arrive, make_arriving, session

BEGIN = 105
DEADLINE = 'online: {deadline: "18:30", timezone: Asia/Shanghai, watch: {expected_ic: 0.05, drift_sessions: 60}}\n'


def serve(serving, model, place, *, scores):
    """Publish one session's scores by the ledger alone."""
    day = session(place)
    signal = serving.signals.save(day, {"champion": scores})["champion"].to_json()
    generation = serving.market.generation
    known = serving.market.calendar().known
    for draft in (
        Draft(kind="open", session=day, body={"generation": generation, "known": known}),
        Draft(kind="train", session=day, body={"models": {}}),
        Draft(kind="switch", session=day, body={"models": {}}),
        Draft(kind="score", session=day, body={"scores": {"daily": signal}, "signal": signal}),
        Draft(kind="publish", session=day, body={"signal": signal, "checks": []}),
    ):
        serving.ledger.append(lambda _, draft=draft: draft)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A serving whose model is trained and whose first session is the one at `BEGIN`."""
    folder = tmp_path / "project"
    file = make_arriving(folder, text=CAMPAIGN + DEADLINE, known=140)
    monkeypatch.chdir(folder)
    settings = load_settings(start=folder)
    record = ServingRecord(name="daily", file=file.name)
    write_serving(settings, record)
    with open_record(record, settings, create=True) as serving:
        template = serving.campaign.config.task.as_template()
        template["dataset"]["kwargs"]["segments"]["test"] = (session(BEGIN), session(139))
        recorder = task_train(template, "daily")
        model = OnlineModel(experiment="daily", recorder=recorder.id, serves_from=session(BEGIN), fit_key="f")
        strategy = StrategyState(role="champion", definition="d", online=(model,)).to_json()
        serving.ledger.append(
            lambda _: Draft(kind="init", session=session(BEGIN), body={"strategies": {"daily": strategy}})
        )
    return model


def reverse_of_returns(market, place):
    """Return scores that are the opposite of what the label will be."""
    codes = market.instruments()
    close = market.load(["close"], codes, place + 1, place + 3)[0]
    return pd.Series(-(close[1] / close[0] - 1).astype(np.float64), index=codes)


def publish(model, first, last):
    with open_serving() as serving:
        for place in range(first, last + 1):
            serve(serving, model, place, scores=reverse_of_returns(serving.market, place))


class StoppedClock(SystemClock):
    """A clock that stands at an hour of a session, in UTC."""

    def __init__(self, place, hour):
        self.moment = datetime.fromisoformat(f"{session(place)}T{hour:02d}:00:00+00:00")

    def now(self):
        return self.moment


def at(place, hour=12):
    return StoppedClock(place, hour)


def read(report):
    return {one.name: one for one in report.quantities}


def test_what_is_watched_goes_from_unknown_to_an_alarm_that_is_told_once(served):
    with open_serving() as serving:
        entries = serving.ledger.read_head().number
    before = read(watch_serving(clock=at(139)))
    assert {name: one.state for name, one in before.items()} == {
        "data": "ok",
        "served": "warning",
        "closes": "ok",
        "frozen": "ok",
        "history": "ok",
        "rank_ic": "unknown",
        "features": "unknown",
    }
    publish(served, BEGIN, BEGIN + 13)
    looked = watch_serving(clock=at(139), tell=False)
    assert looked.has_alarm
    assert looked.entries == ()
    report = watch_serving(clock=at(139))
    found = read(report)
    assert found["rank_ic"].state == "alarm"
    assert len(report.entries) == len(found["rank_ic"].crossings) == 1
    assert found["features"].state in ("ok", "alarm")
    assert report.has_alarm
    assert watch_serving(clock=at(139)).entries == ()
    with open_serving() as serving:
        alarms = [entry for entry in serving.ledger.list_entries(entries + 1) if entry.kind == "alarm"]
    assert [(one.body["event"], one.body["quantity"]) for one in alarms] == [("alarm", "rank_ic")]


def test_an_alarm_stands_until_somebody_looked_at_it_and_is_watched_anew(served):
    publish(served, BEGIN, BEGIN + 13)
    assert watch_serving(clock=at(139)).has_alarm
    with pytest.raises(OnlineError, match="reason"):
        acknowledge_alarm(quantity="rank_ic", reason="")
    acknowledge_alarm(quantity="rank_ic", reason="the label was shifted")
    report = watch_serving(clock=at(139))
    assert read(report)["rank_ic"].state == "unknown"
    assert not report.has_alarm
    with pytest.raises(OnlineError, match="no alarm"):
        acknowledge_alarm(quantity="rank_ic", reason="again")


def test_what_was_measured_is_not_measured_again(served, monkeypatch):
    publish(served, BEGIN, BEGIN + 13)
    watch_serving(clock=at(139))
    monkeypatch.setattr("rollwright.app.online.watch.load_dataset", lambda _: pytest.fail("a dataset was read"))
    assert read(watch_serving(clock=at(139)))["rank_ic"].state == "alarm"


def test_data_that_are_late_are_told_once_and_again_when_they_are_late_another_time(served, tmp_path):
    assert not watch_serving(clock=at(140, hour=10)).has_alarm  # 18:00 in Shanghai
    late = watch_serving(clock=at(140, hour=11))
    assert (read(late)["data"].state, len(late.entries)) == ("alarm", 1)
    assert watch_serving(clock=at(141, hour=12)).entries == ()
    arrive(tmp_path / "project", 140, 140)
    assert read(watch_serving(clock=at(140, hour=12)))["data"].state == "ok"
    assert len(watch_serving(clock=at(141, hour=12)).entries) == 1


def test_who_is_to_be_told_of_alarms_is_told_of_each_once(served, tmp_path):
    program = "import json, sys; open(sys.argv[1], 'a').write(json.load(sys.stdin)['event'] + chr(10))"
    command = json.dumps([sys.executable, "-c", program, str(tmp_path / "told")])
    section = DEADLINE.rstrip("}\n") + "}, notify: [{command: " + command + ", on: [alarm, late]}]}\n"
    (tmp_path / "project" / "daily.yaml").write_text(CAMPAIGN + section, encoding="utf-8")
    publish(served, BEGIN, BEGIN + 13)
    watch_serving(clock=at(139), tell=False)
    assert not (tmp_path / "told").exists()
    watch_serving(clock=at(139))
    watch_serving(clock=at(140))
    acknowledge_alarm(quantity="rank_ic", reason="looked")
    watch_serving(clock=at(140))
    assert (tmp_path / "told").read_text().split() == ["alarm", "late"]


def test_the_command_shows_every_quantity_and_ends_with_4_where_an_alarm_stands(served, capsys):
    publish(served, BEGIN, BEGIN + 13)
    code = run(["online", "watch", "--only-look", "--json"])
    data = json.loads(capsys.readouterr().out)["data"]
    assert (code, data["alarm"]) == (4, True)
    assert {one["name"] for one in data["quantities"]} >= {"data", "rank_ic", "features"}
    assert run(["online", "watch"]) == 4
    said = capsys.readouterr().out
    assert "told in the ledger: entry" in said
    assert "rank_ic" in said
    run(["online", "watch", "--acknowledge", "rank_ic", "--reason", "looked"])
    assert "acknowledged in entry" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reason", "x"], "--acknowledge"),
        (["--acknowledge", "rank_ic", "--reason", "x"], "no alarm"),
        (["nobody"], "no serving"),
    ],
)
def test_what_is_asked_wrong_is_told(served, capsys, words, said):
    assert run(["online", "watch", *words]) in (1, 2)
    assert said in capsys.readouterr().err


def test_without_a_number_the_campaigns_results_tell_what_is_expected(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    file = make_arriving(folder, text=CAMPAIGN.replace("step: 10", "step: 60"), known=150)
    monkeypatch.chdir(folder)
    campaign = open_campaign(file)
    record = ServingRecord(name="daily", file=file.name)
    write_serving(campaign.settings, record)
    with open_record(record, campaign.settings, create=True) as serving:
        strategy = StrategyState(role="champion", definition="d").to_json()
        serving.ledger.append(
            lambda _: Draft(kind="init", session=session(149), body={"strategies": {"daily": strategy}})
        )
    before = read(watch_serving(clock=at(149)))["rank_ic"]
    assert (before.state, before.bound) == ("unknown", "")
    assert "expected_ic" in before.why
    roll_campaign(campaign, jobs=1)
    after = read(watch_serving(clock=at(149)))["rank_ic"]
    assert "the campaign's results" in after.bound
    assert after.state == "unknown"


def test_a_serving_that_runs_is_watched_from_what_its_routine_did(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    text = CAMPAIGN + TWO + "online: {watch: {expected_ic: 0.05, drift_sessions: 60}}\n"
    file = make_arriving(folder, text=text, known=120)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())
    begin_serving(file)
    arrive(folder, 120, 123)
    catch_up()
    found = read(watch_serving())
    assert found["served"].state == "ok"
    assert found["history"].state == "ok"
    assert "sessions have a coefficient" in found["rank_ic"].why
    assert found["features"].state == "ok"


def test_a_record_of_what_was_watched_that_is_deleted_is_made_anew(served, tmp_path):
    publish(served, BEGIN, BEGIN + 13)
    first = watch_serving(clock=at(139))
    (path,) = (tmp_path / "project" / ".rollwright" / "online" / "watch").glob("*.json")
    held = path.read_bytes()
    path.unlink()
    assert watch_serving(clock=at(139)).to_json()["quantities"] == first.to_json()["quantities"]
    kept = WatchRecord.from_json(json.loads(path.read_bytes()))
    assert kept.list_ics() == WatchRecord.from_json(json.loads(held)).list_ics()


def test_a_setting_that_is_none_is_refused_before_anything_is_looked_at(served, tmp_path):
    file = tmp_path / "project" / "daily.yaml"
    file.write_text(CAMPAIGN + "online: {watch: {false_alarms_a_year: 0}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="false_alarms_a_year"):
        watch_serving(clock=at(139))
