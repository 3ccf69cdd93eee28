"""A campaign that is served day by day gives, bit for bit, what it gives as one batch."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from rolling_project import CODES, DAYS, rows
from rollwright.app.online.parity import compare_with_batch
from rollwright.app.online.routine import begin_serving, catch_up
from rollwright.cli.root import run
from rollwright.errors import ConfigError, OnlineError
from rollwright.market.ingest.importer import import_market
from rollwright.online.signal_store import SignalStore
from small_campaign import CAMPAIGN

FIRST = 130
FIELDS = ["open", "close", "high", "low", "volume"]
LISTED = [("SH600099", day, 10.0, 10.0, 10.5, 9.5, 1000.0) for day in DAYS[FIRST + 1 : FIRST + 3]]
NO_BOUNDS = "  checks: {turnover: null, score_mass: null, equal_scores: null, level_shift: null, spread_ratio: null}\n"
MEMBERS = """\
vary:
  - {name: ridge, model.kwargs.alpha: 0.2}
  - name: trees
    model: {class: LGBModel, module_path: rollwright.models.lightgbm, kwargs: {num_boost_round: 12}}
combine: {method: average}
online:
  begin: BEGIN
  champions: [ridge, trees]
"""


def make_served(folder, *, days, step, every=1, bounds=""):
    """Serve so many sessions of a campaign of two members as they come in, `every` so many at once."""
    folder.mkdir()
    (folder / "rollwright.toml").write_text("")
    begin = f"{DAYS[FIRST]:%Y-%m-%d}"
    text = CAMPAIGN.replace('test: ["2020-05-29", "2020-10-05"]', f'test: ["{DAYS[FIRST - 2]:%Y-%m-%d}", "{begin}"]')
    text = text.replace("step: 25", f"step: {step}")
    (folder / "small.yaml").write_text(text + MEMBERS.replace("BEGIN", f'"{begin}"') + bounds)
    deliver(folder, 0, FIRST)
    begin_serving(folder / "small.yaml", project=folder)
    for first in range(FIRST, FIRST + days, every):
        deliver(folder, first, min(first + every, FIRST + days) - 1)
        catch_up("small", project=folder)
    return folder


def deliver(folder, first, last):
    """Deliver sessions; one name is suspended on one of seven."""
    frame = rows(DAYS)
    place = DAYS.get_indexer(frame["date"])
    frame, place = frame[(place >= first) & (place <= last)], place[(place >= first) & (place <= last)]
    suspended = (frame["symbol"] == CODES[3]) & (place % 7 == 2)
    frame.loc[suspended, ["open", "close", "high", "low", "volume"]] = np.nan
    import_market(frame, folder / "market")


def check_same(found, *, days):
    assert found.parity.same, (found.parity.parts, found.parity.uncovered)
    assert [part.name for part in found.parity.parts] == ["ridge", "trees", "signal of ridge, trees"]
    assert {part.sessions for part in found.parity.parts} == {days}
    assert all(part.rows >= days * (len(CODES) - 1) for part in found.parity.parts)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Nine sessions with three windows, most of them refused by a narrow bound; two come at once each time."""
    folder = tmp_path_factory.mktemp("served") / "project"
    return make_served(folder, days=9, step=4, every=2, bounds="  checks: {level_shift: 0.05}\n")


def test_what_is_served_or_refused_is_what_the_batch_gives_with_trainings_in_between(served):
    found = compare_with_batch("small", project=served)
    check_same(found, days=9)
    assert found.windows == 2 * 3
    assert found.parity.published + found.parity.refused == 9
    assert found.parity.refused


@pytest.mark.slow
def test_sixty_sessions_are_what_the_batch_gives(tmp_path):
    folder = make_served(tmp_path / "project", days=60, step=20, bounds=NO_BOUNDS)
    found = compare_with_batch(project=folder)
    check_same(found, days=60)
    assert (found.parity.published, found.parity.refused) == (60, 0)


def test_some_sessions_are_compared_and_only_their_windows_trained(served):
    first, last = (f"{DAYS[FIRST + place]:%Y-%m-%d}" for place in (7, 8))
    found = compare_with_batch("small", first=first, last=last, project=served)
    check_same(found, days=2)
    assert (found.first, found.last, found.windows) == (first, last, 2)
    with pytest.raises(OnlineError, match="served no session from 2030-01-01"):
        compare_with_batch("small", first="2030-01-01", project=served)
    with pytest.raises(ConfigError, match="is no session"):
        compare_with_batch("small", first="tomorrow", project=served)


def test_a_score_that_differs_in_its_last_bit_ends_the_verb_with_4_and_is_shown(served, monkeypatch, capsys):
    monkeypatch.chdir(served)
    assert run(["online", "parity"]) == 0
    assert "every row is the same, bit for bit" in capsys.readouterr().out
    load, session = SignalStore.load, f"{DAYS[FIRST + 5]:%Y-%m-%d}"

    def load_changed(signals, reference):
        found = load(signals, reference)
        if reference.artifact.startswith(session):
            found.iloc[2] = np.nextafter(found.iloc[2], np.inf)
        return found

    monkeypatch.setattr(SignalStore, "load", load_changed)
    assert run(["online", "parity"]) == 4
    shown = capsys.readouterr().out
    assert "3 rows differ" in shown
    assert session in shown
    assert run(["online", "parity", "small", "--from", session, "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    answer = told["data"]
    assert (told["ok"], answer["same"]) == (False, False)
    assert [part["differences"] for part in answer["parts"]] == [1, 1, 1]
    assert answer["parts"][0]["first"][0]["session"] == session


def test_a_member_that_is_listed_afterwards_is_told(tmp_path):
    folder = make_served(tmp_path / "project", days=3, step=4, every=3)
    import_market(pd.DataFrame(LISTED, columns=["symbol", "date", *FIELDS]), folder / "market")
    found = compare_with_batch("small", project=folder)
    assert not found.parity.same
    sessions = {f"{day:%Y-%m-%d}" for day in DAYS[FIRST + 1 : FIRST + 3]}
    assert {line[:10] for line in found.parity.uncovered} == sessions
    assert {row.session for part in found.parity.parts for row in part.first if row.served is None} <= sessions
