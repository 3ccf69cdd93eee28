"""A seeded synthetic market with a weak signal planted in it, for demonstrations and tests.

It looks like a market: one common factor with slow swings of volatility, betas, fat tails, volatilities that differ by
instrument and persist, volumes that follow the moves, late listings, delistings, suspensions (rows of NaN), splits
(a `factor` with ``price = raw x factor``; `volume` is the raw one divided by it), and quarterly reports with their
restatements (`rollwright.market.demo_reports`). None of it is real, and nothing can be learned from it about any
market.

**The planted signal.** On session ``t``, of the instruments that trade::

    reversal = zscore(-(close[t] / close[t-5] - 1))         # Alpha158 sees it as ROC5
    quiet    = zscore(log(mean(volume[t-4..t]) / volume[t]))   # and this as VMA5
    z        = zscore(0.8 x reversal + 0.6 x quiet)

with cross-sectional z-scores clipped at 3. The return of session ``t + 2``, which is the label of Alpha158 at ``t``, is
what it would have been without a signal plus ``c x z``, where ``c`` is ``ic / sqrt(1 - ic**2)`` times the
cross-sectional deviation of that day's returns without signal (and a little more, against the bias of a correlation
over few instruments). The correlation of z with the label across instruments is therefore `ic` in expectation, every
day.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.files import format_sessions
from rollwright.calendar.trading import Session
from rollwright.core.file_uris import read_path
from rollwright.errors import ConfigError, DataError
from rollwright.market.demo_reports import REPORT_KINDS, simulate_reports
from rollwright.market.folder.atomic_replace import replace_folder, write_file
from rollwright.market.folder.layout import CALENDARS, INSTRUMENTS, folder_of_code
from rollwright.market.folder.manifest import (
    DEMO_NAME,
    FILES_NAME,
    MANIFEST_NAME,
    FileEntry,
    first_manifest,
    format_files,
    hash_whole_files,
)
from rollwright.market.folder.periods.kinds import KINDS_PATH, format_kinds
from rollwright.market.folder.periods.period_files import DATA, INDEX, period_path
from rollwright.market.folder.periods.records import encode_records
from rollwright.market.folder.universe import format_lifetimes
from rollwright.market.ingest.importer import write_series
from rollwright.market.source import Lifetimes

__all__ = [
    "INDEX_CODE",
    "DemoReport",
    "Market",
    "daily_ic",
    "make_demo_market",
    "planted_signal",
    "simulate_market",
]


INDEX_CODE: Final = "INDEX"
FIELDS: Final = ("open", "high", "low", "close", "volume", "vwap", "factor")

REVERSAL_SESSIONS: Final = 5
QUIET_SESSIONS: Final = 5
LABEL_SPAN: Final = 2
_CLIP: Final = 3.0
_WARM: Final = 40  # sessions simulated before the first, so that volumes and volatilities are in their stride
_HOLIDAYS: Final = ("01-01", "05-01", "10-01", "10-02", "10-03", "12-25")
_TOP_EVERY: Final = 65  # sessions between two choices of the smaller universe

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What a synthetic market is, and how strong its signal came out.

    Attributes
    ----------
    path : Path
    generation : str
    instruments, sessions, seed : int
    first, last : str
        Sessions.
    planted_ic : float
        Correlation of the true signal with the label, in expectation.
    realised_ic : float
        Its mean over the sessions of this very market.
    realised_se : float
        Standard error of that mean, from its scatter over the sessions.
    """

    path: Path
    generation: str
    instruments: int
    sessions: int
    seed: int
    first: str
    last: str
    planted_ic: float
    realised_ic: float
    realised_se: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A simulated market in memory: each field ``[sessions, instruments]``, NaN where an instrument does not trade.

    Attributes
    ----------
    sessions : DatetimeIndex
    codes : tuple of str
    fields : dict of str to ndarray of float64
    index : dict of str to ndarray of float64
        The fields of the index instrument, ``[sessions]``.
    listed : ndarray of int64
        ``[instruments, 2]``: first position and one past the last.
    """

    sessions: pd.DatetimeIndex
    codes: tuple[str, ...]
    fields: dict[str, Matrix]
    index: dict[str, Matrix]
    listed: NDArray[np.int64]


def planted_signal(close: Matrix, volume: Matrix) -> Matrix:
    """Return the true signal ``z``, in the shape ``[sessions, instruments]`` of its arguments.

    NaN where an instrument, on the session or on those it needs, does not trade. It reads no row after its own.
    """
    rows, columns = close.shape
    past = np.full((rows, columns), np.nan)
    past[REVERSAL_SESSIONS:] = close[:-REVERSAL_SESSIONS] if rows > REVERSAL_SESSIONS else np.empty((0, columns))
    mean = np.full((rows, columns), np.nan)
    for row in range(QUIET_SESSIONS - 1, rows):
        mean[row] = volume[row - QUIET_SESSIONS + 1 : row + 1].mean(axis=0)
    reversal = _zscore(1 - close / past)
    quiet = _zscore(np.log(mean / volume))
    return _zscore(0.8 * reversal + 0.6 * quiet)


def _zscore(values: Matrix) -> Matrix:
    """Return z-scores across instruments, clipped; NaN rows where fewer than three have a value."""
    known = np.isfinite(values)
    count = known.sum(axis=1, keepdims=True)
    filled = np.where(known, values, 0.0)
    divisor = np.maximum(count, 1)
    mean = filled.sum(axis=1, keepdims=True) / divisor
    centred = np.where(known, values - mean, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / divisor)
    usable = known & (count >= 3) & (deviation > 0)
    scores = np.clip(centred / np.where(deviation > 0, deviation, 1.0), -_CLIP, _CLIP)
    return np.where(usable, scores, np.nan)


def daily_ic(signal: Matrix, close: Matrix) -> Matrix:
    """Return each session's correlation, across instruments, of `signal` with the label of Alpha158."""
    label = np.full(close.shape, np.nan)
    label[:-LABEL_SPAN] = close[2:] / close[1:-1] - 1
    both = np.isfinite(signal) & np.isfinite(label)
    signal, label = np.where(both, signal, np.nan), np.where(both, label, np.nan)
    kept = both.sum(axis=1) >= 10
    x = signal[kept] - np.nanmean(signal[kept], axis=1, keepdims=True)
    y = label[kept] - np.nanmean(label[kept], axis=1, keepdims=True)
    products: Matrix = np.nansum(x * y, axis=1) / np.sqrt(np.nansum(x * x, axis=1) * np.nansum(y * y, axis=1))
    return products


def simulate_market(
    *, instruments: int, sessions: int, seed: int, planted_ic: float, start: str = "2015-01-05"
) -> Market:
    """Return a market that depends on the arguments alone.

    Raises
    ------
    ConfigError
        For fewer than 20 instruments or 80 sessions, or a correlation outside [0, 0.5].
    """
    if instruments < 20 or sessions < 80:
        raise ConfigError(f"{instruments} instruments x {sessions} sessions are too few", hint="at least 20 x 80")
    if not 0 <= planted_ic <= 0.5:
        raise ConfigError(f"a planted IC of {planted_ic} is outside [0, 0.5]")
    rng = np.random.default_rng(np.random.SeedSequence([seed, instruments, sessions]))
    rows = sessions + _WARM
    listed, trading = _lives(rng, instruments, sessions)
    noise, market, scale = _noise(rng, rows, instruments)
    close, volume = _walk(rng, noise, scale, trading, planted_ic)
    bars = _bars(rng, close, volume, scale, trading)
    factor = _factors(rng, instruments, sessions)
    first = rng.lognormal(3.2, 0.6, instruments) / close[_WARM]
    fields = {name: bars[name][_WARM:] * (first * factor[0]) for name in ("open", "high", "low", "close", "vwap")}
    shares = rng.lognormal(14.0, 0.8, instruments) / factor[0]
    fields["volume"] = bars["volume"][_WARM:] * shares
    fields["factor"] = np.where(trading[_WARM:], factor, np.nan)
    return Market(
        sessions=_sessions(start, sessions),
        codes=tuple(f"R{place:04d}" for place in range(instruments)),
        fields=fields,
        index=_index(rng, market[_WARM:], fields),
        listed=listed,
    )


def _sessions(start: str, count: int) -> pd.DatetimeIndex:
    days = pd.bdate_range(start, periods=count + count // 20 + 20).as_unit("s")
    return pd.DatetimeIndex(days[~np.isin(np.asarray(days.strftime("%m-%d"), dtype=str), _HOLIDAYS)][:count])


def _lives(rng: np.random.Generator, instruments: int, sessions: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return when each instrument is listed, and on which rows (warm-up included) it trades."""
    listed = np.zeros((instruments, 2), np.int64)
    listed[:, 1] = sessions
    order = rng.permutation(instruments)
    late = order[: round(0.15 * instruments)]
    gone = order[len(late) : len(late) + max(1, round(0.04 * instruments))]
    listed[late, 0] = rng.integers(sessions // 20, sessions * 3 // 5, len(late))
    listed[gone, 1] = rng.integers(sessions // 2, sessions * 19 // 20, len(gone))
    rows = np.arange(-_WARM, sessions)[:, None]
    trading = (rows >= listed[:, 0]) & (rows < listed[:, 1])
    trading |= (rows < 0) & (listed[:, 0] == 0)
    for place in range(instruments):
        low, high = int(listed[place, 0]) + 2, int(listed[place, 1]) - 2
        for _ in range(int(rng.poisson(1.5 * sessions / 1300))):
            at, length = int(rng.integers(low, max(low + 1, high - 30))), int(rng.geometric(0.2))
            trading[_WARM + at : _WARM + min(at + length, high), place] = False
    return listed, trading


def _noise(rng: np.random.Generator, rows: int, instruments: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return the returns without signal, the common factor's, and each instrument's volatility of the day."""
    swing = _persistent(rng, (rows, 1), 0.98, 0.25)
    market = 0.0002 + 0.008 * np.exp(swing[:, 0]) * _fat(rng, (rows,))
    beta = rng.normal(1.0, 0.25, instruments)
    level = rng.lognormal(np.log(0.017), 0.35, instruments)
    scale = level * np.exp(_persistent(rng, (rows, instruments), 0.95, 0.3) + 0.5 * swing)
    return beta * market[:, None] + scale * _fat(rng, (rows, instruments)), market, scale


def _fat(rng: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
    """Return draws of Student's t with six degrees of freedom, of unit variance, clipped at five."""
    draws: Matrix = np.clip(rng.standard_t(6, shape) * np.sqrt(4 / 6), -5, 5)
    return draws


def _persistent(rng: np.random.Generator, shape: tuple[int, int], decay: float, spread: float) -> Matrix:
    """Return an autoregression of order one along the rows with stationary deviation `spread`."""
    shocks = rng.normal(0.0, spread, shape)
    shocks[1:] *= np.sqrt(1 - decay**2)
    for row in range(1, len(shocks)):
        shocks[row] += decay * shocks[row - 1]
    return shocks


def _walk(
    rng: np.random.Generator, noise: Matrix, scale: Matrix, trading: NDArray[np.bool_], planted_ic: float
) -> tuple[Matrix, Matrix]:
    """Return closes and volumes of every row; on a row without trading the close stands still.

    Row by row, for the signal of a day is a function of what the days before made of it.
    """
    rows, instruments = noise.shape
    strength = planted_ic / np.sqrt(1 - planted_ic**2)
    restless = _persistent(rng, (rows, instruments), 0.6, 0.35)
    jitter = rng.normal(0.0, 0.25, (rows, instruments))
    returns = np.where(trading, noise, 0.0)
    close = np.empty_like(noise)
    volume = np.empty_like(noise)
    reach = max(REVERSAL_SESSIONS + 1, QUIET_SESSIONS)
    level = np.ones(instruments)
    for row in range(rows):
        level = level * np.maximum(1 + returns[row], 0.2)
        close[row] = level
        volume[row] = np.exp(restless[row] + jitter[row] + 0.3 * np.minimum(np.abs(returns[row]) / scale[row], 4.0))
        if row + LABEL_SPAN >= rows or row + 1 < reach:
            continue
        seen = slice(row + 1 - reach, row + 1)
        z = planted_signal(np.where(trading[seen], close[seen], np.nan), np.where(trading[seen], volume[seen], np.nan))[
            -1
        ]
        then = row + LABEL_SPAN
        live = np.isfinite(z) & trading[then - 1] & trading[then]
        if live.sum() >= 3:
            returns[then, live] += strength * _drift(z[live], returns[then, live])
    return close, volume


def _drift(z: Matrix, noise: Matrix) -> Matrix:
    """Return `z` in the scale of `noise`, a little more of it than that.

    A correlation measured across few instruments falls short of the true one by the share that `chance` estimates:
    the variance of the correlation between z and the noise, which is larger where wide z meet wide noise.
    """
    z = (z - z.mean()) / z.std()
    deviation = noise.std()
    chance = ((z * (noise - noise.mean())) ** 2).mean() / deviation**2 / len(z)
    drift: Matrix = deviation * (1 + chance) * z
    return drift


def _bars(
    rng: np.random.Generator, close: Matrix, volume: Matrix, scale: Matrix, trading: NDArray[np.bool_]
) -> dict[str, Matrix]:
    before = np.vstack([close[:1], close[:-1]])
    gap = 0.35 * (close / before - 1) + 0.3 * scale * rng.normal(size=close.shape)
    opened = before * np.maximum(1 + gap, 0.2)
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    high = top * (1 + 0.4 * scale * np.abs(rng.normal(size=close.shape)))
    low = bottom / (1 + 0.4 * scale * np.abs(rng.normal(size=close.shape)))
    middle = (opened + high + low + close) / 4
    vwap = np.clip(middle * (1 + 0.05 * scale * rng.normal(size=close.shape)), low, high)
    bars = {"open": opened, "high": high, "low": low, "close": close, "vwap": vwap, "volume": volume}
    return {name: np.where(trading, values, np.nan) for name, values in bars.items()}


def _factors(rng: np.random.Generator, instruments: int, sessions: int) -> Matrix:
    """Return the factor of each row: it jumps by the ratio of a split, at which the raw price falls by as much."""
    factor = np.ones((sessions, instruments))
    for place in np.flatnonzero(rng.random(instruments) < 0.3):
        at = int(rng.integers(sessions // 10, sessions * 9 // 10))
        factor[at:, place] *= float(rng.choice([1.5, 2.0, 3.0]))
    return factor * np.round(rng.uniform(0.2, 1.5, instruments), 4)


def _index(rng: np.random.Generator, market: Matrix, fields: dict[str, Matrix]) -> dict[str, Matrix]:
    close = 3000.0 * np.cumprod(1 + market)
    opened = np.concatenate([close[:1], close[:-1]]) * (1 + 0.001 * rng.normal(size=len(close)))
    high = np.maximum(opened, close) * (1 + 0.002 * rng.random(len(close)))
    low = np.minimum(opened, close) * (1 - 0.002 * rng.random(len(close)))
    return {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": np.nansum(fields["volume"], axis=1),
        "vwap": (opened + high + low + close) / 4,
        "factor": np.ones(len(close)),
    }


def make_demo_market(
    out: Path | str,
    *,
    instruments: int = 120,
    sessions: int = 1300,
    seed: int = 20150105,
    planted_ic: float = 0.08,
    start: str = "2015-01-05",
) -> DemoReport:
    """Write a synthetic market into the folder `out`; the same arguments give the same bytes.

    Universes: ``all``; ``top50``, the fifty with the largest turnover, chosen anew every 65 sessions from what was
    known then; ``index``, which holds `INDEX` alone. Fields by period: ``revenue_q``, ``profit_q`` and ``equity_q`` of
    all instruments but `INDEX`. What was planted and what came out is in ``demo.json``.

    Raises
    ------
    ConfigError
        For a market too small, or a correlation that cannot be.
    DataError
        When `out` holds something else, or the disk refuses.
    """
    target = read_path(out).resolve()
    if target.exists() and not (target.is_dir() and ((target / DEMO_NAME).is_file() or not any(target.iterdir()))):
        raise DataError(f"{target} holds something that is no synthetic market", hint="give a new or an empty folder")
    market = simulate_market(instruments=instruments, sessions=sessions, seed=seed, planted_ic=planted_ic, start=start)
    ics = daily_ic(planted_signal(market.fields["close"], market.fields["volume"]), market.fields["close"])
    facts: dict[str, Any] = {
        "instruments": instruments,
        "sessions": sessions,
        "seed": seed,
        "first": market.sessions[0].strftime("%Y-%m-%d"),
        "last": market.sessions[-1].strftime("%Y-%m-%d"),
        "planted_ic": planted_ic,
        "realised_ic": round(float(ics.mean()), 6),
        "realised_se": round(float(ics.std() / np.sqrt(len(ics))), 6),
    }
    generation = _write(target, market, facts)
    return DemoReport(path=target, generation=generation, **facts)


def _write(target: Path, market: Market, facts: dict[str, Any]) -> str:
    files: dict[str, FileEntry] = {}
    lives: dict[str, tuple[tuple[Session, Session], ...]] = {}
    with replace_folder(target, keep=lambda path: False) as staging:  # noqa: ARG005 - nothing of an older one
        for place, code in enumerate(market.codes):
            start, stop = (int(edge) for edge in market.listed[place])
            series = {
                name: (start, values[start:stop, place].astype(np.float32)) for name, values in market.fields.items()
            }
            files.update(write_series(staging, code.lower(), series, "day"))
            lives[code] = ((market.sessions[start], market.sessions[stop - 1]),)
        whole = {name: (0, values.astype(np.float32)) for name, values in market.index.items()}
        files.update(write_series(staging, INDEX_CODE.lower(), whole, "day"))
        write_file(staging / CALENDARS / "day.txt", format_sessions(market.sessions).encode())
        _write_reports(staging, market, seed=int(facts["seed"]))
        span = ((market.sessions[0], market.sessions[-1]),)
        universes: dict[str, Lifetimes] = {"all": lives, "top50": _top(market), "index": {INDEX_CODE: span}}
        for name, lifetimes in universes.items():
            write_file(staging / INSTRUMENTS / f"{name}.txt", format_lifetimes(lifetimes))
        files.update(hash_whole_files(staging))
        manifest = first_manifest().after(
            files,
            kind="create",
            freq="day",
            first_changed=str(facts["first"]),
            rows=int(np.isfinite(market.fields["close"]).sum()),
            instruments=len(market.codes) + 1,
            sessions=len(market.sessions),
            fields=tuple(sorted(FIELDS)),
        )
        write_file(staging / FILES_NAME, format_files(files))
        write_file(staging / MANIFEST_NAME, manifest.to_bytes(files))
        write_file(staging / DEMO_NAME, (json.dumps(facts, indent=1) + "\n").encode())
    return manifest.generation


def _write_reports(staging: Path, market: Market, *, seed: int) -> None:
    """Write the fields by period, and what they measure."""
    for place, own in simulate_reports(market.sessions, market.listed, seed=seed).items():
        folder = folder_of_code(market.codes[place])
        for name, rows in own.items():
            data, index = encode_records(rows.day, rows.period, rows.value, "q")
            write_file(staging / period_path(folder, name, DATA), data)
            if index is not None:
                write_file(staging / period_path(folder, name, INDEX), index)
    write_file(staging / KINDS_PATH, format_kinds(REPORT_KINDS))


def _top(market: Market, size: int = 50) -> Lifetimes:
    """Return the universe of the `size` largest by turnover over the sessions before each choice."""
    turnover = np.nan_to_num(market.fields["close"] * market.fields["volume"])
    spans: dict[str, list[tuple[Session, Session]]] = {}
    count = len(market.sessions)
    for low in range(0, count, _TOP_EVERY):
        seen = turnover[max(0, low - _TOP_EVERY) : low] if low else turnover[:1]
        alive = (market.listed[:, 0] <= low) & (market.listed[:, 1] > low)
        ranked = np.argsort(-np.where(alive, seen.mean(axis=0), -1.0), kind="stable")[:size]
        for place in sorted(int(place) for place in ranked if alive[place]):
            high = min(low + _TOP_EVERY, count, int(market.listed[place, 1])) - 1
            code_spans = spans.setdefault(market.codes[place], [])
            if code_spans and code_spans[-1][1] == market.sessions[low - 1]:
                code_spans[-1] = (code_spans[-1][0], market.sessions[high])
            else:
                code_spans.append((market.sessions[low], market.sessions[high]))
    return {code: tuple(found) for code, found in spans.items()}
