"""The ``online`` section of a campaign's YAML: how its models are served day by day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from rollwright.campaign.section import NUMBER, SECTION
from rollwright.config.moment_setting import read_moment

__all__ = [
    "CatchUp",
    "ChecksSection",
    "NotifyEvent",
    "NotifySection",
    "OnlineSection",
    "PromotionSection",
    "PublishSection",
    "WatchSection",
    "list_repeated",
]

CatchUp = Literal["all", "latest", "none"]
NotifyEvent = Literal["published", "refused", "late", "alarm", "promoted"]

_TIME: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def _check_time(value: str) -> str:
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError('a time of day belongs here, such as "18:30"')
    return f"{int(found[1]):02d}:{found[2]}"


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:  # of an unknown name, of one that leads elsewhere
        raise ValueError(f"{value!r} is no time zone of this system; write Asia/Shanghai or UTC") from error
    return value


def _check_webhook(value: str) -> str:
    try:
        split = urlsplit(value)
        port = split.port
    except ValueError as error:
        raise ValueError(f"this is no web address: {error}") from error
    is_plain = value.isascii() and value.isprintable() and not set(value) & set(' "<>\\^`{|}')
    if split.scheme not in ("http", "https") or not split.hostname or port == 0 or not is_plain or split.fragment:
        raise ValueError("a web address belongs here, such as https://hooks.example.com/T0/B0")
    if split.username is not None or split.password is not None:
        raise ValueError("a web address without a login belongs here; a command may show one, as curl does")
    return value


TimeOfDay = Annotated[str, AfterValidator(_check_time)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Day = Annotated[str | None, BeforeValidator(read_moment)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Names = list[Text]
Bound = Annotated[float | None, Field(ge=0, allow_inf_nan=False), NUMBER]


class _Part(BaseModel):
    model_config = SECTION


class ChecksSection(_Part):
    """Bounds that a signal keeps, or it is not published; null leaves a check out.

    The keys are those of `CheckBounds` (`rollwright.online.checks.bounds`), which says what each figure is.
    """

    turnover: Bound = 0.9
    topk: Annotated[int, Field(ge=1), NUMBER] = 50
    equal_scores: Bound = 0.3
    score_mass: Bound = 0.3
    unseen_names: Bound = 0.15
    missing_names: Bound = 0.2
    stale_data: Bound = 0.0
    repeated_scores: Bound = 0.5
    not_finite: Bound = 0.0
    level_shift: Bound = 3.0
    spread_ratio: Bound = 20.0


class PromotionSection(_Part):
    """The evidence that a challenger needs: so many days, and an interval of the difference at this level.

    The mean return of the `topk` names with the highest scores is compared beside it.
    """

    min_days: Annotated[int, Field(ge=1), NUMBER] = 20
    level: Annotated[float, Field(gt=0.5, lt=1), NUMBER] = 0.95
    topk: Annotated[int, Field(ge=1), NUMBER] = 50


class WatchSection(_Part):
    """What is watched, and how often a year it may be told in vain.

    `expected_ic` is the mean rank IC that is expected; without it the campaign's own results tell. Coefficients are
    taken once in `spacing` sessions, as many as the label's return covers if it is not given. Features are compared
    with those of `drift_sessions` sessions before the model served (0: not at all), and the mean share of those that
    are far is tolerated up to `drift_tolerated`. `least_closes` is the share of yesterday's closes that today should
    have, `most_frozen` the share of closes that may repeat yesterday's.
    """

    false_alarms_a_year: Annotated[float, Field(gt=0, le=10), NUMBER] = 0.1
    expected_ic: Annotated[float, Field(gt=-0.5, lt=0.5), NUMBER] | None = None
    spacing: Annotated[int, Field(ge=1, le=250), NUMBER] | None = None
    drift_sessions: Annotated[int, Field(ge=0, le=2500), NUMBER] = 250
    drift_tolerated: Annotated[float, Field(gt=0.05, lt=1), NUMBER] = 0.25
    least_closes: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.9
    most_frozen: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.25


class NotifySection(_Part):
    """Who is told of what: a web address that is sent JSON, or a command that gets it on its standard input."""

    webhook: Text | None = None
    command: Annotated[list[Text], Field(min_length=1)] | None = None
    on: Annotated[list[NotifyEvent], Field(min_length=1)] = ["published", "refused", "late", "alarm", "promoted"]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) is (self.command is None):
            raise ValueError("either a `webhook` or a `command` is told")
        return self

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return None if value is None else _check_webhook(value)


class PublishSection(_Part):
    """Where published signals are delivered, beside what the ledger holds: a folder with one file a session."""

    folder: Text | None = None


class OnlineSection(_Part):
    """How a campaign is served day by day.

    `begin` is the first session that is served. Sessions that were missed are served in order (``all``), left out but
    for the last (``latest``), or all left out (``none``); `catch_up_days` limits how many are served. Data of a session
    that are not there at `deadline`, in `timezone`, are late.

    The signal of all `champions` is published, combined as ``combine`` says; those of `challengers` and `shadows` are
    recorded beside it. `aliases` says whether roles are mirrored into MLflow's model registry; they are where runs are
    tracked by a server, if it is not given. Names are those of members, or of the campaign where it has no ``vary``.
    """

    begin: Day = None
    catch_up: CatchUp = "all"
    catch_up_days: Annotated[int, Field(ge=1), NUMBER] | None = None
    deadline: TimeOfDay | None = None
    timezone: Zone = "UTC"
    on_training_failure: Literal["stop", "keep"] = "stop"
    champions: Annotated[Names, Field(min_length=1)] | None = None
    challengers: Names = []
    shadows: Names = []
    checks: ChecksSection = ChecksSection()
    promotion: PromotionSection = PromotionSection()
    watch: WatchSection = WatchSection()
    notify: list[NotifySection] = []
    publish: PublishSection = PublishSection()
    aliases: bool | None = None

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        repeated = list_repeated([*(self.champions or ()), *self.challengers, *self.shadows])
        if repeated:
            raise ValueError(f"a strategy has one role, and {', '.join(repeated)} is named twice")
        return self

    def find_role(self, name: str) -> Literal["champion", "challenger", "shadow"] | None:
        """Return the role that the file names a member for; None where it names it for none."""
        if name in (self.champions or ()):
            return "champion"
        if name in self.challengers:
            return "challenger"
        return "shadow" if name in self.shadows else None

    @property
    def deadline_time(self) -> time | None:
        """The deadline as a time of day."""
        return None if self.deadline is None else time.fromisoformat(self.deadline)


def list_repeated(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once, sorted."""
    return sorted({name for name in names if names.count(name) > 1})
