"""Rebuild a frame, series, array or plain value from the notes of a pickle: all is checked, nothing is called."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.compat.pickle_reader import MappingNote, Note
from rollwright.errors import UnsupportedArtifactError

__all__ = ["Rebuilder"]

MAX_PARTS: Final = 5_000_000
_MAX_DEPTH: Final = 64
_DTYPE: Final = re.compile(r"[biuf](1|2|4|8)|[USO]\d{1,4}|M8|m8")
_PLAIN: Final = frozenset({str, int, float, bool, bytes, bytearray, type(None)})
_UNITS: Final = ("s", "ms", "us", "ns", "D")


class Rebuilder:
    """Rebuilds one value; `UnsupportedArtifactError` names the first part that has no form here.

    Parameters
    ----------
    where : str
        What messages call the file.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._left = MAX_PARTS
        self._built: dict[int, Any] = {}
        self._kept: list[Any] = []

    def value(self, note: Any, depth: int = 0) -> Any:
        """Return what `note` stands for."""
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise self._make_error("it holds more parts, or is nested deeper, than any result")
        if isinstance(note, list | tuple):
            self._left -= len(note)
            items = [item if type(item) in _PLAIN else self.value(item, depth + 1) for item in note]
            return items if isinstance(note, list) else tuple(items)
        if isinstance(note, dict):
            self._left -= len(note)
            return {self._check_key(key): self.value(item, depth + 1) for key, item in note.items()}
        if isinstance(note, Note):
            if id(note) not in self._built:  # one object of several places is rebuilt once
                self._kept.append(note)
                self._built[id(note)] = self._rebuild(note, depth + 1)
            return self._built[id(note)]
        if type(note) not in _PLAIN:
            name = note.name if isinstance(note, type) and issubclass(note, Note) else type(note).__name__
            raise self._make_error(f"{name} stands where a value belongs")
        return note

    def _rebuild(self, note: Note, depth: int) -> Any:
        if note.meaning not in _FORMS:
            raise self._make_error(f"{note.name} stands where a value belongs")
        counts, has_state = _FORMS[note.meaning]
        if len(note.args) not in counts or (note.state is not None and not has_state):
            raise self._make_error(f"{note.name} is made of other parts than any result")
        return getattr(self, f"_make_{note.meaning}")(note, depth)

    def _check_key(self, key: Any) -> str:
        if isinstance(key, str):  # no format here takes anything else as a key
            return key
        raise self._make_error("a key of a dictionary is not text")

    def _make_error(self, reason: str) -> UnsupportedArtifactError:
        return UnsupportedArtifactError(f"{self._where} cannot be converted: {reason}")

    def _check_state(self, note: Note, count: int) -> tuple[Any, ...]:
        if not isinstance(note.state, tuple) or len(note.state) < count:
            raise self._make_error(f"{note.name} has a state of another form")
        return note.state

    def _check_table(self, note: Any) -> dict[str, Any]:
        if not isinstance(note, dict):
            raise self._make_error("a state is not a dictionary")
        return {key: item for key, item in note.items() if isinstance(key, str)}

    # -- plain values ---------------------------------------------------------------------------------------------

    def _make_encode(self, note: Note, depth: int) -> bytes:
        del depth
        text, coding = note.args
        if coding != "latin1" or not isinstance(text, str):
            raise self._make_error("bytes are spelled in an unknown way")
        return text.encode("latin1")

    def _make_bytearray(self, note: Note, depth: int) -> bytes:
        found = self.value(note.args[0], depth) if note.args else b""
        if not isinstance(found, bytes | bytearray):
            raise self._make_error("a buffer holds no bytes")
        return bytes(found)

    _make_arrow_buffer = _make_bytearray

    def _make_OrderedDict(self, note: Note, depth: int) -> Any:  # noqa: N802 - after the name in the file
        if not isinstance(note, MappingNote):
            raise self._make_error(f"{note.name} is not a mapping")
        return self.value(note.items, depth)

    def _make_date(self, note: Note, depth: int) -> date:
        raw = self.value(note.args[0], depth)
        year, month, day = raw[0] * 256 + raw[1], raw[2], raw[3]
        return date(year, month, day)

    def _make_datetime(self, note: Note, depth: int) -> datetime:
        raw = self.value(note.args[0], depth)
        micro = int.from_bytes(raw[7:10], "big")
        return datetime(raw[0] * 256 + raw[1], raw[2], raw[3], raw[4], raw[5], raw[6], micro)  # noqa: DTZ001 - a label

    def _make_timestamp(self, note: Note, depth: int) -> Any:
        del depth
        number, _, zone, *rest = note.args
        unit = {7: "s", 8: "ms", 9: "us", 10: "ns"}.get(rest[0] if rest else 10)  # pandas before 2 has no fourth
        if zone is not None or unit is None or not isinstance(number, int):
            raise self._make_error("a timestamp has a time zone")
        return pd.Timestamp(np.datetime64(number, unit))  # type: ignore[call-overload]  # one of four units

    # -- NumPy ----------------------------------------------------------------------------------------------------

    def _make_dtype(self, note: Note, depth: int) -> np.dtype[Any]:
        text = note.args[0]
        if not isinstance(text, str) or not _DTYPE.fullmatch(text):
            raise self._make_error(f"an array is of dtype {str(text)[:40]!r}")
        state = self._check_state(note, 2)
        order = state[1] if state[1] in ("<", ">") else ""
        if text not in ("M8", "m8"):
            return np.dtype(f"{order}{text.replace('O8', 'O')}")
        unit = self.value(state[8][1], depth)[0] if len(state) > 8 else b"ns"
        unit = unit.decode() if isinstance(unit, bytes) else str(unit)
        if unit not in _UNITS:
            raise self._make_error(f"dates are counted in {unit[:10]!r}")
        return np.dtype(f"{order}{text}[{unit}]")

    def _make_array(self, note: Note, depth: int) -> NDArray[Any]:
        _, shape, dtype, fortran, data = self._check_state(note, 5)[:5]
        return self._build_array(
            self.value(data, depth), self.value(dtype, depth), self.value(shape, depth), bool(fortran)
        )

    def _make_buffer(self, note: Note, depth: int) -> NDArray[Any]:
        data, dtype, shape, order = (self.value(item, depth) for item in note.args)
        return self._build_array(data, dtype, shape, order == "F")

    def _build_array(self, data: Any, dtype: Any, shape: Any, fortran: bool) -> NDArray[Any]:  # noqa: FBT001 - positions
        sizes = shape if isinstance(shape, tuple) else ()
        if not isinstance(dtype, np.dtype) or not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise self._make_error("an array has no usable shape or dtype")
        count = 1
        for size in sizes:
            count *= size
        if dtype.hasobject:
            if not isinstance(data, list) or len(data) != count or not all(_is_leaf(item) for item in data):
                raise self._make_error("an array holds objects that are neither text nor numbers")
            flat = np.empty(count, dtype=object)
            flat[:] = data
        else:
            if not isinstance(data, bytes | bytearray) or len(data) != count * dtype.itemsize:
                raise self._make_error("an array's bytes do not fit its shape")
            flat = np.frombuffer(bytes(data), dtype=dtype)
        return flat.reshape(sizes, order="F" if fortran else "C").copy()

    def _make_scalar(self, note: Note, depth: int) -> Any:
        dtype, raw = (self.value(item, depth) for item in note.args)
        found = self._build_array(raw, dtype, (), fortran=False)
        return found[()]

    # -- pandas ---------------------------------------------------------------------------------------------------

    def _make_backed(self, note: Note, depth: int) -> NDArray[Any]:
        if _get_meaning(note.args[0]) != "DatetimeArray":
            raise self._make_error("an array of pandas is not of dates")
        parts = [self.value(part, depth) for part in self._check_state(note, 2)]
        arrays = [part for part in parts if isinstance(part, np.ndarray)]
        if len(arrays) != 1 or arrays[0].dtype.kind != "M":
            raise self._make_error("an array of dates holds something else, or have a time zone")
        return arrays[0]

    def _make_frequency(self, note: Note, depth: int) -> None:
        """Drop it: what follows from the dates themselves is not kept."""

    def _make_arrow_text(self, note: Note, depth: int) -> NDArray[Any]:
        chunks = self.value(self._check_table(note.state)["_pa_array"], depth)
        return np.concatenate(chunks) if isinstance(chunks, list) else chunks

    def _make_arrow_chunks(self, note: Note, depth: int) -> list[Any]:
        found = self.value(note.args[0], depth)
        return list(found) or [np.empty(0, dtype=object)]

    def _make_arrow_type(self, note: Note, depth: int) -> str:
        del depth
        return str(note.args[0])

    def _make_arrow_array(self, note: Note, depth: int) -> NDArray[Any]:
        parts = self.value(note.args[0], depth)
        kind, length, _, offset, buffers = parts[:5]
        width = {"string": 4, "large_string": 8, "utf8": 4, "large_utf8": 8}.get(kind)
        counts_fit = isinstance(length, int) and isinstance(offset, int) and min(length, offset) >= 0
        if width is None or not counts_fit or len(buffers) != 3:
            raise self._make_error(f"an Arrow array is of type {str(kind)[:40]}")
        valid, places, text = (item or b"" for item in buffers)
        if length and len(places) < (offset + length + 1) * width:
            raise self._make_error("an Arrow array's offsets are cut")
        if valid and len(valid) * 8 < offset + length:
            raise self._make_error("an Arrow array's validity is cut")
        if not length:
            return np.empty(0, dtype=object)
        starts = np.frombuffer(places, dtype=f"<i{width}")[offset : offset + length + 1]
        if (np.diff(starts) < 0).any() or starts[0] < 0 or starts[-1] > len(text):
            raise self._make_error("an Arrow array's offsets do not rise")
        known = np.unpackbits(np.frombuffer(valid, dtype=np.uint8), bitorder="little")[offset:] if valid else None
        found = np.empty(length, dtype=object)
        bounds = starts.tolist()
        for place in range(length):
            missing = known is not None and not known[place]
            found[place] = None if missing else text[bounds[place] : bounds[place + 1]].decode()
        return found

    def _make_FrozenList(self, note: Note, depth: int) -> Any:  # noqa: N802 - after the name in the file
        return self.value(note.args[0] if note.args else [], depth)

    def _make_new_index(self, note: Note, depth: int) -> pd.Index[Any]:
        cls, given = note.args
        kind = _get_meaning(cls)
        facts = self._check_table(given)
        name = self.value(facts.get("name"), depth)
        if kind == "RangeIndex":
            start, stop, step = (int(facts[key]) for key in ("start", "stop", "step"))
            return pd.RangeIndex(start, stop, step, name=name)
        if kind == "MultiIndex":
            levels = [self._check_index(level, depth) for level in self.value(facts["levels"], depth)]
            codes = [np.asarray(part) for part in self.value(facts["codes"], depth)]
            names = self.value(facts["names"], depth)
            if any(part.dtype.kind not in "iu" for part in codes):
                raise self._make_error("the codes of an index are not integers")
            return pd.MultiIndex(levels=levels, codes=codes, names=list(names))  # type: ignore[arg-type]  # stubs
        if kind in ("Index", "DatetimeIndex"):
            return _make_index(self.value(facts["data"], depth), name)
        raise self._make_error("an index is of an unknown kind")

    _make_new_dates = _make_new_index

    def _check_index(self, found: Any, depth: int) -> pd.Index[Any]:
        del depth
        if not isinstance(found, pd.Index):
            raise self._make_error("an index is none")
        return found

    def _make_block(self, note: Note, depth: int) -> tuple[Any, list[int]]:
        values, placement, _ = note.args
        return self.value(values, depth), self._read_places(placement, depth)

    def _read_places(self, placement: Any, depth: int) -> list[int]:
        if isinstance(placement, Note) and placement.meaning == "slice":
            bounds = [int(part) for part in placement.args]
            return list(range(*bounds)) if abs(bounds[1] - bounds[0]) < MAX_PARTS else []
        return [int(place) for place in np.asarray(self.value(placement, depth)).tolist()]

    def _make_manager(self, note: Note, depth: int) -> tuple[list[tuple[Any, list[int]]], list[pd.Index[Any]]]:
        if len(note.args) == 2:
            blocks, axes = (self.value(part, depth) for part in note.args)
        else:  # pandas before 2 sets them afterwards
            parts = self._check_table(self._check_state(note, 4)[3])
            parts = self._check_table(parts["0.14.1"])
            axes = self.value(parts["axes"], depth)
            blocks = [
                (
                    self.value(self._check_table(block)["values"], depth),
                    self._read_places(self._check_table(block)["mgr_locs"], depth),
                )
                for block in parts["blocks"]
            ]
        if not isinstance(blocks, list | tuple) or not all(isinstance(axis, pd.Index) for axis in axes):
            raise self._make_error("a frame has no blocks or axes")
        return list(blocks), list(axes)

    def _make_Series(self, note: Note, depth: int) -> pd.Series[Any]:  # noqa: N802 - after the name in the file
        state = self._check_table(note.state)
        blocks, axes = self.value(state["_mgr"] if "_mgr" in state else state["_data"], depth)
        name = self.value(state.get("_name", state.get("name")), depth)
        return pd.Series(_to_column(blocks[0][0]), index=axes[0], name=name)

    def _make_DataFrame(self, note: Note, depth: int) -> pd.DataFrame:  # noqa: N802 - after the name in the file
        state = self._check_table(note.state)
        blocks, (labels, rows) = self.value(state["_mgr"] if "_mgr" in state else state["_data"], depth)
        columns: dict[int, Any] = {}
        for values, places in blocks:
            for row, place in enumerate(places):
                columns[place] = _to_column(values[row] if getattr(values, "ndim", 1) == 2 else values)
        if sorted(columns) != list(range(len(labels))):
            raise self._make_error("the blocks of a frame are not its columns")
        frame = pd.DataFrame({place: columns[place] for place in range(len(labels))}, index=rows)
        frame.columns = labels
        return frame


# For each meaning how many arguments it has, and whether a state is set on it, as pandas and NumPy write it. Anything
# more would be dropped without a word, so it is refused.
_FORMS: Final[dict[str, tuple[tuple[int, ...], bool]]] = {
    "encode": ((2,), False),
    "bytearray": ((0, 1), False),
    "OrderedDict": ((0,), False),
    "date": ((1,), False),
    "datetime": ((1,), False),
    "timestamp": ((3, 4), False),
    "dtype": ((3,), True),
    "array": ((3,), True),
    "buffer": ((4,), False),
    "scalar": ((2,), False),
    "backed": ((3,), True),
    "frequency": ((0, 1, 2, 3), True),
    "arrow_text": ((0,), True),
    "arrow_chunks": ((1, 2), False),
    "arrow_type": ((1,), False),
    "arrow_buffer": ((1,), False),
    "arrow_array": ((1,), False),
    "FrozenList": ((0, 1), False),
    "new_index": ((2,), False),
    "new_dates": ((2,), False),
    "block": ((3,), False),
    "manager": ((0, 2), True),
    "Series": ((0,), True),
    "DataFrame": ((0,), True),
}


def _get_meaning(cls: Any) -> str:
    """Return what a name that is not called means; "" for anything else."""
    return str(cls.meaning) if isinstance(cls, type) and issubclass(cls, Note) else ""


def _is_leaf(item: Any) -> bool:
    return item is None or isinstance(item, str | int | float | bool | np.generic | pd.Timestamp)


def _to_column(values: Any) -> Any:
    found = np.asarray(values)
    texts = found.dtype == object and all(item is None or item != item or isinstance(item, str) for item in found)  # noqa: PLR0124 - NaN
    return pd.array(found.tolist(), dtype="str") if texts else found


def _make_index(data: Any, name: Any) -> pd.Index[Any]:
    found = np.asarray(data)
    if found.dtype == object and len(found) and all(isinstance(item, tuple) for item in found):
        return pd.MultiIndex.from_tuples(found.tolist(), names=name)
    index: pd.Index[Any] = pd.Index(_to_column(found), name=name)
    return index
