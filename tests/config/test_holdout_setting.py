"""The setting `data.holdout`: two days, from any source, and no source lifts what another one sealed."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from rollwright.config.holdout_setting import digest_openings, read_holdout
from rollwright.config.settings import Settings, load_settings
from rollwright.errors import ConfigError


def write(folder, text):
    (folder / "rollwright.toml").write_text(f"[data]\n{text}\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("2017-01-03", "2017-12-29"), ("2017-01-03", "2017-12-29")),
        (["2017-01-03", "open"], ("2017-01-03", "open")),
        (["2017-01-03", ""], ("2017-01-03", "open")),
        ([date(2017, 1, 3), date(2017, 1, 3)], ("2017-01-03", "2017-01-03")),
        ("2017-01-03,2017-12-29", ("2017-01-03", "2017-12-29")),
        (" 2017-01-03 , open ", ("2017-01-03", "open")),
        ("2017-01-03,", ("2017-01-03", "open")),
        ('["2017-01-03", "open"]', ("2017-01-03", "open")),
        ("", None),
        ([], None),
        (None, None),
    ],
)
def test_a_holdout_is_two_days_or_a_day_and_an_open_end(given, wanted):
    assert read_holdout(given) == wanted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["2017-01-03"], "a pair of days"),
        (["2017-01-03", "2017-01-04", "2017-01-05"], "a pair of days"),
        ("2017-01-03", "a pair of days"),
        (7, "a pair of days"),
        ({"from": "2017-01-03", "to": "open"}, "a pair of days"),
        (["2017-13-03", "open"], "is no day"),
        (["2017-02-30", "open"], "is no day"),
        (["20170103", "open"], "is no day"),
        (["2017-01-03 10:00", "open"], "is no day"),
        ([datetime(2017, 1, 3, 10), "open"], "is no day"),  # noqa: DTZ001 - what a TOML file may hold
        (["today", "open"], "is no day"),
        (["٢٠١٧-01-03", "open"], "is no day"),
        ([None, "open"], "is no day"),
        (["open", "2017-01-03"], "a first day"),
        (["", ""], "a first day"),
        (["2017-01-03", "2017-01-02"], "before it starts"),
        ('["2017-01-03", "open"', "is no pair"),
        ("[" * 100_000, "is no pair"),
    ],
)
def test_anything_else_is_refused_with_the_form_it_takes(given, said):
    with pytest.raises(ValueError, match=said):
        read_holdout(given)


def test_every_source_of_settings_can_name_it(tmp_path, monkeypatch):
    project = write(tmp_path, "holdout = [2017-01-03, 2017-12-29]")
    assert load_settings(start=project).data.holdout == ("2017-01-03", "2017-12-29")
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("ROLLWRIGHT_DATA__HOLDOUT", "2018-01-02,open")
    seen = load_settings(start=write(tmp_path / "other", ""))
    assert (seen.data.holdout, seen.origins["data.holdout"]) == (("2018-01-02", "open"), "environment")


def test_a_bad_one_is_told_with_its_source(tmp_path):
    with pytest.raises(ConfigError, match=r"data.holdout = .*\(rollwright.toml\): .*before it starts"):
        load_settings(start=write(tmp_path, 'holdout = ["2017-01-03", "2016-01-03"]'))


@pytest.mark.parametrize("lifted", [(), "", ("2017-06-01", "open"), ("2016-01-04", "open")])
def test_what_one_source_sealed_no_other_lifts_or_moves(tmp_path, monkeypatch, lifted):
    settings = load_settings(start=write(tmp_path, 'holdout = ["2017-01-03", "open"]'))
    with pytest.raises(ConfigError, match=r"two holdouts: .*\(rollwright.toml\) and .*\(code\)"):
        settings.with_values({"data.holdout": lifted}, origin="code")
    monkeypatch.setenv("ROLLWRIGHT_DATA__HOLDOUT", ",".join(lifted))
    with pytest.raises(ConfigError, match="two holdouts"):
        load_settings(start=tmp_path)


def test_saying_it_twice_is_no_contradiction(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_DATA__HOLDOUT", "2017-01-03,open")
    settings = load_settings(start=write(tmp_path, "holdout = [2017-01-03, '']"))
    assert settings.data.holdout == ("2017-01-03", "open")
    assert settings.with_values({"data.region": "us"}, origin="code").data.holdout == ("2017-01-03", "open")


def test_it_comes_along_into_another_process(tmp_path):
    settings = load_settings(start=write(tmp_path, "holdout = [2017-01-03, 2017-12-29]"))
    assert Settings.model_validate_json(settings.model_dump_json()).data.holdout == ("2017-01-03", "2017-12-29")


def test_openings_are_told_apart_without_reading_what_they_say(tmp_path):
    assert digest_openings(tmp_path) == ""
    file = tmp_path / "holdout.jsonl"
    seen = []
    for text in ('{"kind":"sealed"}\n', '{"kind":"opened","start":"a"}\n', '{"kind":"opened","start":"b"}\n', "\xff\n"):
        file.write_text(text, encoding="utf-8")
        seen.append(digest_openings(tmp_path))
    assert (seen[0], seen[3]) == ("", "")
    assert seen[1] != seen[2] != ""
