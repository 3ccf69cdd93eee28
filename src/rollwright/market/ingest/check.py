"""Looking through a data folder for what would spoil research, and saying where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.holdout import Holdout
from rollwright.calendar.trading import TradingCalendar
from rollwright.core.file_uris import read_path
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.market.folder.layout import FEATURES, find_unexpected_files, series_files
from rollwright.market.folder.manifest import hash_whole_files, read_files, read_manifest
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.price_jumps import find_jumps, name_ratio

__all__ = ["CheckReport", "Finding", "check_data", "check_table"]

PRICES: Final = ("open", "high", "low", "close", "vwap")
_MANY: Final = 5  # names with jumps, from which on they are told in sum
_MORE: Final = re.compile(r"; and (\d+) more jumps$")
_TOLERANCE: Final = 1e-5  # float32 prices of one bar may contradict one another by their rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or may be.

    Attributes
    ----------
    kind : str
        ``corrupt``, ``universe``, ``gap``, ``price``, ``bar``, ``volume``, ``infinite``, ``jump``, ``stray`` or
        ``unlisted``.
    severity : str
        ``error`` when reading would fail or mislead, ``warning`` when it may be the market itself.
    where : str
        File, or instrument and session.
    message : str
    """

    kind: str
    severity: str
    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found.

    Attributes
    ----------
    path : Path
    generation : str
        Empty when the folder cannot be opened.
    instruments, sessions, files : int
        How many were looked at.
    findings : tuple of Finding
        Errors first.
    """

    path: Path
    generation: str
    instruments: int
    sessions: int
    files: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return not any(finding.severity == "error" for finding in self.findings)


def check_data(path: Path | str, *, freq: str = "day", holdout: Holdout | None = None) -> CheckReport:
    """Read every file of one frequency and report what is wrong with it; nothing is changed.

    Parameters
    ----------
    path : Path or str
    freq : str
    holdout : Holdout, optional
        The values of its sessions and of later ones are not looked at; damage of the files that hold them is found.

    Raises
    ------
    DataNotFoundError
        When there is no such folder.
    HoldoutSealedError
        When no session lies before the holdout.
    """
    root = read_path(path).resolve()
    try:
        provider = QlibProvider(root, freq=freq, use_recent_copy=False)
    except CorruptFileError as error:
        finding = Finding(kind="corrupt", severity="error", where=str(error.path), message=error.reason)
        return CheckReport(path=root, generation="", instruments=0, sessions=0, files=0, findings=(finding,))
    calendar = provider.calendar() if holdout is None else provider.calendar().before(holdout)
    findings = [*_check_unexpected_files(root), *check_table(root), *_check_universes(provider)]
    codes: tuple[str, ...] = ()
    files = 0
    try:
        codes = provider.instruments()
    except RollwrightError as error:
        findings.append(Finding(kind="corrupt", severity="error", where=str(root / FEATURES), message=error.message))
    for code in codes:
        try:
            files += len(provider.fields_of(code))
        except CorruptFileError as error:
            findings.append(Finding(kind="corrupt", severity="error", where=str(error.path), message=error.reason))
            continue
        findings.extend(_check_instrument(provider, code, calendar))
    findings = _sum_up_jumps(findings, len(codes))
    unique = sorted(set(findings), key=lambda item: (item.severity, item.kind, item.where, item.message))
    return CheckReport(
        path=root,
        generation=provider.generation,
        instruments=len(codes),
        sessions=calendar.known,
        files=files,
        findings=tuple(unique),
    )


def _check_unexpected_files(root: Path) -> Iterator[Finding]:
    for name in find_unexpected_files(root):
        yield Finding(
            kind="stray", severity="warning", where=name,
            message="it is not read: its name is none of a calendar, a universe, an instrument or a series",
        )  # fmt: skip


def check_table(root: Path) -> Iterator[Finding]:
    """Report files the manifest lists that are gone, and files it does not list."""
    manifest = read_manifest(root)
    if manifest is None:
        return
    listed = read_files(root, manifest[1])
    found = {path.relative_to(root).as_posix() for path in series_files(root)}
    whole = hash_whole_files(root)
    found.update(whole)
    for name in sorted(listed.keys() - found):
        if (root / name).exists():
            continue  # a stray that an earlier import listed
        yield Finding(kind="corrupt", severity="error", where=name, message="the manifest lists it, and it is missing")
    for name in sorted(found - listed.keys()):
        yield Finding(
            kind="unlisted", severity="warning", where=name,
            message="other tools made it; series are not read before `rollwright data check DIR --accept`",
        )  # fmt: skip
    for name in sorted(listed.keys() & whole.keys()):
        if whole[name].digest != listed[name].digest:
            yield Finding(kind="corrupt", severity="error", where=name, message="its bytes are not the imported ones")


def _check_universes(provider: QlibProvider) -> Iterator[Finding]:
    try:
        known = {code.lower() for code in provider.instruments()}
    except RollwrightError:
        return
    calendar = provider.calendar()
    for name in provider.universes():
        try:
            members = provider.members(name)
        except CorruptFileError as error:
            yield Finding(kind="corrupt", severity="error", where=str(error.path), message=error.reason)
            continue
        unknown = sorted(code for code in members if code.lower() not in known)
        if unknown:
            shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            yield Finding(
                kind="universe", severity="warning", where=f"instruments/{name}.txt", message=f"no series for {shown}"
            )
        late = sorted(code for code, spans in members.items() if spans[0][0] > calendar.last)
        if late:
            yield Finding(
                kind="universe", severity="warning", where=f"instruments/{name}.txt",
                message=f"lifetimes begin after the calendar: {', '.join(late[:5])}",
            )  # fmt: skip


def _check_instrument(provider: QlibProvider, code: str, calendar: TradingCalendar) -> Iterator[Finding]:
    series: dict[str, NDArray[np.float32]] = {}
    for field in provider.fields_of(code):
        try:
            low, high = (min(int(edge), calendar.known) for edge in provider.bounds([code])[0])
            series[field] = provider.load([field], [code], low, high)[0, :, 0]
        except CorruptFileError as error:
            yield Finding(kind="corrupt", severity="error", where=str(error.path), message=error.reason)
    if series and low < high:
        yield from _check_values(code, calendar, low, series)


def _check_values(
    code: str, calendar: TradingCalendar, low: int, series: dict[str, NDArray[np.float32]]
) -> Iterator[Finding]:
    for field, values in series.items():
        infinite = np.isinf(values)
        if infinite.any():
            yield _at(code, calendar, low, infinite, "infinite", "error", f"{field} is infinite")
        if field in PRICES and (values == 0).any():
            yield _at(code, calendar, low, values == 0, "price", "error", f"{field} is not positive", values)
        if field in PRICES and (values < 0).any():  # of futures it may be the market
            yield _at(code, calendar, low, values < 0, "price", "warning", f"{field} is negative", values)
    if "volume" in series and (series["volume"] < 0).any():
        yield _at(code, calendar, low, series["volume"] < 0, "volume", "error", "volume is negative", series["volume"])
    yield from _check_bars(code, calendar, low, series)
    if "close" in series:
        yield from _check_gaps(code, calendar, low, series["close"])
        yield from _check_jumps(code, calendar, low, series["close"], series.get("factor"))


def _check_bars(
    code: str, calendar: TradingCalendar, low: int, series: dict[str, NDArray[np.float32]]
) -> Iterator[Finding]:
    if "high" not in series or "low" not in series:
        return
    slack = _TOLERANCE * np.abs(series["high"])
    for field in ("open", "close", "low"):
        if field in series:
            above = series[field] > series["high"] + slack
            if above.any():
                yield _at(code, calendar, low, above, "bar", "warning", f"{field} is above high", series[field])
    for field in ("open", "close"):
        if field in series:
            below = series[field] < series["low"] - slack
            if below.any():
                yield _at(code, calendar, low, below, "bar", "warning", f"{field} is below low", series[field])


def _check_gaps(code: str, calendar: TradingCalendar, low: int, close: NDArray[np.float32]) -> Iterator[Finding]:
    known = np.flatnonzero(~np.isnan(close))
    if not len(known):
        yield Finding(kind="gap", severity="warning", where=code, message="close has no value at all")
        return
    inside = np.isnan(close)
    inside[: known[0]] = False
    inside[known[-1] + 1 :] = False
    if inside.any():
        yield _at(code, calendar, low, inside, "gap", "warning", "close has no value")


def _check_jumps(
    code: str,
    calendar: TradingCalendar,
    low: int,
    close: NDArray[np.float32],
    factor: NDArray[np.float32] | None,
) -> Iterator[Finding]:
    places, moves, beside = find_jumps(close, factor)
    if not len(places):
        return
    jumps = np.zeros(len(close), bool)
    jumps[places] = True
    first = int(np.flatnonzero(beside)[0]) if beside.any() else 0
    at = int(places[first])
    before = close[np.flatnonzero(close[:at] > 0)[-1]]
    ratio = name_ratio(moves[first])
    text = f"close jumps from {before:g} to {close[at]:g}{f', as at a split of {ratio}' if ratio else ''}"
    if beside.any() and factor is not None:
        was = factor[:at][np.isfinite(factor[:at])]
        text += (
            f", on the day the factor goes from {was[-1]:g} to {factor[at]:g}: the prices are raw, and `$close` is due "
            "as the raw price times the factor"
        )
    elif factor is not None:
        text += ", and the factor does not explain it"
    jumps[:at] = False
    yield replace(_at(code, calendar, low, jumps, "jump", "warning", text), message=_with_more(text, len(places)))


def _with_more(text: str, jumps: int) -> str:
    return f"{text}; and {jumps - 1} more jumps" if jumps > 1 else text


def _sum_up_jumps(findings: list[Finding], instruments: int) -> list[Finding]:
    """Say once of a market of many names what would be said of each of them."""
    jumps = [finding for finding in findings if finding.kind == "jump"]
    if len(jumps) < _MANY or len(jumps) * 50 < instruments:
        return findings
    days = sum(int(found[1]) if (found := _MORE.search(item.message)) else 0 for item in jumps) + len(jumps)
    examples = "; ".join(f"{item.where}: {item.message}" for item in jumps[:3])
    once = Finding(
        kind="jump", severity="warning", where=f"{len(jumps)} of {instruments} instruments",
        message=f"likely unadjusted prices: {days} jumps on {len(jumps)} names, as {examples}",
    )  # fmt: skip
    return [*(finding for finding in findings if finding.kind != "jump"), once]


def _at(
    code: str,
    calendar: TradingCalendar,
    low: int,
    places: NDArray[np.bool_],
    kind: str,
    severity: str,
    message: str,
    values: NDArray[np.float32] | None = None,
) -> Finding:
    hits = np.flatnonzero(places)
    day = str(calendar[low + int(hits[0])]).removesuffix(" 00:00:00")
    value = f" ({values[hits[0]]:g})" if values is not None else ""
    more = f", and on {len(hits) - 1} more sessions" if len(hits) > 1 else ""
    return Finding(kind=kind, severity=severity, where=f"{code} {day}", message=f"{message}{value}{more}")
