"""Compare nested expressions drawn at random with Qlib's: every cell, and which rows there are.

python benchmarks/parity/expression_fuzz.py --peer-python PATH [--expressions 3000] [--seed 1] [--details]

Expressions are one to four operators deep, with windows of 0 to 60, negative ``Ref``, other instruments (``Mask``,
``ChangeInstrument``), late listings, early ends, gaps, and fields that begin years after the others. A difference is
explained only by a rule, and each is counted by its rule:

- the peer raises (``Gt`` of series of different lengths, ``Delta`` of nothing …);
- a regression over one value is missing here, and there what rounding left, divided by 0;
- an infinity in a regression blanks the rest of the peer's series (docs/qlib-differences.md, 1);
- a series that never overlaps the other leaves a hole in the peer's rows, not in ours (docs/qlib-differences.md);
- ``If`` joins equally long series by place there, whatever their days;
- ``Greater`` and ``Less`` of a condition that is missing on some rows compare Python objects there;
- rounding: the cell moves as far when the last digits of what running sums, logarithms and powers give are changed.

The exit code is 1 when a difference is left.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from expression_market import arguments, ask_peer_for_each, ask_us, write_market
from numpy.typing import NDArray

from rollwright.errors import ExpressionError
from rollwright.expression.operators.catalogue import OPERATORS, register
from rollwright.expression.operators.elementwise import elementwise
from rollwright.expression.planner import compile_plan
from rollwright.expression.row_search import find_rows
from rollwright.expression.term import Term, walk
from rollwright.testing.market import ArraySource, random_source

WINDOWS: Final = (0, 1, 2, 5, 20, 60)
SHIFTS: Final = (*WINDOWS, -1, -2, -5, -20)
EXACT_ROLLING: Final = ("Max", "Min", "IdxMax", "IdxMin", "Med", "Rank", "Count")
SUMS: Final = ("Sum", "Mean", "Mad", "WMA", "EMA")
SPREADS: Final = ("Std", "Var", "Skew", "Kurt", "Slope", "Rsquare", "Resi")
LINES: Final = ("Slope", "Rsquare", "Resi")
FIELDS: Final = ("$close", "$open", "$volume", "$pe", "$turn")
SHAKES: Final = 8
LEVERAGE: Final = 300.0
"""How many times further than a shake moves it a cell may lie from the peer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """An expression: as it is asked, and with the last digits of its inexact parts shaken."""

    text: str
    shaken: str
    is_logical: bool = False
    has_line: bool = False
    depth: int = 0


class Grammar:
    """Draws expressions over some instruments."""

    def __init__(self, rng: np.random.Generator, instruments: tuple[str, ...]) -> None:
        self._rng = rng
        self._instruments = instruments

    def _pick(self, choices: tuple) -> object:
        return choices[int(self._rng.integers(len(choices)))]

    def draw(self, depth: int) -> Drawn:
        """Return an expression of `depth` nested operators whose values are numbers, mostly."""
        if depth == 0:
            name = str(self._pick(FIELDS))
            return Drawn(text=name, shaken=name)
        kinds = (
            "rolling",
            "rolling",
            "rolling",
            "ref",
            "other",
            "unary",
            "binary",
            "binary",
            "pair",
            "choice",
            "truth",
        )
        return getattr(self, f"_{self._pick(kinds)}")(depth)

    def _part(self, depth: int) -> Drawn:
        """Return an operand: one less deep, and the second and later ones as deep as that at the most."""
        return self.draw(depth - 1)

    def _side(self, depth: int) -> Drawn:
        if self._rng.random() < 0.4:
            value = str(self._pick(("0", "1", "2", "0.5", "-1", "20")))
            return Drawn(text=value, shaken=value)
        return self.draw(int(self._rng.integers(0, depth)))

    def _rolling(self, depth: int) -> Drawn:
        inner = self._part(depth)
        name = str(self._pick((*EXACT_ROLLING, *SUMS, *SPREADS, "Quantile", "Delta")))
        window = self._pick(WINDOWS)
        if name == "Delta":
            shift = self._pick(SHIFTS)
            return _call(f"Delta({{}},{shift})", inner, depth=depth)
        if name == "Quantile":
            return _call(f"Quantile({{}},{window},{self._pick((0, 0.2, 0.5, 0.8, 1))})", inner, depth=depth)
        if name in ("EMA", "Mean") and self._rng.random() < 0.2:
            window = 0.2
        power = {"Var": 2, "Skew": 0, "Kurt": 0, "Rsquare": 0}.get(name, 1) if name in (*SUMS, *SPREADS) else None
        return _call(f"{name}({{}},{window})", inner, depth=depth, power=power, is_line=name in LINES)

    def _ref(self, depth: int) -> Drawn:
        inner = self._part(depth)
        made = _call(f"Ref({{}},{self._pick(SHIFTS)})", inner, depth=depth)
        return Drawn(
            text=made.text, shaken=made.shaken, is_logical=inner.is_logical, has_line=made.has_line, depth=depth
        )

    def _other(self, depth: int) -> Drawn:
        inner = self._part(depth)
        code = self._pick(self._instruments)
        form = f"Mask({{}},'{code}')" if self._rng.random() < 0.5 else f"ChangeInstrument('{code}',{{}})"
        made = _call(form, inner, depth=depth)
        return Drawn(
            text=made.text, shaken=made.shaken, is_logical=inner.is_logical, has_line=made.has_line, depth=depth
        )

    def _unary(self, depth: int) -> Drawn:
        inner = self._part(depth)
        name = str(self._pick(("Abs", "Log", "Sign")))
        return _call(f"{name}({{}})", inner, depth=depth, power=0 if name == "Log" else None)

    def _binary(self, depth: int) -> Drawn:
        form = str(
            self._pick(("({}+{})", "({}-{})", "({}*{})", "({}/{})", "Greater({},{})", "Less({},{})", "({}**{})"))
        )
        if "**" in form:
            inner = self._part(depth)
            return _call(f"Power({{}},{self._pick((0.5, 2, 3, -1))})", inner, depth=depth, power=0)
        one, other = self._part(depth), self._side(depth)
        if self._rng.random() < 0.3 and _is_series(other):
            one, other = other, one
        return _join(form, (one, other), depth=depth)

    def _pair(self, depth: int) -> Drawn:
        name = str(self._pick(("Corr", "Cov")))
        one, other = self._part(depth), self.draw(int(self._rng.integers(0, depth)))
        made = _join(f"{name}({{}},{{}},{self._pick(WINDOWS)})", (one, other), depth=depth)
        scale = (
            f"Max(Abs({one.shaken}),0)*Max(Abs({other.shaken}),0)" if name == "Cov" else "1000000"
        )  # a correlation is right to 1e-5 there
        return Drawn(
            text=made.text, shaken=f"Shake({made.shaken},{scale}+0*Abs({made.shaken}))", has_line=made.has_line,
            depth=depth,
        )  # fmt: skip

    def _truth(self, depth: int) -> Drawn:
        sign = self._pick((">", ">=", "<", "<=", "==", "!="))
        made = _join(f"({{}}{sign}{{}})", (self._part(depth), self._side(depth)), depth=depth)
        text, shaken = made.text, made.shaken
        if self._rng.random() < 0.2:
            text, shaken = f"Not({text})", f"Not({shaken})"
        elif self._rng.random() < 0.3:
            more = f"$close>{self._pick(('$open', 'Ref($close,1)'))}"
            sign = self._pick(("&", "|"))
            text, shaken = f"({text}{sign}({more}))", f"({shaken}{sign}({more}))"
        return Drawn(text=text, shaken=shaken, is_logical=True, has_line=made.has_line, depth=depth)

    def _choice(self, depth: int) -> Drawn:
        condition = self._truth(depth)
        made = _join("If({},{},{})", (condition, self._side(depth), self._side(depth)), depth=depth)
        return Drawn(text=made.text, shaken=made.shaken, has_line=made.has_line, depth=depth)


def _is_series(drawn: Drawn) -> bool:
    return "$" in drawn.text


def _call(form: str, inner: Drawn, *, depth: int, power: int | None = None, is_line: bool = False) -> Drawn:
    """Return the call; what it gives is shaken by the `power` of the size of its input, unless that is None."""
    shaken = form.format(inner.shaken)
    if power is not None:
        size = f"Max(Abs({inner.shaken}),0)"
        scale = {0: f"0*{size}+1", 1: size, 2: f"{size}*{size}"}[power]
        shaken = f"Shake({shaken},{scale})"
    return Drawn(text=form.format(inner.text), shaken=shaken, has_line=inner.has_line or is_line, depth=depth)


def _join(form: str, parts: tuple[Drawn, ...], *, depth: int) -> Drawn:
    return Drawn(
        text=form.format(*(part.text for part in parts)),
        shaken=form.format(*(part.shaken for part in parts)),
        has_line=any(part.has_line for part in parts),
        depth=depth,
    )


class _Shaker:
    """An operator's function whose numbers differ from run to run."""

    def __init__(self) -> None:
        self.run = 0

    def __call__(self, values: NDArray, scale: NDArray) -> NDArray:
        rng = np.random.default_rng([self.run, *np.shape(values)])
        noise = rng.uniform(-1.0, 1.0, np.shape(values))
        known = np.where(np.isfinite(scale), scale, 0.0)
        if self.run == 1:  # what is nearly 0, or nearly equal, is so exactly
            step = 1e-9 * np.abs(known) + 1e-300
            return np.where(np.isfinite(values), np.round(values / step) * step, values)
        return values * (1 + 3e-8 * noise) + 1e-11 * known * noise


def late_market(rng: np.random.Generator, *, sessions: int, instruments: int) -> ArraySource:
    """Return a market with late listings, early ends, gaps, a field that begins late, and one some instruments lack."""
    whole = random_source(rng, sessions=sessions, instruments=instruments, suspensions=0.06)
    names, bounds = whole.instruments(), whole.bounds(whole.instruments()).copy()
    bounds[:4] = [[0, sessions], [sessions // 3, sessions], [0, sessions // 2], [sessions // 5, sessions * 3 // 4]]
    fields = dict(zip(whole.fields, whole.load(whole.fields, names, 0, sessions), strict=True))
    close = rng.lognormal(3, 0.05, (sessions, instruments)).round(2)
    gaps = rng.random(close.shape) < 0.06
    fields["close"] = np.where(gaps, np.nan, close)
    fields["open"] = np.where(gaps, np.nan, close * rng.lognormal(0, 0.01, close.shape).round(2))
    fields["volume"] = np.where(gaps, np.nan, rng.integers(0, 9, close.shape) * 1e4)
    fields["pe"] = np.where(rng.random(close.shape) < 0.1, np.nan, rng.normal(15, 9, close.shape).round(1))
    fields["turn"] = rng.random(close.shape)
    late = bounds.copy()
    late[:, 0] = np.minimum(bounds[:, 0] + rng.integers(0, sessions // 3, instruments), bounds[:, 1] - 3)
    late[:, 1] -= rng.integers(0, 3, instruments)
    lacking = bounds.copy()
    lacking[::3] = 0
    return ArraySource(fields, names, bounds=bounds, field_bounds={"pe": late, "turn": lacking})


def main() -> int:
    """Draw, ask both, sort the differences by rule; return the exit code."""
    parser = arguments(__doc__, instruments=6, sessions=160, seed=1)
    parser.add_argument("--expressions", type=int, default=3000)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    source = late_market(rng, sessions=options.sessions, instruments=options.instruments)
    grammar = Grammar(rng, source.instruments())
    drawn: dict[str, Drawn] = {}
    while len(drawn) < options.expressions:
        one = grammar.draw(1 + len(drawn) % 4)
        if _parses(one.text):  # windows that are too short for Skew and Kurt, and arithmetic on constants, do not
            drawn.setdefault(one.text, one)
    shaker = _Shaker()
    register(elementwise("Shake", shaker, inputs=2))
    chosen = list(drawn.values())
    with tempfile.TemporaryDirectory() as folder:
        write_market(source, Path(folder))
        peers = ask_peer_for_each(options.peer_python, Path(folder), list(drawn))
    counts: Counter[str] = Counter()
    for one, (values, present, refusals) in zip(chosen, peers, strict=True):
        verdict = judge(source, one, values, present, refusals, shaker)
        counts[verdict.partition(":")[0]] += 1
        if verdict.startswith("UNEXPLAINED") or options.details:
            print(f"{verdict}  {one.text}")
    for verdict, count in sorted(counts.items()):
        print(f"{count:>6} {verdict}")
    bad = counts["UNEXPLAINED"]
    print(f"{len(chosen)} expressions, {len(chosen) - bad} equal or explained, {bad} unexplained")
    return 1 if bad else 0


def _parses(text: str) -> bool:
    try:
        compile_plan([text], allow_lookahead=True)
    except ExpressionError:
        return False
    return True


def judge(
    source: ArraySource,
    drawn: Drawn,
    peers: NDArray[np.float32],
    present: NDArray[np.bool_],
    refusals: NDArray[np.bool_],
    shaker: _Shaker,
) -> str:
    """Return ``equal``, the rule that explains the difference, or ``UNEXPLAINED: …`` with its first cell."""
    span = {"start": 0, "stop": len(source.calendar())}
    ours = ask_us(source, [drawn.text], **span)[0]
    if refusals.all():
        return "the peer raises"
    judged = ~refusals[None, :] & np.ones(ours.shape, np.bool_)
    rows = _rows(source, drawn.text)
    holes = (rows & ~present & judged).any(axis=0) & ~(present & ~rows).any(axis=0)
    if (rows != present)[judged].any():
        judged_columns = np.flatnonzero(~refusals)
        other = [column for column in judged_columns if _edges(rows[:, column]) != _edges(present[:, column])]
        if other:
            return f"UNEXPLAINED: other rows, instrument {other[0]}"
    bad = judged & ~_is_close(ours, peers) & present
    if not bad.any():
        return "equal where the peer has rows, which have a hole" if holes.any() else "equal"
    left = bad & ~_is_rounding(source, drawn, ours, peers, shaker)
    if not left.any():
        return "rounding"
    rule = _rule_of(source, drawn, left, (np.isnan(ours) & np.isinf(peers))[left])
    if rule is not None:
        return rule
    row, column = (int(axis[0]) for axis in np.nonzero(left))
    return (
        f"UNEXPLAINED: {int(left.sum())} cells, first {row},{column}: {ours[row, column]!r} for {peers[row, column]!r}"
    )


def _rule_of(
    source: ArraySource, drawn: Drawn, left: NDArray[np.bool_], are_infinite_there: NDArray[np.bool_]
) -> str | None:
    """Return the rule that explains differences beyond rounding, or None."""
    if drawn.has_line and are_infinite_there.all():
        return "a regression over one value, where the peer divides what rounding left by 0"
    if _is_over_one_value(source, drawn.text, left):
        return "a covariance over one value, where the peer divides what rounding left by 0"
    if drawn.has_line and _has_infinity_in_a_line(source, drawn.text):
        return "an infinity in a regression"
    if _compares_objects(drawn.text):
        return "Greater or Less of a condition with missing rows"
    if _chooses_by_place(source, drawn.text):
        return "If of series that are equally long and begin on other days"
    if _has_hole(source, drawn.text):
        return "a hole in the peer's rows"
    return None


def _edges(rows: NDArray[np.bool_]) -> tuple[int, int]:
    places = np.flatnonzero(rows)
    return (int(places[0]), int(places[-1])) if len(places) else (-1, -1)


def _rows(source: ArraySource, text: str) -> NDArray[np.bool_]:
    plan = compile_plan([text], allow_lookahead=True)
    bounds = find_rows(plan, source, source.instruments()).of(plan.terms[0])
    positions = np.arange(len(source.calendar()))[:, None]
    return (positions >= bounds[:, 0]) & (positions < bounds[:, 1])


def _is_close(ours: NDArray, peers: NDArray) -> NDArray[np.bool_]:
    one, two = ours.astype(np.float64), peers.astype(np.float64)
    with np.errstate(invalid="ignore"):
        close = np.abs(one - two) <= 1e-6 + 1e-5 * np.abs(two)
    return close | (np.isnan(one) & np.isnan(two)) | (one == two)


def _is_rounding(
    source: ArraySource, drawn: Drawn, ours: NDArray, peers: NDArray, shaker: _Shaker
) -> NDArray[np.bool_]:
    """Return which cells move towards the peer's, or as far, when the last digits of inexact parts are shaken."""
    span = {"start": 0, "stop": len(source.calendar())}
    if "Shake" not in drawn.shaken:
        return np.zeros(ours.shape, np.bool_)
    reached = np.zeros(ours.shape, np.bool_)
    distance = np.zeros(ours.shape)
    for run in range(1, SHAKES + 1):
        shaker.run = run
        shaken = ask_us(source, [drawn.shaken], **span)[0].astype(np.float64)
        reached |= _is_close(shaken, peers) | (np.isfinite(shaken) != np.isfinite(ours))
        with np.errstate(invalid="ignore"):
            distance = np.fmax(distance, np.abs(shaken - ours))
    with np.errstate(invalid="ignore"):
        return reached | (np.abs(ours.astype(np.float64) - peers) <= LEVERAGE * distance)


def _parts(text: str) -> list[Term]:
    return list(walk(*compile_plan([text], allow_lookahead=True).terms))


def _compares_objects(text: str) -> bool:
    """Say whether a maximum or minimum has an operand that is a condition, one moved, or reckoned with a series.

    A condition that lacks rows of the series becomes a column of Python objects there, and so does the result.
    """
    return any(term.name in ("Greater", "Less") and any(map(_is_condition, term.inputs)) for term in _parts(text))


def _chooses_by_place(source: ArraySource, text: str) -> bool:
    """Say whether ``If`` is given series of one length that begin on different days, which the peer joins by place."""
    for term in _parts(text):
        found = [_rows(source, part.text) for part in term.inputs if part.kind != "number"] if term.name == "If" else []
        if any((rows != found[0]).any() for rows in found):
            return True
    return False


def _is_over_one_value(source: ArraySource, text: str, left: NDArray[np.bool_]) -> bool:
    """Say whether a covariance is missing wherever the answers differ."""
    span = {"start": 0, "stop": len(source.calendar())}
    return any(
        bool(np.isnan(ask_us(source, [term.text], **span)[0])[left].all())
        for term in _parts(text)
        if term.name in ("Cov", "Corr")
    )


def _is_condition(term: Term) -> bool:
    if term.kind == "call" and term.name in ("Ref", "Mask", "ChangeInstrument"):
        return _is_condition(term.inputs[0])
    return term.kind == "call" and (
        OPERATORS.operators[term.name].is_logical
        or (term.name in ("Add", "Sub", "Mul", "Div") and any(map(_is_condition, term.inputs)))
    )


def _has_infinity_in_a_line(source: ArraySource, text: str) -> bool:
    for term in _parts(text):
        if term.kind == "call" and term.name in LINES:
            values = ask_us(source, [term.inputs[0].text], start=0, stop=len(source.calendar()))
            if np.isinf(values).any():
                return True
    return False


def _has_hole(source: ArraySource, text: str) -> bool:
    """Say whether two inputs of an operator never overlap and do not touch, for some instrument."""
    for term in _parts(text):
        found = [_rows(source, part.text) for part in term.inputs if part.kind != "number"]
        if len(found) > 1:
            union = np.logical_or.reduce(found)
            for column in union.T:
                first, last = _edges(column)
                if first >= 0 and not column[first : last + 1].all():
                    return True
    return False


if __name__ == "__main__":
    raise SystemExit(main())
