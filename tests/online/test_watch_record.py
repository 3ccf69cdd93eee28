"""What is watched of published sessions: measured once labels are known, kept beside the ledger, told once."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.signal import daily_ic
from rollwright.config.context import Context, install
from rollwright.errors import OnlineError
from rollwright.market.frame import FrameSource
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.signal_store import MemorySignals
from rollwright.online.state import OnlineModel, StrategyState
from rollwright.online.watch.events import WatchEvent, acknowledge, append_event, list_standing
from rollwright.online.watch.measuring import load_dataset, load_importance, measure_features, measure_ics
from rollwright.online.watch.record import WatchRecord, read_record
from rollwright.pool.stores.memory import MemoryStore
from rollwright.training.execute import task_train
from serving_market import DAYS, make_task

CODES = [f"SZ0000{number:02d}" for number in range(12)]
BEGIN = "2020-05-11"
SERVED = [f"{day:%Y-%m-%d}" for day in DAYS[DAYS.slice_indexer(BEGIN, "2020-05-22")]]


def make_frame(until):
    rng = np.random.default_rng(7)
    close = 50 * np.exp(np.cumsum(0.02 * rng.standard_normal((len(DAYS), len(CODES))), axis=0))
    index = pd.MultiIndex.from_product([DAYS, CODES], names=["datetime", "instrument"])
    frame = pd.DataFrame({"close": close.ravel(), "volume": rng.uniform(1e3, 2e3, close.size)}, index=index)
    return frame[index.get_level_values("datetime") <= pd.Timestamp(until)]


def make_market(until):
    return FrameSource(make_frame(until))


@pytest.fixture
def market(project):
    source = make_market("2020-05-22")
    install(Context(settings=project, market=source))
    return source


@pytest.fixture
def model(market):
    recorder = task_train(make_task(test=(BEGIN, "2020-05-15")), "exp")
    return OnlineModel(experiment="exp", recorder=recorder.id, serves_from=BEGIN, fit_key="f")


@pytest.fixture
def signals():
    return MemorySignals()


@pytest.fixture
def ledger(model):
    made = ServingLedger("demo", MemoryStore())
    strategy = StrategyState(role="champion", definition="d", online=(model,)).to_json()
    add(made, Draft(kind="init", session=BEGIN, body={"strategies": {"lgb": strategy}}))
    return made


def add(ledger, *drafts):
    for draft in drafts:
        ledger.append(lambda _, draft=draft: draft)


def scores_of(session):
    rng = np.random.default_rng(int(session.replace("-", "")))
    return pd.Series(rng.standard_normal(len(CODES)), index=CODES)


def serve(ledger, signals, *sessions, close="publish", scores=scores_of):
    for session in sessions:
        signal = signals.save(session, {"champion": scores(session)})["champion"].to_json()
        add(
            ledger,
            Draft(kind="open", session=session, body={"generation": "g", "known": 1}),
            Draft(kind="train", session=session, body={"models": {}}),
            Draft(kind="switch", session=session, body={"models": {}}),
            Draft(kind="score", session=session, body={"scores": {"lgb": signal}, "signal": signal}),
            Draft(kind=close, session=session, body={"signal": signal, "checks": []}),
        )


def watch(ledger, market, signals, record=None):
    record = (record or WatchRecord(serving="demo")).read_on(ledger)
    made = measure_ics(record, market=market, signals=signals, load=load_dataset)
    assert made.problem == ""
    return made.record


def test_a_coefficient_is_taken_when_its_label_is_known_and_not_before(ledger, market, signals):
    serve(ledger, signals, *SERVED)
    record = watch(ledger, market, signals)
    found = record.list_ics()
    assert list(found) == SERVED[:-2]  # the label reads two sessions ahead
    close = make_market("2020-12-31").load(["close"], CODES, 0, len(DAYS))[0]
    place = int(DAYS.get_loc(pd.Timestamp(SERVED[3])))
    label = pd.Series(close[place + 2] / close[place + 1] - 1, index=CODES)
    index = pd.MultiIndex.from_product([[DAYS[place]], CODES], names=["datetime", "instrument"])
    expected = daily_ic(scores_of(SERVED[3]).set_axis(index), label.set_axis(index), method="spearman").iloc[0]
    assert found[SERVED[3]] == pytest.approx(expected)


def test_going_on_day_by_day_is_as_if_all_were_measured_at_once(ledger, market, signals, tmp_path):
    path = tmp_path / "watch.json"
    for session in SERVED:
        serve(ledger, signals, session)
        made = read_record(path, ledger).read_on(ledger)
        made = measure_ics(made, market=make_market(session), signals=signals, load=load_dataset).record
        made.write(path)
    assert list(read_record(path, ledger).list_ics()) == SERVED[:-2]
    assert read_record(path, ledger).list_ics() == watch(ledger, market, signals).list_ics()


def test_equal_scores_are_a_session_without_a_coefficient(ledger, market, signals):
    serve(ledger, signals, *SERVED[:3], scores=lambda _: pd.Series(1.0, index=CODES))
    found = watch(ledger, market, signals).list_ics()
    assert list(found) == SERVED[:3]
    assert all(math.isnan(value) for value in found.values())


def test_what_was_refused_is_not_watched(ledger, market, signals):
    serve(ledger, signals, SERVED[0], close="refuse")
    serve(ledger, signals, SERVED[1])
    assert list(watch(ledger, market, signals).list_ics()) == [SERVED[1]]


def test_a_recorder_that_is_gone_is_told_and_what_was_measured_stays(ledger, market, signals):
    serve(ledger, signals, SERVED[0])
    record = watch(ledger, market, signals)
    serve(ledger, signals, *SERVED[1:3])
    record = record.read_on(ledger)
    gone = replace(record.days[1], model=replace(record.days[1].model, recorder="0" * 32))
    made = measure_ics(record.with_days({gone.session: gone}), market=market, signals=signals, load=load_dataset)
    assert made.problem
    assert list(made.record.list_ics()) == [SERVED[0], SERVED[2]]


def test_features_are_held_against_the_sessions_before_the_model(ledger, market, signals):
    serve(ledger, signals, *SERVED)
    record = WatchRecord(serving="demo").read_on(ledger)
    made = measure_features(record, market=market, load=load_dataset, sessions=60)
    assert made.problem == ""
    assert made.record.reference.names == ("MOM", "VOL")
    assert made.record.reference.sessions == 60
    shares = made.record.list_shares()
    assert list(shares) == SERVED
    assert 0 <= np.mean(list(shares.values())) < 0.5
    again = WatchRecord.from_json(json.loads(json.dumps(made.record.to_json())))
    assert again.list_shares() == shares


def test_features_that_are_far_are_named_by_their_importance(ledger, market, signals):
    serve(ledger, signals, *SERVED[:2])
    record = WatchRecord(serving="demo").read_on(ledger)
    made = measure_features(record, market=market, load=load_dataset, sessions=60).record
    tight = replace(made.reference, limits=np.full(2, -1.0))
    again = replace(made, reference=tight).with_days({day.session: replace(day, far=None) for day in made.days})
    named = [
        measure_features(again, market=market, load=load_dataset, sessions=60, weigh=lambda _, one=one: {one: 0.9})
        .record.days[0]
        .named
        for one in ("MOM", "VOL")
    ]
    assert named == [("MOM", "VOL"), ("VOL", "MOM")]
    assert load_importance(again.days[0].model).keys() <= {"MOM", "VOL"}


def test_an_alarm_that_something_else_raised_is_left_alone(ledger):
    add(ledger, Draft(kind="alarm", session=SERVED[0], body={"text": "of a user's own"}))
    assert WatchRecord(serving="demo").read_on(ledger).events == ()


def test_too_few_sessions_before_the_model_are_told(ledger, market, signals):
    serve(ledger, signals, SERVED[0])
    record = WatchRecord(serving="demo").read_on(ledger)
    made = measure_features(record, market=market, load=load_dataset, sessions=20)
    assert "20 sessions" in made.problem
    assert made.record.list_shares() == {}


def test_a_damaged_file_is_made_anew_and_one_of_another_ledger_too(ledger, market, signals, tmp_path, caplog):
    serve(ledger, signals, *SERVED[:4])
    path = tmp_path / "watch.json"
    record = watch(ledger, market, signals)
    record.write(path)
    assert read_record(path, ledger) == record
    other = ServingLedger("demo", MemoryStore())
    assert read_record(path, other) == WatchRecord(serving="demo")
    path.write_text(path.read_text(encoding="utf-8").replace('"ic":', '"icc":'), encoding="utf-8")
    assert read_record(path, ledger) == WatchRecord(serving="demo")
    assert "watch.record_damaged" in caplog.text
    path.unlink()
    assert read_record(path, ledger) == WatchRecord(serving="demo")


def alarm(since, quantity="rank_ic"):
    return WatchEvent(event="alarm", quantity=quantity, since=since, value="0.01", bound="0.03", text="below")


def test_an_alarm_is_told_once_and_stands_until_somebody_looked_at_it(ledger):
    assert append_event(ledger, alarm(SERVED[0])) is not None
    assert append_event(ServingLedger("demo", ledger.store), alarm(SERVED[0])) is None
    append_event(ledger, alarm(SERVED[1]))
    append_event(ledger, alarm(SERVED[1], "features"))
    events = WatchRecord(serving="demo").read_on(ledger).events
    assert [one.since for one in list_standing(events) if one.quantity == "rank_ic"] == SERVED[:2]
    entry = acknowledge(ledger, events, "rank_ic", reason="a new label", until=SERVED[4])
    assert (entry.reason, entry.body["since"]) == ("a new label", SERVED[4])
    events = WatchRecord(serving="demo").read_on(ledger).events
    assert [one.quantity for one in list_standing(events)] == ["features"]
    with pytest.raises(OnlineError, match="no alarm"):
        acknowledge(ledger, events, "rank_ic", reason="again", until=SERVED[4])
    with pytest.raises(OnlineError, match="reason"):
        acknowledge(ledger, events, "features", reason=" ", until=SERVED[4])


def test_a_label_that_tells_no_reach_is_not_guessed(ledger, market, signals):
    serve(ledger, signals, SERVED[0])
    record = WatchRecord(serving="demo").read_on(ledger)

    class Silent:
        label_reach = None

    made = measure_ics(record, market=market, signals=signals, load=lambda _: Silent())
    assert "how far its label reaches" in made.problem
    assert made.record.list_ics() == {}
