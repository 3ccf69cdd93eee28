"""What was made of the parts of definitions: the windows of a campaign are equal in most of theirs.

A part is known by exactly what it holds, types and the order of keys included, and never by which object it is: a
definition that somebody changes is another one. Only what JSON has is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from rollwright.core.typed import TAG

__all__ = ["PartMemo", "Parts", "is_plain_text"]

T = TypeVar("T")

_MOST_VALUES: Final = 10_000
_MOST_LEVELS: Final = 32
_MOST_PARTS: Final = 2_048
_LONGEST: Final = 1 << 14  # characters that a part is known by; with the above, a memo holds some 32 MiB at most
_LONGEST_TEXT: Final = 1_024
_ODD_TEXT: Final = re.compile(rf"[\x00\ud800-\udfff]|^{re.escape(TAG)}\Z|^<.*\.", re.DOTALL)
_WALKED: Final = frozenset({dict, list, tuple})
_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_KEYS: Final = frozenset({str})
_DERIVED: Final = (Mapping, list, tuple, str)


class Parts:
    """What the dictionaries, lists and tuples of one value are known by, while nobody changes it.

    Attributes
    ----------
    is_simple : bool
        False: it is no such container, or too large or deep, or has an object of a class derived from JSON's. Whoever
        walks through any other value need not count: a part that stands in several places is met as often as it stands,
        but never more than 10,000 values, on 32 levels.
    """

    __slots__ = ("_contents", "_left", "is_simple")

    def __init__(self, value: object) -> None:
        self._contents: dict[int, str | None] = {}
        self._left = _MOST_VALUES
        self.is_simple = type(value) in _WALKED and self._walk(value, 0)

    def _walk(self, part: Any, depth: int) -> bool:
        """Note which parts hold what JSON does not know; return False to end the walk."""
        if type(part) is dict:
            is_other = not _KEYS.issuperset(map(type, part))
            below = [item for item in part.values() if type(item) not in _LEAVES]
        else:
            is_other = False
            below = [item for item in part if type(item) not in _LEAVES]
        self._left -= len(part)
        if self._left < 0 or (below and depth >= _MOST_LEVELS):
            return False
        for item in below:
            if type(item) in _WALKED:
                if not self._walk(item, depth + 1):
                    return False
                is_other = is_other or id(item) in self._contents
            elif isinstance(item, _DERIVED):
                return False
            else:
                is_other = True
        if is_other:
            self._contents[id(part)] = None
        return True

    def content(self, part: object) -> str | None:
        """Return the content of one of the parts as a text that tells all types and values.

        None for a part that is too long to be remembered, or holds at any depth what JSON does not know.
        """
        try:
            return self._contents[id(part)]
        except KeyError:
            text = repr(part)  # of values of JSON's own types, this tells them all apart
            found = self._contents[id(part)] = text if len(text) <= _LONGEST else None
            return found


@lru_cache(maxsize=4096)
def is_plain_text(text: str) -> bool:
    """Tell whether a text has 1,024 characters at most and a JSON form, and is no type's mark and no placeholder."""
    return len(text) <= _LONGEST_TEXT and not _ODD_TEXT.search(text)


class PartMemo(Generic[T]):
    """Values by the content of a part of a definition (`Parts.content`) and the context in which it stands.

    It holds 2,048 parts of 16,384 characters at most; when it is full it is emptied, and what is still asked for comes
    back. Threads may share one: at worst a part is worked out twice.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Hashable, str], T] = {}

    def get(self, context: Hashable, content: str) -> T | None:
        """Return what was put, None when there is nothing."""
        return self._known.get((context, content))

    def put(self, context: Hashable, content: str, value: T) -> None:
        """Remember `value`."""
        if len(self._known) >= _MOST_PARTS:
            self._known.clear()
        self._known[context, content] = value
