"""Files of a field by period as Qlib's own dumper writes them: one record after another, links mended as they come."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

NONE = 0xFFFFFFFF
PER_YEAR = {"q": 4, "a": 1, "m": 12, "d": 0}

Row = tuple[int, int, float]
"""Date, period, value."""


def dump(rows: Iterable[Row], interval: str) -> tuple[bytes, bytes]:
    """Return the bytes of the records, and of their index."""
    rows = sorted(rows, key=lambda row: row[0])  # stable, as in the order they are given
    per_year = PER_YEAR[interval]
    if not per_year:  # days, which Qlib does not know: no index, and here nothing that is restated
        return b"".join(struct.pack("<IIdI", *row, NONE) for row in rows), b""
    years = [period if interval == "a" else period // 100 for _, period, _ in rows]
    index = [NONE] * ((max(years) - min(years) + 1) * per_year)
    data = bytearray()
    for (date, period, value), year in zip(rows, years, strict=True):
        slot = (year - min(years)) * per_year + (0 if interval == "a" else period % 100 - 1)
        here = len(data)
        if index[slot] == NONE:
            index[slot] = here
        else:
            place = index[slot]
            while (link := struct.unpack_from("<I", data, place + 16)[0]) != NONE:
                place = link
            struct.pack_into("<I", data, place + 16, here)
        data += struct.pack("<IIdI", date, period, value, NONE)
    return bytes(data), struct.pack(f"<{len(index) + 1}I", min(years), *index)


def write(root: Path, folder: str, field: str, rows: Iterable[Row]) -> Path:
    """Write both files of one instrument into a data folder, and return the path of the records."""
    place = root / "financial" / folder
    place.mkdir(parents=True, exist_ok=True)
    data, index = dump(rows, field[-1])
    (place / f"{field}.data").write_bytes(data)
    if index:
        (place / f"{field}.index").write_bytes(index)
    return place / f"{field}.data"


MOUTAI: tuple[Row, ...] = (
    (20070428, 200701, 0.090219),
    (20070817, 200702, 0.13933),
    (20071023, 200703, 0.245863),
    (20080301, 200704, 0.3479),
    (20080313, 200704, 0.395989),
    (20080422, 200801, 0.100724),
    (20120323, 201104, 0.4039),
    (20120411, 201104, 0.403925),
    (20150421, 201404, 0.313743),
    (20150421, 201501, 0.078494),
    (20190713, 201902, 0.0),
    (20190718, 201902, 0.175322),
)
"""Some of the published values of Kweichow Moutai's weighted return on equity, among them all that were restated; that
of 201404 is a stand-in."""
