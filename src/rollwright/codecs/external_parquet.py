"""Parquet files from other programs, read without extensions, and the decompression limit for Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rollwright.core.bounded_read import open_regular
from rollwright.errors import CorruptFileError

__all__ = ["exceeds_decompression_limit", "read_table"]

_ALWAYS_ALLOWED: Final = 128 << 20
_MAX_RATIO: Final = 3000  # a frame of nothing but zeros reaches 2750, one of scores less than 60


def exceeds_decompression_limit(*, rows: int, columns: int, size: int) -> bool:
    """Return whether a file of `size` bytes would decompress to more than a genuine table of `rows` and `columns`.

    A small file that decompresses to more than the memory holds is an attack. Eight bytes are counted for each value;
    128 MiB of them are always allowed.
    """
    values = 8 * rows * max(columns, 1)
    return values > _ALWAYS_ALLOWED and values > _MAX_RATIO * size


def read_table(path: Path) -> pd.DataFrame:
    """Return the frame in the Parquet file `path`.

    Raises
    ------
    CorruptFileError
        When it is no Parquet file, is damaged, or exceeds the decompression limit.
    """
    try:
        open_regular(path).close()  # a pipe would be waited for
        with pq.ParquetFile(path, arrow_extensions_enabled=False) as file:
            shape = file.metadata
            if exceeds_decompression_limit(rows=shape.num_rows, columns=shape.num_columns, size=path.stat().st_size):
                raise CorruptFileError(path, f"{shape.num_rows:,} rows exceed its decompression limit")
            frame: pd.DataFrame = file.read().to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptFileError(path, f"it cannot be read as parquet: {str(error).splitlines()[0][:200]}") from error
    return frame
