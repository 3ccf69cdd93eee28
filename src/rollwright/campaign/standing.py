"""What the results of a finished campaign stand on, so that a command given again gives them back as they are.

When results are made, a note is written of everything they were made from: the file and what was given over it, the
settings, the market's state, the user's own code, and of each window its task, its recorder and the digests of its
artifacts; and of what was made, the digests of the result files. As long as all of it is found as it was, nothing has
to be planned, judged, analysed or plotted again: what was true when the note was written is true now. Whatever differs,
however little, the campaign is judged anew, window by window, which names what changed (`rollwright.campaign.judging`).

All of it is read and compared by digest here: no feature, no model and no frame is opened, and this module imports
none of what does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from rollwright import __version__
from rollwright.config.construct import Trust
from rollwright.config.holdout_setting import digest_openings
from rollwright.config.settings import Settings
from rollwright.core.atomic import measure_file, write_text
from rollwright.core.bounded_read import LARGE, read_text
from rollwright.core.canonical import sha256_hex
from rollwright.core.file_uris import read_path
from rollwright.core.log_relay import RecordedWarning
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.errors import RecorderNotFoundError, RecordError
from rollwright.market.folder.state import folder_state
from rollwright.pool.states import Status
from rollwright.pool.store import ManagerStore
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.store import RunRecord
from rollwright.training.user_code import hash_again

__all__ = [
    "Premises",
    "Standing",
    "WindowRef",
    "digest_files",
    "digest_windows",
    "read_standing",
    "standing_path",
]

FORMAT: Final = 1
WINDOW_ARTIFACTS: Final = ("expected_index.pkl", "label.pkl", "pred.pkl", "validity")
"""What of each window is read when it is judged and collected."""
_SECTIONS: Final = ("data", "point_in_time", "pool", "tracking", "trust")
_WITHOUT_EFFECT: Final = frozenset(
    ("data.kernels", "data.kernel_memory", "data.mem_cache_size_limit", "pool.lease", "pool.max_attempts", "pool.poll")
)


class WindowRef(NamedTuple):
    """Where a finished window is: its task in the pool, and its recorder."""

    task: str
    experiment: str
    recorder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What a command was given, and what it would work on, before anything is planned.

    Attributes
    ----------
    asked : str
        Hash of the campaign's file, the values of its variables and its bases in place, and of what was given over it.
    settings : str
        Hash of the settings that a result may depend on.
    market : str
        The state of the market data, as `folder_state` tells it, and which holdouts were opened.
    version : str
        Of rollwright.
    """

    asked: str
    settings: str
    market: str
    version: str = __version__

    @classmethod
    def find(cls, settings: Settings, *, rendered: str, overrides: Sequence[str]) -> Self | None:
        """Return the premises of a command as they are now; None for one whose results are always made anew.

        That are those on data that are no folder, with operators of one's own, and with runs that are not recorded in
        a file of the project.

        Parameters
        ----------
        settings : Settings
            With what the file and the command set.
        rendered, overrides : str, sequence of str
            The file's text, and what was given over it.
        """
        data = settings.data
        if data.provider_uri is None or data.provider_uris or data.custom_ops:
            return None
        if "://" in data.provider_uri or sqlite_path(settings.tracking.uri) is None:
            return None
        market = folder_state(settings.resolve(read_path(data.provider_uri)))
        if market is None:
            return None
        market += digest_openings(settings.state_dir)  # an opening changes no setting and no file of the market
        values = [
            [name, None if value is None else str(value)]
            for name, value, _ in settings.rows()
            if name.partition(".")[0] in _SECTIONS and name not in _WITHOUT_EFFECT
        ]
        return cls(asked=_hash([rendered, *overrides]), settings=_hash([str(settings.root), values]), market=market)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the results of a campaign stand on.

    Attributes
    ----------
    name : str
        The campaign.
    premises : Premises
    code : mapping of str to str
        Hashes of the user's own files, as `rollwright.training.user_code.code_files` tells them.
    windows : tuple of WindowRef
        In the order of the plan.
    held : str
        What `digest_windows` told of them.
    told : tuple of str
        What is said of the plan, a line each.
    warned : tuple of RecordedWarning
        What was warned of when it was planned, analysed and back-tested.
    created, reused : str
        When the results were made, and how many windows were kept then, as the report says.
    files : mapping of str to str
        SHA-256 of the result files, by their paths in the results folder; empty before they are made.
    """

    name: str
    premises: Premises
    code: Mapping[str, str]
    windows: tuple[WindowRef, ...]
    held: str
    told: tuple[str, ...]
    warned: tuple[RecordedWarning, ...]
    created: str
    reused: str
    files: Mapping[str, str]

    @property
    def basis(self) -> str:
        """Hash of all that the results are made from: equal ones give equal files."""
        return _hash([self.name, asdict(self.premises), dict(self.code), [*map(list, self.windows)], self.held])

    def holds(self, settings: Settings, store: ManagerStore, results: Path) -> bool:
        """Tell whether everything but the premises is as it was.

        Parameters
        ----------
        settings : Settings
        store : ManagerStore
            The task pool.
        results : Path
            The folder of the campaign's results.

        Raises
        ------
        RollwrightError
            When something is missing, damaged or away: what is left is for whoever judges it.
        OSError
            When a file cannot be read.
        """
        if dict(self.code) != hash_again(self.code, Trust.from_settings(settings)):
            return False
        if dict(self.files) != digest_files(results, self.files):
            return False
        return self.held == digest_windows(self.name, self.windows, settings, store)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_text(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=0) + "\n")


def standing_path(settings: Settings, name: str) -> Path:
    """Return where the note of the campaign `name` lies."""
    return settings.state_dir / "standing" / f"{name}.json"


def read_standing(path: Path) -> Standing | None:
    """Return the note in `path`; None when there is none, or none that this version wrote."""
    try:
        data = json.loads(read_text(path, limit=LARGE))
        if data.pop("format") != FORMAT:
            return None
        return Standing(**{
            **data,
            "premises": Premises(**data["premises"]),
            "windows": tuple(WindowRef(*one) for one in data["windows"]),
            "told": tuple(data["told"]),
            "warned": tuple(RecordedWarning(name, text, tuple(args)) for name, text, args in data["warned"]),
        })  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def digest_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file of the results; ``absent`` for one that is not there."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = measure_file(folder / name).sha256
        except FileNotFoundError:
            found[name] = "absent"
    return found


def digest_windows(pool: str, windows: Sequence[WindowRef], settings: Settings, store: ManagerStore) -> str:
    """Return one hash over what pool, tracking store and disk hold of finished windows.

    Each file is read, and its length and SHA-256 compared with what was written.

    Raises
    ------
    RollwrightError
        When a task is not finished, or anything of a window is missing, damaged or away.
    """
    location = TrackingLocation.from_settings(settings)
    location.check_present()
    runs = _read_runs(location, windows)
    digest = hashlib.sha256()
    tasks = store.get(pool, [window.task for window in windows])
    for window, task in zip(windows, tasks, strict=True):
        run = runs.get(window.recorder)
        if task.status is not Status.DONE or run is None or run.experiment_id != window.experiment:
            raise RecorderNotFoundError(
                f"task {window.task} is not finished, or its recorder {window.recorder} is gone"
            )
        files = location.files_of(run.experiment_id, run.id)
        listed = {ref.name: ref for ref in files.list()}
        if not listed.keys() >= {*WINDOW_ARTIFACTS}:
            raise RecordError(f"recorder {run.id} does not hold all artifacts of a window")
        for name in WINDOW_ARTIFACTS:
            files.verify(listed[name])
        kept = [asdict(listed[name]) for name in WINDOW_ARTIFACTS]
        digest.update(_text([task.canonical, task.result, task.validity, _facts(run), kept]))
    return digest.hexdigest()


def _read_runs(location: TrackingLocation, windows: Sequence[WindowRef]) -> dict[str, RunRecord]:
    """Return the runs of the windows' experiments that are not deleted, in one question."""
    experiments = [*dict.fromkeys(window.experiment for window in windows)]
    return {run.id: run for run in location.store.search_runs(experiments)}


def _facts(run: RunRecord) -> list[Any]:
    """Return what of a run stands in a report."""
    end = None if run.end is None else run.end.isoformat()
    return [run.id, run.status, run.start.isoformat(), end, run.metrics.get("best_iteration")]


def _hash(value: Any) -> str:
    return sha256_hex(_text(value))


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
