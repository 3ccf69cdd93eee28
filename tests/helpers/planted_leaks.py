"""Leaks planted on purpose, in eight classes, over every operator, processor and rule of segments.

A `Planting` is one audit: a market, a task, and the leaks in it, each with the columns or kinds that must be found.
Leaks of expressions and of single columns share an audit, since a column knows nothing of another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from audited_market import RETURN, SEGMENTS, audit_task, task_of, toy_market
from rollwright.dataset.processors import Processor
from rollwright.expression.operators.catalogue import known_operators, register
from rollwright.expression.operators.registry import Operator

CLASSES = (
    "off by one",
    "centred window",
    "full-sample statistic",
    "train into test",
    "fitted beyond its range",
    "later names",
    "today's members",
    "adjustment base",
)
CONTROLS = ("$close/Ref($close,1)-1", "$high/$low", "Mean($volume,5)/Mean($volume,10)")
"""Columns without a leak that stand beside the planted ones, and must not be found."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A planted leak: its class, what it is, and what finds it: a column, or a kind of finding."""

    planted: str
    name: str
    kinds: tuple[str, ...]
    column: str | None = None


@dataclass(kw_only=True)
class Planting:
    """One audit and the leaks in it."""

    name: str
    leaks: list[Leak]
    task: dict = field(default_factory=dict)
    market: object = None
    are_controlled: bool = False

    def missed(self) -> list[str]:
        """Return the leaks that the audit does not find, or finds without a proof, and what it finds wrongly."""
        report = audit_task(self.market, self.task)
        wrong = []
        for leak in self.leaks:
            found = [
                one
                for one in report.leaks
                if one.kind in leak.kinds and (leak.column is None or leak.column in one.columns)
            ]
            if not found:
                wrong.append(f"{leak.planted}: {leak.name} was not found")
            elif leak.planted != "today's members" and not any(one.proof for one in found):
                wrong.append(f"{leak.planted}: {leak.name} has no proof")
        if self.are_controlled:
            count = len(self.leaks)
            controls = {f"F{count + number}" for number in range(len(CONTROLS))}
            wrong += [f"{one.columns} is no leak" for one in report.leaks if controls & set(one.columns)]
        return wrong


# ---- expressions ----------------------------------------------------------------------------------------------------


def call(name: str, series: tuple[str, ...], *, window: int = 5) -> str:
    """Return a call of an operator; `series` are taken in turn for its series."""
    operator = known_operators()[name]
    given = itertools.cycle(series)
    others = {"window": str(window), "span": str(window), "shift": "1", "level": "0.7", "name": "SH600006"}
    words = [next(given) if kind == "series" else others[kind] for kind in operator.signature]
    if name == "TResample":
        words[1:] = ["'W'", "'mean'"]
    return f"{name}({','.join(words)})"


def built_in() -> list[str]:
    """Return the operators of prices: those over periods take fields by period, which the made market has not."""
    known = known_operators().items()
    return [name for name, one in known if not one.code and one.axis != "periods" and "period" not in one.signature]


def series_slots(name: str) -> int:
    return sum(kind == "series" for kind in known_operators()[name].signature)


def off_by_one():
    """Every operator, each of its series, read one session too late; and five."""
    for name, field_, days in itertools.product(built_in(), ("$close", "$volume"), (1, 5)):
        for slot in range(series_slots(name)):
            if name == "Ref" and days == 1:
                continue  # Ref(Ref(x, -1), 1) is x
            late, shape = f"Ref({field_},-{days})", [f"{field_}*1.01", field_, field_][: series_slots(name)]
            is_truth = name in ("And", "Or", "Not") or (name == "If" and slot == 0) or (name in GROUPED and slot == 1)
            if name in ("And", "Or", "Not", "If"):
                shape[0] = "$close>$open"
            if name == "If":
                shape[2] = f"{field_}*2"
            series = list(shape)
            series[slot] = f"Gt({late},{field_})" if is_truth else late
            if name in ("And", "Or"):
                series[1 - slot] = "$close>$open"
            if name in ("Eq", "Ne"):
                series = ["$close>$open", "$close>$open"]
                series[slot] = f"Gt({late},{field_})"
            if name in GROUPED and slot == 0:
                series[1] = "$close>$open"
            yield "off by one", call(name, tuple(series)), ("feature",)


def centred():
    """Every operator with a window, in the middle of its window."""
    for name, half in itertools.product(built_in(), (1, 3)):
        if "window" in known_operators()[name].signature or "span" in known_operators()[name].signature:
            series = (f"Ref($close,-{half})", "$volume")
            yield "centred window", call(name, series, window=2 * half + 1 + (half == 1) * 2), ("feature",)


GROUPED = ("CSRank", "CSZScore", "CSDemean")
FREE = (
    "Rank",
    "IdxMax",
    "IdxMin",
    "Rsquare",
    "Corr",
    "Sign",
    "Skew",
    "Kurt",
    "Gt",
    "Ge",
    "Lt",
    "Le",
    "Eq",
    "Ne",
    "And",
)
FREE += ("Or", "Not", "Count", "Power")
"""Operators whose values do not depend on the size of their input, or not for the inputs taken here."""


def of_the_base():
    """Every operator whose value has the size of its input, on prices and volumes as they are adjusted today."""
    fields = ("$close", "$open", "$high", "$low", "$vwap", "$volume")
    for name, one in itertools.product(built_in(), fields):
        if name not in FREE:
            other = {"Div": "$volume" if one != "$volume" else "$close", "Cov": "$close" if one != "$volume" else one}
            series = (one, other.get(name, one))
            if name == "Sub":
                series = (one, f"Ref({one},1)")
            if name == "If":
                series = ("$close>$open", one, one)
            if name in GROUPED:
                series = (one, "$close>$open")
            yield "adjustment base", call(name, series), ("adjustment",)
    for limit, sign in itertools.product((10, 15, 25), ("Gt", "Lt")):
        yield "adjustment base", f"{sign}($close,{limit})", ("adjustment",)
    for one in fields:
        yield "adjustment base", f"Power({one},2)", ("adjustment",)


def plant_expressions(name: str, made, stride: int, size: int = 40):
    """Yield the plantings of many expressions, some in each."""
    every = list(dict.fromkeys(made))[stride // 2 :: stride]
    for low in range(0, len(every), size):
        part = every[low : low + size]
        leaks = [
            Leak(planted=planted, name=text, kinds=kinds, column=f"F{number}")
            for number, (planted, text, kinds) in enumerate(part)
        ]
        market = toy_market(1)
        task = task_of(market, [*(text for _, text, _ in part), *CONTROLS])
        yield Planting(
            name=f"{name} {low}..{low + len(part) - 1}", leaks=leaks, task=task, market=market, are_controlled=True
        )


# ---- columns that a processor of the user's own changes ------------------------------------------------------------

Change = Callable[[pd.Series], pd.Series]


class ByColumn(Processor):
    """Changes each feature by a function of its own."""

    def __init__(self, changes: dict[str, Change]) -> None:
        self.changes = changes

    def __call__(self, df):
        made = df.copy()
        for name, change in self.changes.items():
            made["feature", name] = change(df["feature", name]).reindex(df.index).to_numpy(np.float32)
        return made


def by_name(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    """Return what applies a change to the table of sessions and instruments, whose columns are their series."""
    return lambda series: change(series.unstack("instrument")).stack().reindex(series.index)


STATISTICS = ("mean", "std", "max", "min", "median", "sum", "var")


def columns_of_ones_own():
    for days in range(1, 8):
        yield "off by one", f"shift -{days}", ("processors",), by_name(lambda one, days=days: one.shift(-days))
        yield (
            "off by one",
            f"backward fill {days}",
            ("processors",),
            by_name(lambda one, days=days: one[np.arange(len(one)) % (days + 1) == 0].reindex(one.index).bfill()),
        )
    for name, width in itertools.product((*STATISTICS, "skew"), (3, 5, 9)):
        yield (
            "centred window",
            f"{name} of {width}",
            ("processors",),
            by_name(
                lambda one, name=name, width=width: getattr(one.rolling(width, center=True, min_periods=2), name)()
            ),
        )
    for name in STATISTICS:
        yield (
            "full-sample statistic",
            f"minus {name} of all",
            ("processors",),
            (lambda one, name=name: one - getattr(one, name)()),
        )
        yield (
            "full-sample statistic",
            f"minus {name} of its own",
            ("processors",),
            by_name(lambda one, name=name: one - getattr(one, name)()),
        )
        yield (
            "full-sample statistic",
            f"minus {name} of what follows",
            ("processors",),
            by_name(lambda one, name=name: one - getattr(one[::-1].expanding(2), name)()[::-1]),
        )
    for level in (0.1, 0.5, 0.9):
        yield (
            "full-sample statistic",
            f"clipped at {level}",
            ("processors",),
            (lambda one, level=level: one - one.quantile(level)),
        )
    yield "full-sample statistic", "rank in all", ("processors",), lambda one: one.rank(pct=True)
    yield "full-sample statistic", "rank in its own", ("processors",), by_name(lambda one: one.rank(pct=True))
    for name, filled in itertools.product(("mean", "sum", "std", "median", "max"), (0.0, 5.0, -5.0)):
        kinds = ("members", "processors")
        yield (
            "later names",
            f"{name} over all names, those to come as {filled}",
            kinds,
            by_name(
                lambda one, name=name, filled=filled: one.sub(
                    getattr(one.fillna(filled), name)(axis=1) + one.shape[1], axis=0
                )
            ),
        )
    yield (
        "later names",
        "rank among all names",
        ("members", "processors"),
        by_name(lambda one: one.fillna(0.0).rank(axis=1) / one.shape[1]),
    )
    yield "later names", "share of all names", ("members", "processors"), by_name(lambda one: one / one.shape[1])
    yield (
        "later names",
        "minus the last by code",
        ("members", "processors"),
        by_name(lambda one: one.sub(one.iloc[:, -1].fillna(9.0), axis=0)),
    )


def plant_columns(stride: int, size: int = 30):
    every = list(columns_of_ones_own())[stride // 2 :: stride]
    for low in range(0, len(every), size):
        part = every[low : low + size]
        market = toy_market(2)
        changes = {f"F{number}": change for number, (*_, change) in enumerate(part)}
        leaks = [
            Leak(planted=planted, name=name, kinds=kinds, column=f"F{number}")
            for number, (planted, name, kinds, _) in enumerate(part)
        ]
        features = [f"$close/Ref($close,{1 + number % 7})-1+0*{number}" for number in range(len(part))]
        task = task_of(market, [*features, *CONTROLS], infer_processors=[ByColumn(changes)])
        yield Planting(
            name=f"columns {low}..{low + len(part) - 1}", leaks=leaks, task=task, market=market, are_controlled=True
        )


# ---- operators of the user's own that do not say what they read ----------------------------------------------------


def _peeking(change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    def compute(block, term):
        with np.errstate(all="ignore"):
            return change(np.asarray(block.numbers(term.inputs[0], term), np.float64)).astype(np.float32)

    return compute


PEEKS = {
    "PeekNext": ("off by one", lambda one: np.roll(one, -1, axis=0)),
    "PeekWeek": ("off by one", lambda one: np.roll(one, -5, axis=0)),
    "PeekMiddle": ("centred window", lambda one: (np.roll(one, -1, axis=0) + one + np.roll(one, 1, axis=0)) / 3),
    "PeekMean": ("full-sample statistic", lambda one: one - np.nanmean(one, axis=0)),
    "PeekMax": ("full-sample statistic", lambda one: one / np.nanmax(one, axis=0)),
    "PeekStd": ("full-sample statistic", lambda one: one / np.nanstd(one, axis=0)),
    "PeekLast": ("full-sample statistic", lambda one: one / one[-6]),
    "PeekBack": ("full-sample statistic", lambda one: one[::-1]),
}


def register_peeks() -> None:
    """Make the operators known that the plantings call: not when they are imported, which every test would see."""
    register(
        *(
            Operator(name=name, signature=("series",), compute=_peeking(change), makes_values=True)
            for name, (_, change) in PEEKS.items()
        )
    )


def plant_operators():
    market = toy_market(3)
    leaks = [
        Leak(planted=planted, name=name, kinds=("feature",), column=f"F{number}")
        for number, (name, (planted, _)) in enumerate(PEEKS.items())
    ]
    task = task_of(market, [*(f"{name}($close)/$open" for name in PEEKS), *CONTROLS])
    yield Planting(name="operators", leaks=leaks, task=task, market=market, are_controlled=True)


# ---- segments, fit ranges, members ---------------------------------------------------------------------------------


def plant_segments():
    """Labels longer than the gap, in every pair of segments; segments that share sessions, or come later."""
    for days, gap in itertools.product((1, 2, 3, 5, 8, 10, 15), (1, 2, 4, 6, 9)):
        if gap > days + 1:
            continue
        label = f"Ref($close,-{days + 1})/Ref($close,-1)-1"
        for pair in ("train into valid", "valid into test"):
            valid = (80 + (gap if pair == "train into valid" else 30), 140)
            test = (140 + (gap if pair == "valid into test" else 30), 192)
            places = {"train": (20, 80), "valid": valid, "test": test}
            market = toy_market(4)
            leak = Leak(planted="train into test", name=f"{days} days over a gap of {gap}, {pair}", kinds=("label",))
            yield Planting(
                name=leak.name, leaks=[leak], market=market, task=task_of(market, label=label, places=places)
            )
    for shared in (1, 5, 20):
        market = toy_market(4)
        places = {**SEGMENTS, "train": (20, 83 + shared)}
        leak = Leak(planted="train into test", name=f"train and valid share {shared}", kinds=("overlap", "label"))
        yield Planting(
            name=leak.name,
            leaks=[leak],
            market=market,
            task=task_of(market, places=places, dataset={"allow_overlap": True}),
        )


NORMS = ("ZScoreNorm", "MinMaxNorm", "RobustZScoreNorm")


class LearnsAll(Processor):
    """Learns a statistic of whatever it is given, and names no range."""

    def __init__(self, statistic: str) -> None:
        self.statistic = statistic
        self.learnt = None

    def fit(self, df=None):
        self.learnt = getattr(df["feature"], self.statistic)()

    def __call__(self, df):
        made = df.copy()
        made["feature"] = (df["feature"] - self.learnt).to_numpy(np.float32)
        return made


def plant_fits():
    """Every processor that learns, in each list of the handler, with an end after train."""
    for norm, end, where in itertools.product(
        NORMS, (95, 125, 150, 199, None), ("infer_processors", "learn_processors", "shared_processors")
    ):
        market = toy_market(5)
        calendar = market.calendar()
        fit = {
            "fields_group": "feature",
            "fit_start_time": calendar[20],
            "fit_end_time": None if end is None else calendar[end],
        }
        leak = Leak(planted="fitted beyond its range", name=f"{norm} until {end} among {where}", kinds=("processors",))
        task = task_of(market, **{where: [{"class": norm, "kwargs": fit}]})
        yield Planting(name=leak.name, leaks=[leak], market=market, task=task)
    for statistic in STATISTICS:
        market = toy_market(5)
        leak = Leak(planted="fitted beyond its range", name=f"learns {statistic} of all", kinds=("processors",))
        task = task_of(market, infer_processors=[LearnsAll(statistic)])
        yield Planting(name=leak.name, leaks=[leak], market=market, task=task)


def plant_members():
    """Universes of those who survive: by a list, by lifetimes, by a universe's file, by a filter."""
    for seed, dropouts in itertools.product(range(6), (3, 5)):
        plain = toy_market(seed, dropouts=dropouts)
        calendar, names = plain.calendar(), plain.instruments()
        bounds = plain.bounds(names)
        stay = [code for code, (_, stop) in zip(names, bounds.tolist(), strict=True) if stop == len(calendar)]
        every = ((calendar.first, calendar.last),)
        of_file = toy_market(seed, dropouts=dropouts, universes={"today": dict.fromkeys(stay, every)})
        forms = {
            "a list": (plain, stay),
            "lifetimes": (plain, {code: list(every) for code in stay}),
            "a universe": (of_file, "today"),
        }
        for form, (market, instruments) in forms.items():
            leak = Leak(planted="today's members", name=f"{form}, {dropouts} of {seed} left out", kinds=("members",))
            yield Planting(name=leak.name, leaks=[leak], market=market, task=task_of(market, instruments=instruments))


class Survivors(Processor):
    """Keeps the instruments that have a row on the last session."""

    def __call__(self, df):
        last = df.index.get_level_values("datetime").max()
        there = set(df.index[df.index.get_level_values("datetime") == last].get_level_values("instrument"))
        return df[df.index.get_level_values("instrument").isin(there)]


def plant_survivors():
    for seed in range(4):
        market = toy_market(seed)
        leak = Leak(planted="today's members", name=f"kept while alive {seed}", kinds=("members", "processors"))
        yield Planting(
            name=leak.name, leaks=[leak], market=market, task=task_of(market, infer_processors=[Survivors()])
        )


def plant_all(stride: int = 1):
    """Yield every planting, or those of every so many leaks of each kind."""
    yield from plant_expressions("off by one", off_by_one(), stride)
    yield from plant_expressions("centred window", centred(), stride)
    yield from plant_expressions("adjustment base", of_the_base(), stride)
    yield from plant_columns(min(stride, 6))
    yield from plant_operators()
    for plantings in (plant_segments(), plant_fits(), plant_members(), plant_survivors()):
        yield from itertools.islice(plantings, min(stride // 2, 3), None, stride)


# ---- clean expressions ---------------------------------------------------------------------------------------------


def clean_expressions(count: int, seed: int = 0) -> list[str]:
    """Return expressions that read the past alone and do not depend on what prices are adjusted to."""
    rng = np.random.default_rng(seed)
    prices = ("$open", "$high", "$low", "$close", "$vwap")

    def pick(*items):
        return items[int(rng.integers(len(items)))]

    def window() -> int:
        return int(rng.integers(2, 25))

    def ratio() -> str:
        one, other = pick(*prices), pick(*prices)
        return pick(
            f"{one}/Ref({other},{window()})",
            f"Mean({one},{window()})/{other}",
            f"$volume/(Mean($volume,{window()}))",
            f"Std({one},{window()})/Mean({other},{window()})",
            f"({one}-Min({one},{window()}))/Max({other},{window()})",
            f"EMA({one},{window()})/{other}",
            f"Slope({one},{window()})/{other}",
        )

    def free(depth: int) -> str:
        if depth == 0:
            return ratio()
        inner = free(depth - 1)
        return pick(
            call(pick("Mean", "Std", "Max", "Min", "Sum", "Med", "Mad", "Rank", "WMA", "Skew"), (inner,), window=9),
            f"Rank({pick(*prices)},{window()})",
            f"Corr({inner},{ratio()},{window() + 5})",
            f"({inner})-({ratio()})",
            f"Abs({inner})",
            f"If({pick(*prices)}>Ref({pick(*prices)},1),{inner},{ratio()})",
            f"CSRank({inner})",
            f"Greater({inner},{ratio()})",
            f"({inner})*({ratio()})",
            f"Log(Abs({inner})+1)",
            f"Quantile({inner},{window()},0.3)",
        )

    return [free(int(rng.integers(0, 4))) for _ in range(count)]


__all__ = ["CLASSES", "RETURN", "Planting", "clean_expressions", "plant_all", "register_peeks"]
