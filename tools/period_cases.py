"""The cases of the point-in-time test set: which rows, which sessions, which questions; the answers are computed.

Every case is made from rules, so that it is the same at every run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Final, TypeAlias

from moutai import MOUTAI_DAYS, MOUTAI_ROWS, days_of_2019

from rollwright.testing.point_in_time.cases import PeriodCase, PeriodRow, Question

__all__ = ["all_cases"]

Dated: TypeAlias = tuple[int, int, float]
"""Period, day of announcement, value."""

CUMULATIVE: Final = "flow-cumulative"
DISCRETE: Final = "flow-discrete"
STOCK: Final = "stock"
WITHDRAWN: Final = math.nan


def all_cases() -> Iterator[PeriodCase]:
    """Yield every case, without answers."""
    yield two_events()
    for interval in "qam":
        yield six_vintages(interval)
    yield traps()
    yield windows()
    for interval in "qam":
        yield random_reports(interval)
    yield moutai_history()
    yield moutai_2019()
    yield refusals()


def ask(*expressions: str, refused: str = "", **kinds: str) -> list[Question]:
    """Return a question for each expression about fields of these kinds."""
    return [Question(expression=one, kinds=kinds, answers=None, refused=refused) for one in expressions]


def make_case(
    name: str,
    about: str,
    fields: Mapping[str, Mapping[str, Sequence[Dated]]],
    sessions: Sequence[int],
    questions: Sequence[Question],
) -> PeriodCase:
    """Return a case of the rows of each field and instrument."""
    codes = tuple(sorted({code for instruments in fields.values() for code in instruments}))
    return PeriodCase(
        name=name,
        about=about,
        instruments=codes,
        sessions=tuple(sessions),
        rows=tuple(
            PeriodRow(code, field, *row)
            for field, instruments in fields.items()
            for code, rows in instruments.items()
            for row in rows
        ),
        questions=tuple(questions),
    )


# -- enumerations ----------------------------------------------------------------------------------------------------

QUARTER_ENDS: Final = {"early": (20190331, 201901), "late": (20190630, 201902)}
# Two days for each stretch between the ends, so that two announcements may fall into it one after the other; the
# 10th of March, the 31st and the 30th of June are Sundays.
STRETCHES: Final = ((20190301, 20190310), (20190331,), (20190420, 20190502), (20190630,), (20190722, 20190809))
SESSIONS_OF_2019: Final = (
    20190228, 20190301, 20190311, 20190329, 20190401, 20190422, 20190502, 20190628, 20190701, 20190722, 20190809,
)  # fmt: skip


def two_events() -> PeriodCase:
    """Return two events whose four dates, ends and announcements, lie in each of their 75 orders, equal ones included.

    An instrument is named by its order: P and Q are the ends of the periods, A and B the days on which they become
    known; what falls on one day stands together.
    """
    rows: dict[str, list[Dated]] = {}
    announced = sorted(day for stretch in STRETCHES for day in stretch)
    for ends, one, other in product((("early", "late"), ("late", "early"), ("early", "early")), announced, announced):
        (first_end, first), (second_end, second) = (QUARTER_ENDS[end] for end in ends)
        name = _name_order({"P": first_end, "Q": second_end, "A": one, "B": other})
        rows.setdefault(name, [(first, one, 3.0), (second, other, 5.0)])
    assert len(rows) == 75, "the weak orders of four things"
    return make_case(
        "two-events",
        "Two reports; the ends of their periods (P, Q) and the days they become known (A, B) in each of 75 orders. "
        "An instrument is named by its order; dates that are equal stand together.",
        {"x_q": rows},
        SESSIONS_OF_2019,
        ask("P($$x_q)", "PRef($$x_q, 201901)", "P(Sum($$x_q, 2))", "P(Sum($$x_q, 0))"),
    )


def _name_order(days: Mapping[str, int]) -> str:
    return "_".join("".join(sorted(name for name in days if days[name] == day)) for day in sorted(set(days.values())))


VINTAGE_DAYS: Final = (20190301, 20190308, 20190315, 20190322, 20190329, 20190405)
BEFORE: Final[dict[str, list[Dated]]] = {
    "q": [(201704, 20190102, 8.0), (201801, 20190102, 2.0), (201802, 20190102, 5.0), (201803, 20190102, 7.0)],
    "a": [(2017, 20190102, 8.0)],
    "m": [(201712, 20190102, 8.0), *((201800 + month, 20190102, month + 1.0) for month in range(1, 12))],
}
TWO_PERIODS: Final = {"q": (201804, 201901), "a": (2018, 2019), "m": (201812, 201901)}
FIRST_VINTAGES: Final = (4.0, 8.0, 16.0)
SECOND_VINTAGES: Final = (3.0, 4.0, 5.0)


def six_vintages(interval: str) -> PeriodCase:
    """Return two periods with three vintages each, in all 63 orders in which they may become known.

    An instrument is named by its order: A is a vintage of the first period, B one of the second, C one of both on one
    day.
    """
    first, second = TWO_PERIODS[interval]
    rows = {}
    for word in sorted(_words(3, 3)):
        known = list(BEFORE[interval])
        ones, others = iter(FIRST_VINTAGES), iter(SECOND_VINTAGES)
        for day, letter in zip(VINTAGE_DAYS, word, strict=False):
            known += [(first, day, next(ones))] if letter in "AC" else []
            known += [(second, day, next(others))] if letter in "BC" else []
        rows[word] = known
    field, x = f"x_{interval}", f"$$x_{interval}"
    questions = [
        *ask(f"P({x})", f"P(Ref({x}, 1))", f"PRef({x}, {first})", f"P(Sum({x}, 2))", f"P(YoY({x}))"),
        *(ask(f"P(SQ({x}))", **{field: CUMULATIVE}) if interval != "a" else ()),
        *ask(f"P(TTM({x}))", **{field: CUMULATIVE}),
        *(ask(f"P(LYR({x}))", **{field: CUMULATIVE}) if interval != "a" else ()),
        *(ask(f"P(TTM({x}))", f"P(LYR({x}))", **{field: DISCRETE}) if interval != "a" else ()),
    ]
    about = (
        f"Periods {first} and {second}, three vintages each, in all 63 orders. An instrument is named by its order: "
        f"A is a vintage of {first}, B of {second}, C of both on one day."
    )
    return make_case(f"six-vintages-{interval}", about, {field: rows}, (20190102, *VINTAGE_DAYS), questions)


def _words(ones: int, others: int) -> Iterator[str]:
    """Yield every word of letters A, B and C with so many of A or C, and of B or C."""
    if ones == others == 0:
        yield ""
    for letter, less, fewer in (("A", 1, 0), ("B", 0, 1), ("C", 1, 1)):
        if ones >= less and others >= fewer:
            yield from (letter + rest for rest in _words(ones - less, others - fewer))


# -- traps -----------------------------------------------------------------------------------------------------------


def traps() -> PeriodCase:
    """Return what programs are known to get wrong, an instrument each."""
    x: dict[str, list[Dated]] = {
        "LATE_RESTATEMENT": [
            (201803, 20181030, 1.0), (201804, 20190330, 2.0), (201901, 20190425, 4.0), (201803, 20190620, 7.0),
        ],
        "TWO_ON_ONE_DAY": [(201901, 20190425, 4.0), (201804, 20190425, 2.0)],
        "TWICE_ON_ONE_DAY": [(201804, 20190330, 2.0), (201901, 20190425, 4.0), (201901, 20190425, 5.0)],
        "WITHDRAWN": [
            (201803, 20181030, 1.0), (201804, 20190330, 2.0), (201901, 20190425, WITHDRAWN), (201901, 20190718, 3.0),
        ],
        "FIRST_WITHDRAWN": [(201803, 20181030, WITHDRAWN), (201804, 20190330, 2.0), (201901, 20190425, 4.0)],
        "GAP": [(201803, 20181030, 1.0), (201901, 20190425, 4.0), (201804, 20190718, 2.0)],
        "OLDER_THAN_THE_FIRST": [(201804, 20190330, 2.0), (201901, 20190425, 4.0), (201802, 20190718, 9.0)],
        "BEFORE_ITS_END": [(201804, 20181120, 2.0), (201901, 20190115, 4.0)],
        "ON_A_SUNDAY": [(201804, 20190331, 2.0)],
        "BACK_TO_THE_OLD": [(201804, 20190330, 2.0), (201804, 20190425, 3.0), (201804, 20190718, 2.0)],
        "ZERO_IS_A_VALUE": [(201804, 20190330, 2.0), (201901, 20190425, 0.0)],
        "LARGE_AND_SMALL": [(201803, 20181030, 16777216.0), (201804, 20190330, 1.0), (201901, 20190425, -16777216.0)],
        "NEVER_THERE": [],
    }  # fmt: skip
    years: dict[str, list[Dated]] = {
        "LOSS_BEFORE": [(201801, 20180425, -4.0), (201901, 20190425, 2.0)],
        "LARGER_LOSS": [(201801, 20180425, -4.0), (201901, 20190425, -6.0)],
        "NOTHING_BEFORE": [(201801, 20180425, 0.0), (201901, 20190425, 2.0)],
        "BASE_RESTATED": [(201801, 20180425, 4.0), (201901, 20190425, 6.0), (201801, 20190718, 8.0)],
        "BASE_WITHDRAWN": [(201801, 20180425, 4.0), (201901, 20190425, 6.0), (201801, 20190718, WITHDRAWN)],
        "NO_FOURTH_QUARTER": [
            (201801, 20180425, 1.0), (201802, 20180829, 3.0), (201803, 20181030, 6.0), (201901, 20190425, 2.0),
            (201804, 20190718, 10.0),
        ],
        "NO_FIRST_QUARTER": [(201802, 20180829, 3.0), (201803, 20181030, 6.0), (201804, 20190330, 10.0)],
        "TWO_YEARS": [
            (201704, 20180330, 8.0), (201801, 20180425, 1.0), (201802, 20180829, 3.0), (201803, 20181030, 6.0),
            (201804, 20190330, 10.0), (201901, 20190425, 2.0), (201902, 20190718, 5.0),
        ],
    }  # fmt: skip
    y: dict[str, list[Dated]] = {
        "LATE_RESTATEMENT": [(201803, 20181030, 10.0), (201804, 20190401, 20.0), (201901, 20190718, 40.0)],
        "GAP": [(201804, 20190330, 20.0)],
        "NEVER_THERE": [(201804, 20190330, 20.0)],
        "TWO_YEARS": [(201804, 20190330, 20.0), (201901, 20190425, 4.0)],
    }
    a: dict[str, list[Dated]] = {"LATE_RESTATEMENT": [(2017, 20180330, 3.0), (2018, 20190330, 5.0)]}
    sessions = (
        20180330, 20180425, 20180829, 20181030, 20181120, 20190115, 20190329, 20190401, 20190425, 20190620,
        20190717, 20190718, 20190719,
    )  # fmt: skip
    questions = [
        *ask(
            "P($$x_q)", "P(Ref($$x_q, 1))", "P(Delta($$x_q, 1))", "P(Sum($$x_q, 2))", "P(Sum($$x_q, 3))",
            "P(Mean($$x_q, 0))", "P(YoY($$x_q))", "PRef($$x_q, 201804)", "PRef(Ref($$x_q, 1), 201901)",
            "P($$x_q + $$y_q)", "P(Sum($$x_q + $$y_q, 2))", "P($$x_q) + P($$y_q)", "P($$x_q) - P($$a_a)",
            "P($$x_q) - Ref(P($$x_q), 1)", "P(If($$x_q > Ref($$x_q, 1), 1, 0))",
        ),
        *ask("P(SQ($$x_q))", "P(TTM($$x_q))", "P(LYR($$x_q))", "P(Sum(SQ($$x_q), 2))", x_q=CUMULATIVE),
        *ask("P(SQ($$x_q))", "P(TTM($$x_q))", "P(LYR($$x_q))", x_q=DISCRETE),
        *ask("P(LYR($$x_q))", x_q=STOCK),
        *ask("P(TTM($$x_q - $$y_q / 2))", "P(YoY(TTM(2 * $$x_q)))", x_q=CUMULATIVE, y_q=CUMULATIVE),
        *ask("P(LYR($$x_q) / LYR($$y_q))", x_q=CUMULATIVE, y_q=STOCK),
    ]  # fmt: skip
    return make_case(
        "traps",
        "What programs have been seen to get wrong; an instrument is named by what is special about it.",
        {"x_q": x | years, "y_q": y, "a_a": a},
        sessions,
        questions,
    )


# -- operators over the periods --------------------------------------------------------------------------------------


def windows() -> PeriodCase:
    """Return twelve quarters, some of them restated, and every operator over several of them."""
    rng = random.Random(5)
    rows: dict[str, dict[str, list[Dated]]] = {"x_q": {"ONE": []}, "y_q": {"ONE": []}}
    for number in range(12):
        period, day = 201601 + number // 4 * 100 + number % 4, _day(2016, 92 * number + 120)
        for field in rows:
            rows[field]["ONE"].append((period, day, _draw(rng)))
            if number % 3 == 1:
                rows[field]["ONE"].append((period, _day(2016, 92 * number + 260), _draw(rng)))
    rows["y_q"]["ONE"] = [row for row in rows["y_q"]["ONE"] if row[0] != 201703]
    sessions = sorted({day for field in rows.values() for _, day, _ in field["ONE"]})
    calls = ("Sum", "Mean", "Std", "Var", "Max", "Min", "IdxMax", "IdxMin", "Med", "Rank", "Mad", "Slope", "Resi")
    questions = ask(
        *(f"P({name}($$x_q, {length}))" for name in calls for length in (0, 4)),
        "P(Mean($$x_q, 1))", "P(Mean($$x_q, 12))", "P(Skew($$x_q, 5))", "P(Kurt($$x_q, 6))", "P(Rsquare($$x_q, 5))",
        "P(Quantile($$x_q, 5, 0.2))", "P(Delta($$x_q, 4))", "P(Mean($$y_q, 4))", "P(Sum($$y_q, 0))",
        "P(Count($$y_q, 4))", "P(Count($$y_q, 0))", "P(Ref($$x_q, 0))", "P(Delta($$x_q, 0))",
        "P(Corr($$x_q, $$y_q, 4))", "P(Cov($$x_q, $$y_q, 4))", "P(Mean(Ref($$x_q, 1), 4))", "P(Ref(Mean($$x_q, 4), 1))",
        "P(Std($$x_q, 4) / Mean($$x_q, 4))", "P($$x_q / $$y_q)", "P(Greater($$x_q, $$y_q))", "P(Less($$x_q, 50))",
        "P(Abs($$x_q - 50))", "P(Log($$x_q))", "P(Sign($$x_q - Mean($$x_q, 4)))", "P(-$$x_q)", "P($$x_q > $$y_q)",
        "P(If(($$x_q > 50) & ($$y_q > 50), $$x_q, -$$y_q))", "P(If(($$x_q > 50) | ($$y_q > 50), 1, 2))",
        "P(If(Not($$x_q > 50), 1, 2))", "P(YoY(Mean($$x_q, 4)))", "PRef(Mean($$x_q, 4), 201704)",
    )  # fmt: skip
    about = (
        "Twelve quarters of two fields, restated now and then, one quarter of y_q missing; every operator over them."
    )
    return make_case("windows", about, rows, sessions, questions)


def _day(year: int, days: int) -> int:
    """Return the day so many days after the beginning of `year`."""
    return int((date(year, 1, 1) + timedelta(days=days)).strftime("%Y%m%d"))


def _draw(rng: random.Random) -> float:
    return round(1 + 99 * rng.random(), 1)


# -- reports at random -----------------------------------------------------------------------------------------------

RANDOM_PERIODS: Final = {"q": 10, "a": 6, "m": 20}


def random_reports(interval: str) -> PeriodCase:
    """Return reports of three companies that are late, restated, withdrawn or left out at random."""
    rng = random.Random(ord(interval))
    fields = [f"{name}_{interval}" for name in ("income", "cost", "equity")]
    rows: dict[str, dict[str, list[Dated]]] = {field: {} for field in fields}
    for code, field in product(("ONE", "TWO", "THREE"), fields):
        rows[field][code] = [
            row for number in range(RANDOM_PERIODS[interval]) for row in _report(rng, interval, number)
        ]
    everything = sorted({day for field in rows.values() for known in field.values() for _, day, _ in known})
    sessions = everything[:: max(1, len(everything) // 24)]
    one, two, three = (f"$${field}" for field in fields)
    kinds = {fields[0]: CUMULATIVE, fields[1]: CUMULATIVE, fields[2]: STOCK}
    questions = [
        *ask(
            f"P({one})", f"P({one} - {two})", f"P(({one} - {two}) / {three})", f"P(YoY({one}))", f"P(Mean({three}, 2))",
            f"P({one}) - P({two})", f"P(Delta({three}, 1) / Ref({three}, 1))", f"P(Sum({one}, 0))",
        ),
        *ask(
            f"P(TTM({one}))", f"P(TTM({one} - {two}) / {three})", f"P(LYR({one}) / LYR({three}))",
            f"P(YoY(TTM({one})))", **kinds,
        ),
        *(ask(f"P(SQ({one}))", f"P(Mean(SQ({one}), 4))", f"P(YoY(SQ({one})))", **kinds) if interval != "a" else ()),
        *ask(f"P(TTM({one}))", **{fields[0]: DISCRETE}),
    ]  # fmt: skip
    return make_case(
        f"random-{interval}",
        "Reports of three companies, late, restated, withdrawn or left out at random.",
        rows,
        sessions,
        questions,
    )


def _report(rng: random.Random, interval: str, number: int) -> Iterator[Dated]:
    """Yield what becomes known of a period."""
    of_year = {"q": 4, "a": 1, "m": 12}[interval]
    year, place = 2015 + number // of_year, number % of_year
    period = year if interval == "a" else year * 100 + place + 1
    end = (place + 1) * 365 // of_year
    if rng.random() < 0.06:
        return
    delay = end + int(rng.random() * 120)
    yield period, _day(year, delay), _draw(rng)
    while rng.random() < 0.3:
        delay += 1 + int(rng.random() * 300)
        yield period, _day(year, delay), WITHDRAWN if rng.random() < 0.15 else _draw(rng)


# -- a company -------------------------------------------------------------------------------------------------------


def moutai_history() -> PeriodCase:
    """Return all that is published of Kweichow Moutai's return on equity."""
    return make_case(
        "moutai-history",
        "Return on equity of Kweichow Moutai, as Qlib's documentation of point-in-time data prints it; the answers to "
        "P($$roewa_q) are those of Qlib's own test, on the days on which they change.",
        {"roewa_q": {"SH600519": MOUTAI_ROWS}},
        MOUTAI_DAYS,
        ask(
            "P($$roewa_q)", "P(Ref($$roewa_q, 1))", "P(Mean($$roewa_q, 2))", "PRef($$roewa_q, 200704)",
            "P(YoY($$roewa_q))", "P(Mean($$roewa_q, 4))", "P(Max($$roewa_q, 0))",
        ),
    )  # fmt: skip


def moutai_2019() -> PeriodCase:
    """Return the sessions from January to the 19th of July 2019 in Shanghai."""
    return make_case(
        "moutai-2019",
        "The same on each session of Shanghai from 2019-01-01 to 2019-07-19.",
        {"roewa_q": {"SH600519": [row for row in MOUTAI_ROWS if row[0] >= 201701]}},
        days_of_2019(),
        ask(
            "P($$roewa_q)", "P(Mean($$roewa_q, 2))", "P(Ref($$roewa_q, 1))",
            "P((Ref($$roewa_q, 1) + $$roewa_q) / 2)", "PRef($$roewa_q, 201902)",
            "P($$roewa_q) / PRef($$roewa_q, 201801)",
        ),
    )  # fmt: skip


# -- what must be refused --------------------------------------------------------------------------------------------


def refusals() -> PeriodCase:
    """Return expressions that mean nothing, or look ahead."""
    rows: dict[str, dict[str, list[Dated]]] = {
        field: {"ONE": [(period, 20190425, 1.0)]}
        for field, period in (("x_q", 201901), ("y_q", 201901), ("a_a", 2018), ("m_m", 201903))
    }
    questions = [
        *ask("P(Ref($$x_q, -1))", "P(Delta($$x_q, -1))", "P(Mean(Ref($$x_q, -2), 4))", refused="it looks ahead"),
        *ask("$$x_q", "Mean($$x_q, 4)", "P($$x_q) + $$y_q", refused="a field by period has no value on a session"),
        *ask("P($close)", "P($$x_q / $close)", refused="a daily field has no periods"),
        *ask("P(P($$x_q))", "P($$x_q + PRef($$y_q, 201804))", refused="P within P"),
        *ask("P($$x_q + $$a_a)", "P($$a_a - $$m_m)", refused="fields of different intervals in one P"),
        *ask("P(CSRank($$x_q))", refused="instruments are compared on a session, not on a period"),
        *ask("P($$x)", "P($$x_w)", refused="the name does not say the interval"),
        *ask("P(TTM($$x_q))", "P(SQ($$x_q))", "P(LYR($$x_q))", refused="the kind of the field is not known"),
        *ask("P(TTM($$x_q))", "P(SQ($$x_q))", refused="it is not known from when the flow counts", x_q="flow"),
        *ask("P(TTM($$x_q))", "P(SQ($$x_q))", refused="a stock is not added up over time", x_q=STOCK),
        *ask("P(SQ($$a_a))", refused="a year has no single quarter", a_a=CUMULATIVE),
        *ask("P(TTM($$x_q + $$y_q))", refused="a flow and a stock are added", x_q=CUMULATIVE, y_q=STOCK),
        *ask("P(TTM($$x_q - $$y_q))", refused="flows of two kinds are added", x_q=CUMULATIVE, y_q=DISCRETE),
        *ask(
            "P(TTM($$x_q / $$y_q))", "P(TTM($$x_q * $$y_q))", "P(SQ(Mean($$x_q, 4)))",
            refused="neither flow nor stock", x_q=CUMULATIVE, y_q=CUMULATIVE,
        ),
    ]  # fmt: skip
    case = make_case(
        "refusals", "Expressions that must be refused, each with the reason.", rows, (20190425,), questions
    )
    return replace(case, instruments=("ONE",))
