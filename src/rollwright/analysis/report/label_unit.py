"""What a label is measured in, and how figures of it are to be counted."""

from __future__ import annotations

from dataclasses import dataclass

from rollwright.analysis.conventions import Conventions
from rollwright.analysis.report.words import Words

__all__ = ["LabelUnit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelUnit:
    """What the label is measured in, and how figures of it are to be counted.

    Attributes
    ----------
    horizon : int or None
        Sessions over which the return that the label is runs; None when it is no known return.
    span : int or None
        Sessions of future that it reads.
    """

    horizon: int | None = None
    span: int | None = None

    @classmethod
    def of(cls, conventions: Conventions | None) -> LabelUnit:
        """Return the unit that `conventions` tell."""
        if conventions is None:
            return cls()
        return cls(horizon=conventions.label_horizon, span=conventions.label_span)

    @property
    def scale(self) -> float:
        """What a figure of the label is multiplied by to be shown: basis points of a return, else itself."""
        return 1.0 if self.horizon is None else 1e4

    def describe(self, words: Words) -> str:
        """Return how the figures of score groups are counted."""
        if self.horizon is None:
            return words["groups_about"] + words["groups_own_unit"]
        if self.horizon == 1:
            return words["groups_about"]
        return words["groups_about"] + words["groups_several"].format(horizon=self.horizon)

    def name(self, words: Words, key: str) -> str:
        """Return the title of an axis, ``KEY_one``, ``KEY_several`` or ``KEY_own`` by the horizon."""
        kind = "own" if self.horizon is None else "one" if self.horizon == 1 else "several"
        return words[f"{key}_{kind}"].format(horizon=self.horizon)
