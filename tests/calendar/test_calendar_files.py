"""Calendar files: what is accepted, what is refused and where, and the current default."""

import logging
import os

import pandas as pd
import pytest

from rollwright.calendar.files import current_calendar, format_sessions, read_calendar, read_sessions
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import CorruptFileError, DataNotFoundError

GOOD = ["2020-01-02", "2020-01-03", "2020-01-06"]


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"2020-01-02\n2020-01-03\n2020-01-06\n",
        b"2020-01-02\r\n2020-01-03\r\n2020-01-06\r\n",
        b"\xef\xbb\xbf2020-01-02\n2020-01-03\n2020-01-06",
        b"2020-01-02 \n 2020-01-03\n2020-01-06\n\n\n",
        b"2020-01-02 00:00:00\n2020-01-03 00:00:00\n2020-01-06 00:00:00\n",
    ],
    ids=["plain", "crlf", "bom", "spaces and empty lines at the end", "with times"],
)
def test_the_spellings_of_a_calendar_file(tmp_path, data):
    index = read_sessions(write(tmp_path / "day.txt", data))
    assert list(index) == [pd.Timestamp(day) for day in GOOD]
    assert index.dtype == "datetime64[s]"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "holds no sessions"),
        (b"\n \n", "holds no sessions"),
        (b"2020-01-02\n2020-01-02\n", "line 2 repeats 2020-01-02"),
        (b"2020-01-02\n2020-01-06\n2020-01-03\n", "line 3 comes after a later session: 2020-01-03"),
        (b"2020-01-02\nhello\n", "line 2 is not a date: 'hello'"),
        (b"2020-01-02\n\n2020-01-03\n", "line 2 is not a date: ''"),
        (b"2020-01-02\n2020-02-30\n", "line 2 is not a date: '2020-02-30'"),
        (b"2020-01-02\n2020-01-03 09:30:00\n", "line 2 is not a date"),
        (b"2020-01-02 09:30:00+08:00\n", "line 1 is not a date"),
        (b"2020-01-02\n2020-01-0\xff\n", "byte 20 is not text"),
        (b"20200102\n", "line 1 is not a date"),
        (b"NaT\n", "line 1 is not a date"),
        (b"2020-01-02\n\x00\x00\x00\x00", "line 2 is not a date"),
    ],
)
def test_a_broken_calendar_file_is_named_with_its_line(tmp_path, data, reason):
    path = write(tmp_path / "day.txt", data)
    with pytest.raises(CorruptFileError) as caught:
        read_sessions(path)
    assert reason in caught.value.reason
    assert caught.value.path == path
    assert caught.value.hint


def test_the_future_sessions_count_as_not_known(tmp_path):
    write(tmp_path / "calendars/day.txt", "2020-01-02\n2020-01-03\n")
    write(tmp_path / "calendars/day_future.txt", "2020-01-02\n2020-01-03\n2020-01-06\n")
    assert read_calendar(tmp_path) == TradingCalendar(GOOD, known=2)
    assert read_calendar(tmp_path, future=False) == TradingCalendar(GOOD[:2])


def test_the_past_is_taken_as_it_happened_and_the_difference_is_said(tmp_path, caplog):
    write(tmp_path / "calendars/day.txt", "2020-01-02\n2020-01-06\n")
    write(tmp_path / "calendars/day_future.txt", "2020-01-02\n2020-01-03\n2020-01-06\n2020-01-07\n")
    with caplog.at_level(logging.WARNING, logger="rollwright.calendar"):
        cal = read_calendar(tmp_path)
    assert cal == TradingCalendar(["2020-01-02", "2020-01-06", "2020-01-07"], known=2)
    assert "sessions=1 first=2020-01-03" in caplog.text


def test_intraday_files_keep_their_times(tmp_path):
    text = "2020-01-02 09:30:00\n2020-01-02 09:35:00\n"
    write(tmp_path / "calendars/5min.txt", text)
    cal = read_calendar(tmp_path, "5min")
    assert cal.freq == "5min"
    assert format_sessions(cal) == text


def test_what_is_written_is_read_back(tmp_path):
    cal = TradingCalendar(GOOD)
    assert TradingCalendar(read_sessions(write(tmp_path / "day.txt", format_sessions(cal)))) == cal
    assert format_sessions(cal) == "2020-01-02\n2020-01-03\n2020-01-06\n"


def test_nothing_there_is_its_own_error(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"no calendars/day\.txt"):
        read_calendar(tmp_path)


def settings_of(tmp_path, **values):
    return load_settings(values, start=tmp_path, environ={"HOME": str(tmp_path)})


def test_the_current_calendar_needs_a_provider(tmp_path):
    with using(settings_of(tmp_path)), pytest.raises(DataNotFoundError, match=r"no `data\.provider_uri` is set"):
        current_calendar()


def test_g7_the_current_calendar_sees_new_days(tmp_path):
    path = write(tmp_path / "market/calendars/day.txt", "2020-01-02\n2020-01-03\n")
    with using(settings_of(tmp_path, **{"data.provider_uri": "market"})):
        before = current_calendar()
        assert current_calendar() is before
        write(path, "2020-01-02\n2020-01-03\n2020-01-06\n")
        os.utime(path, ns=(1, 1))
        assert current_calendar().last == pd.Timestamp("2020-01-06")
        write(tmp_path / "market/calendars/day_future.txt", "2020-01-06\n2020-01-07\n")
        assert current_calendar() == TradingCalendar([*GOOD, "2020-01-07"], known=3)
        assert current_calendar(future=False).last == pd.Timestamp("2020-01-06")
    assert len(before) == 2
