"""The one ambient context (decision D15): the settings that stand in for an argument nobody gave.

Set by `init`, by the command line, or in a worker from the task's campaign. Only the seeds' constructors
(``TimeAdjuster()``, ``TaskManager("p")``, ``D``, ``R``) read it, and only as the default of an argument; everything
beneath takes its inputs explicitly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rollwright.config.settings import Settings, known_names, load_settings, masked
from rollwright.errors import ConfigError, UnknownSettingError

__all__ = ["C", "SettingsFacade", "auto_init", "current_settings", "init", "install", "using"]

# What Qlib's users write in `init(...)` and `C[...]`, and the setting it means here.
QLIB_NAMES: Final[dict[str, str]] = {
    "provider_uri": "data.provider_uri",
    "region": "data.region",
    "freq": "data.freq",
    "kernels": "data.kernels",
    "mem_cache_size_limit": "data.mem_cache_size_limit",
    "default_disk_cache": "store.default_disk_cache",
    "maxtasksperchild": "worker.max_tasks_per_child",
    "tracking_uri": "tracking.uri",
    "pool_url": "pool.url",
}

_EXP_MANAGER: Final[dict[str, str]] = {"uri": "tracking.uri", "default_exp_name": "tracking.default_experiment"}
_MONGO_DEFAULT: Final[dict[str, str]] = {"task_url": "mongodb://localhost:27017/", "task_db_name": "default_task_db"}


class _Slot:
    """Where the present settings stand; None until somebody asks."""

    settings: Settings | None = None


def current_settings() -> Settings:
    """Return the ambient settings, loading them from file and environment at the first call."""
    if _Slot.settings is None:
        _Slot.settings = load_settings()
    return _Slot.settings


def install(settings: Settings | None) -> None:
    """Make `settings` the ambient ones; None forgets them, so that the next question loads them anew."""
    _Slot.settings = settings


@contextmanager
def using(settings: Settings) -> Iterator[Settings]:
    """Make `settings` the ambient ones inside the block."""
    before = _Slot.settings
    install(settings)
    try:
        yield settings
    finally:
        install(before)


def init(default_conf: str = "client", **values: object) -> Settings:
    """Set the ambient context; the seeds' ``qlib.init``.

    Parameters
    ----------
    default_conf : {"client"}
        Qlib's choice between its two sets of defaults. There is one set here, and no data server.
    **values
        Qlib's names (``provider_uri``, ``region``, ``kernels``, ``exp_manager`` …) or dotted setting names with
        ``__`` for the dot (``pool__url``).

    Returns
    -------
    Settings
        The settings now in force. What an earlier call or `C` set stays set unless it is set again (defect K2).

    Raises
    ------
    UnknownSettingError
        For a name no setting has.
    ConfigError
        For another `default_conf`.
    """
    if default_conf != "client":
        raise ConfigError(
            f"default_conf = {default_conf!r}: there is no data server, only the `client` that reads its own files",
            hint="leave `default_conf` out, and name the data folder: init(provider_uri=…)",
        )
    settings = current_settings().with_values(translate(values), origin="init")
    install(settings)
    return settings


def auto_init(*, cur_path: str | Path | None = None, skip_if_reg: bool = True, **values: object) -> Settings:
    """Set the ambient context from the project that a folder lies in; Qlib's ``auto_init``.

    Parameters
    ----------
    cur_path : path, optional
        Where the search upwards for ``rollwright.toml`` or ``.rollwright/`` begins; the working directory if not given.
    skip_if_reg : bool
        Leave a context that is set already as it is, `values` too.
    **values
        As `init` takes them, over what the project says.

    Returns
    -------
    Settings
        The settings now in force.

    Raises
    ------
    UnknownSettingError
        For a name no setting has.
    ConfigError
        When `cur_path` is no folder.
    """
    translated = translate(values)
    if skip_if_reg and _Slot.settings is not None:
        return _Slot.settings
    start = Path.cwd() if cur_path is None else Path(cur_path)
    if not start.is_dir():
        raise ConfigError(f"there is no folder {start} to look for a project from")
    install(load_settings(start=start).with_values(translated, origin="init"))
    return current_settings()


def translate(values: Mapping[str, object]) -> dict[str, object]:
    """Return `values` under dotted setting names.

    Raises
    ------
    UnknownSettingError
        For a name no setting has.
    """
    translated: dict[str, object] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name == "exp_manager":
            translated.update(_exp_manager(value))
        elif name == "mongo":
            translated["pool.url"] = _mongo_url(value)
        elif name in QLIB_NAMES:
            translated[QLIB_NAMES[name]] = value
        elif "__" in name or "." in name:
            translated[name.replace("__", ".")] = value
        else:
            raise UnknownSettingError(name, (*QLIB_NAMES, "exp_manager", "mongo"), where="init")
    return translated


def _exp_manager(value: object) -> dict[str, object]:
    """Return the settings that Qlib's experiment manager means; its class is always that of rollwright."""
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"`exp_manager` takes a dictionary, not {value!r}",
            hint='write {"kwargs": {"uri": "sqlite:///.rollwright/mlflow.db"}}',
        )
    kwargs = value.get("kwargs")
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(kwargs, Mapping):
        raise ConfigError(f"`kwargs` of `exp_manager` is {type(kwargs).__name__}, not a dictionary")
    for given, known in ((value, ("class", "module_path", "kwargs")), (kwargs, tuple(_EXP_MANAGER))):
        for name in given:
            if name not in known:
                raise UnknownSettingError(str(name), known, where="exp_manager")
    return {_EXP_MANAGER[name]: item for name, item in kwargs.items() if item is not None}


def _mongo_url(value: object) -> str:
    """Return the pool's URL for Qlib's two keys, with the database in it."""
    if not isinstance(value, Mapping) or not set(value) <= {"task_url", "task_db_name"}:
        raise ConfigError(
            "`mongo` takes a dictionary of `task_url` and `task_db_name`",
            hint='write {"task_url": "mongodb://localhost:27017/", "task_db_name": "default_task_db"}',
        )
    url = str(value.get("task_url") or _MONGO_DEFAULT["task_url"])
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("mongodb", "mongodb+srv"):
        raise ConfigError(f"`task_url` is `{masked(url)}`", hint="it begins with mongodb:// or mongodb+srv://")
    place, question, options = rest.partition("?")
    host, _, in_url = place.partition("/")
    name = str(value.get("task_db_name") or in_url or _MONGO_DEFAULT["task_db_name"])
    if "@" in host and "authsource=" not in options.lower():
        # The driver would look the user up in the database named here; Qlib's client asks where the URL said.
        options = f"{options}&authSource={in_url or 'admin'}".removeprefix("&")
        question = "?"
    return f"{scheme}://{host}/{name}{question}{options}"


def _mongo_keys(url: str) -> dict[str, str]:
    """Return Qlib's two keys for the pool's URL; its defaults when the pool is no MongoDB."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("mongodb", "mongodb+srv"):
        return dict(_MONGO_DEFAULT)
    place, question, options = rest.partition("?")
    host, _, name = place.partition("/")
    return {"task_url": f"{scheme}://{host}/{question}{options}", "task_db_name": name or "rollwright"}


class SettingsFacade:
    """Qlib's ``C``: reading and assigning by name, over the frozen settings.

    Assigning makes a new frozen value with origin ``code``; a name nobody knows is an error, not a new attribute.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __getitem__(self, name: str) -> object:
        if name == "mongo":
            return _mongo_keys(current_settings().pool.url)
        dotted = _dotted(name)
        return next(value for known, value, _ in current_settings().rows() if known == dotted)

    def __setitem__(self, name: str, value: object) -> None:
        values = {"pool.url": _mongo_url(value)} if name == "mongo" else {_dotted(name): value}
        install(current_settings().with_values(values, origin="code"))


def _dotted(name: str) -> str:
    known = known_names()
    dotted = QLIB_NAMES.get(name, name)
    if dotted not in known:
        raise UnknownSettingError(name, (*QLIB_NAMES, *known), where="C")
    return dotted


C = SettingsFacade()
