"""Make the bundle of a campaign that was started here."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from rollwright.app.bundle.container import FMT, Bundle, BundleIndex, check_path, pack
from rollwright.app.campaign_record import find_record
from rollwright.app.open_campaign import reopen_campaign
from rollwright.config.context import using
from rollwright.config.settings import PROJECT_FILE, Settings, load_settings
from rollwright.core.atomic import write_atomically, write_text
from rollwright.core.bounded_read import MEDIUM, SMALL, read_text, read_whole
from rollwright.core.locks import file_lock
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import SQLITE
from rollwright.errors import ConfigError, CorruptFileError
from rollwright.market.current import open_market
from rollwright.market.folder.layout import CALENDARS
from rollwright.market.folder.manifest import FILES_NAME, MANIFEST_NAME, file_table
from rollwright.signing.envelope import seal

__all__ = ["DATA_FOLDER", "MadeBundle", "make_bundle"]

DATA_FOLDER: Final = "data"
_KINDS: Final = (".py", ".yaml", ".yml")
_SECTIONS: Final = ("point_in_time", "pool", "tracking", "worker", "trust")
_HERE: Final = (
    "trust.folder", "data.provider_uri", "data.provider_uris", "data.kernels", "worker.tags", "worker.memory",
)  # fmt: skip
"""Settings of portable sections that say what this machine is, or where on it something lies."""
_FILES: Final = (SQLITE, "memory:")
_MOST: Final = 1 << 28
"""Bytes of code and configuration that a bundle may hold: more is no code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBundle:
    """What was made.

    Attributes
    ----------
    name : str
        The campaign.
    path : Path
    sha256 : str
        Of the file.
    size : int
        Bytes.
    files : tuple of str
        What is in it, market data apart.
    environment : tuple of str
        Variables that a host has to set, since what they say has a secret in it.
    """

    name: str
    path: Path
    sha256: str
    size: int
    files: tuple[str, ...]
    environment: tuple[str, ...]


def make_bundle(name: str | None, out: Path, *, with_data: bool = False, project: Path | None = None) -> MadeBundle:
    """Write what a host needs to work at a campaign into one file, signed by this machine.

    It holds the ``.py``, ``.yaml`` and ``.yml`` files below the project's folder (or the campaign's, where its file is
    elsewhere), the settings of the project's file and the user's without secrets, and the digests of the market data;
    with `with_data` the data too. Equal contents make equal bytes.

    Parameters
    ----------
    name : str or None
        A campaign that was started here; the one that ran last if None.
    out : Path
    with_data : bool
    project : Path, optional

    Raises
    ------
    ConfigError
        When there is no such campaign, its stores are files of this machine, a configuration has a secret in it, or no
        other machine could tell that its market data are the same.
    """
    settings = load_settings(start=project)
    record = find_record(settings, name)
    campaign = reopen_campaign(record.name, project=project)
    _check_reachable(campaign.settings)
    source = (settings.root / record.file).resolve()
    root = settings.root.resolve() if source.is_relative_to(settings.root.resolve()) else source.parent
    market = _market_folder(campaign.settings)
    files = _collect_code(root, without=market)
    toml, environment = _write_settings(settings)
    files[PROJECT_FILE] = toml
    table = {path: entry.digest for path, entry in file_table(market).items()}
    with using(campaign.settings):
        generation = open_market(campaign.settings).generation
    if with_data:
        for path in (*table, MANIFEST_NAME, FILES_NAME):
            files[f"{DATA_FOLDER}/{path}"] = read_whole(market / path, limit=MEDIUM)
    index = BundleIndex(
        name=record.name,
        file=source.relative_to(root).as_posix(),
        sha256=record.sha256,
        overrides=record.overrides,
        origin="",
        serial=0,
        environment=environment,
        generation=generation,
        data=table,
        holds_data=with_data,
    )
    data = seal(_number(Bundle(index=index, files=files), settings), fmt=FMT, name=record.name)
    write_atomically(out, lambda path: _write_bytes(path, data))
    return MadeBundle(
        name=record.name,
        path=out,
        sha256=sha256(data).hexdigest(),
        size=len(data),
        files=tuple(path for path in sorted(files) if not path.startswith(f"{DATA_FOLDER}/")),
        environment=environment,
    )


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _number(bundle: Bundle, settings: Settings) -> bytes:
    """Return the bytes of a bundle with its origin and number, which is another for other contents."""
    path = settings.state_dir / "bundles" / f"{bundle.index.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_suffix(".lock")):
        held = _read_number(path)
        origin = held.get("origin") or secrets.token_hex(8)
        named = replace(bundle.index, origin=origin)
        content = sha256(pack(replace(bundle, index=named))).hexdigest()
        serial = held.get("serial", 0) + (content != held.get("content"))
        if content != held.get("content"):
            write_text(path, json.dumps({"origin": origin, "serial": serial, "content": content}) + "\n")
    return pack(replace(bundle, index=replace(named, serial=serial)))


def _read_number(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, limit=SMALL))
        if type(found["serial"]) is not int or not isinstance(found["origin"], str):
            raise ValueError("it holds no number")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            path,
            f"it does not number bundles: {error}",
            hint="remove it: later bundles are those of a new project then",
        ) from error
    return dict(found)


def _check_reachable(settings: Settings) -> None:
    """Refuse what only this machine can open."""
    if settings.cluster.one_machine:
        return
    local = [
        f"{name} = {mask_secrets(url)}"
        for name, url in (("pool.url", settings.pool.url), ("tracking.uri", settings.tracking.uri))
        if url.startswith(_FILES)
    ]
    if settings.artifact_address is None and not settings.tracking.uri.startswith(("http://", "https://")):
        local.append(f"tracking.artifacts = {settings.tracking.artifacts}")
    if local:
        raise ConfigError(
            f"{' and '.join(local)}: on this machine only, and a host with the bundle would look for it on its own",
            hint="name servers, and an address of files: pool.url = postgresql://…, tracking.artifacts = s3://…; or, "
            "where every host is this machine: ROLLWRIGHT_CLUSTER__ONE_MACHINE=true",
        )


def _market_folder(settings: Settings) -> Path:
    data = settings.data
    if data.provider_uris or data.provider_uri is None or "://" in data.provider_uri:
        raise ConfigError(
            "a bundle states the digests of one folder of market data, and this campaign has none or several",
            hint="let data.provider_uri name one folder",
        )
    folder = settings.resolve(data.provider_uri)
    if not (folder / MANIFEST_NAME).is_file():
        raise ConfigError(
            f"{folder} was filled by other tools, so that no other machine could tell that its copy is the same",
            hint=f"take it over first: rollwright data check {folder} --accept",
        )
    return folder


def _collect_code(root: Path, *, without: Path) -> dict[str, bytes]:
    """Return the configurations and the code below a folder: no links, nothing hidden, no environments, no results."""
    found: dict[str, bytes] = {}
    total = 0
    for path in _walk(root, {without.resolve(), root / "results"}):
        name = path.relative_to(root).as_posix()
        try:
            check_path(name)
        except ValueError as error:
            raise ConfigError(f"{path} cannot travel in a bundle: {error}", hint="rename it") from error
        data = read_whole(path, limit=MEDIUM)
        total += len(data)
        if total > _MOST:
            raise ConfigError(f"below {root} are more than {_MOST:,} bytes of code and configurations")
        if path.suffix != ".py":
            _check_no_secret(path, data)
        found[name] = data
    return found


def _walk(root: Path, without: set[Path]) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and here / name not in without
            and not (here / name).is_symlink()
            and not (here / name / "pyvenv.cfg").exists()
            and not (here / name / CALENDARS).is_dir()
        )
        for name in sorted(names):
            path = here / name
            if path.suffix in _KINDS and not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _check_no_secret(path: Path, data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if "://" in line and mask_secrets(line) != line:
            raise ConfigError(
                f"{path}, line {number} has a secret in it, which would travel along: {mask_secrets(line.strip())}",
                hint="leave it to the environment, as ROLLWRIGHT_POOL__URL, or to rollwright.toml: both stay here",
            )


def _write_settings(settings: Settings) -> tuple[bytes, tuple[str, ...]]:
    """Return the project's settings as a file, and the variables of those that have a secret in them."""
    sections: dict[str, list[str]] = {}
    environment: list[str] = []
    for name, value, origin in settings.rows():
        section, _, field = name.partition(".")
        portable = section in _SECTIONS or (section == "data" and name not in _HERE)
        if origin in ("default", "environment") and not _says_where(name, settings):
            if origin == "environment" and portable:
                environment.append(_variable(name))
            continue
        if not portable or name in _HERE:
            continue
        if isinstance(value, str) and mask_secrets(value) != value:
            environment.append(_variable(name))
            continue
        sections.setdefault(section, []).append(f"{field} = {_to_toml(_placed(name, value, settings))}")
    sections.setdefault("store", []).append('path = "../features"')
    lines = [line for section, rows in sorted(sections.items()) for line in (f"[{section}]", *rows, "")]
    return "\n".join(lines).encode(), tuple(sorted(environment))


def _variable(name: str) -> str:
    return f"ROLLWRIGHT_{name.replace('.', '__').upper()}"


def _says_where(name: str, settings: Settings) -> bool:
    """Tell whether a default names a file of this project, which all hosts of one machine are to use."""
    return settings.cluster.one_machine and name in ("pool.url", "tracking.uri", "tracking.artifacts")


def _placed(name: str, value: object, settings: Settings) -> object:
    """Return a value as a host on this machine must read it: with its path from here."""
    if not settings.cluster.one_machine or not isinstance(value, str):
        return value
    if name in ("pool.url", "tracking.uri"):
        return settings.resolve_url(value)
    if name == "tracking.artifacts" and settings.artifact_address is None:
        return str(settings.artifact_folder)
    return value


def _to_toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_to_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_to_toml(item) for item in value) + "]"
    return json.dumps(value)
