"""When a failed attempt is tried again, and how long that waits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from rollwright.errors import MissingExtraError, RollwrightError

__all__ = ["DEFAULT_BACKOFF", "Backoff", "worth_retrying"]

_MISSING_ENVIRONMENT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waiting times that double with each attempt.

    Attributes
    ----------
    base, cap : float
        Seconds before the second attempt, and the longest wait.
    jitter : float
        Each wait is drawn within this share around its middle, so that tasks that failed together do not come back
        together.
    """

    base: float = 1.0
    cap: float = 60.0
    jitter: float = 0.2

    def delay(self, attempt: int, *, generator: random.Random) -> float:
        """Return the seconds to wait after attempt number `attempt`, counted from 1.

        Guarantees: within ``jitter`` of ``min(base * 2 ** (attempt - 1), cap)``, never negative.
        """
        middle = min(self.base * 2.0 ** min(attempt - 1, 60), self.cap)
        return max(0.0, middle * (1.0 + self.jitter * generator.uniform(-1.0, 1.0)))


DEFAULT_BACKOFF: Final = Backoff()


_MISTAKES: Final = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError,
    SyntaxError, TypeError,
)  # fmt: skip
"""What a program is wrong about: the next attempt would raise it in the same line."""


def worth_retrying(error: BaseException) -> bool:
    """Tell whether the same task may succeed when tried again.

    What rollwright refuses as bad input or a failed audit stays refused, what is not installed stays missing, and a
    mistake in a program stays one. Anything else may have been a full disk, a database that was away or a library's bad
    moment.
    """
    if isinstance(error, RollwrightError):
        return error.exit_code == _MISSING_ENVIRONMENT and not isinstance(error, MissingExtraError)
    return not isinstance(error, _MISTAKES)
