"""The seal of a project: recorded at its first use, and lifted by nothing but an opening that is recorded too."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import stat
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.holdout import Holdout
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, CorruptFileError, DataStorageError, HoldoutSealedError
from rollwright.market import seal as seal_module
from rollwright.market.current import choose_market, current_market
from rollwright.market.seal import find_holdout, find_opened, seal
from rollwright.market.seal_record import add_record, find_record_file, list_opened, list_sealed, read_records
from rollwright.testing.market import random_source
from rollwright.trials.registry import TrialRegistry

FROM = "2020-03-04"


@pytest.fixture
def market():
    return random_source(np.random.default_rng(5), sessions=60, instruments=3)


@pytest.fixture
def project(tmp_path):
    return tmp_path / "project"


def settings_of(project, *pair):
    project.mkdir(exist_ok=True)
    text = f"[data]\nholdout = {json.dumps(list(pair))}\n" if pair else "[data]\n"
    (project / "rollwright.toml").write_text(text, encoding="utf-8")
    return load_settings(start=project)


def record_of(project):
    return find_record_file(project / ".rollwright")


def a_holdout(start, end="open"):
    return Holdout.from_setting((start, end), origin="a test")


class FixedClock:
    def now(self):
        return datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def test_without_a_holdout_nothing_is_written_and_nothing_is_wrapped(project, market):
    settings = settings_of(project)
    assert find_holdout(settings) is None
    assert seal(market, settings) is market
    assert find_opened(settings) == ()
    assert not (project / ".rollwright").exists()


def test_the_first_use_seals_and_records_it_once(project, market):
    settings = settings_of(project, FROM, "open")
    assert not record_of(project).exists()
    for _ in range(3):
        assert seal(market, settings).calendar().last < pd.Timestamp(FROM)
    (line,) = read_records(record_of(project))
    assert (line.kind, line.start, line.end, line.reason) == ("sealed", FROM, "open", "")
    assert line.origin == "rollwright.toml"
    assert "@" in line.by
    found = find_holdout(settings)
    assert f"rollwright.toml; recorded {line.at[:10]} by {line.by}" == found.origin


def test_a_market_is_wrapped_once(project, market):
    settings = settings_of(project, FROM, "open")
    sealed = seal(market, settings)
    assert seal(market, settings) is sealed
    assert seal(sealed, settings) is sealed


@pytest.mark.parametrize("changed", [(), ("2020-03-05", "open"), (FROM, "2020-03-31"), ("2020-03-01", "2020-03-31")])
def test_a_setting_that_was_removed_moved_or_shortened_opens_nothing(project, market, changed):
    find_holdout(settings_of(project, FROM, "open"))
    settings = settings_of(project, *changed)
    with pytest.raises(ConfigError) as caught:
        seal(market, settings)
    said = str(caught.value)
    assert f"[{FROM}, open] is sealed (from rollwright.toml; recorded " in said
    assert ("data.holdout is not set" if not changed else f"is [{', '.join(changed)}] (from rollwright.toml)") in said
    assert f'holdout = ["{FROM}", "open"]' in said
    assert "rollwright unseal --reason" in said


def test_a_wider_holdout_is_sealed_and_recorded_too(project):
    find_holdout(settings_of(project, FROM, "2020-03-20"))
    assert find_holdout(settings_of(project, "2020-03-02", "open")).pair == ("2020-03-02", "open")
    assert [record.start for record in read_records(record_of(project))] == [FROM, "2020-03-02"]


def test_an_opening_shows_everything_and_is_for_good(project, market):
    settings = settings_of(project, FROM, "open")
    sealed = find_holdout(settings)
    add_record(record_of(project), "opened", [sealed], reason="the paper is written")
    assert find_holdout(settings) is None
    assert seal(market, settings) is market
    assert find_opened(settings) == (sealed,)
    assert find_holdout(settings_of(project)) is None
    assert find_holdout(settings_of(project, FROM, "open")) is None  # a seal is not mended
    later = find_holdout(settings_of(project, "2020-03-18", "open"))
    assert later.pair == ("2020-03-18", "open")
    assert find_opened(settings) == (sealed,)


def test_opening_one_of_two_leaves_the_other_sealed(project):
    narrow = find_holdout(settings_of(project, FROM, "2020-03-20"))
    settings = settings_of(project, "2020-03-02", "open")
    wide = find_holdout(settings)
    add_record(record_of(project), "opened", [wide])
    with pytest.raises(ConfigError, match=r"\[2020-03-04, 2020-03-20\] is sealed"):
        find_holdout(settings)
    assert find_holdout(settings_of(project, *narrow.pair)) == narrow


def test_every_way_to_the_market_of_the_context_is_sealed(project, market):
    settings = settings_of(project, FROM, "open")
    with using(settings, market=market):
        for found in (current_market(), current_market("day"), choose_market(None), choose_market(market)):
            assert found.calendar().last < pd.Timestamp(FROM)
            with pytest.raises(HoldoutSealedError):
                found.calendar().index(FROM)


def test_it_is_said_once(project, market, caplog, monkeypatch):
    monkeypatch.setattr(seal_module._Last, "said", None)
    settings = settings_of(project, FROM, "open")
    with caplog.at_level(logging.WARNING, logger="rollwright.market"):
        for number in range(3):
            seal(random_source(np.random.default_rng(number), sessions=60, instruments=3), settings)
    (said,) = caplog.messages
    hidden = int((market.calendar().to_index() >= FROM).sum())
    assert said.startswith(f"market.holdout_sealed start={FROM} end=open")
    assert said.endswith(f"sessions={hidden}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_project_that_cannot_be_written_is_sealed_all_the_same(project, market, caplog):
    settings = settings_of(project, FROM, "open")
    project.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert seal(market, settings).calendar().last < pd.Timestamp(FROM)
    finally:
        project.chmod(stat.S_IRWXU)
    assert any("market.holdout_unrecorded" in message for message in caplog.messages)


def test_a_state_folder_that_is_none_does_not_unseal(project, market, caplog):
    settings = settings_of(project, FROM, "open")
    (project / ".rollwright").write_text("a file where the folder should be", encoding="utf-8")
    assert seal(market, settings).calendar().last < pd.Timestamp(FROM)
    assert any("market.holdout_unrecorded" in message for message in caplog.messages)
    with pytest.raises(DataStorageError, match="cannot be written"):
        add_record(record_of(project), "opened", [a_holdout(FROM)])


# -- the file ------------------------------------------------------------------------------------------------------


def test_each_line_holds_the_digest_of_the_one_before(project):
    path = record_of(project)
    add_record(path, "sealed", [a_holdout(FROM)], clock=FixedClock())
    add_record(path, "opened", [a_holdout(FROM)], reason="nähere\nGründe 理由", clock=FixedClock())
    first, second = read_records(path)
    assert (first.before, first.at) == ("", "2026-05-04T03:02:01+00:00")
    assert len(second.before) == 64
    assert second.reason == "nähere\nGründe 理由"
    assert add_record(path, "opened", [a_holdout(FROM)], reason="again") == ()
    assert (list_sealed(read_records(path)), list_opened(read_records(path))) == ((), (a_holdout(FROM),))


def lines_of(path):
    add_record(path, "sealed", [a_holdout(FROM)])
    add_record(path, "sealed", [a_holdout("2020-03-02")])
    add_record(path, "opened", [a_holdout(FROM)], reason="a reason")
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def changed(line, **values):
    return json.dumps({**json.loads(line), **values}) + "\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [changed(lines[0], start="2020-03-05"), *lines[1:]],
        lambda lines: [*lines[:2], lines[2].rstrip("\n")],
        lambda lines: [*lines, "\n"],
        lambda lines: [*lines, "{}\n"],
        lambda lines: [*lines, "no json\n"],
        lambda lines: [*lines, '{"a": NaN}\n'],
        lambda lines: [*lines, "[" * 50_000 + "\n"],
        lambda lines: [changed(lines[0], kind="forgotten")],
        lambda lines: [changed(lines[0], start="yesterday")],
        lambda lines: [changed(lines[0], end="")],
        lambda lines: [changed(lines[0], format=2)],
        lambda lines: [changed(lines[0], reason=None)],
        lambda lines: [changed(lines[0], extra="more")],
        lambda lines: [changed(lines[0], origin="x" * 10_000)],
        lambda lines: ["x" * (1 << 21) + "\n"],
        lambda lines: [],
    ],
)
def test_a_record_that_was_changed_cut_or_forged_is_found(project, market, spoil):
    path = record_of(project)
    lines = lines_of(path)
    path.write_text("".join(spoil(lines)), encoding="utf-8")
    settings = settings_of(project, "2020-03-02", "open")
    with pytest.raises(CorruptFileError) as caught:
        seal(market, settings)
    assert caught.value.path == path
    with pytest.raises(CorruptFileError):
        add_record(path, "opened", [a_holdout("2020-03-02")], reason="a reason")


def test_a_record_that_is_no_text_or_no_file_is_found(project):
    settings = settings_of(project, FROM, "open")
    path = record_of(project)
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(CorruptFileError):
        find_holdout(settings)
    path.unlink()
    path.mkdir()
    with pytest.raises(CorruptFileError):
        find_holdout(settings)


def test_a_change_of_the_record_is_seen_by_a_process_that_had_read_it(project):
    settings = settings_of(project, FROM, "open")
    sealed = find_holdout(settings)
    add_record(record_of(project), "opened", [sealed], reason="now")
    assert find_holdout(settings) is None


def test_a_reason_without_end_and_bytes_that_are_no_text_are_no_danger(project):
    path = record_of(project)
    with pytest.raises(ConfigError, match="2,001 characters"):
        add_record(path, "opened", [a_holdout(FROM)], reason="x" * 2001)
    add_record(path, "opened", [a_holdout(FROM)], reason="bad \udcff byte")
    assert read_records(path)[0].reason == "bad \\udcff byte"


def _seal_at_once(path, begin, day):
    begin.wait(30)
    add_record(path, "sealed", [a_holdout("2020-01-01"), a_holdout(day)])


def test_processes_that_record_at_once_lose_nothing_and_say_nothing_twice(project):
    path = record_of(project)
    spawn = multiprocessing.get_context("fork")
    begin = spawn.Event()
    days = [f"2020-02-{day:02}" for day in range(1, 7)]
    workers = [spawn.Process(target=_seal_at_once, args=(path, begin, day)) for day in days]
    for worker in workers:
        worker.start()
    begin.set()
    for worker in workers:
        worker.join(60)
    assert sorted(record.start for record in read_records(path)) == ["2020-01-01", *days]


def test_the_registry_of_trials_tells_of_sealing_and_opening_too(project):
    settings = settings_of(project, FROM, "open")
    sealed = find_holdout(settings)
    assert find_opened(settings) == ()
    add_record(record_of(project), "opened", [sealed], reason="a last look")
    record_of(project).unlink()
    state = TrialRegistry(settings.state_dir).read()
    said = [record for chain in state.chains for record in chain.records if record.kind.startswith("holdout_")]
    assert [record.kind for record in said] == ["holdout_sealed", "holdout_opened"]
    assert [(one.body["start"], one.body["end"]) for one in said] == [(FROM, "open")] * 2
    assert said[1].body["reason"] == "a last look"
    assert state.damage == ()
