"""What windows need of the worker that trains them, and how a campaign is served beside others."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator

from rollwright.campaign.section import NUMBER, SECTION
from rollwright.core.quantities import read_gigabytes
from rollwright.errors import ConfigError
from rollwright.pool.demand import check_share
from rollwright.pool.needs import Needs, check_tag

__all__ = ["NeedsSection", "ShareSection", "read_needs_section"]


def _read_memory(value: object) -> object:
    """Return the GB that ``16G`` or ``512M`` says."""
    if not isinstance(value, str):
        return value
    try:
        return read_gigabytes(value)
    except ConfigError as error:
        raise ValueError(error.message) from error


class NeedsSection(BaseModel):
    """What a window needs of the worker that trains it: tags of the worker, and memory for it, as ``16G``."""

    model_config = SECTION

    tags: list[str] = []
    memory: Annotated[float, BeforeValidator(_read_memory), Field(ge=0, le=1e6, allow_inf_nan=False), NUMBER] = 0.0

    @field_validator("tags", mode="before")
    @classmethod
    def _known_tags(cls, value: object) -> object:
        given = [value] if isinstance(value, str) else value
        for tag in given if isinstance(given, list) else ():
            try:
                check_tag(tag)
            except ConfigError as error:
                raise ValueError(f"{error.message}; {error.hint}") from error
        return given

    def as_needs(self) -> Needs:
        """Return it as a task has it."""
        return Needs(tags=tuple(self.tags), memory=self.memory)


class ShareSection(BaseModel):
    """The part of shared workers that this campaign has, by weight, and the most windows of it that run at once."""

    model_config = SECTION

    weight: Annotated[float, NUMBER] | None = None
    max_running: Annotated[int, NUMBER] | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        try:
            check_share(weight=self.weight, max_running=self.max_running)
        except ConfigError as error:
            raise ValueError(f"{error.message}; {error.hint}") from error
        return self


def read_needs_section(value: object) -> Needs:
    """Return the needs of one member, as the section at the top of the file says them.

    Raises
    ------
    ConfigError
    """
    try:
        return NeedsSection.model_validate(value).as_needs()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(("needs", *(str(key) for key in first["loc"])))
        raise ConfigError(f"`{place}`: {first['msg']}", hint="write needs: {tags: [gpu], memory: 16G}") from error
