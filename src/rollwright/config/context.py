"""The one current context (decision D15): settings, market, tracking and pool for arguments that nobody gave.

It is one frozen value. A block entered with `using` has its own, which only its thread or asynchronous task sees; all
others see the default of the process. Qlib's constructors (``TimeAdjuster()``, ``TaskManager("p")``, ``D``, ``R``)
read it as the default of an argument and everything beneath takes its inputs explicitly. Reading a file or opening a
campaign never changes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar

from rollwright.config.settings import Settings, known_names, load_settings
from rollwright.core.masking import mask_secrets
from rollwright.core.registry import OPENERS, load_target
from rollwright.errors import ConfigError, UnknownSettingError

__all__ = [
    "C",
    "Context",
    "SettingsFacade",
    "auto_init",
    "bind_context",
    "current_context",
    "current_settings",
    "init",
    "install",
    "open_part",
    "settings_for_child",
    "update_context",
    "using",
]

# What Qlib's users write in `init(...)` and `C[...]`, and the setting it means here.
QLIB_NAMES: Final[dict[str, str]] = {
    "provider_uri": "data.provider_uri",
    "region": "data.region",
    "freq": "data.freq",
    "kernels": "data.kernels",
    "custom_ops": "data.custom_ops",
    "mem_cache_size_limit": "data.mem_cache_size_limit",
    "default_disk_cache": "store.default_disk_cache",
    "maxtasksperchild": "worker.max_tasks_per_child",
    "tracking_uri": "tracking.uri",
    "pool_url": "pool.url",
}

_EXP_MANAGER: Final[dict[str, str]] = {"uri": "tracking.uri", "default_exp_name": "tracking.default_experiment"}
_MONGO_DEFAULT: Final[dict[str, str]] = {"task_url": "mongodb://localhost:27017/", "task_db_name": "default_task_db"}

Part: TypeAlias = Literal["market", "tracking", "pool"]
# The settings that name a part: set anew, they replace an object that was given for it.
_NAMED_BY: Final[dict[str, Part]] = {
    "data.provider_uri": "market",
    "tracking.uri": "tracking",
    "pool.url": "pool",
}

GIVEN_CLASSES: Final[dict[str, type]] = {}
"""Operators that were given to `init` as classes, by their ``module:Class``."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What stands in for an argument that nobody gave.

    Attributes
    ----------
    settings : Settings
    market : DataSource, optional
        None: the one that the settings name, opened when it is asked for.
    tracking : ExpManager, optional
        None: one over the settings.
    pool : TaskStore, optional
        None: the one that the settings name, opened when it is asked for.
    """

    settings: Settings
    # `Any`: the packages of these three stand above this one, see `open_part`.
    market: Any = None
    tracking: Any = None
    pool: Any = None


class _Unchanged:
    """The default of an argument that leaves a part as it is, since None means "the one the settings name"."""


_UNCHANGED: Final = _Unchanged()
_block: Final[ContextVar[Context | None]] = ContextVar("rollwright_context", default=None)


class _Process:
    """The default of the process; None until somebody asks."""

    mutex: Final = threading.Lock()
    context: Context | None = None


def current_context() -> Context:
    """Return the context of the innermost `using` block here, else the default of the process.

    The default is made from files and environment at the first call.
    """
    found = _block.get() or _Process.context
    if found is not None:  # without the lock, which a process forked meanwhile would find taken
        return found
    with _Process.mutex:
        if _Process.context is None:
            _Process.context = Context(settings=load_settings())
        return _Process.context


def current_settings() -> Settings:
    """Return the settings of the present context."""
    return current_context().settings


def settings_for_child() -> Settings:
    """Return the settings of the present context, for a process that is started from here and gets nothing else.

    Raises
    ------
    ConfigError
        When the context was given a market or a tracking as an object, which cannot be sent: the other process would
        read, or record to, the ones that the settings name.
    """
    context = current_context()
    for name, part, setting in (
        ("market", context.market, "data.provider_uri"),
        ("tracking", context.tracking, "tracking.uri"),
    ):
        if part is not None:
            raise ConfigError(
                f"the context has an open {name}, which cannot be sent to another process",
                hint=f"let the setting {setting} name it, or work in this process",
            )
    return context.settings


def open_part(name: Part) -> Any:
    """Return the market, the tracking or the pool of the present context, opened from its settings if not given.

    Parameters
    ----------
    name : {"market", "tracking", "pool"}

    Returns
    -------
    object
        What the present context holds of that name, else what the function makes that the package above registered in
        `rollwright.core.registry.OPENERS`; it is called with the settings.

    Raises
    ------
    ConfigError
        When no package has registered how to open it.
    """
    context = current_context()
    given = {"market": context.market, "tracking": context.tracking, "pool": context.pool}[name]
    if given is not None:
        limiter = OPENERS.get(f"given_{name}")  # a holdout of the settings is put on any market
        return given if limiter is None else load_target(limiter.targets[0])(given, context.settings)
    opener = OPENERS.get(name)
    if opener is None:
        raise ConfigError(f"nothing is registered that opens the {name}", hint="import rollwright, which registers it")
    return load_target(opener.targets[0])(context.settings)


def install(context: Context | Settings | None) -> None:
    """Set the default of the process; None forgets it, so that the next question makes it anew.

    For the entry point of a process, which a worker process is. Blocks of `using` that are under way keep their own.
    """
    _Process.context = Context(settings=context) if isinstance(context, Settings) else context


@contextmanager
def using(
    given: Context | Settings | None = None,
    *,
    market: Any = _UNCHANGED,
    tracking: Any = _UNCHANGED,
    pool: Any = _UNCHANGED,
) -> Iterator[Context]:
    """Set the context of a block, for this thread or asynchronous task alone.

    A thread that is started in the block begins with the default of the process; `bind_context` takes the block's
    context along.

    Parameters
    ----------
    given : Context or Settings, optional
        The whole context; or settings, which name everything themselves. The present context if not given.
    market : DataSource or None, optional
        Over `given`; None means the one that the settings name.
    tracking : ExpManager or None, optional
    pool : TaskStore or None, optional

    Yields
    ------
    Context
    """
    base = Context(settings=given) if isinstance(given, Settings) else given
    token = _block.set(_replace_parts(current_context() if base is None else base, market, tracking, pool))
    try:
        yield current_context()
    finally:
        _block.reset(token)


def bind_context(function: Callable[P, T]) -> Callable[P, T]:
    """Return `function` so that it runs in the context that is present now, on whatever thread it is called."""
    context = _block.get()
    if context is None:  # every thread sees the default of the process
        return function

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with using(context):
            return function(*args, **kwargs)

    return call


def update_context(
    settings: Settings | None = None,
    *,
    market: Any = _UNCHANGED,
    tracking: Any = _UNCHANGED,
    pool: Any = _UNCHANGED,
) -> Context:
    """Replace parts of the present context: that of the innermost `using` block here, else the process's default."""
    present = current_context()
    if settings is not None:
        present = replace(present, settings=settings)
    changed = _replace_parts(present, market, tracking, pool)
    if _block.get() is None:
        install(changed)
    else:
        _block.set(changed)
    return changed


def _replace_parts(context: Context, market: Any, tracking: Any, pool: Any) -> Context:
    given = {"market": market, "tracking": tracking, "pool": pool}
    return replace(context, **{name: part for name, part in given.items() if part is not _UNCHANGED})


def _set_values(values: Mapping[str, object], *, origin: str, parts: Mapping[Part, object]) -> Settings:
    """Set dotted names in the present context; a setting that names a part replaces an object given before."""
    named = {_NAMED_BY[name]: None for name in values if name in _NAMED_BY}
    settings = current_settings()
    settings = settings.with_values(_with_trust(values, settings.trust.modules), origin=origin)
    update_context(settings, **{**named, **parts})
    return settings


def _with_trust(values: Mapping[str, Any], trusted: tuple[str, ...]) -> Mapping[str, Any]:
    """Return `values`, trusting the modules of operators that the program gave as classes: its workers import them."""
    names = values.get("data.custom_ops") or ()
    given = [GIVEN_CLASSES[name].__module__ for name in names if name in GIVEN_CLASSES]
    own = [module for module in dict.fromkeys(given) if module != "__main__" and module not in trusted]
    return {**values, "trust.modules": (*trusted, *own)} if own and "trust.modules" not in values else values


def init(
    default_conf: str = "client",
    *,
    market: object | None = None,
    tracking: object | None = None,
    pool: object | None = None,
    **values: object,
) -> Settings:
    """Set the current context, as ``qlib.init`` does.

    In a `using` block it sets the context of the block, otherwise the default of the process.

    Parameters
    ----------
    default_conf : {"client"}
        Qlib's choice between its two sets of defaults. There is one set here, and no data server.
    market : DataSource, optional
        An open market, as ``AsOf(source, session)`` or ``FrameSource(frame)``, instead of a ``provider_uri``.
    tracking : ExpManager, optional
    pool : TaskStore, optional
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
        For another `default_conf`, and for a part that is given both as an object and by a setting.
    """
    if default_conf != "client":
        raise ConfigError(
            f"default_conf = {default_conf!r}: there is no data server, only the `client` that reads its own files",
            hint="leave `default_conf` out, and name the data folder: init(provider_uri=…)",
        )
    translated = translate(values)
    given: tuple[tuple[Part, object | None], ...] = (("market", market), ("tracking", tracking), ("pool", pool))
    parts = {name: part for name, part in given if part is not None}
    for setting, name in _NAMED_BY.items():
        if setting in translated and name in parts:
            raise ConfigError(f"`{name}` and `{setting}` are both given", hint="give the one or the other")
    return _set_values(translated, origin="init", parts=parts)


def auto_init(*, cur_path: str | Path | None = None, skip_if_reg: bool = True, **values: object) -> Settings:
    """Set the current context from the project that a folder lies in; Qlib's ``auto_init``.

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
    if skip_if_reg and (_block.get() is not None or _Process.context is not None):
        return current_settings()
    start = Path.cwd() if cur_path is None else Path(cur_path)
    if not start.is_dir():
        raise ConfigError(f"there is no folder {start} to look for a project from")
    settings = load_settings(start=start).with_values(translated, origin="init")
    return update_context(settings, market=None, tracking=None, pool=None).settings


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
        elif name == "custom_ops":
            translated["data.custom_ops"] = _custom_ops(value)
        elif name in QLIB_NAMES:
            translated[QLIB_NAMES[name]] = value
        elif "__" in name or "." in name:
            translated[name.replace("__", ".")] = value
        else:
            raise UnknownSettingError(name, (*QLIB_NAMES, "exp_manager", "mongo"), where="init")
    return translated


def _custom_ops(value: object) -> tuple[str, ...]:
    """Return ``module:Class`` of each operator: a class, ``{class, module_path}``, or that text itself."""
    if isinstance(value, str | Mapping | type) or not isinstance(value, Iterable):
        raise ConfigError(
            f"`custom_ops` is a list of operators, not {value!r}",
            hint="write custom_ops=[Mine], or [{class, module_path}]",
        )
    return tuple(_operator_name(item) for item in value)


def _operator_name(item: object) -> str:
    if isinstance(item, type):
        name = f"{item.__module__}:{item.__qualname__}"
        GIVEN_CLASSES[name] = item
        return name
    if isinstance(item, Mapping):
        found, module = item.get("class"), item.get("module_path")
        if set(item) <= {"class", "module_path", "kwargs"} and isinstance(found, str) and isinstance(module, str):
            return f"{module}:{found}"
    if isinstance(item, str) and ":" in item:
        return item
    raise ConfigError(
        f"{item!r} names no operator",
        hint='give the class, {"class": "Mine", "module_path": "mine.py"} or "mine.py:Mine"',
    )


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
        raise ConfigError(f"`task_url` is `{mask_secrets(url)}`", hint="it begins with mongodb:// or mongodb+srv://")
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
            return MappingProxyType(_mongo_keys(current_settings().pool.url))  # assigning into it would change nothing
        dotted = _resolve_name(name)
        return next(value for known, value, _ in current_settings().rows() if known == dotted)

    def __contains__(self, name: object) -> bool:
        return name == "mongo" or (isinstance(name, str) and QLIB_NAMES.get(name, name) in known_names())

    def __iter__(self) -> Iterator[str]:
        return iter(known_names())

    def get(self, name: str, default: object = None) -> object:
        """Return a setting, `default` for a name that nobody knows."""
        return self[name] if name in self else default  # noqa: SIM401 - this is that `get`

    def __setitem__(self, name: str, value: object) -> None:
        values = {"pool.url": _mongo_url(value)} if name == "mongo" else {_resolve_name(name): value}
        _set_values(values, origin="code", parts={})


def _resolve_name(name: str) -> str:
    known = known_names()
    dotted = QLIB_NAMES.get(name, name)
    if dotted not in known:
        raise UnknownSettingError(name, (*QLIB_NAMES, *known), where="C")
    return dotted


C = SettingsFacade()
