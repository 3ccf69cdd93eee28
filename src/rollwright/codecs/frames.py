"""Frames and arrays as files: Parquet and npy, exact, deterministic, and never with objects inside.

A frame becomes one Parquet file whose columns are those of its index followed by its own; what Parquet cannot express
(labels, units, categories, the name of a Series) is JSON in the file's metadata under ``rollwright``. Other
readers see an ordinary table. Nothing that depends on time, place or run is written, so equal frames give equal bytes
with the same version of Arrow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rollwright.codecs.arrow_encoding import (
    Column,
    decode_dtype,
    encode_column,
    encode_text,
    labels_from_json,
    labels_to_json,
    restore,
    scalar_from_json,
)
from rollwright.codecs.external_parquet import exceeds_decompression_limit
from rollwright.codecs.registry import Codec
from rollwright.core.bounded_read import open_regular
from rollwright.errors import CorruptArtifactError, UnsupportedArtifactError

__all__ = ["NpyCodec", "ParquetCodec"]

FORMAT: Final = 1
_KEY: Final = b"rollwright"
_ROW_GROUP: Final = 1 << 20
_THREADED: Final = 1 << 17
"""Cells above which the columns of a file are decoded side by side; of fewer, waking threads costs more."""


class ParquetCodec(Codec):
    """Pandas frames and series.

    Guarantees: values, order, index, names, dtypes, categories, units and time zones come back as they were, NaN, NaT
    and NA as themselves. Not kept: ``attrs``, a subclass of DataFrame, and the ``freq`` of dates anywhere but in a
    plain index.

    Raises
    ------
    UnsupportedArtifactError
        When written: objects other than text, and periods, intervals, complex or sparse values, each by its column.
    CorruptArtifactError
        When read: a file that `write` did not make.
    """

    kind = "parquet"
    suffix = ".parquet"

    def write(self, obj: pd.DataFrame | pd.Series[Any], path: Path) -> None:
        """Write `obj` to the new file `path`."""
        try:
            self._write(obj, path)
        except UnicodeEncodeError as error:
            raise UnsupportedArtifactError(
                f"a text of the frame is not UTF-8 ({error.object[error.start : error.start + 20]!r}), and Parquet "
                "holds no other",
                hint="decode it: `column.str.encode('utf-8', 'surrogateescape').str.decode(ENCODING)`, or replace it",
            ) from error

    def _write(self, obj: pd.DataFrame | pd.Series[Any], path: Path) -> None:
        series = isinstance(obj, pd.Series)
        frame = obj.to_frame() if isinstance(obj, pd.Series) else obj
        index, shape = _index_columns(frame.index)
        columns = [encode_column(frame.iloc[:, at], f"column {label!r}") for at, label in enumerate(frame.columns)]
        meta = {
            "format": FORMAT,
            "shape": "series" if series else "frame",
            "unnamed": series and obj.name is None,
            "rows": len(frame),
            "index": shape,
            "labels": labels_to_json(frame.columns),
            "columns": [column.meta for column in (*index, *columns)],
        }
        names = _file_names(frame, len(index))
        everything = dict(zip(names, (*index, *columns), strict=True))
        table = pa.table({name: column.data for name, column in everything.items()})
        text = json.dumps(meta, sort_keys=True, ensure_ascii=False, allow_nan=False)
        with pq.ParquetWriter(
            path,
            table.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name, column in everything.items() if column.encoding is None],
            column_encoding={name: column.encoding for name, column in everything.items() if column.encoding},
            write_statistics=False,
            store_schema=False,
        ) as writer:
            writer.write_table(table, row_group_size=_ROW_GROUP)
            writer.add_key_value_metadata({_KEY.decode(): text})
        if exceeds_decompression_limit(rows=len(frame), columns=len(everything), size=path.stat().st_size):
            raise UnsupportedArtifactError(  # what would not be read again is not written
                f"a frame of {len(frame):,} rows that are nearly all equal exceeds the decompression limit",
                hint="keep what differs between its rows",
            )

    def read(self, path: Path) -> pd.DataFrame | pd.Series[Any]:
        """Return the frame or series in the file `path`."""
        try:
            table, meta = _read_table(path)
            return _rebuild(table, meta)
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise CorruptArtifactError(f"{path.name} holds no frame of ours: {error}") from error


class NpyCodec(Codec):
    """NumPy arrays without objects."""

    kind = "npy"
    suffix = ".npy"

    def write(self, obj: NDArray[Any], path: Path) -> None:
        """Write `obj` to the new file `path`."""
        if obj.dtype.hasobject:
            raise UnsupportedArtifactError(f"an array of {obj.dtype} holds objects and has no safe form")
        with path.open("wb") as handle:
            np.save(handle, obj, allow_pickle=False)

    def read(self, path: Path) -> NDArray[Any]:
        """Return the array in the file `path`."""
        try:
            with open_regular(path) as handle:
                array: NDArray[Any] = np.load(handle, allow_pickle=False)
        except (ValueError, OSError, EOFError, SyntaxError, MemoryError) as error:  # a shape may be any number
            raise CorruptArtifactError(f"{path.name} holds no array of ours: {error}") from error
        if not isinstance(array, np.ndarray):
            raise CorruptArtifactError(f"{path.name} is an archive, and no array of ours")
        return array


def _index_columns(index: pd.Index[Any]) -> tuple[list[Column], dict[str, Any]]:
    """Return the columns that hold `index`, and how they make it up."""
    names = labels_to_json(pd.Index(list(index.names), dtype=object))
    if isinstance(index, pd.RangeIndex):
        return [], {"kind": "range", "names": names, "range": [index.start, index.stop, index.step]}
    if isinstance(index, pd.MultiIndex):
        columns = [_level_column(index, place) for place in range(index.nlevels)]
        return columns, {"kind": "multi", "names": names}
    freq = index.freqstr if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex) else None
    return [encode_column(index, "the index")], {"kind": "plain", "names": names, "freq": freq}


def _level_column(index: pd.MultiIndex, place: int) -> Column:
    """Return one level row by row; text goes in as it is coded already, so that nothing is hashed again."""
    level = index.levels[place]
    where = f"index level {index.names[place]!r}"
    if not isinstance(level.dtype, pd.StringDtype):
        return encode_column(index.get_level_values(place), where)
    codes = np.asarray(index.codes[place])
    used = np.zeros(len(level) + 1, dtype=bool)  # the last place stands for code -1, a missing value
    used[codes] = True
    meta = encode_column(level[:0], where).meta
    if used[:-1].all() and not used[-1] and level.is_monotonic_increasing:
        return Column(data=_dictionary(codes.astype(np.int32), level, None), meta=meta, encoding=None)
    kept = np.flatnonzero(used[:-1])
    kept = kept[level.take(kept).argsort()]  # equal frames may number their levels differently
    table = np.full(len(level) + 1, -1, dtype=np.int32)
    table[kept] = np.arange(len(kept), dtype=np.int32)
    fresh = table[codes]
    missing = fresh < 0 if used[-1] else None
    return Column(data=_dictionary(fresh, level.take(kept), missing), meta=meta, encoding=None)


def _dictionary(codes: NDArray[np.int32], level: pd.Index[Any], missing: NDArray[np.bool_] | None) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=missing), encode_text(level))


def _file_names(frame: pd.DataFrame, index: int) -> list[str]:
    """Return one unique, readable name for each column of the file."""
    wanted: list[object] = [*(frame.index.names[:index]), *frame.columns]
    names: list[str] = []
    for place, label in enumerate(wanted):
        text = ".".join(map(str, label)) if isinstance(label, tuple) else str(label)
        free = label is not None and text not in names
        names.append(text if free else f"__{place}__")
    return names if len(set(names)) == len(names) else [f"__{place}__" for place in range(len(names))]


def _read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    open_regular(path).close()  # a pipe would be waited for
    with pa.memory_map(str(path)) as source:
        shape = pq.read_metadata(source)
        raw = (shape.metadata or {}).get(_KEY)
        if raw is None:
            raise CorruptArtifactError(f"{path.name} is a Parquet file, but not one written here")
        meta: dict[str, Any] = json.loads(raw)
        if meta["format"] != FORMAT or meta["rows"] != shape.num_rows:
            raise CorruptArtifactError(f"{path.name} was written in a form this version cannot read")
        if exceeds_decompression_limit(rows=shape.num_rows, columns=shape.num_columns, size=source.size()):
            raise CorruptArtifactError(
                f"{path.name} holds {shape.num_rows:,} rows, which exceeds its decompression limit"
            )
        names = shape.schema.names
        coded = [name for name, column in zip(names, meta["columns"], strict=True) if column["coded"]]
        file = pq.ParquetFile(source, metadata=shape, read_dictionary=coded, arrow_extensions_enabled=False)
        return file.read(use_threads=shape.num_rows * shape.num_columns > _THREADED), meta


def _rebuild(table: pa.Table, meta: dict[str, Any]) -> pd.DataFrame | pd.Series[Any]:
    shape = meta["index"]
    count = {"range": 0, "plain": 1}.get(shape["kind"], len(shape["names"]["values"]))
    columns = table.columns
    index = _rebuild_index(columns[:count], meta["columns"][:count], shape)
    arrays = [
        restore(data, described) for data, described in zip(columns[count:], meta["columns"][count:], strict=True)
    ]
    frame = pd.DataFrame(dict(enumerate(arrays)), index=index, copy=False)
    frame.columns = labels_from_json(meta["labels"])
    if meta["shape"] == "frame":
        return frame
    series = frame.iloc[:, 0]
    return series.rename(None) if meta["unnamed"] else series


def _rebuild_index(
    columns: Sequence[pa.ChunkedArray], metas: Sequence[dict[str, Any]], shape: dict[str, Any]
) -> pd.Index[Any]:
    names = _read_names(shape["names"])
    if shape["kind"] == "range":
        return pd.RangeIndex(range(*shape["range"]), name=names[0])
    if shape["kind"] == "plain":
        values = restore(columns[0], metas[0])
        index: pd.Index[Any] = pd.Index(values, dtype=decode_dtype(metas[0]), name=names[0], copy=False)
        if shape["freq"] is not None and isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
            index.freq = shape["freq"]  # type: ignore[misc]  # the stubs lack the setter
        return index
    levels, codes = zip(*(_level(data, meta) for data, meta in zip(columns, metas, strict=True)), strict=True)
    return pd.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=False)


def _read_names(names: dict[str, Any]) -> list[Any]:
    if names["kind"] == "object":  # nearly always: text or None, which needs no index to be made of it
        return [scalar_from_json(name) for name in names["values"]]
    return list(labels_from_json(names))


def _level(data: pa.ChunkedArray, meta: dict[str, Any]) -> tuple[pd.Index[Any], NDArray[Any]]:
    """Return the level and the codes of one column of a MultiIndex, the level sorted where that is possible."""
    if pa.types.is_dictionary(data.type):
        joined = data.combine_chunks() if data.num_chunks != 1 else data.chunk(0)
        if isinstance(joined, pa.DictionaryArray):
            level = pd.Index(restore(pa.chunked_array([joined.dictionary]), {**meta, "coded": False}))
            indices = joined.indices.fill_null(-1) if joined.null_count else joined.indices
            codes = indices.to_numpy(zero_copy_only=False)
            if level.is_monotonic_increasing:
                return level, codes
            order = level.argsort()
            back = np.empty(len(order) + 1, dtype=np.int32)
            back[order], back[-1] = np.arange(len(order), dtype=np.int32), -1
            return level.take(order), back[codes]
    dtype = decode_dtype(meta)
    restored = restore(data, meta)
    if isinstance(dtype, np.dtype) and dtype.kind == "M" and len(restored):
        raw = restored.view(np.int64)  # NaT is the least of all
        starts = np.concatenate(([0], np.flatnonzero(raw[1:] != raw[:-1]) + 1))
        firsts = raw[starts]
        if firsts[0] != pd.NaT.value and (firsts[1:] > firsts[:-1]).all():
            lengths = np.diff(starts, append=len(raw))
            return pd.DatetimeIndex(restored[starts]), np.repeat(np.arange(len(starts), dtype=np.int32), lengths)
    values = pd.Index(restored, dtype=dtype, copy=False)
    codes, level = pd.factorize(values, sort=True)
    return pd.Index(level), codes
