"""How far a label reaches: which sessions it reads, when its return begins, and over how many sessions it runs.

Taken from the expression itself, never from a number beside it:

1. Every term is read as one of another session: ``Ref(x, -2)`` is `x` two sessions later.
2. A return is ``exit / entry - 1`` in one of its spellings, where both legs are the same term on two sessions, or two
   prices. The sessions between the legs are its horizon. A difference of two returns over the same sessions (the excess
   over a benchmark) is one, too.
3. Whatever is no such return (a rank, a volatility, a class) has no horizon: it cannot be told, and nobody guesses.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple, Self

from rollwright.core.canonical import JSON
from rollwright.expression.parser import parse
from rollwright.expression.term import UNBOUNDED, Term, number, walk

__all__ = ["LabelReach"]

_PRICES: Final = frozenset(("open", "high", "low", "close", "vwap", "adjclose"))
_NO_PRICES: Final = frozenset(("volume", "amount", "money", "turn", "turnover", "factor", "change"))
_STILL_RETURNS: Final = ("ChangeInstrument", "Mask", "CSDemean")  # of a return, over the same sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReach:
    """Which sessions the label of session `t` reads, and the return it is.

    Attributes
    ----------
    first : int or None
        The label reads no session before ``t + first``; None when that cannot be told, or is the whole past.
    last : int
        It reads no session after ``t + last``.
    entry : int or None
        Where the label is a return: it begins at session ``t + entry``.
    horizon : int or None
        Where the label is a return: over how many sessions it runs, 1 at least. None for any other label, and where
        several labels differ. Averages, error bars and annual figures of labels with a horizon of `h` have to count
        with labels of neighbouring sessions that share ``h - 1`` of their sessions.

    .. warning:: **Look-ahead.** `last` is what a gap between segments has to cover; see `span`.
    """

    first: int | None
    last: int
    entry: int | None = None
    horizon: int | None = None

    @property
    def span(self) -> int:
        """Sessions of future that the label reads: what `rollwright.calendar.purge.purge_days` takes."""
        return max(self.last, 0)

    @property
    def text(self) -> str:
        """What it is, in words."""
        reads = f"reads {self.span} session{'s' * (self.span != 1)} ahead"
        if self.horizon is None or self.entry is None:
            return f"a label that {reads}"
        return f"the return over {self.horizon} session{'s' * (self.horizon != 1)}, which {reads}"

    @classmethod
    def declared(cls, lookahead: int) -> Self:
        """Return the reach of a label of which nothing is known but how many sessions of future it reads."""
        return cls(first=None, last=lookahead)

    @classmethod
    def of_expressions(cls, expressions: Iterable[str]) -> Self:
        """Return what the labels of these expressions read, all of them together; no data are read for it.

        Raises
        ------
        ExpressionError
            For a text that is no expression.
        """
        return cls.joined([cls._of_term(parse(text)) for text in expressions])

    @classmethod
    def joined(cls, parts: Iterable[LabelReach]) -> Self:
        """Return what several labels read together; entry and horizon only where all have the same."""
        every = list(parts)
        known = [part for part in every if part.first is not None or part.last > 0]  # the others have no label
        if not known:
            return cls.declared(max((part.last for part in every), default=0))
        firsts = [part.first for part in known if part.first is not None]
        same = len({(part.entry, part.horizon) for part in known}) == 1
        return cls(
            first=min(firsts) if len(firsts) == len(known) else None,
            last=max(part.last for part in known),
            entry=known[0].entry if same else None,
            horizon=known[0].horizon if same else None,
        )

    @classmethod
    def _of_term(cls, term: Term) -> Self:
        reads = _sessions_read(term)
        held = _find_return(term)
        return cls(
            first=reads.first if reads.first > -(UNBOUNDED >> 1) else None,  # a shift may have moved the whole past
            last=reads.last,
            entry=held.entry if held else None,
            horizon=max(1, held.exit - held.entry) if held else None,
        )

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return asdict(self)


class _Sessions(NamedTuple):
    first: int
    last: int


class _Return(NamedTuple):
    entry: int
    exit: int


class _Leg(NamedTuple):
    """A term, and how many sessions later it is read."""

    key: Hashable
    shift: int
    field: str | None = None


def _shift_of(term: Term) -> int | None:
    """Return by how many sessions a ``Ref`` moves its input into the future; None for any other term."""
    if term.name != "Ref" or term.kind != "call" or len(term.inputs) != 1:
        return None
    places = [value for value in term.literals if isinstance(value, int)]
    return -places[0] if len(places) == 1 and places[0] else None  # Ref(x, 0) is the first value there is


def _sessions_read(root: Term) -> _Sessions:
    """Return the sessions that the term reads, counted from its own; a constant reads its own."""
    found: dict[Term, _Sessions] = {}
    for term in walk(root):
        parts = [found[source] for source in term.inputs if source.kind != "number"]
        if not parts:
            found[term] = _Sessions(-term.back, term.ahead)
            continue
        low, high = min(part.first for part in parts), max(part.last for part in parts)
        shift = _shift_of(term)
        if shift is not None:
            found[term] = _Sessions(low + shift, high + shift)
        else:
            found[term] = _Sessions(low - term.back, high + term.ahead)
    return found[root]


def _find_return(root: Term) -> _Return | None:
    """Return when the return that `root` is begins and ends; None when it is none."""
    if root.kind != "call":
        return None
    if (shift := _shift_of(root)) is not None:
        inner = _find_return(root.inputs[0])
        return _Return(inner.entry + shift, inner.exit + shift) if inner else None
    if root.name in _STILL_RETURNS and len(root.inputs) == 1:
        return _find_return(root.inputs[0])
    if (legs := _find_legs(root)) is not None:
        return _between(*legs)
    parts = _as_call(root, "Sub") or ()
    found = {_find_return(part) for part in parts}
    return found.pop() if len(found) == 1 else None


def _find_legs(root: Term) -> tuple[Term, Term] | None:
    """Return what stands for exit and entry, where `root` has the form of a return."""
    if not root.inputs:
        return None
    left, right = root.inputs if len(root.inputs) == 2 else (root.inputs[0], None)
    legs: tuple[Term, ...] | None = None
    if root.name == "Log":  # Log(exit / entry)
        legs = _as_call(left, "Div")
    elif root.name == "Div":  # (exit - entry) / entry
        change = _as_call(left, "Sub")
        legs = change if change and change[1] is right else None
    elif root.name == "Sub" and right is number(1):  # exit / entry - 1
        legs = _as_call(left, "Div")
    elif root.name == "Sub" and right is not None:  # Log(exit) - Log(entry)
        one, other = _as_call(left, "Log"), _as_call(right, "Log")
        legs = (one[0], other[0]) if one and other else None
    return (legs[0], legs[1]) if legs else None


def _as_call(term: Term, name: str) -> tuple[Term, ...] | None:
    return term.inputs if term.kind == "call" and term.name == name else None


def _between(leaving: Term, entering: Term) -> _Return | None:
    """Return the return from one leg to the other: the same term later, or another price."""
    exit_leg, entry_leg = _leg(leaving), _leg(entering)
    if exit_leg.shift < entry_leg.shift or _NO_PRICES.issuperset(leaving.fields):
        return None
    same = exit_leg.key == entry_leg.key and exit_leg.shift > entry_leg.shift
    prices = exit_leg.field in _PRICES and entry_leg.field in _PRICES and exit_leg.field != entry_leg.field
    return _Return(entry_leg.shift, exit_leg.shift) if same or prices else None


def _leg(term: Term) -> _Leg:
    """Return what `term` is but for the session it is read on: equal keys are one series, moved by the shifts."""
    if term.kind == "number":
        return _Leg(("number", term.text), 0)
    if term.kind != "call" or term.inner is not None:
        return _Leg((term.kind, term.text), 0, term.name if term.kind == "field" else None)
    shift = _shift_of(term)
    if shift is not None:
        inner = _leg(term.inputs[0])
        return _Leg(inner.key, inner.shift + shift, inner.field)
    legs = [_leg(source) for source in term.inputs]
    moved = next((leg.shift for leg, source in zip(legs, term.inputs, strict=True) if source.kind != "number"), 0)
    parts = tuple(
        (leg.key, 0 if source.kind == "number" else leg.shift - moved)
        for leg, source in zip(legs, term.inputs, strict=True)
    )
    return _Leg(("call", term.name, term.literals, parts), moved)
