"""The ``search`` section of a campaign's YAML: what is tried, how it is chosen, and what stops a candidate early."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, field_validator, model_validator

from rollwright.campaign.section import NUMBER, SECTION
from rollwright.core.canonical import dump_canonical, normalise
from rollwright.errors import TaskValueError

__all__ = [
    "IC_METRICS",
    "PORTFOLIO_METRICS",
    "DimensionSection",
    "PruneSection",
    "SearchMetric",
    "SearchSection",
]

SearchMetric: TypeAlias = Literal["ic", "icir", "rank_ic", "rank_icir", "information_ratio", "excess_return"]

IC_METRICS: Final = ("ic", "icir", "rank_ic", "rank_icir")
PORTFOLIO_METRICS: Final = ("information_ratio", "excess_return")
"""Metrics of the back-test, which there is of test windows only."""

_MAX_SEED: Final = 2**31 - 1
_MOST_TRIALS: Final = 10_000
_MOST_CHOICES: Final = 1_000
_MOST_STEPS: Final = 10_000
_SLACK: Final = 1e-9
"""Share of a step by which a range of floats may miss a whole number of steps."""


class _Part(BaseModel):
    model_config = SECTION


class DimensionSection(_Part):
    """What one key may be: a number from `low` to `high`, both ends included, or one of `choices`.

    Where both ends are written as whole numbers, `int` says whether only such are tried: nobody guesses it. With `log`
    the logarithm is searched evenly; with `step` only `low`, `low` + `step` and so on are tried.
    """

    low: Annotated[int | float, NUMBER] | None = None
    high: Annotated[int | float, NUMBER] | None = None
    log: bool = False
    step: Annotated[int | float, NUMBER] | None = None
    int_: Annotated[bool | None, Field(alias="int")] = None
    choices: Annotated[list[Any], Field(min_length=1, max_length=_MOST_CHOICES)] | None = None

    @field_validator("choices", mode="after")
    @classmethod
    def _as_json(cls, value: list[Any] | None) -> list[Any] | None:
        """Take days as texts, which mean the same wherever a campaign takes one."""
        if value is None:
            return None
        try:
            made = [normalise(one) for one in value]
        except TaskValueError as error:
            raise ValueError(f"a choice that no file could hold: {error.message}") from error
        twice = [text for text, count in Counter(dump_canonical(one) for one in made).items() if count > 1]
        if twice:
            raise ValueError(f"the choice {twice[0]} is there twice")
        return made

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.choices is not None:
            if self.model_fields_set & {"low", "high", "log", "step", "int_"}:
                raise ValueError("either `choices`, or a range with `low` and `high`")
            return self
        if self.low is None or self.high is None:
            raise ValueError("`low` and `high` are needed, or `choices`")
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("`low` and `high` are finite numbers")
        if self.low > self.high:
            raise ValueError(f"`low` {self.low} is above `high` {self.high}")
        if self.int_ is None and isinstance(self.low, int) and isinstance(self.high, int):
            raise ValueError(f"`int: true` for whole numbers only, or `low: {self.low}.0` for any")
        if self.is_int and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError("`int: true` needs whole numbers as `low` and `high`")
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs a `low` above 0, not {self.low}")
        if self.step is not None:
            self._check_step(self.step)
        return self

    def _check_step(self, step: float) -> None:
        if self.log:
            raise ValueError("`log` and `step` exclude each other")
        if not (math.isfinite(step) and step > 0):
            raise ValueError(f"a step is above 0, not {step}")
        if self.int_ is None and isinstance(self.low, int) and isinstance(self.high, int):
            raise ValueError(f"`int: true` for whole numbers only, or `low: {self.low}.0` for any")
        if self.is_int and not float(step).is_integer():
            raise ValueError(f"whole numbers are searched in steps of whole numbers, not of {step}")
        steps = (float(self.high or 0) - float(self.low or 0)) / step
        if abs(steps - round(steps)) > _SLACK:
            raise ValueError(f"`high` {self.high} is not a whole number of steps of {step} from `low` {self.low}")

    @property
    def is_int(self) -> bool:
        """Whether only whole numbers are tried."""
        return self.int_ is True

    def list_points(self) -> list[Any] | None:
        """Return all that may be tried, in order; None where that is no list: floats without a step."""
        if self.choices is not None:
            return [*self.choices]
        low, high = self.low or 0, self.high or 0
        if self.is_int:
            step = int(self.step or 1)
            if (high - low) / step > _MOST_STEPS:
                return None
            return [*range(int(low), int(high) + 1, step)]
        if self.step is None or (high - low) / self.step > _MOST_STEPS:
            return [float(low)] if low == high else None
        return [float(low) + place * self.step for place in range(round((high - low) / self.step) + 1)]

    def list_ends(self) -> list[Any]:
        """Return what is checked before anything is tried: every choice, or both ends of a range."""
        if self.choices is not None:
            return [*self.choices]
        kind = int if self.is_int else float
        return [*dict.fromkeys((kind(self.low or 0), kind(self.high or 0)))]


class PruneSection(_Part):
    """When a candidate is stopped: from its window number `after` on, each time one of its windows is finished.

    ``paired`` compares day by day with the best trial of earlier generations, and stops a candidate that is below it
    beyond doubt; one that is in truth as good is stopped with a probability of about `rate` on its whole walk.
    ``median`` stops what is below the median of earlier trials after as many windows.
    """

    after: Annotated[int, Field(ge=1), NUMBER] = 2
    rule: Literal["paired", "median"] = "paired"
    rate: Annotated[float, Field(gt=0, lt=0.5), NUMBER] | None = None

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if self.rule == "median" and self.rate is not None:
            raise ValueError("`rate` belongs to the rule `paired`; that of the median has none")
        return self


class SearchSection(_Part):
    """Which values of which keys are tried, and by what the best is chosen.

    `generation` trials are asked for at once, and told together: what is tried depends on that number and on the seed,
    and never on how many worker processes train. `sampler` ``grid`` tries every combination in the order of the file.

    .. warning:: **Look-ahead.** What was chosen by a number is not judged by it. With ``segment: test`` the test
       windows are used up by the choice: their result is the best of so many, which the deflated Sharpe ratio says,
       and nothing but a sealed holdout or later sessions shows what the choice is worth. With ``valid`` no trial is
       chosen by its test windows; but valid segments of later windows lie on test sessions of earlier ones.
    """

    trials: Annotated[int, Field(ge=1, le=_MOST_TRIALS), NUMBER]
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED), NUMBER] = 0
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    metric: SearchMetric = "rank_ic"
    segment: Literal["valid", "test"] = "valid"
    generation: Annotated[int, Field(ge=1, le=1000), NUMBER] = 4
    prune: PruneSection | None = None
    space: Annotated[dict[str, DimensionSection], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.metric in PORTFOLIO_METRICS and self.segment != "test":
            raise ValueError(
                f"`{self.metric}` is of a back-test, and there is one of test windows only: `segment: test`"
            )
        if self.metric in PORTFOLIO_METRICS and self.prune is not None:
            raise ValueError(f"`prune` compares daily coefficients, and `{self.metric}` is of a back-test")
        if self.sampler == "grid":
            for key, dimension in self.space.items():
                if dimension.list_points() is None:
                    raise ValueError(f"the grid needs a `step` for `{key}`, or `choices`")
        return self
