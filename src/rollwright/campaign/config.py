"""The sections of a campaign's YAML, and reading one with all its problems reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)  # fmt: skip

from rollwright.campaign.checks.objects import ObjectCheck, check_task
from rollwright.campaign.checks.placeholders import fill_task
from rollwright.campaign.checks.qlib_init import check_qlib_init, find_sys_folders, replace_modules_with_files
from rollwright.campaign.leaks import LEAK_KINDS, LeakKind
from rollwright.campaign.yaml.document import YamlDocument, combine_problems, read_document
from rollwright.config.construct import Trust
from rollwright.core.text import NAME_RULE, is_name
from rollwright.errors import nearest

__all__ = [
    "BacktestConfig",
    "CampaignConfig",
    "CollectConfig",
    "ObjectConfig",
    "ReportConfig",
    "RollingConfig",
    "SysConfig",
    "TaskConfig",
    "read_config",
]

QLIB_ANCHORS: Final = frozenset(("market", "benchmark", "data_handler_config", "port_analysis_config"))
"""What Qlib's workflows hold at their top for their aliases, and keep when a program has put the values in place."""
MAX_SEED: Final = 2**53 - 1


def _refuse_truth(value: object) -> object:
    """Refuse true and false where a number belongs: Python would count them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number belongs here")
    return value


NUMBER: Final = BeforeValidator(_refuse_truth)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)


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


class CollectConfig(_Part):
    """How much of the universe may be missing on a day before the campaign fails."""

    max_missing_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER] = 0.5


class BacktestConfig(_Part):
    """The top-k drop-out back-test of the collected prediction; costs not given are those of the region."""

    topk: Annotated[int, Field(gt=0), NUMBER] = 50
    n_drop: Annotated[int, Field(ge=0), NUMBER] = 5
    account: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER] = 1e8
    benchmark: str = "mean"
    open_cost: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), NUMBER] | None = None
    close_cost: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), NUMBER] | None = None
    min_cost: Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER] | None = None


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


class CampaignConfig(_Part):
    """One YAML: a task, how it rolls, and how its predictions are collected, back-tested and reported."""

    experiment_name: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), NUMBER] = 0
    qlib_init: dict[str, Any] = {}
    sys: SysConfig = SysConfig()
    task: TaskConfig
    rolling: RollingConfig | None = None
    collect: CollectConfig = CollectConfig()
    backtest: BacktestConfig | None = None
    report: ReportConfig = ReportConfig()
    allow_leak: dict[LeakKind, Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = {}

    @field_validator("allow_leak", mode="before")
    @classmethod
    def _with_reasons(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise ValueError(f"each kind with its reason, as `label: why`; the kinds are {', '.join(LEAK_KINDS)}")
        return value

    @field_validator("experiment_name")
    @classmethod
    def _safe_name(cls, value: str | None) -> str | None:
        if value is not None and not is_name(value):
            raise ValueError(f"a name has {NAME_RULE}")
        return value

    def declared_leaks(self) -> dict[str, str]:
        """Return the reason for each kind of leak that the file declares, ``allow_overlap`` of the dataset included."""
        overlap = {"overlap": "`allow_overlap: true`"} if self.task.dataset.kwargs.get("allow_overlap") is True else {}
        return {**overlap, **{str(kind): reason for kind, reason in self.allow_leak.items()}}

    def template(self) -> dict[str, Any]:
        """Return the task template that generators take: the task, and the seed its windows draw from."""
        template = self.task.as_template()
        return {**template, "seed": self.seed} if self.seed else template


def read_config(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    trusted: Sequence[str] | None = None,
) -> tuple[CampaignConfig, YamlDocument]:
    """Read and check a campaign's YAML; nothing is built, and no module but rollwright's own is imported.

    Top-level keys that only hold an anchor (``market: &market csi300``) are allowed, as Qlib's configurations use them.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``dotted.key=value`` each; the value is read as YAML.
    environ : mapping, optional
        Where ``{{ NAME }}`` finds its value; the process's environment if not given.
    trusted : sequence of str, optional
        Modules that the settings trust; if given, a module that is not among them and not built in is a problem too.

    Raises
    ------
    ConfigError
        With every problem at once: file, line, column, and the nearest valid key.
    """
    document = read_document(path, overrides, environ=environ)
    ignored = (document.list_anchored() | _list_leftovers(document.data)) - set(CampaignConfig.model_fields)
    empty = {key for key, value in document.data.items() if value is None} & set(CampaignConfig.model_fields)
    data = {key: value for key, value in document.data.items() if key not in ignored | empty}
    problems: list[str] = []
    config: CampaignConfig | None = None
    task = data.get("task")
    if isinstance(task, dict):
        data["task"], said = _check_task_section(task, data.get("sys"), document, trusted)
        problems += said
    try:
        config = CampaignConfig.model_validate(data)
    except ValidationError as error:
        problems = _describe_problems(error, document) + problems
    problems += check_qlib_init(data.get("qlib_init"), document)
    if config is None or problems:
        raise combine_problems(path, problems)
    return config, document


def _list_leftovers(data: Mapping[str, Any]) -> set[str]:
    """Return the top-level keys that a program left behind when it wrote a file without its anchors.

    They are those of Qlib's workflows, empty ones, and sections that stand a second time where their alias was. A key
    that looks like one of ours is none of them: it may be misspelt.
    """
    known = [field.alias or name for name, field in CampaignConfig.model_fields.items()]
    parts = [part for key, value in data.items() if key in known for part in _list_parts(value)]
    return {
        key
        for key, value in data.items()
        if key in QLIB_ANCHORS
        or (nearest(key, known) is None and (value is None or (isinstance(value, dict | list) and value in parts)))
    }


def _list_parts(value: object) -> list[object]:
    """Return every mapping and list of `value`, itself included, that is not empty."""
    if not isinstance(value, dict | list) or not value:
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(part for item in inner for part in _list_parts(item))]


def _check_task_section(
    task: dict[str, Any], sys: object, document: YamlDocument, trusted: Sequence[str] | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the task with the modules of ``sys`` replaced by their files, and its problems."""
    folder = document.path.resolve().parent
    folders, problems = find_sys_folders(sys, folder, document)
    task = replace_modules_with_files(task, folders, folder)
    trust = Trust(modules=tuple(trusted), folder=folder) if trusted is not None else None
    filled, said = fill_task(task, document)
    return task, problems + said + check_task(filled, ObjectCheck(document=document, trust=trust))


def _describe_problems(error: ValidationError, document: YamlDocument) -> list[str]:
    """Return a line for each value that is wrong; where it may be one of several things, what each of them needs."""
    merged: dict[tuple[str | int, ...], dict[str, Any]] = {}
    for found in error.errors():
        problem: dict[str, Any] = dict(found)
        keys = _find_keys(problem["loc"], document.data)
        if keys in merged and problem["type"] == merged[keys]["type"] == "missing":
            keys = problem["loc"]
        if keys in merged:
            other = str(problem["msg"]).removeprefix("Input should be ")
            merged[keys]["msg"] = f"{merged[keys]['msg']}, or {other}"
        else:
            merged[keys] = problem
    return [_describe_problem(problem, document) for problem in merged.values()]


def _describe_problem(problem: dict[str, Any], document: YamlDocument) -> str:
    keys = _find_keys(problem["loc"], document.data)
    dotted = ".".join(str(key) for key in keys)
    if problem["type"] == "extra_forbidden":
        known = _list_known_keys(keys[:-1])
        suggestion = nearest(str(keys[-1]), known)
        meant = f"did you mean `{suggestion}`?" if suggestion else f"known here: {', '.join(sorted(known))}"
        return f"{document.locate_key(keys)}: unknown key `{dotted}`; {meant}"
    if problem["type"] == "missing":
        return f"{document.locate(keys[:-1])}: `{dotted}` is missing"
    given = "" if isinstance(problem["input"], dict | list) else f", not {problem['input']!r}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] in ("model_type", "dict_type", "model_attributes_type"):
        message = f"a section of keys belongs here, such as `{dotted.rpartition('.')[2]}: {{key: value}}`"
    return f"{document.locate(keys)}: `{dotted}`: {message[:1].lower()}{message[1:]}{given}"


def _find_keys(location: tuple[str | int, ...], data: object) -> tuple[str | int, ...]:
    """Return the part of pydantic's location that exists in the file (it also names branches of unions)."""
    keys: list[str | int] = []
    place = data
    for step, part in enumerate(location):
        known = (isinstance(place, dict) and part in place) or (
            isinstance(place, list) and isinstance(part, int) and part < len(place)
        )
        if known:
            place = place[part]  # type: ignore[index]  # checked just above
            keys.append(part)
        elif step == len(location) - 1 and isinstance(place, dict):
            keys.append(part)
    return tuple(keys)


def _list_known_keys(keys: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = CampaignConfig
    for key in keys:
        if isinstance(key, str):
            model = _MODELS.get(key, model)
    return [field.alias or name for name, field in model.model_fields.items()]


_MODELS: Final[dict[str, type[BaseModel]]] = {
    "task": TaskConfig,
    "model": ObjectConfig,
    "dataset": ObjectConfig,
    "record": ObjectConfig,
    "reweighter": ObjectConfig,
    "rolling": RollingConfig,
    "collect": CollectConfig,
    "backtest": BacktestConfig,
    "report": ReportConfig,
    "sys": SysConfig,
}
