"""Parquet files of anybody: read without extensions, and not when they were made to fill memory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rollwright.codecs.decompression import unfolds_too_far
from rollwright.errors import CorruptFileError

__all__ = ["read_table"]


def read_table(path: Path) -> pd.DataFrame:
    """Return the frame in the Parquet file `path`.

    Raises
    ------
    CorruptFileError
        When it is no Parquet file, is damaged, or would unfold into more than it can hold.
    """
    try:
        with pq.ParquetFile(path, arrow_extensions_enabled=False) as file:
            shape = file.metadata
            if unfolds_too_far(rows=shape.num_rows, columns=shape.num_columns, size=path.stat().st_size):
                raise CorruptFileError(path, f"it would unfold into {shape.num_rows:,} rows, which it cannot hold")
            frame: pd.DataFrame = file.read().to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptFileError(path, f"it cannot be read as parquet: {str(error).splitlines()[0][:200]}") from error
    return frame
