"""Checks of a signal before it is published: each compares one figure with a bound."""

from rollwright.online.checks.bounds import CheckBounds, build_checks
from rollwright.online.checks.check import (
    HISTORY_SESSIONS,
    CheckContext,
    CheckResult,
    SignalCheck,
    list_violations,
    run_checks,
)

__all__ = [
    "HISTORY_SESSIONS",
    "CheckBounds",
    "CheckContext",
    "CheckResult",
    "SignalCheck",
    "build_checks",
    "list_violations",
    "run_checks",
]
