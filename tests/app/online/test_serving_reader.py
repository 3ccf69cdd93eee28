"""What a reader says of a serving while others write to its ledger."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from rollwright.app.online.serve import ServingReader
from rollwright.errors import SignalNotFoundError
from served_days import CHALLENGER, CHAMPION, DemoServing, MarketSessions

DAYS = ("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09")


@pytest.fixture
def demo():
    return DemoServing()


@pytest.fixture
def reader(demo):
    return ServingReader(demo.ledger, demo.scores)


class FixedClock:
    def __init__(self, now):
        self.moment = now

    def now(self):
        return self.moment

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        raise AssertionError(seconds)


def test_before_the_first_day_there_is_no_signal(reader):
    assert reader.load_latest() is None
    assert reader.list_days() == []
    with pytest.raises(SignalNotFoundError, match="scored no session"):
        reader.load_strategy(CHAMPION)
    with pytest.raises(SignalNotFoundError, match="not closed a session 2024-01-02"):
        reader.load_published("2024-01-02")


def test_the_latest_signal_is_that_of_the_last_published_session(demo, reader):
    demo.serve(DAYS[0])
    closing = demo.serve(DAYS[1])
    demo.serve(DAYS[2], refuse=True)
    demo.skip(DAYS[3])
    demo.serve(DAYS[4], closing=False)
    latest = reader.load_latest()
    assert (latest.session, latest.entry, latest.strategy) == (DAYS[1], closing.number, None)
    assert latest.values.to_dict() == {"SH600000": 0.03, "SZ000001": 1.03}
    assert latest.identity == f"{closing.number}-{latest.reference.sha256}"


def test_a_refused_signal_is_not_given_until_it_is_published_after_all(demo, reader):
    demo.serve(DAYS[0])
    refused = demo.serve(DAYS[1], refuse=True)
    with pytest.raises(SignalNotFoundError, match="was refused") as told:
        reader.load_published(DAYS[1])
    assert f"entry {refused.number}" in told.value.hint
    assert reader.load_latest().session == DAYS[0]
    override = demo.override(DAYS[1])
    assert reader.load_published(DAYS[1]).entry == override.number
    assert reader.load_latest().session == DAYS[1]


def test_a_skipped_session_and_one_that_is_open_have_no_signal(demo, reader):
    demo.skip(DAYS[1])
    demo.serve(DAYS[2], closing=False)
    for session in (DAYS[0], DAYS[2], "2030-01-01", "2024-1-1", "../../etc"):
        with pytest.raises(SignalNotFoundError, match="not closed"):
            reader.load_published(session)
    with pytest.raises(SignalNotFoundError, match="was skipped"):
        reader.load_published(DAYS[1])


def test_scores_of_strategies_and_roles_are_those_that_the_session_had(demo, reader):
    demo.serve(DAYS[0])
    demo.serve(DAYS[1], refuse=True)
    demo.override(DAYS[1])
    assert reader.load_strategy(CHALLENGER).values.to_dict() == {"SH600000": -0.03, "SZ000001": -1.03}
    assert reader.load_strategy(CHALLENGER, DAYS[0]).session == DAYS[0]
    assert [one.strategy for one in reader.load_role("challenger")] == [CHALLENGER]
    assert reader.load_role("shadow", DAYS[0]) == []
    with pytest.raises(SignalNotFoundError, match="lgb, linear"):
        reader.load_strategy("xgb")
    demo.skip(DAYS[2])
    assert reader.load_strategy(CHAMPION).session == DAYS[1]


def test_days_are_listed_newest_first_within_their_range_and_limit(demo, reader):
    for session in DAYS[:3]:
        demo.serve(session)
    demo.serve(DAYS[3], refuse=True)
    demo.skip(DAYS[5])
    listed = [(day.session, day.outcome) for day in reader.list_days()]
    assert listed == [
        (DAYS[5], "skipped"),
        (DAYS[3], "refused"),
        (DAYS[2], "published"),
        (DAYS[1], "published"),
        (DAYS[0], "published"),
    ]
    assert [day.session for day in reader.list_days(start=DAYS[1], end=DAYS[4], limit=2)] == [DAYS[3], DAYS[2]]
    assert [one.session for one in reader.load_range(start=DAYS[1], end=DAYS[5], limit=9)] == [DAYS[1], DAYS[2]]


def test_history_is_given_in_pages_from_the_end(demo, reader):
    demo.serve(DAYS[0])
    assert [entry.number for entry in reader.list_history(limit=4)] == [6, 5, 4, 3]
    assert [entry.number for entry in reader.list_history(before=3, limit=4)] == [2, 1]
    assert reader.list_history(before=1) == []
    assert reader.read_entry(2).kind == "open"
    assert reader.read_entry(7) is None
    assert reader.read_entry(0) is None


@pytest.mark.parametrize(
    ("hour", "zone", "late"),
    [(17, "UTC", False), (19, "UTC", True), (11, "Asia/Shanghai", True), (8, "Asia/Shanghai", False)],
)
def test_a_session_is_late_after_its_deadline_in_its_time_zone(demo, hour, zone, late):
    demo.serve(DAYS[0])
    clock = FixedClock(datetime(2024, 1, 3, hour, 0, tzinfo=UTC))
    reader = ServingReader(
        demo.ledger,
        demo.scores,
        sessions=MarketSessions(DAYS[:2]),
        deadline=time(18, 0),
        timezone=ZoneInfo(zone),
        clock=clock,
    )
    found = reader.read_freshness()
    assert (found.data, found.published, found.behind, found.late) == (DAYS[1], DAYS[0], 1, late)
    demo.serve(DAYS[1])
    assert (reader.read_freshness().behind, reader.read_freshness().late) == (0, False)


def test_nothing_is_said_of_freshness_where_the_data_are_not_known(demo, reader):
    assert reader.read_freshness() is None


def test_what_was_found_is_not_looked_for_again(demo, reader):
    demo.serve(DAYS[0])
    demo.serve(DAYS[1])
    first = reader.load_published(DAYS[0])
    loads = demo.scores.loads
    assert reader.load_published(DAYS[0]).values is first.values
    assert demo.scores.loads == loads


def test_many_threads_may_ask_while_days_are_served(demo, reader):
    demo.serve(DAYS[0])
    problems = []
    ended = threading.Event()

    def ask():
        while not ended.is_set():
            latest = reader.load_latest()
            day = reader.find_day(latest.session)
            if day.entry != latest.entry or day.outcome != "published":
                problems.append(day)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for session in DAYS[1:]:
        demo.serve(session)
    ended.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert reader.load_latest().session == DAYS[-1]
