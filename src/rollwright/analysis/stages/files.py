"""Stages on the disk: a folder with one Parquet file for each table and an index, ``stage.json``.

The index is written last and removed first: a stage that is there is whole. It holds the digest of each table, so that
a table that was changed is refused, and the digests of the files that the stage was made from, so that a stage whose
inputs have changed since is known as stale. Where a table lies follows from its name, and names are those of the
makers: nothing that a file says chooses a path.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.health import findings_from_json
from rollwright.analysis.health_text import finding_to_json
from rollwright.analysis.metrics import metrics_from_json, metrics_to_json
from rollwright.analysis.stages.analyze import ANALYSIS_TABLES
from rollwright.analysis.stages.locations import STAGE_FILE, STAGE_FOLDERS, StageName
from rollwright.analysis.stages.table import ResultTable, StageResult
from rollwright.analysis.stages.trade import BACKTEST_TABLES
from rollwright.analysis.stages.walk import COLLECT_TABLES
from rollwright.codecs.registry import codecs
from rollwright.core.atomic import FileDigest, make_folder, measure_file, sync_tree, write_atomically, write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.errors import CorruptArtifactError, CorruptFileError, DataError, DataNotFoundError, StaleResultsError

__all__ = ["KNOWN_TABLES", "check_inputs", "read_stage", "table_path", "write_stage"]

FORMAT: Final = 1
KNOWN_TABLES: Final[Mapping[StageName, tuple[str, ...]]] = {
    "collect": COLLECT_TABLES,
    "analyze": ANALYSIS_TABLES,
    "backtest": BACKTEST_TABLES,
}
"""The tables of each stage, by the makers that there are."""


def table_path(folder: Path, stage: StageName, table: str) -> Path:
    """Return where a table of a stage lies beneath the folder of a signal's results.

    Raises
    ------
    DataError
        When the stage has no such table.
    """
    if table not in KNOWN_TABLES[stage]:
        raise DataError(f"the stage `{stage}` has no table `{table}`", hint=f"known: {', '.join(KNOWN_TABLES[stage])}")
    return folder / STAGE_FOLDERS[stage] / f"{table}.parquet"


def write_stage(result: StageResult, folder: Path) -> StageResult:
    """Write a stage beneath `folder`, in place of a former one of its kind, and return it as `read_stage` does.

    Guarantees: whoever finds the index finds every table of it, after any crash; equal results give equal bytes.
    """
    place = folder / STAGE_FOLDERS[result.stage]
    index = place / STAGE_FILE
    make_folder(place)
    index.unlink(missing_ok=True)
    entries: dict[str, Any] = {}
    tables: dict[str, ResultTable] = {}
    for name in KNOWN_TABLES[result.stage]:
        path = table_path(folder, result.stage, name)
        table = result.tables.get(name)
        if table is None:
            path.unlink(missing_ok=True)
            continue
        frame = _without_freq(table.frame)
        write_atomically(path, partial(codecs.for_kind("parquet").write, frame), durable=False)
        digest = measure_file(path)
        tables[name] = replace(table, frame=frame)
        entries[name] = {
            "rows": len(frame),
            "sha256": digest.sha256,
            "length": digest.length,
            "units": dict(table.units),
        }
    sync_tree(place, above=folder)
    data = {
        "format": FORMAT,
        "stage": result.stage,
        "inputs": dict(result.inputs),
        "settings": dict(result.settings),
        "metrics": metrics_to_json(result.metrics),
        "findings": [finding_to_json(finding) for finding in result.findings],
        "tables": entries,
        "left_out": dict(result.left_out),
    }
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_text(index, text)
    return _parse_index(json.loads(text), result.stage, tables)


def _parse_index(data: Mapping[str, Any], stage: StageName, tables: Mapping[str, ResultTable]) -> StageResult:
    """Return the stage that an index tells, with its tables."""
    return StageResult(
        stage=stage,
        metrics=metrics_from_json(data["metrics"]),
        findings=findings_from_json(data["findings"]),
        tables=tables,
        left_out={str(name): str(reason) for name, reason in data["left_out"].items()},
        settings=dict(data["settings"]),
        inputs={str(name): str(digest) for name, digest in data["inputs"].items()},
    )


def _without_freq(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose dates have no frequency: whether they have one depends on how they came to be."""
    days = frame.index
    if not isinstance(days, pd.DatetimeIndex) or days.freq is None or days.tz is not None:
        return frame
    return frame.set_axis(pd.DatetimeIndex(days.to_numpy(), name=days.name), axis=0)


def read_stage(
    folder: Path, stage: StageName, *, tables: Collection[str] | None = None, command: str = ""
) -> StageResult:
    """Return a stage that `write_stage` wrote.

    Parameters
    ----------
    folder : Path
        The folder of a signal's results.
    stage : StageName
    tables : collection of str, optional
        Which tables are read, of those that were made; all if not given.
    command : str
        What makes the stage anew, for the hints of errors.

    Raises
    ------
    DataNotFoundError
        When there is no such stage.
    CorruptFileError
        When its index or a table is damaged, is not what the index says, or is of a format this version does not know.
    """
    path = folder / STAGE_FOLDERS[stage] / STAGE_FILE
    anew = f"make it anew: {command or f'rollwright {stage}'}"
    data = _read_index(path, stage, anew)
    try:
        entries: dict[str, Any] = data["tables"]
        if unknown := sorted(entries.keys() - {*KNOWN_TABLES[stage]}):
            raise CorruptFileError(
                path, f"it names a table {unknown[0]!r}, which this version does not know", hint=anew
            )
        found = {
            name: _read_table(folder, stage, name, entry, anew)
            for name, entry in entries.items()
            if tables is None or name in tables
        }
        return _parse_index(data, stage, found)
    except (CorruptFileError, DataNotFoundError):
        raise
    except (DataError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(path, f"a part of it is missing or of another form: {error}", hint=anew) from error


def _read_index(path: Path, stage: StageName, anew: str) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path, limit=MEDIUM))
        found, kind = data["format"], data["stage"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataNotFoundError(path, f"the stage `{stage}` was not made here", hint=anew) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(path, f"it is not the index of a stage: {error}", hint=anew) from error
    if found != FORMAT or kind != stage:
        raise CorruptFileError(
            path,
            f"it is the index of a stage {kind!r} in format {found!r}, and `{stage}` in format {FORMAT} is wanted",
            hint=anew,
        )
    assert isinstance(data, dict)  # noqa: S101 - it has keys
    return data


def _read_table(folder: Path, stage: StageName, name: str, entry: Mapping[str, Any], anew: str) -> ResultTable:
    path = table_path(folder, stage, name)
    try:
        found = measure_file(path)
        if found != FileDigest(sha256=entry["sha256"], length=entry["length"]):
            raise CorruptFileError(path, "it is not the table that was written with its index", hint=anew)
        return ResultTable(name=name, frame=codecs.for_kind("parquet").read(path), units=dict(entry["units"]))
    except FileNotFoundError as error:
        raise CorruptFileError(path, "the index names it, and it is not there", hint=anew) from error
    except (OSError, CorruptArtifactError) as error:
        raise CorruptFileError(path, f"it cannot be read: {error}", hint=anew) from error


def check_inputs(result: StageResult, folder: Path, inputs: Mapping[str, Path], *, command: str) -> None:
    """Find out whether the files that a stage was made from are still those.

    Parameters
    ----------
    result : StageResult
    folder : Path
        Of the stage, for the error.
    inputs : mapping of str to Path
        Where each input lies; one that the stage was not made from is not looked at.
    command : str
        What makes the stage anew.

    Raises
    ------
    StaleResultsError
        When one has changed since, or is gone.
    """
    changed = [
        path.name for name, path in inputs.items() if name in result.inputs and _digest(path) != result.inputs[name]
    ]
    if changed:
        index = folder / STAGE_FOLDERS[result.stage] / STAGE_FILE
        raise StaleResultsError(index, changed, hint=f"make it anew: {command}")


def _digest(path: Path) -> str | None:
    try:
        return measure_file(path).sha256
    except FileNotFoundError:
        return None
