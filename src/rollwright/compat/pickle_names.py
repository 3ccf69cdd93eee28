"""The exact names that a pickled frame, array or plain value may ask for, by what they mean here.

They are those that pandas 1.5 to 3 and NumPy 1.2x to 2 write. A name that is not here is refused, however harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rollwright.compat.pickle_ops import Symbol

__all__ = ["ALLOWED", "meaning"]

_MEANINGS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "array": (("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "_reconstruct")),
    "buffer": (("numpy._core.numeric", "_frombuffer"), ("numpy.core.numeric", "_frombuffer")),
    "scalar": (("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "scalar")),
    "ndarray": (("numpy", "ndarray"),),
    "dtype": (("numpy", "dtype"),),
    "encode": (("_codecs", "encode"),),
    "bytearray": (("builtins", "bytearray"), ("__builtin__", "bytearray"), ("__builtin__", "bytes")),
    "slice": (("builtins", "slice"), ("__builtin__", "slice")),
    "OrderedDict": (("collections", "OrderedDict"),),
    "date": (("datetime", "date"),),
    "datetime": (("datetime", "datetime"),),
    "timestamp": (("pandas._libs.tslibs.timestamps", "_unpickle_timestamp"),),
    "DataFrame": (("pandas", "DataFrame"), ("pandas.core.frame", "DataFrame")),
    "Series": (("pandas", "Series"), ("pandas.core.series", "Series")),
    "manager": (
        ("pandas.core.internals.managers", "BlockManager"),
        ("pandas.core.internals.managers", "SingleBlockManager"),
    ),
    "block": (("pandas._libs.internals", "_unpickle_block"),),
    "new_index": (("pandas.core.indexes.base", "_new_Index"),),
    "new_dates": (("pandas.core.indexes.datetimes", "_new_DatetimeIndex"),),
    "Index": (
        ("pandas", "Index"),
        ("pandas.core.indexes.base", "Index"),
        ("pandas.core.indexes.numeric", "Int64Index"),
        ("pandas.core.indexes.numeric", "Float64Index"),
        ("pandas.core.indexes.numeric", "UInt64Index"),
    ),
    "DatetimeIndex": (("pandas", "DatetimeIndex"), ("pandas.core.indexes.datetimes", "DatetimeIndex")),
    "MultiIndex": (("pandas", "MultiIndex"), ("pandas.core.indexes.multi", "MultiIndex")),
    "RangeIndex": (("pandas", "RangeIndex"), ("pandas.core.indexes.range", "RangeIndex")),
    "FrozenList": (("pandas.core.indexes.frozen", "FrozenList"),),
    "backed": (("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),),
    "DatetimeArray": (("pandas.arrays", "DatetimeArray"), ("pandas.core.arrays.datetimes", "DatetimeArray")),
    "StringDtype": (("pandas", "StringDtype"), ("pandas.core.arrays.string_", "StringDtype")),
    "arrow_text": (("pandas.arrays", "ArrowStringArray"), ("pandas.core.arrays.string_arrow", "ArrowStringArray")),
    "frequency": tuple(
        ("pandas._libs.tslibs.offsets", name)
        for name in ("Day", "BusinessDay", "Hour", "Minute", "Second", "MonthEnd", "MonthBegin")
    ),
    "arrow_array": (("pyarrow.lib", "_restore_array"),),
    "arrow_chunks": (("pyarrow.lib", "chunked_array"),),
    "arrow_type": (("pyarrow.lib", "type_for_alias"),),
    "arrow_buffer": (("pyarrow.lib", "py_buffer"),),
}
_BY_SYMBOL: Final = {Symbol(*pair): meaning for meaning, pairs in _MEANINGS.items() for pair in pairs}
ALLOWED: Final = frozenset(_BY_SYMBOL)


def meaning(symbol: Symbol) -> str:
    """Return what an allowed name means here."""
    return _BY_SYMBOL[symbol]
