"""Ids of workers that are known by their submission and a number."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SUBMISSION_ID", "split_id"]

SUBMISSION_ID: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,61}[a-z0-9])/([0-9]{1,5})")


def split_id(worker_id: str) -> tuple[str, int]:
    """Return the submission and the number of a worker."""
    submission, _, number = worker_id.rpartition("/")
    return submission, int(number)
