r"""Patterns of `$regex`: the part of regular expressions that means the same, and takes linear time, on every store.

Characters, ``.``, classes, ``^`` and ``$``, groups, ``|``, and ``* + ? {m,n}``. What only looks for a match, a question
of yes or no, is the same for every engine then: greedy or not, leftmost or longest. Letters of ASCII have two cases,
``\d``, ``\w`` and ``\s`` are those of ASCII, ``.`` is all but a line feed, and ``$`` is the end of the text only.

Look-around and references are refused, and so is what makes engines that go back over their tracks take for ever:
repeating what repeats or chooses, and more than three repetitions without an end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from rollwright.errors import QueryError

__all__ = ["Pattern"]

_MAX_LENGTH: Final = 256
_MAX_COUNT: Final = 100
_MAX_UNBOUNDED: Final = 3
_MAX_STEPS: Final = 4000
_LAST: Final = 0x10FFFF
_CLASSES: Final = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_COUNTS: Final = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")

Ranges: TypeAlias = tuple[tuple[int, int], ...]
Node: TypeAlias = tuple[Any, ...]
"""("set", ranges) · ("start",) · ("end",) · ("join", nodes) · ("either", nodes) · ("repeat", node, least, most)."""


@dataclass(frozen=True, slots=False, kw_only=True)
class Pattern:
    """A pattern that was read; make it with `parse`."""

    source: str
    ignore_case: bool
    tree: Node

    @classmethod
    def parse(cls, source: str, *, options: str = "") -> Pattern:
        """Return the pattern.

        Raises
        ------
        QueryError
            For what is no such pattern, or one that could take for ever.
        """
        if set(options) - {"i"}:
            raise QueryError(f"`$options` {options!r} is not part of the query language", hint="`i` is: case-blind")
        if len(source) > _MAX_LENGTH:
            raise QueryError(f"a pattern of {len(source):,} characters; {_MAX_LENGTH} is the most")
        reader = _Reader(source, ignore_case="i" in options)
        pattern = cls(source=source, ignore_case="i" in options, tree=reader.read())
        _ = pattern._program
        return pattern

    def written(self, *, end: str = "$") -> str:
        """Return the pattern as every engine reads it; `end` is how one writes the end of the text."""
        return f"(?:{_write(self.tree, end)})"

    def matches(self, text: str) -> bool:
        """Tell whether it matches anywhere in `text`, in time that grows with the text and no faster."""
        program = self._program
        threads: set[int] = set()
        for place in range(len(text) + 1):
            edge = (place == 0, place == len(text))
            ready = _follow(program, {*threads, 0}, edge)
            if len(program) in ready:
                return True
            if place == len(text):
                return False
            code = ord(text[place])
            threads = {
                step + 1
                for step in ready
                if program[step][0] == "set" and any(low <= code <= high for low, high in program[step][1])
            }
        return False

    @cached_property
    def _program(self) -> list[Node]:
        return _compile(self.tree)


class _Reader:
    def __init__(self, source: str, *, ignore_case: bool) -> None:
        self.source = source
        self.ignore_case = ignore_case
        self.place = 0
        self.unbounded = 0

    def read(self) -> Node:
        node = self._either(0)
        if self.place < len(self.source):
            raise self._error("a `)` without its `(`")
        if self.unbounded > _MAX_UNBOUNDED:
            raise self._error(f"more than {_MAX_UNBOUNDED} repetitions without an end")
        return node

    def _error(self, problem: str) -> QueryError:
        return QueryError(
            f"`$regex`: the pattern {self.source!r}, at {self.place}: {problem}",
            hint="known are characters, classes, groups, |, ^, $ and * + ? {m,n} of what repeats and chooses nothing",
        )

    def _peek(self) -> str:
        return self.source[self.place : self.place + 1]

    def _take(self) -> str:
        found = self._peek()
        self.place += 1
        return found

    def _either(self, depth: int) -> Node:
        if depth > 16:
            raise self._error("groups nested deeper than 16")
        branches = [self._join(depth)]
        while self._peek() == "|":
            self.place += 1
            branches.append(self._join(depth))
        return branches[0] if len(branches) == 1 else ("either", tuple(branches))

    def _join(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        return ("join", tuple(parts))

    def _repeated(self, node: Node) -> Node:
        counts = self._counts()
        if counts is None:
            return node
        least, most = counts
        if node[0] in ("start", "end"):
            raise self._error("an end of the text is repeated")
        if most is None or most > 1:
            if _varies(node):
                raise self._error("what repeats or chooses is repeated")
            self.unbounded += most is None
        if self._peek() == "?":  # as few as can be: the same answer
            self.place += 1
        elif self._peek() and self._peek() in "*+{":
            raise self._error("two repetitions of one thing")
        return ("repeat", node, least, most)

    def _counts(self) -> tuple[int, int | None] | None:
        sign = self._peek()
        if sign and sign in "*+?":
            self.place += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        found = _COUNTS.match(self.source, self.place)
        if found is None:
            if sign == "{":
                raise self._error("a `{` without counts; write `\\{` for the character")
            return None
        self.place = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if max(least, most or 0) > _MAX_COUNT or (most is not None and most < least):
            raise self._error(f"counts go from 0 to {_MAX_COUNT}")
        return least, most

    def _atom(self, depth: int) -> Node:
        sign = self._take()
        if sign == "(":
            if self._peek() == "?":
                if self.source[self.place : self.place + 2] != "?:":
                    raise self._error("only plain groups are known")
                self.place += 2
            node = self._either(depth + 1)
            if self._take() != ")":
                raise self._error("a `(` without its `)`")
            return node
        if sign == "[":
            return ("set", self._class())
        if sign == ".":
            return ("set", _without(((10, 10),)))
        if sign in "^$":
            return ("start",) if sign == "^" else ("end",)
        if sign in "*+?{":
            raise self._error("a repetition of nothing")
        if sign == "\\":
            return ("set", self._escaped())
        return ("set", self._cased(((ord(sign), ord(sign)),)))

    def _escaped(self) -> Ranges:
        sign = self._take()
        if sign.lower() in _CLASSES and sign:
            ranges = _CLASSES[sign.lower()]
            return ranges if sign.islower() else _without(ranges)
        if sign in _CONTROLS:
            sign = _CONTROLS[sign]
        elif not sign or sign.isalnum():
            raise self._error(f"`\\{sign}` is not known")
        return ((ord(sign), ord(sign)),)

    def _class(self) -> Ranges:
        negated = self._peek() == "^"
        self.place += negated
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            if not self._peek():
                raise self._error("a `[` without its `]`")
            first = False
            one = self._class_item()
            if self._peek() == "-" and self.source[self.place + 1 : self.place + 2] not in ("]", ""):
                self.place += 1
                other = self._class_item()
                if len(one) > 1 or len(other) > 1 or one[0][0] != one[0][1] or one[0][0] > other[0][1]:
                    raise self._error("a range that is none")
                one = ((one[0][0], other[0][1]),)
            ranges += one
        self.place += 1
        found = self._cased(tuple(ranges))
        found = _without(found) if negated else found
        if not found:
            raise self._error("a class of nothing")
        return found

    def _class_item(self) -> Ranges:
        sign = self._take()
        if sign == "\\":
            return self._escaped()
        if sign == "[":
            raise self._error("a `[` within a class; write `\\[` for the character")
        return ((ord(sign), ord(sign)),)

    def _cased(self, ranges: Ranges) -> Ranges:
        if not self.ignore_case:
            return ranges
        more: list[tuple[int, int]] = []
        for low, high in ranges:
            for first, last, step in ((65, 90, 32), (97, 122, -32)):
                if max(low, first) <= min(high, last):
                    more.append((max(low, first) + step, min(high, last) + step))
        return (*ranges, *more)


def _varies(node: Node) -> bool:
    """Tell whether a part matches texts of several lengths, or in several ways."""
    kind = node[0]
    if kind == "join":
        return any(_varies(part) for part in node[1])
    return kind == "either" or (kind == "repeat" and (node[2] != node[3] or _varies(node[1])))


def _without(ranges: Ranges) -> Ranges:
    left: list[tuple[int, int]] = []
    place = 0
    for low, high in sorted(ranges):
        if low > place:
            left.append((place, low - 1))
        place = max(place, high + 1)
    return (*left, (place, _LAST)) if place <= _LAST else tuple(left)


def _write(node: Node, end: str) -> str:
    kind = node[0]
    if kind == "set":
        return _write_set(node[1])
    if kind == "join":
        return "".join(_write(part, end) for part in node[1])
    if kind == "either":
        return f"(?:{'|'.join(_write(part, end) for part in node[1])})"
    if kind == "repeat":
        _, inner, least, most = node
        return f"(?:{_write(inner, end)}){{{least},{'' if most is None else most}}}"
    return "^" if kind == "start" else end


def _write_set(ranges: Ranges) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _write_char(ranges[0][0])
    excluded = _without(ranges)
    if ranges and max(high for _, high in ranges) == _LAST:  # the last characters are no text that could be sent
        if not excluded:
            return "(?:[a]|[^a])"
        return f"[^{''.join(_write_range(*part) for part in excluded)}]"
    return f"[{''.join(_write_range(*part) for part in ranges)}]"


def _write_range(low: int, high: int) -> str:
    return _write_char(low) if low == high else f"{_write_char(low)}-{_write_char(high)}"


def _write_char(code: int) -> str:
    char = chr(code)
    return f"\\{char}" if char.isascii() and char.isprintable() and not char.isalnum() and char != " " else char


def _compile(tree: Node) -> list[Node]:
    """Return the steps: ("set", ranges) · ("start",) · ("end",) · ("split", step, step) · ("jump", step)."""
    program: list[Node] = []
    _add(program, tree)
    return program


def _add(program: list[Node], node: Node) -> None:
    if len(program) > _MAX_STEPS:
        raise QueryError("a pattern with too many repetitions", hint="give smaller counts")
    match node:
        case ("join", parts):
            for part in parts:
                _add(program, part)
        case ("either", branches):
            _add_choice(program, branches)
        case ("repeat", inner, least, most):
            _add_repetition(program, inner, least, most)
        case _:
            program.append(node)


def _add_choice(program: list[Node], branches: tuple[Node, ...]) -> None:
    jumps: list[int] = []
    for branch in branches[:-1]:
        split = len(program)
        program.append(())
        _add(program, branch)
        jumps.append(len(program))
        program.append(())
        program[split] = ("split", split + 1, len(program))
    _add(program, branches[-1])
    for jump in jumps:
        program[jump] = ("jump", len(program))


def _add_repetition(program: list[Node], inner: Node, least: int, most: int | None) -> None:
    for _ in range(least):
        _add(program, inner)
    splits: list[int] = []
    for _ in range(1 if most is None else most - least):
        splits.append(len(program))
        program.append(())
        _add(program, inner)
    if most is None:
        program.append(("jump", splits[0]))
    for split in splits:
        program[split] = ("split", split + 1, len(program))


def _follow(program: list[Node], steps: set[int], edge: tuple[bool, bool]) -> set[int]:
    """Return the steps that are reached from `steps` without reading a character; the end of the program is a match."""
    found: set[int] = set()
    waiting = [*steps]
    while waiting:
        step = waiting.pop()
        if step in found:
            continue
        found.add(step)
        if step == len(program):
            continue
        node = program[step]
        if node[0] in ("split", "jump"):
            waiting += node[1:]
        elif (node[0] == "start" and edge[0]) or (node[0] == "end" and edge[1]):
            waiting.append(step + 1)
    return found
