"""The ``shards`` section of a campaign's YAML: into which parts each window is divided."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from rollwright.campaign.section import NUMBER, SECTION

__all__ = ["ShardsSection"]


class ShardsSection(BaseModel):
    """Parts of each window that several workers make side by side.

    `by` seeds needs `count` or a list of `seeds`, and the score is the mean; by dates needs `every`, such as ``3M``; by
    instruments needs `count`, or `groups`: names with lists of instruments. `mode` says whether instruments are only
    predicted separately (``predict``, as `count` does if it is left out) or learn separately, too (``fit``, as
    `groups` do).
    """

    model_config = SECTION

    by: Literal["seeds", "dates", "instruments"]
    count: Annotated[int, Field(ge=2), NUMBER] | None = None
    seeds: list[Annotated[int, Field(ge=0), NUMBER]] | None = None
    every: str | None = None
    groups: dict[str, list[str]] | None = None
    mode: Literal["fit", "predict"] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a task's definition has it."""
        return self.model_dump(exclude_none=True)
