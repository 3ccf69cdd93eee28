"""Reading a pickle without running it: every name it asks for stands for a class that only takes notes.

1. The instructions are listed first (`pickletools`): one that no frame needs is refused, and so is a file that is cut,
   goes on after its end or numbers its memory beyond its length.
2. Python's own unpickler then reads the file. `find_class` answers with a subclass of `Note` for the names on one exact
   list, and refuses every other: nothing is ever imported, and what a pickle "calls" is the making of a note.
3. `rollwright.compat.pickle_frames` rebuilds values from the notes, and checks every length.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - its names are notes here, see find_class
import pickletools
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from rollwright.errors import CorruptArtifactError, UntrustedArtifactError

__all__ = ["MappingNote", "Note", "read_notes"]

MAX_INSTRUCTIONS: Final = 20_000_000
_NO_PICKLE: Final = (
    pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip

# The names that pandas 1.5 to 3 and NumPy 1.2x to 2 write, by what they mean here. Another name is refused, however
# harmless.
_NAMES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
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
# Without those that can hide a name (INST, OBJ, NEWOBJ_EX, persistent ids, extensions) or that no result needs.
_INSTRUCTIONS: Final = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE",
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
))  # fmt: skip
_NUMBERED: Final = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))


class Note:
    """A note of what a pickle would call, with which arguments, and what it would set afterwards.

    The class stands for the name; a name that is not called is the class itself.

    Attributes
    ----------
    name, meaning : str
        The name in the file, and what it means here.
    args : tuple
    state : object
        None when nothing was set.
    """

    __slots__ = ("args", "state")
    name: ClassVar[str]
    meaning: ClassVar[str]
    args: tuple[Any, ...]
    state: Any
    __hash__ = None  # type: ignore[assignment]  # never a key of a dictionary

    def __new__(cls, *args: Any) -> Self:
        """Note the call."""
        note = object.__new__(cls)
        note.args, note.state = args, None
        return note

    def __setstate__(self, state: Any) -> None:
        if self.state is not None:
            raise TypeError("a state is set twice")
        self.state = state


class MappingNote(Note):
    """A note of a mapping that is filled item by item after it was made."""

    __slots__ = ("items",)
    items: dict[Any, Any]

    def __new__(cls, *args: Any) -> Self:
        """Note the call, with no item yet."""
        note = super().__new__(cls, *args)
        note.items = {}
        return note

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value


def _note_class(module: str, name: str, meaning: str) -> type[Note]:
    base = MappingNote if meaning == "OrderedDict" else Note
    return type(name, (base,), {"__slots__": (), "name": f"{module}.{name}", "meaning": meaning})


_CLASSES: Final[dict[tuple[str, str], type[Note]]] = {
    pair: _note_class(*pair, meaning) for meaning, pairs in _NAMES.items() for pair in pairs
}


class _NoteReader(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, where: str) -> None:
        super().__init__(stream, encoding="latin1")
        self._where = where

    def find_class(self, module_name: str, global_name: str, /) -> type[Note]:
        """Return the class of notes for a name on the list."""
        found = _CLASSES.get((module_name, global_name))
        if found is None:
            raise UntrustedArtifactError(
                f"{self._where} asks for {module_name[:80]}.{global_name[:80]}, which is on no list of what frames are "
                "made of: refused, and nothing of it was run"
            )
        return found


def read_notes(data: bytes, *, where: str, max_instructions: int = MAX_INSTRUCTIONS) -> Any:
    """Return what the pickle `data` holds: numbers, text, bytes, lists, tuples, dictionaries and notes.

    Guarantees: no name of the file is looked up and nothing of it is called.

    Parameters
    ----------
    where : str
        What messages call the file.
    max_instructions : int
        More are refused.

    Raises
    ------
    UntrustedArtifactError
        When it asks for a name, or uses an instruction, that no frame needs.
    CorruptArtifactError
        When it is not a pickle, was cut, or goes on after its end.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged text may hold an escape that Python deprecates
            _check_instructions(data, where, max_instructions)
            return _NoteReader(io.BytesIO(data), where).load()
    except _NO_PICKLE as error:
        raise CorruptArtifactError(f"{where} is not a complete pickle: {str(error)[:200]}") from error


def _check_instructions(data: bytes, where: str, most: int) -> None:
    stream = io.BytesIO(data)
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream), 1):
        if count > most:
            raise UntrustedArtifactError(f"{where} holds more than {most:,} instructions")
        if instruction.name not in _INSTRUCTIONS:
            raise UntrustedArtifactError(f"{where} uses the instruction {instruction.name}, which no frame needs")
        if (
            instruction.name in _NUMBERED and int(argument or 0) > count
        ):  # the unpickler would make room for all below it
            raise UntrustedArtifactError(f"{where} numbers its memory {argument}, beyond what it has written")
    if stream.tell() != len(data):
        raise CorruptArtifactError(f"{where} goes on after the end of its pickle")
