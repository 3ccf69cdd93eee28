"""TaskSpec: the frozen definition of one task, and its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollwright.config.construct import Trust
from rollwright.core.canonical import parse_json
from rollwright.core.part_memo import Parts
from rollwright.core.stored_text import restore_definition, write_definition
from rollwright.errors import TaskValueError
from rollwright.tasks.definition import describe_objects
from rollwright.tasks.identity import fit_key, task_fingerprint

__all__ = ["TaskSpec"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class TaskSpec:
    """What one task is to do, in the one form that storing, comparing and hashing need (decision D16).

    Guarantees: two definitions that mean the same task, however they are spelled, are equal and have the same
    fingerprint (`rollwright.tasks.identity`); nothing changes a spec after it is made.

    Attributes
    ----------
    canonical : str
        The text of the definition (`rollwright.core.stored_text`). Make a spec with `from_definition`.
    fingerprint : str
        The identity of the task: 64 hex digits.
    """

    canonical: str
    fingerprint: str

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any], *, trust: Trust | None = None) -> TaskSpec:
        """Return the spec of a task's dictionary, which is not kept.

        Parameters
        ----------
        definition : mapping
        trust : Trust, optional
            Where classes of the user's own are found; that of the current settings if not given.

        Raises
        ------
        TaskValueError
            When a value has no typed form (an object, a function …), with its path.
        """
        if not isinstance(definition, Mapping):
            raise TaskValueError("$", f"a task definition is a dictionary, not {type(definition).__name__}")
        definition = describe_objects(definition)
        parts = Parts(definition)
        return cls(
            canonical=write_definition(definition, parts=parts),
            fingerprint=task_fingerprint(definition, trust=trust, parts=parts),
        )

    @property
    def definition(self) -> dict[str, Any]:
        """The definition as a new dictionary at each access, as it was given."""
        found = restore_definition(parse_json(self.canonical))
        assert isinstance(found, dict)  # noqa: S101 - narrows the type; from_definition admits nothing else
        return found

    @property
    def fit_key(self) -> str:
        """The identity of what is learnt, whatever is made of it: 64 hex digits."""
        return fit_key(self.definition)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskSpec) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"TaskSpec({self.fingerprint[:12]}…)"
