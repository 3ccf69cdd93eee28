"""Making a table again: the same locks, the same seeds, the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from rollwright.app.compare.basis import LOCKS, find_basis
from rollwright.app.compare.opening import (
    comparison_folder,
    comparison_record,
    find_comparison,
    list_comparisons,
    results_of,
)
from rollwright.app.compare.run import TellComparison, record_comparison, run_comparison
from rollwright.compare.basis import ComparisonBasis
from rollwright.compare.environment import EnvironmentStore
from rollwright.compare.folders import ModelSource, find_models
from rollwright.compare.given_locks import GivenLocks
from rollwright.compare.record import ComparisonOptions
from rollwright.compare.table import ComparisonTable, make_table
from rollwright.compare.table_files import TABLE_FILE, read_table, write_table
from rollwright.config.settings import Settings, load_settings
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, SMALL, read_text, read_whole
from rollwright.core.canonical import sha256_hex
from rollwright.core.text import escape_text, is_name
from rollwright.errors import CompareError, CorruptFileError, DataNotFoundError

__all__ = ["Reproduction", "reproduce_comparison"]

_VERDICT: Final = "reproduced.json"
_STARTED: Final = "reproduces.txt"
_DEFAULT_NAME: Final = "table"
_DIFFERENT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What became of a table that was made again.

    Attributes
    ----------
    name : str
        Of the comparison that made it.
    folder : Path
        Where its results lie.
    runs : int
    differences : tuple of str
        In a line each what is not the same; empty when all bytes are.
    """

    name: str
    folder: Path
    runs: int
    differences: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 when all bytes are the same, else 4."""
        return _DIFFERENT if self.differences else 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "runs": self.runs,
            "same": not self.differences,
            "differences": [*self.differences],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Where models and market data of a reproduction come from: the command line, or this project's own record."""

    source: Path
    overrides: tuple[str, ...]
    provider_uri: str | None
    timeout: float | None
    memory: float | None
    network: bool


def reproduce_comparison(
    table: Path,
    *,
    environments: EnvironmentStore,
    source: Path | None = None,
    overrides: Sequence[str] = (),
    provider_uri: str | None = None,
    jobs: int = 1,
    timeout: float | None = None,
    memory: float | None = None,
    network: bool = True,
    project: Path | None = None,
    on_progress: TellComparison | None = None,
) -> Reproduction:
    """Train everything that a table was made from anew, under another name, and compare all bytes.

    Killed and called again, it goes on with what it began; once it has ended, another call begins anew.

    Parameters
    ----------
    table : Path
        A ``table.json`` in the folder of its comparison, or in a copy of that folder from anywhere. It is data: nothing
        in the folder says which path is opened, which module is imported or which address is asked.
    environments : EnvironmentStore
    source : Path, optional
        Folder or file of the models; that of the comparison of this project whose table it is, with its overrides,
        market data and limits, if not given.
    overrides, provider_uri, jobs, timeout, memory, network, project, on_progress
        As `run_comparison` takes them; the first five with a `source` only.

    Raises
    ------
    CompareError
        When anything that the table was made from is otherwise here, all of it named; before anything is trained.
    CorruptFileError
        When the table, or what lies beside it, is not what was written.
    DataNotFoundError
        When there is no table, or not all of its folder.
    """
    settings = load_settings(start=project)
    before, content = read_table(table), read_whole(table, limit=MEDIUM)
    basis, digest = ComparisonBasis.from_json(before.origin), sha256_hex(content)
    origin = (
        _find_origin(settings, table)
        if source is None
        else _Origin(
            source=source,
            overrides=tuple(overrides),
            provider_uri=provider_uri,
            timeout=timeout,
            memory=memory,
            network=network,
        )
    )
    name = _choose_name(settings, table, digest)
    found = find_models(origin.source, models=[*basis.models], dataset=basis.dataset or None, universe=basis.universe)
    _check_basis(settings, basis, origin, found, name)
    locks = GivenLocks(environments, _read_locks(table.parent, basis, found))
    write_text(comparison_folder(settings, name) / _STARTED, digest + "\n")
    result = run_comparison(
        origin.source,
        environments=locks,
        name=name,
        models=[*basis.models],
        dataset=basis.dataset or None,
        universe=basis.universe,
        times=basis.times,
        overrides=origin.overrides,
        provider_uri=origin.provider_uri,
        jobs=jobs,
        timeout=origin.timeout,
        memory=origin.memory,
        network=origin.network,
        project=project,
        on_progress=on_progress,
    )
    again = make_table(
        result.evaluations,
        baseline=before.baseline or None,
        metric=before.metric,
        level=before.level,
        seed=before.seed,
        origin=result.basis.to_json() if result.basis is not None else {},
    )
    write_table(result.folder, again)
    differences = _compare_rows(before, again)
    if not differences and read_whole(result.folder / TABLE_FILE, limit=MEDIUM) != content:
        differences = [f"the table: its bytes are others; compare it with {result.folder / TABLE_FILE}"]
    made = Reproduction(name=name, folder=result.folder, runs=len(result.evaluations), differences=tuple(differences))
    write_text(result.folder / _VERDICT, json.dumps({"format": 1, "table": digest, **made.to_json()}, indent=1) + "\n")
    return made


def _find_origin(settings: Settings, table: Path) -> _Origin:
    """Return where the models of a table come from that a comparison of this project made."""
    folder = table.parent.resolve()
    for name in reversed(list_comparisons(settings)):
        if results_of(settings, name).resolve() == folder:
            record = find_comparison(settings, name)
            options = record.options
            return _Origin(
                source=settings.root / record.source,
                overrides=options.overrides,
                provider_uri=options.provider_uri,
                timeout=options.timeout,
                memory=options.memory,
                network=options.network,
            )
    raise CompareError(
        f"{escape_text(table)} is no table of a comparison in {settings.root}; where its models are, it does not say",
        hint="name them: --from FOLDER|FILE",
    )


def _choose_name(settings: Settings, table: Path, digest: str) -> str:
    """Return the name of a comparison that is not there yet, or of one that began with this table and did not end."""
    base = table.resolve().parent.name.removeprefix("compare-")
    base = base if is_name(f"{base}-again-999") else _DEFAULT_NAME
    for number in count(1):
        name = f"{base}-again" if number == 1 else f"{base}-again-{number}"
        if not comparison_record(settings, name).exists():
            return name
        if _began_with(settings, name, digest) and not (results_of(settings, name) / _VERDICT).exists():
            return name
    raise AssertionError  # pragma: no cover - `count` does not end


def _began_with(settings: Settings, name: str, digest: str) -> bool:
    try:
        return read_text(comparison_folder(settings, name) / _STARTED, limit=SMALL).strip() == digest
    except (OSError, UnicodeDecodeError):
        return False


def _check_basis(
    settings: Settings, basis: ComparisonBasis, origin: _Origin, found: Sequence[ModelSource], name: str
) -> None:
    options = ComparisonOptions(times=basis.times, overrides=origin.overrides, provider_uri=origin.provider_uri)
    record = record_comparison(settings, name, origin.source, options, found)
    present = find_basis(settings, record, dataset=basis.dataset, universe=basis.universe)
    if told := basis.describe_differences(present):
        lines = "".join(f"\n  - {escape_text(line, longest=300)}" for line in told)
        raise CompareError(
            f"the table cannot be made again from what is here:{lines}",
            hint="take the version, the files and the data that made it; to make a table of what is here, compare anew",
        )


def _read_locks(folder: Path, basis: ComparisonBasis, found: Sequence[ModelSource]) -> Mapping[Path, str]:
    """Return the lock of each requirements file; one that is not what the basis names is refused."""
    locks: dict[Path, str] = {}
    for one in found:
        wanted = basis.models[one.name].lock
        if not wanted:  # it had no environment, which is tried anew
            continue
        file = folder / LOCKS / f"{one.name}.txt"
        try:
            content = read_whole(file, limit=MEDIUM)
        except FileNotFoundError as error:
            raise DataNotFoundError(file, "a lock is missing", hint="take the whole folder of the table") from error
        except OSError as error:
            raise CorruptFileError(file, f"it cannot be read: {error}") from error
        text = content.decode("utf-8", "replace")  # what is no text is no lock
        if sha256_hex(content) != wanted:
            raise CorruptFileError(file, "its bytes are not those that were written", hint="take a sound copy")
        if locks.setdefault(one.requirements, text) != text:
            raise CorruptFileError(file, "models with one requirements file have different locks")
    return locks


def _compare_rows(before: ComparisonTable, now: ComparisonTable) -> list[str]:
    """Return in a line each which runs have other predictions, or ended otherwise."""
    made, told = _list_runs(now), []
    for run, found in _list_runs(before).items():
        again = made.pop(run, None)
        if again is None:
            told.append(f"{run}: it was not made again")
        elif found != again:
            told.append(f"{run}: {found}, and now {again}")
    return [*told, *(f"{run}: it is not in the table" for run in made)]


def _list_runs(table: ComparisonTable) -> dict[str, str]:
    """Return how each run ended: the digest of what it predicted, or why there is none."""
    found: dict[str, str] = {}
    for row in table.rows:
        found |= {f"{row.name}/{seed}": f"predictions {digest[:16]}" for seed, digest in row.digests.items()}
        found |= {f"{row.name}/{one.seed}": f"{one.status} ({one.cause})" for one in row.failures}
    return found
