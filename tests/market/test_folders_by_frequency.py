"""`provider_uri` as a mapping: each frequency has a folder of its own, as Qlib takes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright import D, DataHandlerLP, DatasetH, init
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.dataset.loader import QlibDataLoader
from rollwright.errors import ConfigError, DataNotFoundError
from rollwright.market.current import current_market


def write(root, freq: str, times: pd.DatetimeIndex, value: float) -> None:
    for folder in ("calendars", "instruments", "features/sh600000"):
        (root / folder).mkdir(parents=True)
    shape = "%Y-%m-%d" if freq == "day" else "%Y-%m-%d %H:%M:%S"
    (root / f"calendars/{freq}.txt").write_text("\n".join(f"{time:{shape}}" for time in times) + "\n")
    ends = f"{times[0]:{shape}}\t{times[-1]:{shape}}"
    (root / "instruments/all.txt").write_text(f"SH600000\t{ends}\n")
    values = np.array([0, *(value + np.arange(len(times)))], "<f4")
    values.tofile(root / f"features/sh600000/close.{freq}.bin")


@pytest.fixture
def folders(tmp_path):
    write(tmp_path / "daily", "day", pd.bdate_range("2024-01-01", periods=12), 100)
    minutes = pd.DatetimeIndex(
        [day + pd.Timedelta(minutes=570 + k) for day in pd.bdate_range("2024-01-01", periods=3) for k in range(10)]
    )
    write(tmp_path / "fine", "1min", minutes, 500)
    with using(load_settings()):
        yield {"day": str(tmp_path / "daily"), "1min": tmp_path / "fine"}


def first(frame: pd.DataFrame) -> float:
    return float(frame.iloc[0, 0])


@pytest.mark.parametrize("keys", [("day", "1min"), ("__DEFAULT_FREQ", "1min"), ("1d", "minute")])
def test_each_frequency_is_read_from_its_folder(folders, keys) -> None:
    init(provider_uri=dict(zip(keys, folders.values(), strict=True)), region="cn")
    assert first(D.features(["SH600000"], ["$close"])) == 100
    assert first(D.features(["SH600000"], ["$close"], freq="1min")) == 500
    assert len(D.calendar(freq="1min")) == 30
    assert len(D.calendar()) == 12
    assert D.list_instruments(D.instruments("all"), freq="1min", as_list=True) == ["SH600000"]
    assert current_market("1min").freq == "1min"


def test_datasets_of_either_frequency(folders) -> None:
    init(provider_uri=folders, region="cn")
    for freq, count in (("day", 12), ("1min", 30)):
        handler = DataHandlerLP("all", data_loader=QlibDataLoader({"feature": ["$close"]}, freq=freq))
        dataset = DatasetH(handler, segments={"train": (D.calendar(freq=freq)[0], D.calendar(freq=freq)[-1])})
        assert len(dataset.prepare("train")) == count


def test_a_plain_folder_replaces_a_mapping(folders) -> None:
    init(provider_uri=folders)
    settings = init(provider_uri=folders["day"])
    assert settings.data.provider_uris == {}
    with pytest.raises(DataNotFoundError, match="no calendar of frequency 1min"):
        D.calendar(freq="1min")


def test_the_frequency_of_the_settings_chooses_the_folder(folders) -> None:
    init(provider_uri=folders, freq="1min")
    assert current_market().freq == "1min"
    assert first(D.features(["SH600000"], ["$close"], freq="1min")) == 500


def test_a_mapping_in_the_project_s_file(folders, tmp_path) -> None:
    (tmp_path / "rollwright.toml").write_text('[data.provider_uri]\nday = "daily"\n1min = "fine"\n')
    with using(load_settings(start=tmp_path)):
        assert first(D.features(["SH600000"], ["$close"], freq="1min")) == 500
        assert first(D.features(["SH600000"], ["$close"])) == 100


@pytest.mark.parametrize("bad", [{}, {"day": 3}, {1: "market"}])
def test_what_is_no_mapping_of_folders_is_refused(bad) -> None:
    with using(load_settings()), pytest.raises(ConfigError, match="no mapping of frequencies"):
        init(provider_uri=bad)


def test_codes_are_found_in_any_case_and_stand_as_they_were_asked(folders) -> None:
    init(provider_uri=folders)
    for asked in ("sh600000", "SH600000", "Sh600000"):
        frame = D.features([asked], ["$close"])
        assert frame.index.get_level_values("instrument").unique().tolist() == [asked]
        assert len(frame.loc[asked]) == 12
    handler = DataHandlerLP(["sh600000"], data_loader=QlibDataLoader({"feature": ["$close"]}))
    assert handler.fetch().index.get_level_values("instrument").unique().tolist() == ["SH600000"]
