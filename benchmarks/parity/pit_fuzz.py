"""Compare expressions by period, drawn at random over restated reports, with Qlib's: every instrument and session.

python benchmarks/parity/pit_fuzz.py --peer-python PATH [--expressions 150] [--seed 1] [--details]

Both read the same files, whose bytes are our writer's. Reports are late, restated (twice a day, too), withdrawn and
left out at random; expressions are up to three operators deep, over one or two fields, within P or PRef.

A difference is explained only by computing it: `pit_qlib_model` has as a switch each of Qlib's ways that is not ours.
With all of them off it must give our value, with all of them on Qlib's; the fewest that give Qlib's are the name of the
difference. The exit code is 1 when a value is left.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from expression_market import arguments, ask_peer_for_each, ask_us, write_market
from pit_qlib_model import SWITCHES, model_value, parse_inner

from rollwright.calendar.periods import to_ordinals
from rollwright.calendar.trading import TradingCalendar
from rollwright.market.folder.periods.records import encode_records
from rollwright.market.folder.provider import QlibProvider
from rollwright.testing.market import ArraySource

FIRST_DAY: Final = np.datetime64("2016-01-04")
DAYS: Final = 1400
PERIODS: Final = {
    "q": [year * 100 + quarter for year in range(2015, 2019) for quarter in range(1, 5)],
    "a": list(range(2008, 2019)),
}


class Report(NamedTuple):
    """A value that became known, of one instrument and field."""

    day: np.datetime64
    period: int
    value: float


class Market:
    """Reports of some instruments, by instrument and field, and the sessions on which they are asked for."""

    def __init__(self, rng: np.random.Generator, *, instruments: int, sessions: int) -> None:
        self.names = [f"SH{600000 + number}" for number in range(instruments)]
        places = np.sort(rng.choice(np.arange(DAYS), sessions, replace=False))
        self.days = FIRST_DAY + places.astype("timedelta64[D]")
        self.reports = {
            (name, f"{letter}_{interval}"): _draw_reports(rng, PERIODS[interval])
            for name in self.names
            for letter in "xy"
            for interval in PERIODS
            if rng.random() < 0.95  # now and then an instrument lacks a field
        }

    def write(self, folder: Path) -> None:
        """Write the calendar, the instruments and a daily field as Qlib has them, and the reports by our writer."""
        shape = (len(self.days), len(self.names))
        calendar = TradingCalendar(pd.DatetimeIndex(self.days))
        write_market(ArraySource({"close": np.ones(shape)}, self.names, calendar=calendar), folder)
        for (name, field), reports in self.reports.items():
            target = folder / "financial" / name.lower()
            target.mkdir(parents=True, exist_ok=True)
            day, period, value = (np.array(column) for column in zip(*reports, strict=True))
            data, index = encode_records(day, period.astype(np.int64), value, field[-1])
            (target / f"{field}.data").write_bytes(data)
            (target / f"{field}.index").write_bytes(index or b"")

    def known(self, name: str, fields: list[str], day: np.datetime64) -> dict[str, dict[int, float]]:
        """Return what was known of the fields, by number of period."""
        found: dict[str, dict[int, float]] = {}
        for field in fields:
            reports = [report for report in self.reports.get((name, field), []) if report.day <= day]
            numbers = to_ordinals(np.array([report.period for report in reports], np.int64), field[-1]).tolist()
            found[field] = {number: report.value for number, report in zip(numbers, reports, strict=True)}
        return found


def _draw_reports(rng: np.random.Generator, periods: list[int]) -> list[Report]:
    """Return reports in the order in which they became known; those of one day by period."""
    reports = []
    for place, period in enumerate(periods[int(rng.integers(4)) :]):
        if rng.random() < 0.08:
            continue
        known = place * DAYS // len(periods) + rng.integers(0, 200)
        for _ in range(1 + int(rng.geometric(0.6) - 1)):
            value = np.nan if rng.random() < 0.03 else float(rng.integers(-12, 20)) / 2
            reports.append(Report(FIRST_DAY + np.timedelta64(int(known), "D"), period, value))
            known += 0 if rng.random() < 0.1 else rng.integers(1, 300)
    return sorted(reports, key=lambda report: (report.day, report.period))


class Grammar:
    """Draws expressions over the fields of one interval."""

    def __init__(self, rng: np.random.Generator, interval: str) -> None:
        self._rng = rng
        self._interval = interval

    def _pick(self, *choices: object) -> object:
        return choices[int(self._rng.integers(len(choices)))]

    def draw(self) -> str:
        """Return an expression that is read on a session."""
        inner = self._series(int(self._rng.integers(0, 3)), "xy" if self._rng.random() < 0.5 else "x")
        if self._rng.random() < 0.1:  # the latest report of one field may be older than that of the other
            late = f"{self._pick('Ref', 'Delta')}($$y_{self._interval},{self._pick(1, 2, 4)})"
            return f"P(({inner}{self._pick('+', '-', '/')}{late}))"
        if self._rng.random() < 0.2:
            return f"PRef({inner},{self._pick(*PERIODS[self._interval][4:])})"
        return f"P({inner})"

    def _series(self, depth: int, letters: str) -> str:
        if depth == 0:
            return f"$${self._pick(*letters)}_{self._interval}"
        one = self._series(depth - 1, letters)
        match self._pick("window", "window", "window", "ref", "sum", "quotient", "unary", "choice"):
            case "window":
                name = self._pick("Sum", "Mean", "Std", "Var", "Max", "Min", "Med")
                return f"{name}({one},{self._pick(0, 1, 2, 3, 4, 4, 6, 8)})"
            case "ref":
                return f"{self._pick('Ref', 'Delta')}({one},{self._pick(1, 1, 2, 4)})"
            case "sum":
                return f"({one}{self._pick('+', '-', '*')}{self._series(0, letters)})"
            case "quotient":
                return f"({one}/{self._series(0, letters)})"
            case "unary":
                return f"{self._pick('Abs', 'Sign')}({one})"
            case _:  # of one field: Qlib's If joins the places, not the periods, of what it chooses from
                x = f"$$x_{self._interval}"
                return f"If(({x}{self._pick('>', '<=')}2),{x},Ref({x},1))"


def main() -> int:
    """Draw, ask both, name the differences; return the exit code."""
    parser = arguments(__doc__, instruments=4, sessions=60, seed=1)
    parser.add_argument("--expressions", type=int, default=150)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    market = Market(rng, instruments=options.instruments, sessions=options.sessions)
    grammars = [Grammar(rng, interval) for interval in PERIODS]
    drawn: dict[str, None] = {}
    while len(drawn) < options.expressions:
        drawn.setdefault(grammars[len(drawn) % 3 // 2].draw())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        market.write(folder)
        peers = ask_peer_for_each(options.peer_python, folder, list(drawn))
        ours = ask_us(QlibProvider(folder), list(drawn), start=0, stop=len(market.days))
    counts: Counter[str] = Counter()
    for text, mine, (theirs, _, refusals) in zip(drawn, ours, peers, strict=True):
        for column, name in enumerate(market.names):
            if refusals[column]:
                counts["UNEXPLAINED: the peer raises"] += 1
                print(f"the peer raises  {text} of {name}")
                continue
            for row, day in enumerate(market.days):
                verdict = _judge(market, text, name, day, (float(mine[row, column]), float(theirs[row, column])))
                counts[verdict] += 1
                if verdict.startswith("UNEXPLAINED") or (options.details and verdict != "equal"):
                    print(f"{verdict}  {text} of {name} on {day}: {mine[row, column]} for {theirs[row, column]}")
    for verdict, count in sorted(counts.items()):
        print(f"{count:>7} {verdict}")
    bad = sum(count for verdict, count in counts.items() if verdict.startswith("UNEXPLAINED"))
    print(f"{len(drawn)} expressions, {counts.total():,} values: {bad} unexplained")
    return 1 if bad else 0


def _judge(market: Market, text: str, name: str, day: np.datetime64, values: tuple[float, float]) -> str:
    """Return ``equal``, the fewest switches that make the difference, or ``UNEXPLAINED``."""
    ours, theirs = values
    if _is_near(ours, theirs):
        return "equal"
    tree, period = parse_inner(text)
    fields = sorted(set(re.findall(r"\$\$(\w+)", text)))
    known = market.known(name, fields, day)
    number = None if period is None else int(to_ordinals(np.int64(period), fields[0][-1]))

    def model(*switches: str) -> float:
        return model_value(tree, known, frozenset(switches), number)

    if not _is_near(model(), ours):
        return f"UNEXPLAINED: the model without switches gives {model()}"
    if not _is_near(model(*SWITCHES), theirs):
        return f"UNEXPLAINED: the model of Qlib gives {model(*SWITCHES)}"
    sets = (chosen for size in range(1, len(SWITCHES) + 1) for chosen in combinations(SWITCHES, size))
    return next(" and ".join(chosen) for chosen in sets if _is_near(model(*chosen), theirs))


def _is_near(one: float, other: float) -> bool:
    one, other = float(np.float32(one)), float(np.float32(other))
    if np.isnan(one) or np.isnan(other):
        return bool(np.isnan(one) and np.isnan(other))
    return one == other or abs(one - other) <= 1e-6 + 1e-5 * abs(other)


if __name__ == "__main__":
    raise SystemExit(main())
