"""What a task asks of the worker that takes it, and what a worker offers.

Stores keep needs as one text and only compare it: which texts an offer meets is decided here alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rollwright.core.text import escape_text
from rollwright.errors import ConfigError, DamagedTaskError

__all__ = ["ANY_OFFER", "MOST_NEEDS", "NO_NEEDS", "Needs", "Offer", "check_needs", "check_tag", "is_tag", "read_needs"]

MOST_NEEDS: Final = 100
"""Different needs that the tasks of one pool may have; a claim looks for each that its worker meets."""

_TAG: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_MEMORY: Final = "memory="
_MOST_MEMORY: Final = 1e6


def is_tag(tag: object) -> bool:
    """Tell whether a value can name something a worker has."""
    return isinstance(tag, str) and _TAG.fullmatch(tag) is not None


def check_tag(tag: str) -> str:
    """Return `tag` when it can name something a worker has.

    Raises
    ------
    ConfigError
    """
    if not is_tag(tag):
        raise ConfigError(
            f"{escape_text(repr(tag), longest=80)} is no tag of a worker",
            hint="use 1 to 40 lower-case letters, digits, - and _, the first a letter: gpu",
        )
    return tag


def _check_memory(memory: float) -> float:
    if isinstance(memory, bool) or not isinstance(memory, int | float) or not 0 <= memory <= _MOST_MEMORY:
        raise ConfigError(f"{memory!r} is no amount of memory in GB", hint="give 0 to 1,000,000, as in 16 or 0.5")
    return round(float(memory), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a task asks of the worker that takes it; no part of the task's identity.

    Attributes
    ----------
    tags : tuple of str
        Names of what the worker must have, sorted: ``("gpu",)``.
    memory : float
        GB that the worker must have for one task; to three places.

    Raises
    ------
    ConfigError
        For a tag or an amount that cannot be one.
    """

    tags: tuple[str, ...] = ()
    memory: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(sorted({check_tag(tag) for tag in self.tags})))
        object.__setattr__(self, "memory", _check_memory(self.memory))

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.tags) or self.memory > 0

    @property
    def text(self) -> str:
        """What a store keeps: ``gpu,memory=16``; nothing where nothing is asked for."""
        memory = [f"{_MEMORY}{self.memory:.15g}"] if self.memory else []
        return ",".join([*self.tags, *memory])

    @classmethod
    def of_text(cls, text: str) -> Needs:
        """Return the needs of a stored text.

        Raises
        ------
        ConfigError
            When it is none that `text` gives.
        """
        if not text:
            return NO_NEEDS
        words = text.split(",")
        memory = words.pop().removeprefix(_MEMORY) if words[-1].startswith(_MEMORY) else "0"
        try:
            found = cls(tags=tuple(words), memory=float(memory))
        except ValueError:
            found = NO_NEEDS
        if found.text != text:
            raise ConfigError(
                f"{escape_text(repr(text), longest=80)} are no needs of a task", hint="write gpu,memory=16"
            )
        return found

    def joined(self, other: Needs) -> Needs:
        """Return what asks for all that both ask for."""
        return Needs(tags=(*self.tags, *other.tags), memory=max(self.memory, other.memory))


NO_NEEDS: Final = Needs()
"""A task that any worker may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a worker can do.

    Attributes
    ----------
    tags : frozenset of str
    memory : float or None
        GB it has for one task; None is not limited.
    """

    tags: frozenset[str] = frozenset()
    memory: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", frozenset(check_tag(tag) for tag in self.tags))
        if self.memory is not None:
            object.__setattr__(self, "memory", _check_memory(self.memory))

    def meets(self, needs: Needs) -> bool:
        """Tell whether a task with these needs may be taken."""
        return self.tags.issuperset(needs.tags) and (self.memory is None or needs.memory <= self.memory)

    def choose(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return those of the stored texts that this offer meets, the empty one first; no other is looked for.

        A text that is no needs, which somebody wrote into the database, is met by nobody.
        """
        return _choose(self, tuple(texts))


ANY_OFFER: Final = Offer()
"""A worker without tags, whose memory is not limited."""


@lru_cache(maxsize=256)
def _choose(offer: Offer, texts: tuple[str, ...]) -> tuple[str, ...]:
    return ("", *(text for text in sorted({*texts} - {""}) if _is_met(offer, text)))


def _is_met(offer: Offer, text: str) -> bool:
    try:
        return offer.meets(Needs.of_text(text))
    except ConfigError:
        return False


def check_needs(pool: str, known: Iterable[str], added: Iterable[str]) -> None:
    """Refuse needs that would make the different ones of a pool too many.

    Raises
    ------
    ConfigError
    """
    count = len({*known, *added} - {""})
    if count > MOST_NEEDS:
        raise ConfigError(
            f"the tasks of pool `{pool}` would have {count} different needs, of at most {MOST_NEEDS}",
            hint="round the memory they ask for to a few sizes, such as 4, 16 and 64",
        )


def read_needs(text: str, *, pool: str, task_id: str) -> Needs:
    """Return the needs that a stored task has.

    Raises
    ------
    DamagedTaskError
        When they are none: somebody wrote them into the database.
    """
    try:
        return Needs.of_text(text)
    except ConfigError as error:
        raise DamagedTaskError(
            pool,
            task_id,
            f"are {escape_text(repr(text), longest=60)}, which somebody wrote into the database",
            part="needs",
            hint="write '' in their place, with the client of the database, and see who writes to it",
        ) from error
