"""Arrow encoding: a pandas array as an Arrow array, with the JSON that restores exactly the same array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from rollwright.errors import UnsupportedArtifactError

__all__ = [
    "Column",
    "decode_dtype",
    "encode_column",
    "encode_text",
    "labels_from_json",
    "labels_to_json",
    "restore",
    "scalar_from_json",
]

_SPLIT: Final = "BYTE_STREAM_SPLIT"
_MASKED: Final = {str(dtype()): dtype for dtype in (
    pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype, pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype,
    pd.UInt64Dtype, pd.Float32Dtype, pd.Float64Dtype, pd.BooleanDtype,
)}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """An Arrow array, its metadata, and how Parquet encodes it (None: by dictionary)."""

    data: Any
    meta: dict[str, Any]
    encoding: str | None


def encode_column(values: pd.Series[Any] | pd.Index[Any], where: str) -> Column:
    """Return the column that holds `values`.

    Raises
    ------
    UnsupportedArtifactError
        For values without an exact form in Parquet; the error says `where`.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(pd.Categorical(values), where)
    if isinstance(dtype, pd.StringDtype):
        missing = "NA" if dtype.na_value is pd.NA else "nan"
        meta = {"dtype": "string", "storage": dtype.storage, "missing": missing, "coded": True}
        return Column(data=encode_text(values), meta=meta, encoding=None)
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return _texts(np.asarray(values, dtype=object), where)
    found = _encode_fixed_width(values)
    if found is None:
        raise UnsupportedArtifactError(
            f"{where} holds {dtype} values, which have no exact and safe form",
            hint="convert them to numbers, dates, text or categories",
        )
    data, encoding = found
    return Column(data=data, meta={"dtype": str(dtype), "coded": False}, encoding=encoding)


def encode_text(values: Any) -> Any:
    """Return text as one Arrow array; without any text there is no chunk, and Arrow forgets the type."""
    found = pa.array(getattr(values, "array", values), type=pa.string())
    return found.combine_chunks().cast(pa.string()) if isinstance(found, pa.ChunkedArray) else found


def _encode_fixed_width(values: pd.Series[Any] | pd.Index[Any]) -> tuple[Any, str] | None:
    """Return the Arrow array of numbers or dates and its encoding, None for anything else."""
    dtype = values.dtype
    if str(dtype) in _MASKED:
        return pa.array(values.array), "PLAIN"
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pa.array(np.asarray(pd.DatetimeIndex(values).tz_convert("UTC").tz_localize(None))), "PLAIN"
    kind = dtype.kind if isinstance(dtype, np.dtype) and dtype.itemsize <= 8 else ""
    if kind == "M":  # Parquet knows no seconds; the dtype in the metadata brings them back
        return pa.array(np.asarray(values)), "PLAIN"
    if kind == "m":
        return pa.array(np.asarray(values).view("i8")), "PLAIN"
    if kind and kind in "biuf":
        return pa.array(np.asarray(values)), _SPLIT if kind == "f" else "PLAIN"
    return None


def decode_dtype(meta: dict[str, Any]) -> Any:
    """Return the dtype that a column had."""
    kind = meta["dtype"]
    if kind == "string":
        return pd.StringDtype(meta["storage"], na_value=np.nan if meta["missing"] == "nan" else pd.NA)
    if kind == "category":
        return pd.CategoricalDtype(labels_from_json(meta["categories"]), ordered=meta["ordered"])
    if kind in _MASKED:
        return _MASKED[kind]()
    if kind.startswith("datetime64[") and "," in kind:
        unit, _, zone = kind.removeprefix("datetime64[").removesuffix("]").partition(", ")
        return pd.DatetimeTZDtype(unit, zone)
    return np.dtype(kind)


def restore(data: pa.ChunkedArray, meta: dict[str, Any]) -> Any:
    """Return the array that `encode_column` was given."""
    dtype = decode_dtype(meta)
    if meta["coded"] and pa.types.is_dictionary(data.type):
        data = data.cast(data.type.value_type)
    if isinstance(dtype, pd.CategoricalDtype):
        codes = data.fill_null(-1).to_numpy()
        return pd.Categorical.from_codes(codes, dtype=dtype)
    if isinstance(dtype, pd.StringDtype) or meta["dtype"] in _MASKED:
        # Arrow forgets the type of a dictionary that came in no chunks.
        return dtype.__from_arrow__(data.cast(pa.large_string()) if pa.types.is_null(data.type) else data)
    if dtype.kind == "O":
        return pd.Series(data.to_pylist(), dtype=object)  # a bare array of text would be taken for pandas' own text
    values = data.to_numpy()
    if not values.flags.writeable:  # Arrow's own memory, which nobody may change
        values = values.copy()
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values.astype(f"M8[{dtype.unit}]"), tz="UTC").tz_convert(dtype.tz).array
    if dtype.kind == "m":
        return values.view(dtype)
    return values.astype(dtype, copy=False)


def labels_to_json(labels: pd.Index[Any]) -> dict[str, Any]:
    """Return column labels, categories or names as JSON that keeps their types.

    Raises
    ------
    UnsupportedArtifactError
        For labels that are neither text, numbers, booleans, dates nor None.
    """
    names = [_scalar_to_json(name, "a name") for name in labels.names]
    if isinstance(labels, pd.MultiIndex):
        levels = [labels_to_json(labels.get_level_values(place)) for place in range(labels.nlevels)]
        return {"kind": "multi", "names": names, "levels": levels}
    if isinstance(labels, pd.RangeIndex):
        return {"kind": "range", "names": names, "values": [labels.start, labels.stop, labels.step]}
    values = [_scalar_to_json(label, f"label {label!r}") for label in labels]
    if isinstance(labels.dtype, pd.CategoricalDtype):
        raise UnsupportedArtifactError("labels that are categories have no stored form", hint="use plain labels")
    kind = "string" if isinstance(labels.dtype, pd.StringDtype) else str(labels.dtype)
    return {"kind": kind, "names": names, "values": values}


def labels_from_json(value: dict[str, Any]) -> pd.Index[Any]:
    """Return the labels that `labels_to_json` was given."""
    names = [scalar_from_json(name) for name in value["names"]]
    if value["kind"] == "multi":
        return pd.MultiIndex.from_arrays([labels_from_json(level) for level in value["levels"]], names=names)
    if value["kind"] == "range":
        return pd.RangeIndex(range(*value["values"]), name=names[0])
    kind = "str" if value["kind"] == "string" else value["kind"]
    items = [scalar_from_json(item) for item in value["values"]]
    if not kind.startswith("datetime64["):
        found: pd.Index[Any] = pd.Index(items, dtype=kind, name=names[0])
        return found
    return pd.DatetimeIndex(items, dtype=decode_dtype({"dtype": kind}), name=names[0])


def _scalar_to_json(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, pd.Timestamp):
        return {"timestamp": value.isoformat()}
    if isinstance(value, tuple):
        return {"tuple": [_scalar_to_json(item, where) for item in value]}
    raise UnsupportedArtifactError(f"{where} is {type(value).__name__}", hint="use text, numbers or dates as labels")


def scalar_from_json(value: Any) -> Any:
    """Return one label as it was before `labels_to_json` wrote it."""
    if not isinstance(value, dict):
        return value
    (kind, inner), *_ = value.items()
    if kind == "float":
        return float.fromhex(inner)
    if kind == "timestamp":
        return pd.Timestamp(inner)
    return tuple(scalar_from_json(item) for item in inner)


def _categorical(values: pd.Categorical, where: str) -> Column:
    codes = np.asarray(values.codes, dtype=np.int32)
    meta = {
        "dtype": "category",
        "categories": labels_to_json(pd.Index(values.categories)),
        "ordered": bool(values.ordered),
        "coded": False,
    }
    if isinstance(values.categories, pd.IntervalIndex | pd.PeriodIndex):
        raise UnsupportedArtifactError(f"{where} has categories of {values.categories.dtype}")
    return Column(data=pa.array(codes, mask=codes < 0), meta=meta, encoding="PLAIN")


def _texts(values: np.ndarray[Any, Any], where: str) -> Column:
    for place, value in enumerate(values):
        if value is not None and type(value) is not str:
            raise UnsupportedArtifactError(
                f"{where} holds objects: row {place} is {type(value).__name__}",
                hint="convert the column to numbers, dates or text; objects are never stored",
            )
    return Column(data=encode_text(values), meta={"dtype": "object", "coded": True}, encoding=None)
