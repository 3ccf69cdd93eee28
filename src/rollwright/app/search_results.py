"""What a search found: its trials, what the best is worth after so many, and the campaign's file with its values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.honesty.honest_numbers import honest_numbers
from rollwright.analysis.honesty.trial_set import TrialSet
from rollwright.app.campaign import plan_campaign
from rollwright.app.open_campaign import OpenCampaign, open_campaign
from rollwright.app.search import identify_search
from rollwright.app.search_record import find_search, results_folder
from rollwright.campaign.config_file import read_config
from rollwright.campaign.search_section import SearchSection
from rollwright.campaign.yaml.document import BASE_KEY, YamlDocument
from rollwright.campaign.yaml.nodes import DROP
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.atomic import draft_of, put, write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import normalise
from rollwright.errors import ConfigError, CorruptFileError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.search.dashboard import measure_importance
from rollwright.search.sampling import count_trials
from rollwright.search.space import make_overrides
from rollwright.search.table import describe_choice, table_to_json
from rollwright.search.trial import ToldTrial, find_best
from rollwright.trials.registry import TrialRegistry
from rollwright.trials.trial import Trial

__all__ = ["SearchReport", "read_search", "write_best"]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchReport:
    """What a search found so far.

    Attributes
    ----------
    name : str
    section : SearchSection
    trials : tuple of ToldTrial
        In the order of their numbers.
    planned : int
        Trials that it will have.
    importance : mapping of str to float
        How much each key decides of which trials are among the best; empty while too few are complete.
    honesty : mapping of str to float
        Honest numbers of the best trial's back-test beside everything that was tried on its data: ``sharpe``, ``psr``,
        ``deflated_sharpe``, ``trials``, ``pbo``, ``min_track_record``; empty where there is no back-test.
    folder, storage : Path
        Where its table lies, and the database for ``optuna-dashboard``.
    """

    name: str
    section: SearchSection
    trials: tuple[ToldTrial, ...]
    planned: int
    importance: Mapping[str, float]
    honesty: Mapping[str, float]
    folder: Path
    storage: Path

    @property
    def best(self) -> ToldTrial | None:
        """The best of the complete trials; None while there is none."""
        return find_best(self.trials)

    @property
    def choice(self) -> str:
        """What choosing the best costs, as a paragraph."""
        return describe_choice(self.section, self.trials)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        honesty = {key: None if math.isnan(value) else value for key, value in self.honesty.items()}
        return {
            **table_to_json(self.name, self.section, self.trials),
            "planned": self.planned,
            "importance": dict(self.importance),
            "honesty": honesty,
            "choice": self.choice,
            "folder": str(self.folder),
            "storage": str(self.storage),
        }


def read_search(name: str, *, project: Path | None = None) -> SearchReport:
    """Return what a search of the project found so far.

    Raises
    ------
    ConfigError
        When there is none of that name.
    CorruptFileError
        When its record cannot be read.
    """
    settings = load_settings(start=project)
    record, header = find_search(settings, name)
    told = tuple(record.read_told(record.read_asked()))
    best = find_best(told)
    honesty: dict[str, float] = {}
    if best is not None and best.trial is not None:
        honesty = _judge(best.trial, settings.state_dir, periods=header.periods, risk_free=header.risk_free)
    return SearchReport(
        name=name,
        section=header.section,
        trials=told,
        planned=count_trials(header.section),
        importance=measure_importance(header.section, told),
        honesty=honesty,
        folder=results_folder(settings, name),
        storage=record.storage,
    )


def _judge(kept: Mapping[str, Any], state: Path, *, periods: float, risk_free: float) -> dict[str, float]:
    trial = Trial.from_json(kept)
    net = pd.Series(trial.series.returns, index=pd.DatetimeIndex(trial.series.sessions, name="datetime"))
    beside = TrialSet.of(TrialRegistry(state).read(), trial)
    made = honest_numbers(net, beside, periods=periods, risk_free=risk_free)
    return {one.key: one.value for one in made.metrics}


def write_best(name: str, out: Path | None = None, *, project: Path | None = None) -> Path:
    """Write the campaign's file with the values of the best trial, which `roll` takes as it is.

    Its windows are those of the trial: what is trained is found, and nothing is trained again. It lies beside the
    campaign's file, as ``NAME-best.yaml``, where no other place is given.

    Raises
    ------
    ConfigError
        When no trial is complete, the campaign's file changed since, another file is there already, or what would be
        written were other windows (a file elsewhere finds no modules beside it).
    """
    settings = load_settings(start=project)
    record, header = find_search(settings, name)
    best = find_best(record.read_told(record.read_asked()))
    if best is None:
        raise ConfigError(
            f"no trial of the search {name} is complete", hint="go on with it: rollwright search run FILE"
        )
    source = settings.root / header.file
    base = open_campaign(source, overrides=header.overrides, provider_uri=header.provider_uri, project=settings.root)
    if identify_search(base) != header.identity:
        raise ConfigError(
            f"{source} changed since the search {name} was begun", hint="bring the file back, or search anew: --anew"
        )
    path = out if out is not None else source.with_name(f"{name}-best.yaml")
    overrides = [*header.overrides, *make_overrides(best.params)]
    config, document = read_config(source, overrides, trusted=settings.trust.modules)
    head = f"# {best.name} of the search {name}: the best of it by {header.section.metric}.\n"
    text = head + _write_file(document, name, overrides, source)
    if path.exists():
        if _read(path) == text:
            return path
        raise ConfigError(f"{path} is there already", hint="give another with --out, or remove it")
    with using(base.context), draft_of(path) as draft:
        market = current_market()
        wanted = _list_windows(base, config, document, market)
        write_text(draft, text)
        try:
            found = _list_windows(base, *read_config(draft, trusted=settings.trust.modules), market)
        except ConfigError as error:
            raise ConfigError(f"{path} would be no campaign: {error.message}", hint=error.hint) from error
        if found != wanted:
            raise ConfigError(
                f"{path} would have other windows than {best.name}",
                hint="write it beside the campaign's file: what that names is looked up in its folder",
            )
        put(draft, path)
    return path


def _read(path: Path) -> str | None:
    try:
        return read_text(path, limit=SMALL)
    except (OSError, ValueError, CorruptFileError):
        return None


def _list_windows(base: OpenCampaign, config: Any, document: YamlDocument, market: DataSource) -> list[str]:
    """Return the identities of the windows of a file."""
    plan, _ = plan_campaign(replace(base, config=config, document=document), market)
    return [window.spec.fingerprint for window in plan.windows]


def _write_file(document: YamlDocument, name: str, overrides: list[str], source: Path) -> str:
    """Return a campaign's file: whole, or over the file it was made of where that has variables of the environment.

    The values of variables may be secrets, and are not written down.
    """
    if document.text == document.rendered:
        said = {key: value for key, value in document.data.items() if key != "search"}
        return _dump_yaml({**said, "experiment_name": name})
    made: dict[str, Any] = {BASE_KEY: source.name, "experiment_name": name, "search": DROP}
    for override in overrides:
        held, place = document.data, made
        *above, last = override.partition("=")[0].strip().split(".")
        if [*above, last][0] in made and not isinstance(made[[*above, last][0]], Mapping):  # a search, or its name
            continue
        for key in above:
            if not isinstance(held[key], Mapping):  # a list is written whole
                last = key
                break
            held, place = held[key], place.setdefault(key, {})
        place[last] = held[last]
    return _dump_yaml(made)


def _dump_yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """Return a mapping as YAML: its mappings as blocks, and all else as JSON, which YAML reads as the same."""
    lines = []
    for key, item in value.items():
        name = key if _PLAIN_KEY.fullmatch(str(key)) else json.dumps(key, ensure_ascii=False)
        if isinstance(item, Mapping) and item:
            lines.append(f"{indent}{name}:\n{_dump_yaml(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {json.dumps(normalise(item), ensure_ascii=False)}\n")
    return "".join(lines)
