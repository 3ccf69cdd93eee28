"""Looking through the fields by period of a data folder for damage, and for what nobody can have known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.holdout import Holdout
from rollwright.calendar.periods import Interval, interval_of, to_period_ends
from rollwright.core.file_uris import read_path
from rollwright.core.text import count_noun
from rollwright.errors import CorruptFileError
from rollwright.market.folder.layout import FINANCIAL, code_of_folder
from rollwright.market.folder.periods.kinds import KINDS_PATH
from rollwright.market.folder.periods.period_files import DATA, INDEX
from rollwright.market.folder.periods.period_folder import PeriodFolder
from rollwright.market.folder.periods.records import PeriodRecords
from rollwright.market.ingest.check import Finding, check_table
from rollwright.market.ingest.periods.period_import import open_period_market
from rollwright.market.ingest.periods.period_rows import last_day_of

__all__ = ["PeriodCheck", "check_periods"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCheck:
    """What a check of fields by period found.

    Attributes
    ----------
    path : Path
    fields, files, records : int
        How many were looked at; files of records alone.
    findings : tuple of Finding
        Errors first. Kinds: ``corrupt`` (a file that is damaged, missing or does not fit), ``early`` (a value that
        became known before its period ended), ``future`` (one that is yet to be known), ``infinite``, ``unlisted`` and
        ``stray`` (files that are not read).
    """

    path: Path
    fields: int
    files: int
    records: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return not any(finding.severity == "error" for finding in self.findings)


def check_periods(path: Path | str, *, now: datetime, holdout: Holdout | None = None) -> PeriodCheck:
    """Read every file of fields by period and report what is wrong with it; nothing is changed.

    A value that became known before its period ended is an error in a folder of other tools, and a warning in one that
    rollwright wrote, which takes such values only when they are declared.

    Parameters
    ----------
    path : Path or str
    now : datetime
        The present moment, aware.
    holdout : Holdout, optional
        What became known in it and later is not looked at; damage of the files that hold it is found.

    Raises
    ------
    DataNotFoundError
        When there is no market data at the path.
    """
    try:
        folder = open_period_market(read_path(path).resolve())
        periods = folder.periods
        fields = dict(periods.files)
    except CorruptFileError as error:
        return PeriodCheck(path=read_path(path).resolve(), fields=0, files=0, records=0, findings=(_corrupt(error),))
    findings = [item for item in check_table(folder.root) if item.where.startswith(f"{FINANCIAL}/")]
    findings += _check_kinds(periods)
    findings += _check_unexpected_files(folder.root)
    declared, records = folder.manifest is not None, 0
    for name, files in fields.items():
        read, damage = _read_field(periods, name, list(files))
        findings += damage
        records += sum(len(part.day) for _, part in read)
        findings += _check_meaning(name, read, last_day_of(now), holdout, declared=declared)
    order = sorted(set(findings), key=lambda item: (item.severity, item.kind, item.where, item.message))
    return PeriodCheck(
        path=folder.root, fields=len(fields), files=sum(map(len, fields.values())), records=records,
        findings=tuple(order),
    )  # fmt: skip


def _corrupt(error: CorruptFileError) -> Finding:
    return Finding(kind="corrupt", severity="error", where=str(error.path), message=error.reason)


def _check_kinds(periods: PeriodFolder) -> Iterator[Finding]:
    try:
        kinds = periods.kinds
    except CorruptFileError as error:
        yield _corrupt(error)
        return
    for name in kinds.keys() - periods.files.keys():
        yield Finding(
            kind="stray", severity="warning", where=KINDS_PATH, message=f"it says what `{name}` is, which nobody has"
        )


def _check_unexpected_files(root: Path) -> Iterator[Finding]:
    """Report what lies among the files and is none of them: other names, and an index without its records."""
    for place, _, names in os.walk(root / FINANCIAL):
        for name in sorted(names):
            path = (Path(place) / name).relative_to(root).as_posix()
            stem, ending = os.path.splitext(name)
            fits = ending in (DATA, INDEX) and interval_of(stem.lower()) is not None and path.count("/") == 2
            if not (fits or path == KINDS_PATH):
                yield Finding(
                    kind="stray", severity="warning", where=path,
                    message="it is not read: its name is none of a field by period of an instrument",
                )  # fmt: skip
            elif ending == INDEX and f"{stem}{DATA}" not in names:
                yield Finding(kind="corrupt", severity="error", where=path, message="its records are missing")


def _read_field(
    periods: PeriodFolder, field: str, folders: list[str]
) -> tuple[list[tuple[list[str], PeriodRecords]], list[Finding]]:
    """Return the records of a field with the folders they are of, and the damage; all at once where there is none."""
    try:
        return [(folders, periods.read(field, folders, with_index=True))], []
    except CorruptFileError as error:
        if len(folders) == 1:
            return [], [_corrupt(error)]
    middle = len(folders) // 2
    one, other = (_read_field(periods, field, half) for half in (folders[:middle], folders[middle:]))
    return [*one[0], *other[0]], [*one[1], *other[1]]


def _check_meaning(
    field: str,
    read: list[tuple[list[str], PeriodRecords]],
    today: np.datetime64,
    holdout: Holdout | None,
    *,
    declared: bool,
) -> Iterator[Finding]:
    interval = interval_of(field)
    assert interval is not None  # noqa: S101 - a listed field has one
    seen = [(names, part, _is_seen(part, holdout)) for names, part in read]
    for kind, severity, what in (
        ("early", "warning" if declared else "error", "known before their periods ended"),
        ("future", "error", "dated in days to come"),
        ("infinite", "warning", "infinite"),
    ):
        found = [(names, part, shown & _is_odd(kind, part, interval, today)) for names, part, shown in seen]
        count = sum(int(odd.sum()) for *_, odd in found)
        names, part, odd = next((item for item in found if item[2].any()), ([], None, None))
        if part is None or odd is None:
            continue
        at = int(np.argmax(odd))
        owner = int(np.searchsorted(part.offsets, at, "right")) - 1
        yield Finding(
            kind=kind, severity=severity, where=f"$${field}",
            message=f"{count_noun(count, 'value')} {what}, as {part.value[at]:g} of {code_of_folder(names[owner])} for "
            f"{part.period[at]}, dated {part.day[at]}",
        )  # fmt: skip


def _is_seen(part: PeriodRecords, holdout: Holdout | None) -> NDArray[np.bool_]:
    if holdout is None:
        return np.ones(len(part.day), np.bool_)
    return np.asarray(part.day <= np.datetime64(holdout.eve, "D"))


def _is_odd(kind: str, part: PeriodRecords, interval: Interval, today: np.datetime64) -> NDArray[np.bool_]:
    if kind == "early":
        return np.asarray(part.day < to_period_ends(part.period, interval)) & (interval != "d")
    if kind == "future":
        return np.asarray(part.day > today)
    return np.isinf(part.value)
