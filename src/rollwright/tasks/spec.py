"""TaskSpec: the frozen definition of one task, and its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollwright.core.canonical import canonical_json, parse_json, sha256_hex, with_segment_tuples
from rollwright.errors import TaskValueError

__all__ = ["TaskSpec"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TaskSpec:
    """What one task is to do, in the one form that storing, comparing and hashing need (decision D16).

    Guarantees: two definitions that mean the same, whatever the order of their keys and the types of their dates and
    numbers, are equal and have the same fingerprint; nothing changes a spec after it is made.

    Attributes
    ----------
    canonical : str
        The definition as canonical JSON. Make a spec with `from_definition`, which sees to it.
    """

    canonical: str

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> TaskSpec:
        """Return the spec of a task's dictionary, which is not kept.

        Raises
        ------
        TaskValueError
            When a value has no JSON form (an object, NaN, a date with a time zone …), with its path.
        """
        if not isinstance(definition, Mapping):
            raise TaskValueError("$", f"a task definition is a dictionary, not {type(definition).__name__}")
        return cls(canonical=canonical_json(definition))

    @property
    def definition(self) -> dict[str, Any]:
        """The definition as a new dictionary at each access: dates as ``YYYY-MM-DD``, segments as tuples."""
        found = with_segment_tuples(parse_json(self.canonical))
        assert isinstance(found, dict)  # noqa: S101 - narrows the type; from_definition admits nothing else
        return found

    @property
    def fingerprint(self) -> str:
        """The identity: SHA-256 of the canonical form, 64 hex digits."""
        return sha256_hex(self.canonical.encode())

    def __repr__(self) -> str:
        return f"TaskSpec({self.fingerprint[:12]}…)"
