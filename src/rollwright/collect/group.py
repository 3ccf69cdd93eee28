"""Groups: split a dictionary of objects by a part of their keys, and reduce each part with an ensemble."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from rollwright.calendar.trading import SessionLike, TradingCalendar
from rollwright.collect.ensemble import Overlap, RollingEnsemble, check_dictionary
from rollwright.config.context import bind_context
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError

__all__ = ["Group", "RollingGroup"]

_logger = logging.getLogger("rollwright.collect")
_SHOWN: Final = 120


class Group:
    """``{(A, B, C1): x, (A, B, C2): y}`` → group → ``{(A, B): {C1: x, C2: y}}`` → reduce → ``{(A, B): ensemble}``.

    Parameters
    ----------
    group_func : callable, optional
        Splits the dictionary, its first argument.
    ens : callable, optional
        Reduces one part of it.
    """

    def __init__(
        self,
        group_func: Callable[..., dict[Any, Any]] | None = None,
        ens: Callable[[Mapping[Any, Any]], Any] | None = None,
    ) -> None:
        for name, given in (("group_func", group_func), ("ens", ens)):
            if given is not None and not callable(given):
                raise ConfigError(
                    f"{type(self).__name__}({name}={escape_text(repr(given), longest=_SHOWN)}): no function"
                )
        self._group_func = group_func
        self._ens_func = ens

    def group(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """Return the dictionary in parts; all arguments are given to `group_func`, the dictionary first.

        Raises
        ------
        ConfigError
            When no way to group was given.
        """
        if self._group_func is None:
            raise ConfigError(f"{type(self).__name__} was given no group_func")
        return self._group_func(*args, **kwargs)

    def reduce(self, part: Mapping[Any, Any]) -> Any:
        """Return the ensemble of one part.

        Raises
        ------
        ConfigError
            When no ensemble was given.
        """
        if self._ens_func is None:
            raise ConfigError(f"{type(self).__name__} was given no ensemble")
        return self._ens_func(part)

    def __call__(
        self, ungrouped_dict: Mapping[Any, Any], n_jobs: int = 1, verbose: int = 0, *args: Any, **kwargs: Any
    ) -> dict[Any, Any]:
        """Group, then reduce every part; the order of the parts is kept.

        Parameters
        ----------
        ungrouped_dict : mapping
        n_jobs : int
            Threads. As in joblib, -1 is one for each processor, -2 one less, and so on.
        verbose : int
            Above 0, an event of each call is logged.
        *args, **kwargs
            Given to `group`, after the dictionary.

        Raises
        ------
        ConfigError
            For 0 threads, or without the functions that are needed.
        """
        threads = _thread_count(n_jobs)
        parts = self.group(ungrouped_dict, *args, **kwargs)
        if verbose > 0:
            _logger.info("collect.reduce parts=%d threads=%d", len(parts), threads)
        if threads == 1 or len(parts) < 2:
            return {key: self.reduce(part) for key, part in parts.items()}
        with ThreadPoolExecutor(max_workers=threads) as executor:
            return dict(zip(parts, executor.map(bind_context(self.reduce), parts.values()), strict=True))


def _thread_count(n_jobs: int) -> int:
    if n_jobs == 0:
        raise ConfigError("n_jobs = 0 runs nothing", hint="1 is one thread, -1 is one for each processor")
    return n_jobs if n_jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + n_jobs)


class RollingGroup(Group):
    """Splits off the last element of each key, the window, and joins the windows with `RollingEnsemble`.

    Parameters
    ----------
    ens : callable, optional
        Joins the windows. If not given, a `RollingEnsemble` that refuses what is not declared: rows that two windows
        score differently, and sessions between two windows that neither predicts.
    overlap, allow_gaps, calendar
        As that `RollingEnsemble` takes them.
    """

    def __init__(
        self,
        ens: Callable[[Mapping[Any, Any]], Any] | None = None,
        *,
        overlap: Overlap = "same",
        allow_gaps: bool | Sequence[tuple[SessionLike, SessionLike]] = False,
        calendar: TradingCalendar | None = None,
    ) -> None:
        if ens is not None and (overlap, allow_gaps, calendar) != ("same", False, None):
            raise ConfigError("overlap, allow_gaps and calendar are for the ensemble", hint="give them to it")
        super().__init__(ens=ens or RollingEnsemble(overlap=overlap, allow_gaps=allow_gaps, calendar=calendar))

    def group(self, rolling_dict: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return ``{key without its last element: {last element: object}}``; what is left of a key is a tuple.

        Raises
        ------
        ConfigError
            When a key is no tuple, or has no element (defect C5).
        """
        check_dictionary(rolling_dict, who=type(self).__name__)
        parts: dict[Any, Any] = {}
        for key, value in rolling_dict.items():
            if not isinstance(key, tuple) or not key:
                raise ConfigError(
                    f"key {key!r} has no window to split off",
                    hint="let rec_key_func return (model, …, window)",
                )
            parts.setdefault(key[:-1], {})[key[-1]] = value
        return parts
