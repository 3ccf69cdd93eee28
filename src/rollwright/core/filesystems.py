"""Which file system a path lies on: a network's has locks that SQLite cannot trust."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["find_network_filesystem"]

_NETWORK_FILESYSTEMS: Final = (
    "nfs", "cifs", "smb", "afpfs", "webdav", "davfs", "9p", "glusterfs", "ceph", "lustre", "fuse.",
)  # fmt: skip
_LOCAL_FUSE: Final = ("fuse.fuse-overlayfs",)


def find_network_filesystem(path: Path) -> str | None:
    """Return the kind of the network filesystem that `path` lies on, or None when it is a local one or unknown."""
    import psutil  # noqa: PLC0415 - only opening a database needs it

    try:
        mounts = psutil.disk_partitions(all=True)
        resolved = path.resolve()
    except (OSError, NotImplementedError):
        return None
    best = max(
        (mount for mount in mounts if resolved.is_relative_to(mount.mountpoint)),
        key=lambda mount: len(mount.mountpoint),
        default=None,
    )
    if best is None or best.fstype in _LOCAL_FUSE:
        return None
    return best.fstype if best.fstype.startswith(_NETWORK_FILESYSTEMS) else None
