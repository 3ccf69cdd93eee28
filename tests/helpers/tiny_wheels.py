"""Wheels of a few bytes, a rollwright of a few bytes, and installers that find both without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rollwright.compare.environments.own_wheel import OwnWheel, pack_wheel

__all__ = ["CORE", "make_wheels", "offline_environment", "tiny_rollwright", "tiny_wheel"]

CORE: Final = ("tiny-core>=1",)
"""What the tiny rollwright needs."""


def tiny_wheel(name: str, version: str, *, requires: tuple[str, ...] = (), scripts: str = "") -> OwnWheel:
    """Return a package whose module tells its version."""
    module = name.replace("-", "_")
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {one}" for one in requires),
    ]
    described = {"METADATA": "\n".join(lines) + "\n"}
    if scripts:
        described["entry_points.txt"] = f"[console_scripts]\n{scripts}\n"
    source = f"VERSION = {version!r}\n\n\ndef main():\n    print({version!r})\n"
    return pack_wheel(module, version, {f"{module}/__init__.py": source.encode()}, described, requires)


def tiny_rollwright(mark: str = "") -> OwnWheel:
    """Return a rollwright that needs `CORE` alone; another `mark` is another content."""
    lines = ["Metadata-Version: 2.1", "Name: rollwright", "Version: 0.1.0", *(f"Requires-Dist: {one}" for one in CORE)]
    described = {
        "METADATA": "\n".join(lines) + "\n",
        "entry_points.txt": "[console_scripts]\nrollwright = rollwright:main\n",
    }
    files = {
        "rollwright/__init__.py": f"MARK = {mark!r}\n\n\ndef main():\n    print('tiny')\n".encode(),
        "rollwright/__main__.py": b"from rollwright import main\n\nmain()\n",
    }
    return pack_wheel("rollwright", "0.1.0", files, described, CORE)


def make_wheels(folder: Path) -> Path:
    """Fill a folder with versions of ``tiny-core``, ``tiny-model`` and ``tiny-tool``, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in (
        tiny_wheel("tiny-core", "1.0"),
        tiny_wheel("tiny-core", "2.0"),
        tiny_wheel("tiny-model", "1.0", requires=("tiny-core<2",), scripts="tiny-model = tiny_model:main"),
        tiny_wheel("tiny-model", "2.0", requires=("tiny-core>=2",), scripts="tiny-model = tiny_model:main"),
        tiny_wheel("tiny-tool", "1.0"),
    ):
        (folder / wheel.file_name).write_bytes(wheel.content)
    return folder


def offline_environment(wheels: Path) -> dict[str, str]:
    """Return the environment of an installer whose only index is a folder of wheels."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME") if name in os.environ
    }
    return {
        **kept,
        "UV_FIND_LINKS": str(wheels),
        "UV_OFFLINE": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_INDEX": "1",
    }
