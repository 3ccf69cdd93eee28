"""The evaluations of a comparison as files: its table is made of them without training anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.frames import ParquetCodec
from rollwright.compare.evaluation import METRIC_KEYS, RunCost, RunEvaluation, RunKey, RunTerms
from rollwright.compare.json_values import (
    take_count,
    take_digest,
    take_fields,
    take_list,
    take_number,
    take_one_of,
    take_optional_number,
    take_text,
    write_number,
)
from rollwright.core.atomic import FileDigest, measure_file, sync_folder, write_by_content, write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.errors import CorruptArtifactError, CorruptFileError, DataNotFoundError

__all__ = ["EVALUATIONS_FILE", "read_evaluations_from", "write_evaluations"]

EVALUATIONS_FILE: Final = "evaluations.json"

_FORMAT: Final = 1
_SERIES: Final = ("ic", "rank_ic", "excess", "returns")
_COLUMNS: Final = ("run", "series", "datetime", "value")
_FIELDS: Final = ("model", "dataset", "seed", "status", "cause", "metrics", "cost", "digest", "terms")
_HINT: Final = "give the command of the comparison again: it writes it anew, and trains nothing that is finished"


def write_evaluations(folder: Path, evaluations: Sequence[RunEvaluation]) -> None:
    """Write evaluations to `folder`: ``evaluations.json``, and beside it one Parquet file of all daily series.

    Guarantees: `read_evaluations_from` returns what was written, NaN and sessions (to the nanosecond) included, in the
    order of the keys; a crash at any moment leaves the former ones or these. Equal evaluations give equal bytes.
    """
    ordered = sorted(evaluations, key=lambda one: one.key)
    frame = _join_series(ordered)
    folder.mkdir(parents=True, exist_ok=True)
    path, digest = write_by_content(folder, lambda draft: ParquetCodec().write(frame, draft), _name_in(folder))
    sync_folder(folder)
    data = {"format": _FORMAT, "series": digest.sha256, "runs": [_to_json(one) for one in ordered]}
    write_text(folder / EVALUATIONS_FILE, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for former in folder.glob("series-*.parquet"):
        if former != path:
            former.unlink(missing_ok=True)


def read_evaluations_from(folder: Path) -> tuple[RunEvaluation, ...]:
    """Return the evaluations that `write_evaluations` wrote to `folder`, by their keys.

    Raises
    ------
    DataNotFoundError
        Where there are none.
    CorruptFileError
        When they are damaged, or of a format this version does not know.
    """
    path = folder / EVALUATIONS_FILE
    try:
        data = json.loads(read_text(path, limit=MEDIUM))
        fields = take_fields(data, ("format", "series", "runs"), "the file")
        take_one_of(fields["format"], (_FORMAT,), "its format")
        wanted = take_digest(fields["series"], "the digest of the series")
        heads = take_list(fields["runs"], _head_from_json, "its runs")
    except FileNotFoundError as error:
        raise DataNotFoundError(
            folder, "no comparison was evaluated here", hint="run it: rollwright compare run"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFileError(path, f"it holds no evaluations: {error}", hint=_HINT) from error
    file = _name_in(folder)(FileDigest(sha256=wanted, length=0))
    try:
        if measure_file(file).sha256 != wanted:
            raise CorruptFileError(file, "its bytes are not those that were written", hint=_HINT)
        series = _split_series(ParquetCodec().read(file), len(heads))
        keys = [head["key"] for head in heads]
        if sorted({*keys}) != keys:
            raise ValueError("its runs are not in order, or one stands there twice")
    except (OSError, ValueError, CorruptArtifactError) as error:
        raise CorruptFileError(file, f"it holds no series of these evaluations: {error}", hint=_HINT) from error
    return tuple(RunEvaluation(**{**head, **each}) for head, each in zip(heads, series, strict=True))


def _name_in(folder: Path) -> Callable[[FileDigest], Path]:
    return lambda digest: folder / f"series-{digest.sha256[:16]}.parquet"


def _join_series(evaluations: Sequence[RunEvaluation]) -> pd.DataFrame:
    """Return the values of all series, one below the other."""
    runs: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    kinds: list[NDArray[np.int8]] = [np.empty(0, np.int8)]
    days: list[NDArray[np.datetime64]] = [np.empty(0, "datetime64[ns]")]
    values: list[NDArray[np.float64]] = [np.empty(0)]
    for place, one in enumerate(evaluations):
        for kind, name in enumerate(_SERIES):
            series: pd.Series = getattr(one, name)
            runs.append(np.full(len(series), place, np.int32))
            kinds.append(np.full(len(series), kind, np.int8))
            days.append(pd.DatetimeIndex(series.index).to_numpy().astype("datetime64[ns]"))
            values.append(series.to_numpy(dtype=np.float64))
    joined = (np.concatenate(runs), np.concatenate(kinds), np.concatenate(days), np.concatenate(values))
    return pd.DataFrame(dict(zip(_COLUMNS, joined, strict=True)))


def _split_series(frame: object, count: int) -> Iterator[Mapping[str, pd.Series]]:
    """Return the series of each run."""
    if not isinstance(frame, pd.DataFrame) or tuple(frame.columns) != _COLUMNS:
        raise ValueError("its columns are others")
    if [str(one) for one in frame.dtypes] != ["int32", "int8", "datetime64[ns]", "float64"]:
        raise ValueError("its columns are of other types")
    place = frame["run"].to_numpy().astype(np.int64) * len(_SERIES) + frame["series"].to_numpy()
    if not ((place[1:] >= place[:-1]).all() and (len(place) == 0 or (place[0] >= 0 and place[-1] < count * 4))):
        raise ValueError("its rows are those of other runs")
    if not frame["series"].between(0, len(_SERIES) - 1).all():
        raise ValueError("it has a series of an unknown kind")
    bounds = np.searchsorted(place, np.arange(count * len(_SERIES) + 1))
    days, values = frame["datetime"].to_numpy(), frame["value"].to_numpy()

    def take(spot: int, name: str) -> pd.Series:
        part = slice(bounds[spot], bounds[spot + 1])
        return pd.Series(values[part], index=pd.DatetimeIndex(days[part], name="datetime"), name=name)

    return iter([{name: take(run * 4 + kind, name) for kind, name in enumerate(_SERIES)} for run in range(count)])


def _to_json(one: RunEvaluation) -> dict[str, Any]:
    cost, terms = one.cost, one.terms
    return {
        **one.key._asdict(),
        "status": one.status,
        "cause": one.cause,
        "metrics": {name: write_number(one.metrics[name]) for name in METRIC_KEYS if name in one.metrics},
        "cost": cost and {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, "peak_bytes": cost.peak_bytes},
        "digest": one.digest,
        "terms": None if terms is None else terms.to_json(),
    }


def _head_from_json(value: object) -> dict[str, Any]:
    """Return the arguments of a `RunEvaluation` but its series."""
    fields = take_fields(value, _FIELDS, "a run")
    metrics = fields["metrics"]
    if not isinstance(metrics, Mapping) or not metrics.keys() <= {*METRIC_KEYS}:
        raise ValueError("the metrics of a run are others")
    return {
        "key": RunKey(
            take_text(fields["model"], "a model"),
            take_text(fields["dataset"], "a dataset"),
            take_count(fields["seed"], "a seed"),
        ),
        "status": take_one_of(fields["status"], ("done", "failed", "waiting"), "the status of a run"),
        "cause": take_text(fields["cause"], "the cause of a run"),
        "metrics": {name: take_optional_number(number, name) for name, number in metrics.items()},
        "cost": None if fields["cost"] is None else _cost_from_json(fields["cost"]),
        "digest": take_digest(fields["digest"], "the digest of a run"),
        "terms": None if fields["terms"] is None else RunTerms.from_json(fields["terms"]),
    }


def _cost_from_json(value: object) -> RunCost:
    fields = take_fields(value, ("seconds", "cpu_seconds", "peak_bytes"), "the cost of a run")
    return RunCost(
        seconds=take_number(fields["seconds"], "seconds"),
        cpu_seconds=take_number(fields["cpu_seconds"], "cpu_seconds"),
        peak_bytes=take_count(fields["peak_bytes"], "peak_bytes"),
    )
