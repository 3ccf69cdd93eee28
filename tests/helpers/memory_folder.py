"""Where the tests' files lie: in memory where there is room, since most of what they write is flushed to the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
NEEDED = 4 << 30  # many times what a run holds at one time; containers often have 64 MB


def find_memory_folder(folder=SHARED_MEMORY):
    """Return a folder whose files are in memory and where a run of the tests has room, or None."""
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return None
    return folder if shutil.disk_usage(folder).free >= NEEDED else None
