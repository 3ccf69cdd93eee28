"""The rows that a frame and a handler have: those of the fields they read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright import D, DataHandlerLP, init
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.dataset.loader import QlibDataLoader
from rollwright.errors import DataError

DAYS = pd.bdate_range("2024-01-01", periods=12)


@pytest.fixture(autouse=True)
def market(tmp_path):
    """A has pe from the fifth day on and three rows of it, turnover from the eighth; B has neither."""
    root = tmp_path / "market"
    for folder in ("calendars", "instruments", "features/a", "features/b"):
        (root / folder).mkdir(parents=True)
    (root / "calendars/day.txt").write_text("\n".join(f"{day:%Y-%m-%d}" for day in DAYS) + "\n")
    (root / "instruments/all.txt").write_text("".join(f"{code}\t2024-01-01\t2024-01-16\n" for code in "AB"))
    for code in "ab":
        np.array([0, *range(12)], "<f4").tofile(root / f"features/{code}/close.day.bin")
    np.array([4, 1, 2, 3], "<f4").tofile(root / "features/a/pe.day.bin")
    np.array([8, 7, 9], "<f4").tofile(root / "features/a/turn.day.bin")
    with using(load_settings(start=tmp_path)):
        init(provider_uri=str(root), store__path=str(tmp_path / "features"))
        yield


def rows(frame: pd.DataFrame) -> dict[str, list[int]]:
    days = {day: number for number, day in enumerate(DAYS)}
    found: dict[str, list[int]] = {}
    for code, day in frame.reorder_levels(["instrument", "datetime"]).sort_index().index:
        found.setdefault(code, []).append(days[day])
    return found


EXPECTED = [
    (["$pe"], {"A": [4, 5, 6]}),
    (["$pe", "$turn"], {"A": [4, 5, 6, 8, 9]}),  # a row that any of them has; not what lies between
    (["Count($pe+$turn,2)"], {"A": [4, 5, 6, 7, 8, 9]}),
    (["Ref($pe,1)", "Mean($pe,3)"], {"A": [4, 5, 6]}),
    (["$close", "$pe"], {"A": list(range(12)), "B": list(range(12))}),
    (["$pe/$close"], {"A": list(range(12)), "B": list(range(12))}),
]


@pytest.mark.parametrize("disk_cache", [0, 1])
@pytest.mark.parametrize(("fields", "expected"), EXPECTED)
def test_a_frame_has_the_rows_of_its_fields(fields, expected, disk_cache) -> None:
    for instruments in (["A", "B"], D.instruments("all")):
        frame = D.features(instruments, fields, disk_cache=disk_cache)
        assert rows(frame) == expected
        assert (frame.dtypes == np.float32).all()


def test_a_range_cuts_them() -> None:
    frame = D.features(["A", "B"], ["$pe"], DAYS[5], DAYS[10])
    assert rows(frame) == {"A": [5, 6]}


def test_an_instrument_that_lacks_the_field_has_no_row() -> None:
    frame = D.features(["B"], ["$pe", "Mean($pe,3)"])
    assert frame.shape == (0, 2)
    assert frame.index.names == ["instrument", "datetime"]
    assert list(frame.columns) == ["$pe", "Mean($pe,3)"]
    with pytest.raises(DataError, match="there are no rows"):
        D.features(["B"], ["$pe"], "2030-01-01", "2030-02-01")


@pytest.mark.parametrize(("fields", "expected"), EXPECTED)
def test_a_handler_has_the_rows_of_all_its_groups(fields, expected) -> None:
    handler = DataHandlerLP("all", data_loader=QlibDataLoader({"feature": fields}))
    assert rows(handler.fetch()) == expected
    both = DataHandlerLP("all", data_loader=QlibDataLoader({"feature": fields, "label": ["Ref($close,-1)"]}))
    assert rows(both.fetch()) == {"A": list(range(12)), "B": list(range(12))}
    late = DataHandlerLP("all", data_loader=QlibDataLoader({"feature": ["$pe"], "label": ["Ref($turn,-1)"]}))
    assert rows(late.fetch()) == {"A": [4, 5, 6, 8, 9]}
