"""Find columns of the user's that show a reported value before it was announced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.given_columns import read_columns
from rollwright.app.open_campaign import OpenCampaign
from rollwright.calendar.periods import interval_of
from rollwright.campaign.audit.early_values import FieldUse, measure_use
from rollwright.config.context import current_context, using
from rollwright.config.placeholders import fill_paths
from rollwright.dataset.dataset import DatasetH, build_dataset
from rollwright.errors import DataError, NotPointInTimeError
from rollwright.expression.engine import evaluate
from rollwright.expression.parser import parse
from rollwright.expression.planner import compile_plan
from rollwright.market.current import current_market
from rollwright.market.folder.layout import BASE_FIELDS, check_period_field
from rollwright.market.folder.provider import QlibProvider, folder_from_settings
from rollwright.market.source import DataSource, VintageSource
from rollwright.market.viewpoint import by_period

__all__ = ["EarlyEvidence", "Violation", "ViolationReport", "find_violations"]

Origin: TypeAlias = Literal["daily field", "feature", "label", "expression", "table"]
_EVIDENCE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEvidence:
    """One value that stood in a column before it was announced.

    Attributes
    ----------
    instrument, session : str
        Where, and the first session on which it stood there.
    period : int
    value : float
        As it was reported.
    announced : str
    days : int
        How many days too early.
    """

    instrument: str
    session: str
    period: int
    value: float
    announced: str
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A column that uses values of a field by period before they were announced.

    Attributes
    ----------
    origin : str
        ``daily field``, ``feature``, ``label``, ``expression`` or ``table``.
    column : str
    field : str
        By period.
    unit : float
        What the reported values are multiplied by in the column.
    checked, early, by_chance : int
        As `rollwright.campaign.audit.early_values.FieldUse` explains them.
    days : float
        How many days too early, in the middle.
    evidence : tuple of EarlyEvidence
        The earliest first; not more than ten.
    readers : tuple of str
        The features and labels that read the column.
    """

    origin: Origin
    column: str
    field: str
    unit: float
    checked: int
    early: int
    by_chance: int
    days: float
    evidence: tuple[EarlyEvidence, ...]
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationReport:
    """What was found, and what was looked at.

    Attributes
    ----------
    violations : tuple of Violation
    clean : tuple of (column, field)
        Columns that show the values of a field, and none before its announcement.
    columns, fields : tuple of str
        All that were compared; a column of which nothing is told shows the values of no field.
    """

    violations: tuple[Violation, ...]
    clean: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    fields: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.violations

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    origin: Origin
    name: str
    values: NDArray[np.float64]


def find_violations(
    campaign: OpenCampaign | None = None,
    *,
    expressions: Sequence[str] = (),
    table: Path | None = None,
    fields: Sequence[str] = (),
) -> ViolationReport:
    """Compare columns of sessions with the reports of the market, and tell which of them knew too early.

    Looked at are the daily fields of the market other than prices, volumes and factors; of a campaign the features and
    labels that read such fields, fields by period or operators of the user's own; and what is given here. Only columns
    are recognised that show reported values as they are, or times a constant.

    Parameters
    ----------
    campaign : OpenCampaign, optional
        Whose market it is; that of the present context if not given.
    expressions : sequence of str
        To be looked at too; they may read later sessions.
    table : Path, optional
        A table of columns by ``datetime`` and ``instrument``.
    fields : sequence of str
        By period; all of quarters, years and months if not given.

    Raises
    ------
    NotPointInTimeError
        When the market has no fields by period.
    UnknownFieldError, ExpressionError
    DataError
        For a table without dates.
    """
    with using(current_context() if campaign is None else campaign.context):
        source = current_market()
        names = _choose_fields(source, fields)
        codes = source.instruments()
        reports = {name: by_period(source, name).vintages(name, codes) for name in names}
        sessions = source.calendar().values[: source.calendar().known].astype("datetime64[s]")
        own = _list_own_fields(source)
        asked = _list_expressions(campaign, own)
        found: list[Violation] = []
        clean: list[tuple[str, str]] = []
        columns: list[str] = []
        for column in _read(source, codes, own, [*asked, *(("expression", text, text) for text in expressions)], table):
            columns.append(column.name)
            for name in names:
                interval = interval_of(name)
                assert interval is not None  # noqa: S101 - the names are checked
                use = measure_use(column.values, sessions, reports[name], interval)
                if use is not None and use.is_early:
                    found.append(_describe(column, name, use, codes, sessions, _find_readers(column, asked)))
                elif use is not None:
                    clean.append((column.name, name))
        return ViolationReport(violations=tuple(found), clean=tuple(clean), columns=tuple(columns), fields=tuple(names))


def _choose_fields(source: DataSource, given: Sequence[str]) -> list[str]:
    known = source.period_fields() if isinstance(source, VintageSource) else ()
    if given:
        return [check_period_field(name.strip().removeprefix("$$"))[0] for name in given]
    chosen = [name for name in known if interval_of(name) != "d"]
    if not chosen:
        raise NotPointInTimeError(
            f"{source!r} has no fields by period, so nothing tells when a value was announced",
            hint="import the reports with their days of announcement: rollwright pit import PATH --out DIR",
        )
    return chosen


def _list_own_fields(source: DataSource) -> tuple[str, ...]:
    """Return the daily fields of the market's folder that are no prices."""
    context = current_context()
    if context.market is not None:
        return ()
    folder = QlibProvider(folder_from_settings(context.settings), freq=source.freq)
    return tuple(name for name in folder.fields() if name not in BASE_FIELDS)


def _list_expressions(
    campaign: OpenCampaign | None, own: Sequence[str]
) -> list[tuple[Literal["feature", "label", "expression"], str, str]]:
    """Return origin, name and text of what a campaign reads beside prices; what is refused anyway is left out."""
    if campaign is None:
        return []
    dataset = build_dataset(fill_paths(campaign.config.template())["dataset"])
    found: list[tuple[Literal["feature", "label", "expression"], str, str]] = []
    for reach in dataset.feature_reaches() if isinstance(dataset, DatasetH) else ():
        term = parse(reach.expression)
        if reach.refusal is None and (term.periods or reach.own_code or set(term.fields) & set(own)):
            found.append(("label" if reach.is_label else "feature", reach.name, reach.expression))
    return found


def _read(
    source: DataSource,
    codes: Sequence[str],
    own: Sequence[str],
    expressions: Sequence[tuple[Literal["feature", "label", "expression"], str, str]],
    table: Path | None,
) -> Iterator[_Column]:
    known = source.calendar().known
    for name in own:
        yield _Column(origin="daily field", name=f"${name}", values=source.load([name], codes, 0, known)[0])
    for origin, name, text in expressions:
        values = np.full((known, len(codes)), np.nan)
        plan = compile_plan([text], allow_lookahead=True)
        for tile in evaluate(plan, source, instruments=codes, start=0, stop=known):
            values[tile.rows.start : tile.rows.stop, tile.columns] = tile.values[0]
        yield _Column(origin=origin, name=name, values=values)
    if table is not None:
        yield from _read_table(table, source, codes)


def _read_table(path: Path, source: DataSource, codes: Sequence[str]) -> Iterator[_Column]:
    frame = read_columns(path)
    if "datetime" not in frame.index.names:
        raise DataError(f"{path} has no `datetime`: a value without a date says what is known today")
    days = source.calendar().to_index()[: source.calendar().known]
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column.dtype):
            wide = column.unstack("instrument").reindex(index=days, columns=pd.Index(codes))
            yield _Column(origin="table", name=str(name), values=wide.to_numpy(np.float64))


def _find_readers(column: _Column, asked: Sequence[tuple[str, str, str]]) -> tuple[str, ...]:
    if column.origin != "daily field":
        return ()
    return tuple(name for _, name, text in asked if column.name.removeprefix("$") in parse(text).fields)


def _describe(
    column: _Column,
    field: str,
    use: FieldUse,
    codes: Sequence[str],
    sessions: NDArray[np.datetime64],
    readers: tuple[str, ...],
) -> Violation:
    rows = [
        EarlyEvidence(
            instrument=codes[one.instrument],
            session=_label(sessions[one.session]),
            period=one.period,
            value=one.value,
            announced=_label(one.known_at),
            days=int((one.known_at - sessions[one.session]) / np.timedelta64(1, "D")),
        )
        for one in use.early
    ]
    rows.sort(key=lambda row: (-row.days, row.instrument, row.session))
    return Violation(
        origin=column.origin,
        column=column.name,
        field=field,
        unit=use.unit,
        checked=use.checked,
        early=len(rows),
        by_chance=use.by_chance,
        days=float(np.median([row.days for row in rows])),
        evidence=tuple(rows[:_EVIDENCE]),
        readers=readers,
    )


def _label(moment: np.datetime64) -> str:
    return str(moment).removesuffix("T00:00:00").replace("T", " ")
