"""What the sections of a campaign's YAML have in common: nothing in them is guessed, and no key is ignored."""

from __future__ import annotations

from typing import Final

from pydantic import BeforeValidator, ConfigDict

__all__ = ["NUMBER", "SECTION"]

SECTION: Final = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)
"""How a section is read: its keys are known, and it is not changed afterwards."""


def _refuse_truth(value: object) -> object:
    """Refuse true and false where a number belongs: Python would count them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number belongs here")
    return value


NUMBER: Final = BeforeValidator(_refuse_truth)
