"""Settings: one frozen value, built in one place, and every field knows where it came from.

Order, strongest first: arguments of the call or the command line > environment (``ROLLWRIGHT_POOL__URL``) > the
project's ``rollwright.toml`` > the user's file > defaults. An unknown name is an error that suggests the nearest one.
Nothing else in the package reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rollwright.config.holdout_setting import read_holdout
from rollwright.config.moment_setting import read_moment
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import sha256_hex
from rollwright.core.file_uris import read_path
from rollwright.core.masking import mask_secrets
from rollwright.core.quantities import read_gigabytes
from rollwright.core.sqlite_urls import sqlite_path, sqlite_url
from rollwright.core.store_addresses import check_store_address, is_store_address
from rollwright.core.text import escape_text, is_utf8
from rollwright.errors import ConfigError, UnknownSettingError

__all__ = [
    "DEFAULT_FREQ",
    "Settings",
    "find_root",
    "load_settings",
    "user_data_folder",
    "with_folders_by_frequency",
]

PROJECT_FILE: Final = "rollwright.toml"
STATE_DIR: Final = ".rollwright"
_SESSIONS_A_YEAR: Final = {"cn": 238.0, "tw": 238.0, "us": 252.0}
ENV_PREFIX: Final = "ROLLWRIGHT_"
DRAIN: Final = 4.0
"""Seconds that a worker which is told to end gives the tasks in hand, if nothing else is set: it is gone after five."""
TAG: Final = "^[a-z][a-z0-9_-]{0,39}$"
"""What names something that a worker has."""
_HOLDOUT: Final = "data.holdout"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show no password where settings are shown, as in a traceback."""
        for name, value in super().__repr_args__():
            yield name, mask_secrets(value) if isinstance(value, str) else value


def _read_size(value: object) -> object:
    """Return the GB that ``16G`` or ``512M`` says."""
    if not isinstance(value, str):
        return value
    try:
        return read_gigabytes(value)
    except ConfigError as error:
        raise ValueError(error.message) from error


def _to_path(value: str) -> str:
    """Return the path that a setting names, ``file:`` URIs as the paths that they are."""
    try:
        path = read_path(value)
    except ConfigError as error:
        raise ValueError(f"{error.message}; {error.hint}") from error
    return str(path) if value.lower().startswith("file:") else value


def _to_place(value: str) -> str:
    """Return the path or the address of a store that a setting names."""
    if not is_store_address(value):
        return _to_path(value)
    try:
        return check_store_address(value)
    except ConfigError as error:
        raise ValueError(f"{error.message}; {error.hint}") from error


_PathText = Annotated[str, AfterValidator(_to_path)]
_PlaceText = Annotated[str, AfterValidator(_to_place)]


def _read_day(value: object) -> str | None:
    """Return a day as ``YYYY-MM-DD``; TOML has days of its own."""
    if value is None or type(value) is date:
        return None if value is None else value.isoformat()
    try:
        if type(value) is str and len(value) == len("2026-11-30"):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError("it is no day, as 2026-11-30 is")


class DataSettings(_Section):
    """Where market data lies and how it is read."""

    provider_uri: _PathText | None = None
    provider_uris: dict[str, _PathText] = {}
    region: Literal["cn", "us", "tw"] = "cn"
    freq: str = "day"
    kernels: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: os.cpu_count() or 1)
    kernel_memory: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 28.0
    custom_ops: tuple[str, ...] = ()
    mem_cache_size_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100.0
    days_per_year: Annotated[float, Field(gt=0, le=366, allow_inf_nan=False)] | None = None
    holdout: Annotated[tuple[str, str] | None, BeforeValidator(read_holdout)] = None

    @property
    def sessions_per_year(self) -> float:
        """Sessions of the year that every annual figure counts: `days_per_year`, or what is usual in the region."""
        return _SESSIONS_A_YEAR[self.region] if self.days_per_year is None else self.days_per_year

    @property
    def kernel_bytes(self) -> int:
        """`kernel_memory` in bytes."""
        return int(self.kernel_memory * (1 << 20))


class PointInTimeSettings(_Section):
    """From when the data are seen: how long after its announcement, and at the latest."""

    lag_days: Annotated[int, Field(ge=0, le=3660)] = 0
    same_day: bool = True
    as_of: Annotated[str | None, BeforeValidator(read_moment)] = None


class PoolSettings(_Section):
    """The task pool: a store URL and the terms of a claim."""

    url: str = "sqlite:///.rollwright/pool.db"
    lease: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    poll: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    max_generated: Annotated[int, Field(ge=1)] = 100_000
    connections: Annotated[int, Field(ge=1)] = 4
    session: bool = True


class TrackingSettings(_Section):
    """Experiments and recorders: an MLflow tracking URI and the folder or the address of their artifacts."""

    uri: str = "sqlite:///.rollwright/mlflow.db"
    artifacts: _PlaceText = ".rollwright/artifacts"
    artifacts_patience: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    default_experiment: str = "Experiment"


class WorkerSettings(_Section):
    """What a worker's processes may use up."""

    max_tasks_per_child: Annotated[int, Field(ge=1)] | None = None
    memory_limit: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    task_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    task_memory: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    store_patience: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 300.0
    drain: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = DRAIN
    tags: tuple[Annotated[str, Field(pattern=TAG)], ...] = ()
    memory: Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_read_size)] = None


class StoreSettings(_Section):
    """The memory-mapped feature store."""

    path: str = ".rollwright/features"
    default_disk_cache: Annotated[int, Field(ge=0, le=2)] | None = None
    max_size: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class TrustSettings(_Section):
    """Modules whose classes a configuration may name, and the folder whose ``.py`` files it may name."""

    modules: tuple[str, ...] = ()
    folder: str | None = None


class CompareSettings(_Section):
    """The environments of compared models: where they are, who makes them, and of which day's packages."""

    environments: _PathText = ".rollwright/environments"
    installer: Literal["auto", "uv", "pip"] = "auto"
    exclude_newer: Annotated[str | None, BeforeValidator(_read_day)] = None


class ServeSettings(_Section):
    """The serving API."""

    token_file: _PathText | None = None


class ClusterSettings(_Section):
    """Where workers are started by ``--on`` and by ``rollwright cluster up``, and what each is given."""

    launcher: Literal["local", "slurm", "kubernetes", "ray"] = "local"
    one_machine: bool = False
    cores: Annotated[int, Field(ge=1)] = 1
    memory: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    time_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    sbatch_options: tuple[str, ...] = ()
    image: str | None = None
    image_folder: str = "/project"
    namespace: str | None = None
    volume: str | None = None
    secret: str | None = None
    ray_address: str = "auto"
    ray_resources: tuple[str, ...] = ()


class Settings(_Section):
    """Everything that can be set, frozen.

    Attributes
    ----------
    root : Path
        The project folder: the nearest one upwards that holds ``.rollwright/`` or ``rollwright.toml``, else the
        working directory. Relative paths and URLs are relative to it.
    origins : dict of str to str
        For each dotted name that is not a default, where its value came from.
    """

    root: Path
    data: DataSettings = DataSettings()
    point_in_time: PointInTimeSettings = PointInTimeSettings()
    pool: PoolSettings = PoolSettings()
    worker: WorkerSettings = WorkerSettings()
    tracking: TrackingSettings = TrackingSettings()
    store: StoreSettings = StoreSettings()
    trust: TrustSettings = TrustSettings()
    compare: CompareSettings = CompareSettings()
    serve: ServeSettings = ServeSettings()
    cluster: ClusterSettings = ClusterSettings()
    origins: Mapping[str, str] = Field(default_factory=dict)

    def resolve(self, path: str | Path) -> Path:
        """Return `path` as an absolute path, taken from the project folder and with ``~`` expanded."""
        return (self.root / read_path(path)).resolve()

    def resolve_url(self, url: str) -> str:
        """Return `url` with the path of a ``sqlite:///relative`` URL made absolute."""
        path = sqlite_path(url)
        return url if path is None else sqlite_url(self.resolve(path))

    @property
    def artifact_address(self) -> str | None:
        """The address of the artifacts, as ``s3://bucket/folder``; None when they lie in a folder."""
        named = self.tracking.artifacts
        return named if is_store_address(named) else None

    @property
    def artifact_folder(self) -> Path:
        """The folder of the artifacts, or of the copies of those that have an address."""
        address = self.artifact_address
        if address is None:
            return self.resolve(self.tracking.artifacts)
        return self.state_dir.resolve() / "copies" / sha256_hex(address.encode())[:16]

    @property
    def state_dir(self) -> Path:
        """The project's ``.rollwright`` folder (it may not exist yet)."""
        return self.root / STATE_DIR

    def rows(self) -> list[tuple[str, object, str]]:
        """Return (dotted name, value, origin) for every setting, in order."""
        return [(name, _get(self, name), self.origins.get(name, "default")) for name in known_names()]

    def with_values(self, values: Mapping[str, object], *, origin: str) -> Settings:
        """Return new settings with the dotted names of `values` replaced.

        Raises
        ------
        UnknownSettingError, ConfigError
            For a name or a value that no setting takes.
        """
        merged = {name: _get(self, name) for name in known_names() if name in self.origins}
        origins = dict(self.origins)
        _merge(merged, origins, values, origin)
        return _build(self.root, merged, origins)


DEFAULT_FREQ: Final = "__DEFAULT_FREQ"
"""Qlib's key for the folder of every frequency that has none of its own."""


def with_folders_by_frequency(values: Mapping[str, object]) -> dict[str, object]:
    """Return dotted `values` in which a mapping as ``data.provider_uri`` is one folder, and the others by frequency.

    1. The folder that stands for all is that of ``__DEFAULT_FREQ``, of ``data.freq``, of ``day``, or the first.
    2. The whole mapping is ``data.provider_uris``.

    Raises
    ------
    ConfigError
        For a mapping that is empty, or that holds anything but texts and paths.
    """
    given = values.get("data.provider_uri")
    if not isinstance(given, Mapping):
        return dict(values)
    folders = {name: os.fspath(folder) for name, folder in given.items() if isinstance(folder, str | os.PathLike)}
    if not folders or len(folders) < len(given) or not all(isinstance(name, str) for name in folders):
        raise ConfigError(
            f"provider_uri = {given!r} is no mapping of frequencies to folders",
            hint='write provider_uri={"day": "market", "1min": "market_1min"}',
        )
    wanted = (DEFAULT_FREQ, str(values.get("data.freq") or "day"), "day", next(iter(folders)))
    main = next(folders[name] for name in wanted if name in folders)
    return {**values, "data.provider_uri": main, "data.provider_uris": folders}


_SECTIONS: Final[dict[str, type[_Section]]] = {
    "data": DataSettings,
    "point_in_time": PointInTimeSettings,
    "pool": PoolSettings,
    "worker": WorkerSettings,
    "tracking": TrackingSettings,
    "store": StoreSettings,
    "trust": TrustSettings,
    "compare": CompareSettings,
    "serve": ServeSettings,
    "cluster": ClusterSettings,
}


def known_names() -> list[str]:
    """Return every dotted setting name."""
    return [f"{section}.{field}" for section, model in _SECTIONS.items() for field in model.model_fields]


def find_root(start: Path) -> Path:
    """Return the project folder that `start` lies in, or `start` itself when there is none."""
    for folder in (start, *start.parents):
        if (folder / STATE_DIR).is_dir() or (folder / PROJECT_FILE).is_file():
            return folder
    return start


def load_settings(
    values: Mapping[str, object] | None = None,
    *,
    origin: str = "argument",
    start: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Build the settings from all their sources.

    Parameters
    ----------
    values : mapping of dotted name to value, optional
        The strongest source; None values are left out.
    origin : str
        What `origins` says about them.
    start : Path, optional
        Where the search for the project folder begins; the working directory if not given.
    environ : mapping, optional
        The environment; the process's own if not given.

    Raises
    ------
    UnknownSettingError
        For a name no setting has, in any source.
    ConfigError
        For a value no setting takes, or a file that is not TOML.
    """
    environment = os.environ if environ is None else environ
    root = find_root((start or Path.cwd()).resolve())
    if not is_utf8(str(root)):
        raise ConfigError(
            f"the project folder {escape_text(root)} has a name that is not UTF-8, which no database can hold",
            hint="rename the folder, or work in another one",
        )
    merged: dict[str, object] = {}
    origins: dict[str, str] = {}
    given = {name: value for name, value in (values or {}).items() if value is not None}
    sources = (
        (_from_file(_user_file(environment)), str(_user_file(environment))),
        (_from_file(root / PROJECT_FILE), PROJECT_FILE),
        (_from_environment(environment), "environment"),
        (given, origin),
    )
    for source, name in sources:
        _merge(merged, origins, source, name)
    return _build(root, merged, origins)


def _merge(merged: dict[str, object], origins: dict[str, str], source: Mapping[str, object], name: str) -> None:
    """Add the values of a source, over those of weaker ones; a plain folder replaces folders by frequency."""
    values = with_folders_by_frequency(source)
    _check_names(values, name)
    if "data.provider_uri" in values:
        merged.pop("data.provider_uris", None)
        origins.pop("data.provider_uris", None)
    _keep_holdout(merged, origins, values, name)
    merged.update(values)
    origins.update(dict.fromkeys(values, name))


def _keep_holdout(
    merged: Mapping[str, object], origins: Mapping[str, str], values: Mapping[str, object], name: str
) -> None:
    """Refuse a source that names another holdout than a weaker one: what one place sealed, another does not lift."""
    before = merged.get(_HOLDOUT)
    if _HOLDOUT not in values or before is None:
        return
    try:
        kept, given = read_holdout(before), read_holdout(values[_HOLDOUT])
    except ValueError:
        return  # told with all other bad values
    if kept is not None and kept != given:
        raise ConfigError(
            f"two holdouts: {_HOLDOUT} = {list(kept)} ({origins.get(_HOLDOUT, 'default')}) and "
            f"{'none' if given is None else list(given)} ({name})",
            hint="say it in one place; opening one is `rollwright unseal --reason TEXT`",
        )


def _build(root: Path, merged: Mapping[str, object], origins: Mapping[str, str]) -> Settings:
    nested: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for name, value in merged.items():
        section, _, field = name.partition(".")
        nested[section][field] = os.fspath(value) if isinstance(value, os.PathLike) else value
    try:
        return Settings.model_validate({"root": root, "origins": dict(origins), **nested})
    except ValidationError as error:
        rows = []
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"][:2])
            given = mask_secrets(repr(problem["input"]))
            rows.append(f"{name} = {given} ({origins.get(name, 'default')}): {mask_secrets(problem['msg'])}")
        raise ConfigError("a setting has a value it cannot take: " + "; ".join(rows)) from error


def _get(settings: Settings, dotted: str) -> object:
    section, _, field = dotted.partition(".")
    return getattr(getattr(settings, section), field)


def _check_names(names: Iterable[str], where: str) -> None:
    known = known_names()
    for name in names:
        if name not in known:
            raise UnknownSettingError(name, known, where=where)


def _user_file(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "~"), ".config")
    return Path(base).expanduser() / "rollwright" / "config.toml"


def user_data_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of what belongs to the user and not to a project, as the keys do."""
    environment = os.environ if environ is None else environ
    base = environment.get("XDG_DATA_HOME") or os.path.join(environment.get("HOME", "~"), ".local", "share")
    return Path(base).expanduser() / "rollwright"


def _from_file(path: Path) -> dict[str, object]:
    try:
        document = tomllib.loads(read_text(path, limit=SMALL))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    values: dict[str, object] = {}
    for section, table in document.items():
        if not isinstance(table, dict) or section not in _SECTIONS:
            raise UnknownSettingError(section, _SECTIONS, where=str(path))
        values.update({f"{section}.{field}": value for field, value in table.items()})
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in environment.items():
        if not key.startswith(ENV_PREFIX):
            continue
        given = key.removeprefix(ENV_PREFIX).lower()
        section, separator, field = given.partition("__")
        if separator:
            name = f"{section}.{field}"
            values[name] = _modules(value) if name == "trust.modules" else value
        elif given.startswith(tuple(f"{known}_" for known in _SECTIONS)):
            # one underscore too few, and silently without effect if we let it pass
            names = [f"{ENV_PREFIX}{name.replace('.', '__').upper()}" for name in known_names()]
            raise UnknownSettingError(key, names, where="environment")
    return values


def _modules(value: str) -> list[str]:
    return [module for module in value.split(os.pathsep) if module]
