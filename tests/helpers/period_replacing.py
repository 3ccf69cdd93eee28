"""A writer that replaces all values of a market by period, again and again, and readers that look at all of them."""

from __future__ import annotations

import sys

import pandas as pd

from rollwright.errors import DataError
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.periods.period_import import import_periods

FIELDS, CODES = ("x_q", "y_q"), ("AAA", "BBB")


def write(target: str, times: int) -> None:
    """Put 1, then 2 … up to `times` in place of every value."""
    for number in range(1, times + 1):
        rows = [("2008-04-20", 200801, float(number), field, code) for field in FIELDS for code in CODES]
        frame = pd.DataFrame(rows, columns=["date", "period", "value", "field", "instrument"])
        import_periods(frame, target, replace=True)


def read(target: str, last: int) -> int:
    """Read all values until they are `last`, and return how often that was possible; all are of one version."""
    reads, value = 0, 0.0
    while value < last:
        try:
            provider = QlibProvider(target)
            found = {one for field in FIELDS for one in provider.vintages(field, CODES).value.tolist()}
        except DataError as error:
            if "was replaced" not in str(error):
                raise
            continue
        assert len(found) == 1, found
        assert found >= {value} or max(found) > value
        value = found.pop()
        reads += 1
    return reads


if __name__ == "__main__":
    what, folder, number = sys.argv[1:]
    if what == "write":
        write(folder, int(number))
    else:
        sys.exit(0 if read(folder, int(number)) else 3)
