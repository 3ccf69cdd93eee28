"""Reading a pickle without running it: what it would call is written down, and nothing is called.

A pickle is a program for a small machine. This one keeps the machine's stack and memory and none of its powers: a
name stays a name, a call stays a note of what would be called and with what. Names must stand on one exact list;
whatever can hide a name (instances, persistent ids, extensions) is refused.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

from rollwright.errors import CorruptArtifactError, UntrustedArtifactError

__all__ = ["Call", "Pairs", "Symbol", "read_symbols"]

MAX_OPS: Final = 20_000_000
_MARK: Final = object()


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name that a pickle asks for; it is never looked up."""

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Call:
    """A note that `symbol` would be called with `args`, and what would be set afterwards."""

    symbol: Symbol
    args: tuple[Any, ...]
    state: Any = None


@dataclass(slots=True, eq=False)
class Pairs:
    """A dictionary as the list of its pairs: nothing is hashed."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


def read_symbols(data: bytes, *, allowed: Collection[Symbol], where: str, max_ops: int = MAX_OPS) -> Any:
    """Return what the pickle `data` holds: numbers, text, bytes, lists, tuples, `Pairs`, and `Call` notes.

    Parameters
    ----------
    allowed : collection of Symbol
        The names it may ask for, exactly.
    where : str
        What messages call the file.
    max_ops : int
        More instructions are refused.

    Raises
    ------
    UntrustedArtifactError
        When it asks for another name, or uses an instruction that can hide one.
    CorruptArtifactError
        When it is no pickle, was cut, or goes on after its end.
    """
    machine = _Machine(frozenset(allowed), where)
    stream = io.BytesIO(data)
    count = 0
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            count += 1
            if count > max_ops:
                raise UntrustedArtifactError(f"{where} holds more than {max_ops:,} instructions")
            machine.run(opcode.name, argument)
        if stream.tell() != len(data):
            raise CorruptArtifactError(f"{where} goes on after the end of its pickle")
        return machine.result()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CorruptArtifactError(f"{where} is no whole pickle: {str(error)[:200]}") from error


class _Machine:
    def __init__(self, allowed: frozenset[Symbol], where: str) -> None:
        self._allowed = allowed
        self._where = where
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise UntrustedArtifactError(f"{self._where} uses the instruction {name}, which no frame needs")

    def result(self) -> Any:
        (found,) = self._stack
        return found

    def pop(self) -> Any:
        found = self._stack.pop()
        if found is _MARK:
            raise ValueError("a mark stands where a value belongs")
        return found

    def top(self) -> Any:
        found = self._stack[-1]
        if found is _MARK:
            raise ValueError("a mark stands where a value belongs")
        return found

    def since_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("there is no mark")
        found = self._stack[place + 1 :]
        del self._stack[place:]
        return found

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def nothing(self, _: Any) -> None:
        """Do nothing."""

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def discard(self, _: Any) -> None:
        self._stack.pop()

    def discard_to_mark(self, _: Any) -> None:
        self.since_mark()

    def twice(self, _: Any) -> None:
        self.push(self.top())

    def stop(self, _: Any) -> None:
        self.result()

    def ask(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self._symbol(module, name)

    def ask_from_stack(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a name is no text")
        self._symbol(module, name)

    def _symbol(self, module: str, name: str) -> None:
        symbol = Symbol(module, name)
        if symbol not in self._allowed:
            raise UntrustedArtifactError(
                f"{self._where} asks for {module[:80]}.{name[:80]}, which is on no list of what frames are made of: "
                "refused, and nothing of it was run",
            )
        self.push(symbol)

    def call(self, _: Any) -> None:
        args, symbol = self.pop(), self.pop()
        if not isinstance(symbol, Symbol) or not isinstance(args, tuple):
            raise TypeError("it calls what is no name")
        self.push(Call(symbol, args))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, Call) or target.state is not None:
            raise TypeError("it sets what cannot be set")
        target.state = state

    def append(self, _: Any) -> None:
        value = self.pop()
        self._list().append(value)

    def extend(self, _: Any) -> None:
        values = self.since_mark()
        self._list().extend(values)

    def _list(self) -> list[Any]:
        found = self.top()
        if not isinstance(found, list):
            raise TypeError("it appends to what is no list")
        return found

    def set_one(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._pairs().append((key, value))

    def set_many(self, _: Any) -> None:
        values = self.since_mark()
        self._pairs().extend(zip(values[::2], values[1::2], strict=True))

    def _pairs(self) -> list[tuple[Any, Any]]:
        found = self.top()
        if isinstance(found, Call) and found.symbol.name == "OrderedDict":
            found.state = found.state or Pairs()
            found = found.state
        if not isinstance(found, Pairs):
            raise TypeError("it sets a key of what is no dictionary")
        return found.items

    def marked_tuple(self, _: Any) -> None:
        self.push(tuple(self.since_mark()))

    def marked_list(self, _: Any) -> None:
        self.push(self.since_mark())

    def marked_pairs(self, _: Any) -> None:
        values = self.since_mark()
        self.push(Pairs(list(zip(values[::2], values[1::2], strict=True))))

    def tuple_of(self, count: int) -> None:
        found = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(found)))

    def keep(self, argument: Any) -> None:
        self._memo[len(self._memo) if argument is None else int(argument)] = self.top()

    def recall(self, argument: Any) -> None:
        self.push(self._memo[int(argument)])


_LITERALS: Final = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
_CONSTANTS: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": Pairs,
}
_STEPS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "PROTO": _Machine.nothing,
    "FRAME": _Machine.nothing,
    "MARK": _Machine.mark,
    "POP": _Machine.discard,
    "POP_MARK": _Machine.discard_to_mark,
    "DUP": _Machine.twice,
    "STOP": _Machine.stop,
    "GLOBAL": _Machine.ask,
    "STACK_GLOBAL": _Machine.ask_from_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_one,
    "SETITEMS": _Machine.set_many,
    "TUPLE": _Machine.marked_tuple,
    "LIST": _Machine.marked_list,
    "DICT": _Machine.marked_pairs,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "PUT": _Machine.keep,
    "BINPUT": _Machine.keep,
    "LONG_BINPUT": _Machine.keep,
    "MEMOIZE": _Machine.keep,
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
}
