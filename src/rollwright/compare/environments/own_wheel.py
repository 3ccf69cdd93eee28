"""The rollwright that runs now as a wheel, for environments that run the same one.

However it was installed (a wheel, an editable checkout), the wheel holds the files of the imported package and the
metadata of its distribution, with fixed times and in a fixed order: the same files are the same bytes, also when they
are packed again within an environment that was made of them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import rollwright
from rollwright.compare.environments.requirements import OWN_NAME, plain_requirements
from rollwright.core.atomic import DRAFT_MARK
from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.errors import CompareError

__all__ = ["OwnWheel", "pack_own_wheel", "pack_wheel"]

_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest a ZIP can tell."""
_MODE: Final = 0o100644 << 16
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: rollwright\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_NOT_PACKED: Final = ("__pycache__",)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWheel:
    """A wheel, and what it asks for.

    Attributes
    ----------
    name, version : str
    file_name : str
        As installers want it to be called.
    content : bytes
    sha256 : str
    requirements : tuple of str
        What its metadata asks for here without an extra, as ``name[extras]specifiers``.
    """

    name: str
    version: str
    file_name: str
    content: bytes
    sha256: str
    requirements: tuple[str, ...]


def pack_own_wheel() -> OwnWheel:
    """Return the rollwright that runs now as a wheel; a command it has an entry point for is there too.

    Raises
    ------
    CompareError
        When it runs without having been installed, so that nobody knows what it needs.
    """
    try:
        distribution = metadata.distribution(OWN_NAME)
    except metadata.PackageNotFoundError as error:
        raise CompareError(
            "rollwright runs from its source without having been installed, so that no environment can be made for it",
            hint="pip install -e . in its checkout",
        ) from error
    folder = Path(rollwright.__file__).parent
    files = {
        f"{OWN_NAME}/{path.relative_to(folder).as_posix()}": read_whole(path, limit=MEDIUM)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _is_packed(path.relative_to(folder))
    }
    described = {
        name: text for name in ("METADATA", "entry_points.txt") if (text := distribution.read_text(name)) is not None
    }
    for file in distribution.files or ():
        if ".dist-info/licenses/" in file.as_posix():
            described[file.as_posix().partition(".dist-info/")[2]] = file.read_text("utf-8")
    requirements = plain_requirements(distribution.requires or ())
    return pack_wheel(OWN_NAME, distribution.version, files, described, requirements)


def pack_wheel(
    name: str, version: str, files: dict[str, bytes], described: dict[str, str], requirements: tuple[str, ...]
) -> OwnWheel:
    """Return a wheel of pure Python.

    Parameters
    ----------
    name, version : str
    files : dict of str to bytes
        By path in the wheel, ``/`` between its parts.
    described : dict of str to str
        The files of its ``.dist-info``, ``METADATA`` among them; ``WHEEL`` and ``RECORD`` are made.
    requirements : tuple of str
        What `OwnWheel.requirements` says.
    """
    info = f"{name}-{version}.dist-info"
    packed = dict(sorted(files.items()))
    packed |= {f"{info}/{path}": text.encode() for path, text in sorted(described.items())}
    packed[f"{info}/WHEEL"] = _WHEEL.encode()
    record = "".join(f"{path},sha256={_record_hash(content)},{len(content)}\n" for path, content in packed.items())
    packed[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # what compresses differs by its version
        for path, content in packed.items():
            entry = zipfile.ZipInfo(path, date_time=_TIME)
            entry.external_attr, entry.create_system = _MODE, 3
            archive.writestr(entry, content)
    data = buffer.getvalue()
    return OwnWheel(
        name=name,
        version=version,
        file_name=f"{name}-{version}-py3-none-any.whl",
        content=data,
        sha256=hashlib.sha256(data).hexdigest(),
        requirements=requirements,
    )


def _is_packed(path: Path) -> bool:
    return not any(part in _NOT_PACKED or part.startswith(DRAFT_MARK) for part in path.parts)


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
