"""Reweighters: how much each sample counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["Reweighter"]


class Reweighter(ABC):
    """Gives each sample of a segment its weight; a subclass says how."""

    @abstractmethod
    def reweight(self, data: Any) -> Any:
        """Return one finite weight, 0 or more, for each row of the frame `data`."""
