"""Hypothesis strategies of expressions by period and of reports that are restated at random."""

from __future__ import annotations

import math
import random

from hypothesis import strategies as st

from rollwright.testing.point_in_time.cases import PeriodCase, PeriodRow

__all__ = ["KINDS", "cases", "expressions"]

KINDS = ("flow-cumulative", "flow-discrete", "stock", "flow", "unknown")
INSTRUMENTS = ("A", "B")
DAYS = tuple(20200100 + day for day in range(1, 29))
SESSIONS = DAYS[3::4]
PERIODS = {
    "q": tuple(year * 100 + quarter for year in (2018, 2019, 2020) for quarter in range(1, 5)),
    "a": tuple(range(2010, 2020)),
    "m": tuple(year * 100 + month for year in (2018, 2019) for month in range(1, 13)),
}


def cases(interval):
    """Return reports of two fields of two instruments; most periods are there, many are restated, some withdrawn.

    The values are multiples of a half, so that sums of them are exact in whatever order they are added.
    """
    return st.integers(0, 10_000).map(lambda seed: _draw_case(interval, random.Random(seed)))


def _draw_case(interval, rng):
    rows = []
    for instrument in INSTRUMENTS:
        for field in (f"x_{interval}", f"y_{interval}"):
            first = rng.randrange(4)
            for period in PERIODS[interval][first:]:
                for day in rng.sample(DAYS[: rng.choice((6, 28))], rng.choice((0, 1, 1, 1, 1, 1, 2, 2, 3, 3))):
                    value = math.nan if rng.random() < 0.03 else rng.randrange(-6, 10) / 2
                    rows.append(PeriodRow(instrument, field, period, day, value))
    rng.shuffle(rows)
    return PeriodCase(
        name="drawn", about="", instruments=INSTRUMENTS, sessions=SESSIONS, rows=tuple(rows), questions=()
    )


def expressions(interval):
    """Return expressions that are read on a session: P, PRef, and arithmetic on them."""
    inner = series(interval)
    by_period = st.one_of(
        inner.map("P({})".format),
        inner.map("P({})".format),
        st.builds("PRef({}, {})".format, inner, st.sampled_from(PERIODS[interval])),
    )
    return st.one_of(by_period, by_period, st.builds("({} {} {})".format, by_period, st.sampled_from("+-*"), by_period))


def series(interval):
    """Return expressions of periods: whatever is exact, then one operator or two that round.

    What decides by the last digit (comparisons, ranks, places) is asked of exact operands only.
    """
    exact = st.recursive(st.sampled_from((f"$$x_{interval}", f"$$y_{interval}")), _exact, max_leaves=4)
    rounding = st.one_of(
        exact,
        st.builds("{}({}, {})".format, st.sampled_from(("Mean", "Std", "Var", "Mad")), exact, _windows(0, 5)),
        st.builds("{}({}, {})".format, st.sampled_from(("Slope", "Resi")), exact, _windows(0, 5)),
        st.builds("{}({}, {})".format, st.sampled_from(("Rsquare", "Rank", "IdxMax", "IdxMin")), exact, _windows(0, 5)),
        st.builds("Quantile({}, {}, {})".format, exact, _windows(0, 5), st.sampled_from((0, 0.2, 0.5, 1))),
        st.builds("{}({}, {})".format, st.sampled_from(("Skew", "Kurt")), exact, st.sampled_from((0, 4, 6))),
        st.builds("{}({}, {}, {})".format, st.sampled_from(("Corr", "Cov")), exact, exact, _windows(0, 5)),
        st.builds("YoY({})".format, exact),
        st.builds("({} / {})".format, exact, exact),
        st.builds("Log({})".format, exact),
    )
    over = st.sampled_from(("Mean", "Sum", "Max", "Ref", "Delta"))
    return st.one_of(
        rounding,
        rounding,
        st.builds("({} {} {})".format, rounding, st.sampled_from("+-*"), rounding),
        st.builds("{}({}, {})".format, over, rounding, _windows(1, 3)),
        st.builds("If({} > {}, {}, {})".format, exact, exact, rounding, st.sampled_from((0, 1.5, f"$$x_{interval}"))),
    )  # fmt: skip


def _windows(low, high):
    return st.integers(low, high)


def _exact(inner):
    return st.one_of(
        st.builds("Ref({}, {})".format, inner, st.integers(0, 5)),
        st.builds("Delta({}, {})".format, inner, st.integers(0, 5)),
        st.builds("{}({}, {})".format, st.sampled_from(("Sum", "Max", "Min", "Med", "Count")), inner, _windows(0, 5)),
        st.builds("({} {} {})".format, inner, st.sampled_from("+-"), inner),
        st.builds("({} * {})".format, inner, st.sampled_from((2, -0.5))),
        st.builds("{}({})".format, st.sampled_from(("TTM", "SQ", "LYR")), inner),
        st.builds("{}({})".format, st.sampled_from(("Abs", "Sign", "-")), inner),
        st.builds("{}({}, {})".format, st.sampled_from(("Greater", "Less")), inner, inner),
        st.builds("If({} {} {}, {}, {})".format, inner, st.sampled_from((">", "<=", "==", "!=")), inner, inner, inner),
        st.builds("If(({0} > 0) {1} ({2} < 2), {0}, {2})".format, inner, st.sampled_from("&|"), inner),
    )
