"""Errors as the network is told them: problem documents (RFC 9457), without a traceback and without a path."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

__all__ = ["PROBLEM_TYPE", "SAFETY_HEADERS", "make_problem"]

PROBLEM_TYPE: Final = "application/problem+json"
SAFETY_HEADERS: Final = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
)
"""What every answer carries."""

_LONGEST: Final = 1_000


def make_problem(status: int, detail: str, *, hint: str | None = None) -> bytes:
    """Return the body of an error."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail[:_LONGEST]}
    if hint:
        problem["hint"] = hint[:_LONGEST]
    return json.dumps(problem, ensure_ascii=False).encode("utf-8", "backslashreplace")
