"""Join a running campaign by its bundle: verify it, unpack it aside, compare the market data, and work.

1. Read the file, or fetch it; verify its signature by the keys and machines that this user trusts. Nothing of it is
   parsed before.
2. Check its index and its paths; write its files into a draft folder, flush it, and give it its name, which is the
   digest of the bundle. All of that under a lock: of several joins one unpacks, and a killed one leaves a draft that
   the next removes.
3. Compare every file of the market data on this host with the digest that the bundle states.
4. Work, as ``rollwright worker run`` does, in that folder.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from rollwright.app.bundle.container import FMT, Bundle, BundleIndex, unpack
from rollwright.app.bundle.making import DATA_FOLDER
from rollwright.app.campaign_record import CampaignRecord, record_path
from rollwright.config.settings import load_settings, user_data_folder
from rollwright.core.atomic import make_folder, sync_folder, sync_tree, write_text
from rollwright.core.bounded_read import LARGE, SMALL, open_regular, read_rest, read_text
from rollwright.core.locks import file_lock
from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError, CorruptFileError, DataError, DataNotFoundError, UntrustedArtifactError
from rollwright.market.folder.manifest import file_table
from rollwright.market.folder.state import folder_state
from rollwright.signing.envelope import open_sealed

__all__ = ["JoinedProject", "join_bundle"]

_DANGER: Final = "holds code that a worker would run"
_DRAFT: Final = ".joining-"
_WAIT: Final = 30.0
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedProject:
    """A bundle that is unpacked here.

    Attributes
    ----------
    name : str
        The campaign.
    folder : Path
        The project's folder here.
    signer : str
        Who signed the bundle, in words.
    market : Path
        The folder of the market data here.
    """

    name: str
    folder: Path
    signer: str
    market: Path


def join_bundle(source: str, *, data: Path | None = None, allow_older: bool = False) -> JoinedProject:
    """Unpack a bundle, check that this host has its market data, and return where a worker may work.

    Guarantees: nothing of a bundle that no trusted key signed is parsed, unpacked or run; the folder it is unpacked to
    holds its files and no others of its kinds, whole, however many join at once and whenever one is killed.

    Parameters
    ----------
    source : str
        A file, or an address: ``https://…`` or ``http://…``.
    data : Path, optional
        The market data here; what the setting `data.provider_uri` names if not given, or what is in the bundle.
    allow_older : bool
        Whether a bundle is taken though a later one of its project was here.

    Raises
    ------
    UntrustedArtifactError
        When nobody that this user trusts signed it as a bundle.
    CorruptArtifactError
        When it is none, or none that can be unpacked.
    ConfigError
        When it is older than one that was here, cannot be fetched, or a variable of the environment is missing.
    DataNotFoundError, DataError
        When the market data are not here, or differ.
    """
    raw = _read(source)
    where = mask_secrets(source)
    opened = open_sealed(raw, fmt=FMT, name=None, where=where, danger=_DANGER)
    bundle = unpack(opened.payload, where=where)
    if bundle.index.name != opened.name:
        raise UntrustedArtifactError(f"{where} was signed as {opened.name!r} and holds {bundle.index.name!r}")
    digest = sha256(opened.payload).hexdigest()
    base = user_data_folder() / "bundles" / bundle.index.name
    try:
        make_folder(base)
        with file_lock(base / "lock"):
            _check_serial(base, bundle.index, allow_older=allow_older)
            folder = _place(base, bundle, digest)
            _note_serial(base, bundle.index)
    except OSError as error:
        raise ConfigError(
            f"the bundle cannot be unpacked below {base}: {error.strerror or error}",
            hint="make room or give access, or name another place with the environment variable XDG_DATA_HOME",
        ) from error
    _check_environment(bundle.index)
    market = _find_market(bundle.index, folder, data)
    _check_market(bundle.index, market, folder)
    _write_record(bundle.index, folder, market)
    return JoinedProject(name=bundle.index.name, folder=folder, signer=opened.signer, market=market)


def _read(source: str) -> bytes:
    """Return the bytes of a file or an address, up to 4 GiB."""
    if source.startswith(("http://", "https://")):
        return _fetch(source)
    if "://" in source:
        raise ConfigError(f"{mask_secrets(source)} is no file and no address of a bundle", hint="a file, or https://…")
    try:
        with open_regular(Path(source)) as file:
            return read_rest(file, limit=LARGE)
    except OSError as error:
        raise ConfigError(f"the bundle {source} cannot be read: {error.strerror or error}") from error


def _fetch(address: str) -> bytes:
    # Only HTTP: the default opener would follow a redirection to ftp:, and read file: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    try:
        with opener.open(address, timeout=_WAIT) as answer:
            data: bytes = answer.read(LARGE + 1)
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise ConfigError(
            f"the bundle at {mask_secrets(address)} cannot be fetched: {mask_secrets(error)}",
            hint="redirections are not followed; name the address of the file itself",
        ) from error
    if len(data) > LARGE:
        raise ConfigError(f"what {mask_secrets(address)} answers is larger than {LARGE:,} bytes")
    return data


def _check_serial(base: Path, index: BundleIndex, *, allow_older: bool) -> None:
    known = _read_serials(base).get(index.origin, 0)
    if index.serial < known and not allow_older:
        raise ConfigError(
            f"this is bundle {index.serial} of campaign `{index.name}`, and bundle {known} was here already",
            hint="take the latest one; or, if the former code is meant: --allow-older",
        )


def _note_serial(base: Path, index: BundleIndex) -> None:
    known = _read_serials(base)
    if index.serial > known.get(index.origin, 0):
        write_text(base / "serials.json", json.dumps({**known, index.origin: index.serial}) + "\n")


def _read_serials(base: Path) -> dict[str, int]:
    path = base / "serials.json"
    try:
        found = json.loads(read_text(path, limit=SMALL))
        if not isinstance(found, dict) or not all(type(number) is int for number in found.values()):
            raise ValueError("it holds no numbers")
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(path, f"it does not say which bundles were here: {error}", hint="remove it") from error
    return dict(found)


def _place(base: Path, bundle: Bundle, digest: str) -> Path:
    """Return the folder with the bundle's files, unpacked unless it is there and whole; the caller holds the lock."""
    folder = base / digest[:32]
    _remove_left(base)
    if folder.is_dir() and not folder.is_symlink() and _is_whole(folder, bundle.files):
        return folder
    draft = base / f"{_DRAFT}{digest[:32]}"
    draft.mkdir(mode=0o700)
    for path, data in bundle.files.items():
        target = draft / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb", opener=_open_new) as file:
            file.write(data)
    sync_tree(draft, above=base)
    if os.path.lexists(folder):  # somebody changed it: what is in it is not what was signed
        aside = base / f"{_DRAFT}changed-{digest[:32]}"
        folder.rename(aside)
    draft.rename(folder)
    sync_folder(base)
    _remove_left(base)
    return folder


def _remove_left(base: Path) -> None:
    for left in base.glob(f"{_DRAFT}*"):
        if left.is_symlink():
            left.unlink()
        else:
            shutil.rmtree(left)


def _open_new(path: str, _flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _is_whole(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Tell whether a folder holds these files as they are, no links among them, and no code or configuration beside."""
    for path, data in files.items():
        target = folder / path
        try:
            if Path(os.path.realpath(target)) != Path(os.path.realpath(folder)) / path:
                return False
            with open_regular(target, follow=False) as file:
                if read_rest(file, limit=len(data)) != data:
                    return False
        except OSError:
            return False
    kinds = (".py", ".yaml", ".yml", ".toml")
    state = folder / ".rollwright"
    return not any(
        path.suffix in kinds and not path.is_relative_to(state) and path.relative_to(folder).as_posix() not in files
        for path in folder.rglob("*")
    )


def _check_environment(index: BundleIndex) -> None:
    missing = [name for name in index.environment if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the bundle of `{index.name}` leaves out what {', '.join(missing)} must say here",
            hint="set it in the environment: it has a secret in it, or came from there where the bundle was made",
        )


def _find_market(index: BundleIndex, folder: Path, data: Path | None) -> Path:
    if data is not None:
        market = data.resolve()
    elif index.holds_data:
        market = folder / DATA_FOLDER
    else:
        settings = load_settings(start=folder)
        if settings.data.provider_uri is None:
            raise ConfigError(
                f"the bundle of `{index.name}` holds no market data, and nothing says where they are on this host",
                hint="rollwright worker join FILE --data DIR, or ROLLWRIGHT_DATA__PROVIDER_URI=DIR",
            )
        market = settings.resolve(settings.data.provider_uri)
    if not market.is_dir():
        raise DataNotFoundError(market, "there is no such folder on this host", hint="copy it here, or name another")
    return market


def _check_market(index: BundleIndex, market: Path, folder: Path) -> None:
    """Compare every file with the digests of the bundle; once for a state of the folder."""
    note = folder / ".rollwright" / "market.state"
    state = folder_state(market)
    try:
        if state is not None and read_text(note, limit=SMALL) == state:
            return
    except OSError:
        pass
    here = {path: entry.digest for path, entry in file_table(market).items()}
    missing = sorted(index.data.keys() - here.keys())
    strange = sorted(here.keys() - index.data.keys())
    other = sorted(path for path in here.keys() & index.data.keys() if here[path] != index.data[path])
    if missing or strange or other:
        told = [
            f"{len(paths):,} {what} ({', '.join(paths[:_SHOWN])}{', …' if len(paths) > _SHOWN else ''})"
            for what, paths in (("differ", other), ("are missing", missing), ("are not in the bundle's", strange))
            if paths
        ]
        raise DataError(
            f"the market data in {market} are not those of campaign `{index.name}`: of their files {', '.join(told)}",
            hint="copy the folder from where the campaign runs; rollwright data info shows its generation "
            f"(there: {index.generation})",
        )
    make_folder(note.parent)
    if state is not None:
        write_text(note, state)


def _write_record(index: BundleIndex, folder: Path, market: Path) -> None:
    """Write the note from which a worker finds the campaign, with the data of this host."""
    settings = load_settings(start=folder)
    record = CampaignRecord(
        name=index.name,
        file=index.file,
        sha256=index.sha256,
        overrides=index.overrides,
        provider_uri=str(market),
    )
    path = record_path(settings, index.name)
    make_folder(path.parent)
    write_text(path, record.text)
