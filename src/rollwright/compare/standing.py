"""What the results of a finished comparison stand on: what `rollwright.campaign.standing` is for a campaign's.

A note holds digests of everything that the evaluations were made from and of what was made. As long as all of it is
found as it was, the same command gives the evaluations back, and no model's environment is started. Whatever differs,
however little, every model judges its runs anew, as after a kill.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rollwright.campaign.standing import Premises, WindowRef, digest_windows
from rollwright.compare.json_values import take_digest, take_fields, take_list, take_text
from rollwright.compare.record import ComparisonRecord
from rollwright.config.construct import Trust
from rollwright.config.settings import Settings
from rollwright.core.atomic import measure_file, write_text
from rollwright.core.bounded_read import LARGE, read_text
from rollwright.core.canonical import sha256_hex
from rollwright.pool.store import ManagerStore
from rollwright.training.user_code import hash_again

__all__ = ["ComparisonStanding", "PoolStanding", "digest_request", "digest_results", "read_comparison_standing"]

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStanding:
    """The finished tasks of a model's runs on one dataset.

    Attributes
    ----------
    model, dataset, pool : str
    code : mapping of str to str
        Hashes of the user's own files, as `rollwright.training.user_code.code_files` tells them.
    windows : tuple of WindowRef
    held : str
        What `digest_windows` told of them.
    """

    model: str
    dataset: str
    pool: str
    code: Mapping[str, str]
    windows: tuple[WindowRef, ...]
    held: str

    def holds(self, settings: Settings, store: ManagerStore) -> bool:
        """Tell whether the user's files, the tasks, their recorders and their artifacts are as they were.

        Raises
        ------
        RollwrightError, OSError
            When something is missing, damaged or away.
        """
        if dict(self.code) != hash_again(self.code, Trust.from_settings(settings)):
            return False
        return self.held == digest_windows(self.pool, self.windows, settings, store)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonStanding:
    """What the evaluations of a comparison stand on.

    Attributes
    ----------
    request : str
        What `digest_request` told.
    results : str
        What `digest_results` told.
    pools : tuple of PoolStanding
    """

    request: str
    results: str
    pools: tuple[PoolStanding, ...]

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        pools = [
            {
                "model": one.model,
                "dataset": one.dataset,
                "pool": one.pool,
                "code": dict(one.code),
                "windows": [[*window] for window in one.windows],
                "held": one.held,
            }
            for one in self.pools
        ]
        content = {"format": _FORMAT, "request": self.request, "results": self.results, "pools": pools}
        write_text(path, json.dumps(content, indent=0, ensure_ascii=False) + "\n")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `write` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            For anything else.
        """
        fields = take_fields(value, ("format", "request", "results", "pools"), "the note")
        if fields["format"] != _FORMAT:
            raise ValueError("it is of another version")
        return cls(
            request=take_digest(fields["request"], "what is asked for"),
            results=take_digest(fields["results"], "the digest of the results"),
            pools=tuple(take_list(fields["pools"], _read_pool, "the pools")),
        )


def _read_pool(value: object) -> PoolStanding:
    fields = take_fields(value, ("model", "dataset", "pool", "code", "windows", "held"), "a pool")
    code: Any = fields["code"]
    return PoolStanding(
        model=take_text(fields["model"], "a model"),
        dataset=take_text(fields["dataset"], "a dataset"),
        pool=take_text(fields["pool"], "a pool"),
        code={take_text(name, "a file"): take_text(content, "a digest") for name, content in code.items()},
        windows=tuple(take_list(fields["windows"], _read_window, "the windows")),
        held=take_digest(fields["held"], "the digest of the windows"),
    )


def _read_window(value: object) -> WindowRef:
    task, experiment, recorder = take_list(value, lambda text: take_text(text, "an id"), "a window")
    return WindowRef(task, experiment, recorder)


def read_comparison_standing(path: Path) -> ComparisonStanding | None:
    """Return the note in `path`; None when there is none, or none that this version wrote."""
    try:
        return ComparisonStanding.from_json(json.loads(read_text(path, limit=LARGE)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def digest_request(record: ComparisonRecord, premises: Sequence[tuple[str, str, Premises]]) -> str:
    """Return a hash of what a comparison is asked for, and of what each workflow would work on.

    Parameters
    ----------
    record : ComparisonRecord
        With the environments of its models. What its tasks may take is no part of it: it changes no result.
    premises : sequence of (model, dataset, Premises)
    """
    options = {**record.options.to_json(), "timeout": None, "memory": None}
    models = [
        [
            one.name,
            one.environment,
            one.requirements_sha256,
            sorted((name, workflow.file, workflow.sha256) for name, workflow in one.workflows.items()),
        ]
        for one in record.models
    ]
    found = [[model, dataset, one.asked, one.settings, one.market, one.version] for model, dataset, one in premises]
    return _hash([record.name, record.source, options, models, found])


def digest_results(folder: Path, files: Sequence[str], evaluations: Path) -> str:
    """Return a hash of the files in a results folder, and of all in the folder of the evaluations.

    Raises
    ------
    OSError
        When one cannot be read.
    """
    names = [*files, *(path.relative_to(folder).as_posix() for path in sorted(evaluations.iterdir()))]
    return _hash([[name, measure_file(folder / name).sha256] for name in names])


def _hash(value: object) -> str:
    return sha256_hex(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
