"""What was said while a model was trained in a comparison: by its environment, its process, and its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.app.compare.opening import environment_log, find_comparison, submitted_file, worker_log
from rollwright.campaign.submitted import SubmittedWindows
from rollwright.compare.record import ComparedModel, ComparisonRecord, pool_name
from rollwright.config.settings import Settings, load_settings
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.masking import mask_secrets
from rollwright.core.text import storable_text
from rollwright.errors import CorruptFileError
from rollwright.pool.worker.task_log import log_folder, log_path

__all__ = ["ComparisonLog", "list_comparison_logs"]

_LONGEST: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLog:
    """One log of a model.

    Attributes
    ----------
    name : str
        ``environment``, ``worker``, or the name of a task: ``Alpha158/1/2017-01-02..2017-12-29``.
    path : Path
    text : str or None
        Secrets hidden, and without its middle where it is long; None when there is none.
    """

    name: str
    path: Path
    text: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "path": str(self.path), "text": self.text}


def list_comparison_logs(name: str | None, model: str, *, project: Path | None = None) -> list[ComparisonLog]:
    """Return the logs of a model of a comparison, of the latest comparison if no name is given.

    Raises
    ------
    CompareError
        When there is no such comparison, or it has no such model.
    """
    settings = load_settings(start=project)
    record = find_comparison(settings, name)
    compared = record.find_model(model)
    found = [
        _read("environment", environment_log(settings, record.name, compared.name)),
        _read("worker", worker_log(settings, record.name, compared.name)),
    ]
    return [*found, *_list_tasks(settings, record, compared)]


def _list_tasks(settings: Settings, record: ComparisonRecord, model: ComparedModel) -> Iterator[ComparisonLog]:
    folder = None
    if model.environment:
        folder = log_folder(settings, pool_name(record.name, model.name, model.environment))
    if folder is None:
        return
    for dataset in model.workflows:
        submitted = None
        with suppress(CorruptFileError):
            submitted = SubmittedWindows.read(submitted_file(settings, record.name, model.name, dataset))
        for window in submitted.windows if submitted is not None else ():
            if window.task_id.isalnum():
                yield _read(window.name, log_path(folder, window.task_id))


def _read(name: str, path: Path) -> ComparisonLog:
    try:
        text = storable_text(mask_secrets(read_text(path, limit=MEDIUM)), longest=_LONGEST)
    except (OSError, ValueError):
        text = None
    return ComparisonLog(name=name, path=path, text=text)
