"""Reading a campaign's YAML, with all its problems reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from rollwright.campaign.checks.objects import ObjectCheck, check_object, check_task
from rollwright.campaign.checks.placeholders import fill_task
from rollwright.campaign.checks.pool import check_pool
from rollwright.campaign.checks.qlib_init import check_qlib_init, find_sys_folders, replace_modules_with_files
from rollwright.campaign.checks.variation import check_combine, check_vary
from rollwright.campaign.config import (
    AnalysisConfig,
    BacktestConfig,
    BudgetConfig,
    CampaignConfig,
    CollectConfig,
    CombineConfig,
    ObjectConfig,
    PointInTimeConfig,
    PoolConfig,
    ReportConfig,
    RollingConfig,
    SysConfig,
    TaskConfig,
)
from rollwright.campaign.members import BESIDE_TASK, SEED, VARY, Member, expand_members
from rollwright.campaign.online_section import (
    ChecksSection,
    NotifySection,
    OnlineSection,
    PromotionSection,
    PublishSection,
    WatchSection,
)
from rollwright.campaign.search_section import DimensionSection, PruneSection, SearchSection
from rollwright.campaign.yaml.document import YamlDocument, combine_problems, read_document
from rollwright.config.construct import Trust
from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError, nearest

__all__ = ["read_config"]

QLIB_ANCHORS: Final = frozenset(("market", "benchmark", "data_handler_config", "port_analysis_config"))
"""What Qlib's workflows hold at their top for their aliases, and keep when a program has put the values in place."""


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
    folder = document.path.resolve().parent
    trust = Trust(modules=tuple(trusted), folder=folder) if trusted is not None else None
    folders, said = find_sys_folders(data.get("sys"), folder, document)
    problems += said
    for section in ("task", VARY):
        if section in data:
            data[section] = replace_modules_with_files(data[section], folders, folder)
    if isinstance(task, dict):
        problems += _check_task_section(data["task"], document, trust)
        problems += _check_variation(data, document, trust)
    problems += check_pool(data.get("pool"), data.get("qlib_init"), document)
    try:
        config = CampaignConfig.model_validate(data)
    except ValidationError as error:
        problems = _describe_problems(error, document, leave_out=VARY if problems else None) + problems
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
        or (
            nearest(key, known, likeness=0.75) is None
            and (value is None or (isinstance(value, dict | list) and value in parts))
        )
    }


def _list_parts(value: object) -> list[object]:
    """Return every mapping and list of `value`, itself included, that is not empty."""
    if not isinstance(value, dict | list) or not value:
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(part for item in inner for part in _list_parts(item))]


def _check_task_section(task: dict[str, Any], document: YamlDocument, trust: Trust | None) -> list[str]:
    """Return the problems of a task whose modules of ``sys`` are replaced by their files."""
    filled, problems = fill_task(task, document)
    return problems + check_task(filled, ObjectCheck(document=document, trust=trust))


def _check_variation(data: dict[str, Any], document: YamlDocument, trust: Trust | None) -> list[str]:
    """Return the problems of ``vary`` and ``combine``.

    Each member is checked as the task is that stands under ``task``. What a generator of the user's own makes is
    checked when the campaign is planned, since it has to be run for that.
    """
    vary = data.get(VARY)
    problems = check_vary(vary, document)
    if problems:
        return problems
    if isinstance(vary, dict) and "class" in vary:
        problems = check_object(vary, (), "generator", ObjectCheck(document=document, trust=trust, above=(VARY,)))
        return problems + check_combine(data.get("combine"), None, document, varies=True)
    names: list[str] = []
    if vary is not None:
        try:
            given = CampaignConfig.model_validate({key: data[key] for key in ("task", SEED) if key in data})
            members = expand_members(given.template(), vary, document)
        except ValidationError:
            return []  # of the task itself, told with the rest
        except ConfigError as error:
            return [f"{error.message}; {error.hint}" if error.hint else error.message]
        names = [member.name for member in members]
        for member in members:
            problems += _check_member(member, document, trust)
    return problems + check_combine(data.get("combine"), names, document, varies=vary is not None)


def _check_member(member: Member, document: YamlDocument, trust: Trust | None) -> list[str]:
    """Return the problems of one member's task, each where ``vary`` or ``task`` says so."""
    task = {key: value for key, value in member.task.items() if key not in BESIDE_TASK}
    own = document.with_value("task", task, member.origins)
    try:
        CampaignConfig.model_validate({"task": task})
    except ValidationError as error:
        return _describe_problems(error, own)
    return _check_task_section(task, own, trust)


def _describe_problems(error: ValidationError, document: YamlDocument, *, leave_out: str | None = None) -> list[str]:
    """Return a line for each value that is wrong; where it may be one of several things, what each of them needs."""
    merged: dict[tuple[str | int, ...], dict[str, Any]] = {}
    for found in error.errors():
        problem: dict[str, Any] = dict(found)
        if problem["loc"][:1] == (leave_out,):  # told by `check_vary`, in the words of one form and not of all
            continue
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
    given = "" if isinstance(problem["input"], dict | list) else f", not {mask_secrets(repr(problem['input']))}"
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
    "analysis": AnalysisConfig,
    "collect": CollectConfig,
    "backtest": BacktestConfig,
    "report": ReportConfig,
    "sys": SysConfig,
    "combine": CombineConfig,
    "budget": BudgetConfig,
    "pool": PoolConfig,
    "point_in_time": PointInTimeConfig,
    "online": OnlineSection,
    "checks": ChecksSection,
    "promotion": PromotionSection,
    "watch": WatchSection,
    "notify": NotifySection,
    "publish": PublishSection,
    "search": SearchSection,
    "prune": PruneSection,
    "space": DimensionSection,
}
