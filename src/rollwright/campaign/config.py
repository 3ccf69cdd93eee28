"""The sections of a campaign's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)  # fmt: skip

from rollwright.campaign.leaks import LEAK_KINDS, LeakKind
from rollwright.campaign.online_section import OnlineSection
from rollwright.campaign.pool_section import NeedsSection, ShareSection
from rollwright.campaign.search_section import SearchSection
from rollwright.campaign.section import NUMBER, SECTION
from rollwright.campaign.shards_section import ShardsSection
from rollwright.config.moment_setting import read_moment
from rollwright.core.text import NAME_RULE, is_name

__all__ = [
    "AnalysisConfig",
    "BacktestConfig",
    "BudgetConfig",
    "CampaignConfig",
    "CollectConfig",
    "CombineConfig",
    "ObjectConfig",
    "PointInTimeConfig",
    "PoolConfig",
    "ReportConfig",
    "RollingConfig",
    "SysConfig",
    "TaskConfig",
]

MAX_SEED: Final = 2**53 - 1


class _Part(BaseModel):
    model_config = SECTION


def _check_name(value: str | None) -> str | None:
    if value is not None and not is_name(value):
        raise ValueError(f"a name has {NAME_RULE}")
    return value


class ObjectConfig(_Part):
    """An object by its class: ``{class, module_path, kwargs}``."""

    class_: Annotated[str, Field(alias="class", min_length=1)]
    module_path: str | None = None
    kwargs: dict[str, Any] = {}

    @field_validator("kwargs", mode="before")
    @classmethod
    def _no_kwargs(cls, value: object) -> object:
        return {} if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        return {"class": value} if isinstance(value, str) else value

    def as_dict(self) -> dict[str, Any]:
        """Return it as configurations spell it."""
        spelled: dict[str, Any] = {"class": self.class_}
        if self.module_path is not None:
            spelled["module_path"] = self.module_path
        return {**spelled, "kwargs": self.kwargs}


class TaskConfig(_Part):
    """One task: a model, a dataset, and the records to make."""

    model: ObjectConfig
    dataset: ObjectConfig
    record: list[ObjectConfig] = []
    reweighter: ObjectConfig | None = None

    @field_validator("record", mode="before")
    @classmethod
    def _one_record(cls, value: object) -> object:
        if value is None:
            return []
        return [value] if isinstance(value, Mapping | str) else value

    def as_template(self) -> dict[str, Any]:
        """Return the task template that generators take."""
        template: dict[str, Any] = {
            "model": self.model.as_dict(),
            "dataset": self.dataset.as_dict(),
            "record": [record.as_dict() for record in self.record],
        }
        if self.reweighter is not None:
            template["reweighter"] = self.reweighter.as_dict()
        return template


class RollingConfig(_Part):
    """How the walk-forward window moves.

    .. warning:: **Look-ahead.** `trunc_days` below the sessions of future that the label reads, plus one, lets train
       and valid samples know prices of the test window. ``auto`` reads the label's expression and is never too small.
    """

    step: Annotated[int, Field(gt=0), NUMBER] = 40
    rtype: Literal["expanding", "sliding"] = "expanding"
    trunc_days: Annotated[int, Field(ge=0), NUMBER] | Literal["auto"] = "auto"
    embargo: Annotated[int, Field(ge=0), NUMBER] = 0
    clip_last: bool = True


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class CollectConfig(_Part):
    """What may be missing before the campaign fails: a share of the universe on a day, and windows that are named.

    `allow_missing` names windows, each by its name, by how it begins or by its member, with the reason why the results
    may be made without those of them that failed.
    """

    max_missing_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER] = 0.5
    allow_missing: dict[str, Reason] = {}


Price: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\$?[a-z][a-z0-9_]*$")]


class BacktestConfig(_Part):
    """The top-k drop-out back-test of the collected prediction; costs not given are those of the region.

    `mode` ``qlib`` gives pyqlib's numbers. `deal_price` is the field that is traded at, or one for purchases and one
    for sales. `risk_free` is the rate of a year that Sharpe ratios are taken over, as a fraction. `rules` are the dated
    rules of a market: its duties, lots and limits then hold in place of those of the region, and the costs are
    commissions.

    A holding is kept `hold_thresh` sessions at least, `risk_degree` is the share of the cash that is spent, and without
    `forbid_all_trade_at_limit` one may sell at the upper limit and buy at the lower one.

    .. warning:: **Look-ahead.** `only_tradable` ranks only what can be traded on the session of the trade, which is not
       known when the orders are made.
    """

    topk: Annotated[int, Field(gt=0), NUMBER] = 50
    n_drop: Annotated[int, Field(ge=0), NUMBER] = 5
    account: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER] = 1e8
    benchmark: str = "mean"
    open_cost: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), NUMBER] | None = None
    close_cost: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), NUMBER] | None = None
    min_cost: Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER] | None = None
    mode: Literal["strict", "qlib"] = "strict"
    deal_price: Price | Annotated[list[Price], Field(min_length=2, max_length=2)] = "close"
    risk_free: Annotated[float, Field(gt=-1, lt=1, allow_inf_nan=False), NUMBER] = 0.0
    rules: Literal["cn", "us", "none"] | None = None
    hold_thresh: Annotated[int, Field(ge=0), NUMBER] = 1
    risk_degree: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), NUMBER] = 0.95
    only_tradable: bool = False
    forbid_all_trade_at_limit: bool = True


class AnalysisConfig(_Part):
    """How the signal is judged before it is traded.

    `horizons` are the sessions over which the decay is measured, and the lags of the autocorrelation. `columns` names a
    file beside this one, CSV or Parquet, with ``instrument``, maybe ``datetime``, and columns of yours: the IC is told
    by the groups of those in `groups_by`, and without what those in `neutralise` explain.

    .. warning:: **Look-ahead.** Columns without ``datetime`` say of all dates what is known today.
    """

    horizons: Annotated[list[Annotated[int, Field(ge=1, le=1000), NUMBER]], Field(min_length=1, max_length=20)] = [
        1, 2, 3, 5, 10, 20,
    ]  # fmt: skip
    columns: Annotated[str, Field(min_length=1)] | None = None
    groups_by: list[str] = []
    neutralise: list[str] = []

    @model_validator(mode="after")
    def _has_what_it_names(self) -> Self:
        if len(set(self.horizons)) < len(self.horizons):
            raise ValueError("a horizon is there twice")
        if self.columns is None and (self.groups_by or self.neutralise):
            raise ValueError("`groups_by` and `neutralise` name columns of the file `columns`, which is not given")
        return self


class CombineConfig(_Part):
    """How the predictions of the members become one signal.

    ``average`` averages the scores of each session, standardised; ``rank_mean`` averages their ranks; ``ic_weighted``
    weighs the members by their IC on sessions whose labels were known before; ``none`` makes no signal of them.

    With `members` only these take part, `label` names the member whose label the signal is judged by, and `missing`
    says what becomes of a row that not all of them score: an error, or the signal of those that do.
    """

    method: Literal["average", "rank_mean", "ic_weighted", "none"] = "average"
    members: Annotated[list[str], Field(min_length=1)] | None = None
    label: str | None = None
    missing: Literal["error", "skip"] = "error"

    @model_validator(mode="before")
    @classmethod
    def _by_method(cls, value: object) -> object:
        return {"method": value} if isinstance(value, str) else value


class BudgetConfig(_Part):
    """How much one command trains before it ends with what there is: so many tasks, or so many hours."""

    tasks: Annotated[int, Field(ge=1), NUMBER] | None = None
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.tasks is None and self.hours is None:
            raise ValueError("a budget says how many `tasks`, or how many `hours`")
        return self


class PointInTimeConfig(_Part):
    """From when a field by period is seen; what is left out is that of the settings.

    .. warning:: **Look-ahead.** With no lag and ``same_day``, as in Qlib, a session uses what was announced on that
       very day, at whatever hour.
    """

    lag_days: Annotated[int, Field(ge=0, le=3660), NUMBER] | None = None
    same_day: bool | None = None


class PoolConfig(_Part):
    """Where the tasks of this campaign stand, under its own name; what is left out is that of the settings."""

    url: Annotated[str, Field(min_length=1)] | None = None
    lease: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER] | None = None
    max_attempts: Annotated[int, Field(ge=1), NUMBER] | None = None


class ReportConfig(_Part):
    """Title, language and notes of the report."""

    title: str | None = None
    lang: Literal["en", "zh"] = "en"
    groups: Annotated[int, Field(ge=2, le=20), NUMBER] = 5
    notes: list[str] = []


class SysConfig(_Part):
    """Folders beneath that of the file in which modules are looked up."""

    path: list[str] = []
    rel_path: list[str] = []

    @field_validator("path", "rel_path", mode="before")
    @classmethod
    def _one_folder(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


Grid: TypeAlias = dict[str, Annotated[list[Any], Field(min_length=1)]]
Vary: TypeAlias = (
    ObjectConfig
    | Annotated[Grid, Field(min_length=1)]
    | Annotated[list[Annotated[dict[str, Any], Field(min_length=1)]], Field(min_length=1)]
)


class CampaignConfig(_Part):
    """One YAML: a task, what of it varies, how it rolls, and how its predictions are collected and reported."""

    experiment_name: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), NUMBER] = 0
    qlib_init: dict[str, Any] = {}
    as_of: Annotated[str | None, BeforeValidator(read_moment)] = None
    point_in_time: PointInTimeConfig = PointInTimeConfig()
    sys: SysConfig = SysConfig()
    task: TaskConfig
    rolling: RollingConfig | None = None
    vary: Vary | None = None
    shards: ShardsSection | None = None
    combine: CombineConfig | None = None
    budget: BudgetConfig | None = None
    pool: PoolConfig = PoolConfig()
    needs: NeedsSection = NeedsSection()
    share: ShareSection | None = None
    collect: CollectConfig = CollectConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    backtest: BacktestConfig | None = None
    report: ReportConfig = ReportConfig()
    online: OnlineSection | None = None
    search: SearchSection | None = None
    allow_leak: dict[LeakKind, Reason] = {}

    @field_validator("allow_leak", mode="before")
    @classmethod
    def _with_reasons(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise ValueError(f"each kind with its reason, as `label: why`; the kinds are {', '.join(LEAK_KINDS)}")
        return value

    @field_validator("experiment_name")
    @classmethod
    def _safe_name(cls, value: str | None) -> str | None:
        return _check_name(value)

    @field_validator("vary", mode="before")
    @classmethod
    def _known_form(cls, value: object) -> object:
        """Take a mapping with a class for a generator, so that a mistake in it is not told as one of a grid."""
        return ObjectConfig.model_validate(value) if isinstance(value, Mapping) and "class" in value else value

    def declared_leaks(self, task: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Return the reason for each kind of leak that the file declares, ``allow_overlap`` of a dataset included.

        Parameters
        ----------
        task : mapping, optional
            Of one member; that under ``task`` if not given.
        """
        dataset = self.task.as_template()["dataset"] if task is None else task["dataset"]
        is_allowed = (dataset.get("kwargs") or {}).get("allow_overlap") is True
        overlap = {"overlap": "`allow_overlap: true`"} if is_allowed else {}
        return {**overlap, **{str(kind): reason for kind, reason in self.allow_leak.items()}}

    def template(self) -> dict[str, Any]:
        """Return the task template that generators take: the task, its seed, its shards, and ``as_of``."""
        template = self.task.as_template()
        shards = None if self.shards is None else self.shards.as_dict()
        beside = {"seed": self.seed or None, "as_of": self.as_of, "shards": shards}
        return {**template, **{key: value for key, value in beside.items() if value is not None}}
