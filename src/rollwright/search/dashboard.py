"""Optuna's own storage of a search, for its dashboard: a copy of the record, which is made anew where it is not one."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from rollwright.campaign.search_section import SearchSection
from rollwright.core.atomic import draft_of, put
from rollwright.core.sqlite_urls import sqlalchemy_url, sqlite_url
from rollwright.search.sampling import DIRECTION, import_optuna, make_distributions, make_frozen
from rollwright.search.trial import ToldTrial

__all__ = ["OptunaCopy", "measure_importance"]

_logger: Final = logging.getLogger("rollwright.search")

_LEAST_COMPLETE: Final = 5
"""Complete trials that an importance is told from."""


class OptunaCopy:
    """The copy of a search in Optuna's storage; a context that closes its connections.

    Nothing is ever read from it but to compare: who changes it changes no search. A copy that is damaged or holds other
    trials is made anew; what the disk or the database refuses is a warning, and the search goes on without a copy.

    Parameters
    ----------
    path : Path
    name : str
        Of the study.
    section : SearchSection
    """

    def __init__(self, path: Path, name: str, section: SearchSection) -> None:
        self._path, self._name, self._section = path, name, section
        self._optuna = import_optuna()
        self._open = ExitStack()
        self._study: Any = None
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def update(self, told: Sequence[ToldTrial]) -> None:
        """Bring the copy to what is told."""
        optuna = self._optuna
        distributions = make_distributions(self._section, optuna)
        frozen = [make_frozen(trial, self._section, distributions, optuna) for trial in told]
        try:
            if self._study is None:
                self._begin(frozen)
            self._study.add_trials(frozen[self._held :])
        except Exception as error:  # noqa: BLE001 - SQLite, SQLAlchemy, Alembic and Optuna each have their own
            _logger.warning("search.storage_failed path=%s reason=%s", self._path, error)
        self._held = len(frozen)

    def _begin(self, frozen: Sequence[Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            reason = "its trials are others"
            try:
                self._study = self._open.enter_context(_opened(self._path, self._name, self._optuna))
                held = _count_equal(self._study.get_trials(deepcopy=False), frozen)
            except Exception as error:  # noqa: BLE001 - of a damaged file each library has its own
                held, reason = None, type(error).__name__
            if held is not None:
                self._held = held
                return
            self._open.close()
            _logger.warning("search.storage_rebuilt path=%s reason=%s", self._path, reason)
        with draft_of(self._path) as draft:
            with _opened(draft, self._name, self._optuna) as study:
                study.add_trials(frozen)
            put(draft, self._path)
        self._held = len(frozen)
        self._study = self._open.enter_context(_opened(self._path, self._name, self._optuna))


@contextmanager
def _opened(path: Path, name: str, optuna: Any) -> Iterator[Any]:
    """Open the study of a storage for the block, and close every connection after it."""
    storage = optuna.storages.RDBStorage(sqlalchemy_url(sqlite_url(path)))
    try:
        yield optuna.create_study(storage=storage, study_name=name, direction=DIRECTION, load_if_exists=True)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _count_equal(held: Sequence[Any], wanted: Sequence[Any]) -> int | None:
    """Return how many trials are held, all as they are wanted; None where one is another."""
    if len(held) > len(wanted):
        return None
    for one, other in zip(held, wanted, strict=False):
        if (one.state, one.params, one.distributions) != (other.state, other.params, other.distributions):
            return None
        if one.values != other.values or one.intermediate_values != other.intermediate_values:
            return None
    return len(held)


def measure_importance(section: SearchSection, told: Sequence[ToldTrial]) -> dict[str, float]:
    """Return how much each key decides of which trials are among the best, largest first; empty for too few trials.

    By PED-ANOVA (Watanabe, Bansal and Hutter, 2023), which needs no scikit-learn: shares that add up to 1.
    """
    complete = [one for one in told if one.state == "complete" and not math.isnan(one.value)]
    if len(complete) < _LEAST_COMPLETE or len(section.space) < 2:
        return {}
    optuna = import_optuna()
    distributions = make_distributions(section, optuna)
    study = optuna.create_study(direction=DIRECTION)
    for trial in complete:
        study.add_trial(make_frozen(trial, section, distributions, optuna))
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (RuntimeError, ValueError) as error:  # all trials are equal
        _logger.info("search.no_importance reason=%s", error)
        return {}
    return {str(key): float(value) for key, value in found.items()}
