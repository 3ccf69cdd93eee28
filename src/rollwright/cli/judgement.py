"""``analyze``, ``backtest`` and ``report``: judge a campaign, a recorded run, or scores from a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli.campaign import show_result
from rollwright.cli.console import AsJson, clean_stdout, print_json, stderr

if TYPE_CHECKING:
    from rollwright.app.given_signal import SignalOptions
    from rollwright.app.judgement import Judgement

__all__ = ["analyze", "backtest", "report"]

What = Annotated[
    str | None,
    typer.Argument(
        help="Scores in a .csv or .parquet file, a campaign by its name or file, a folder of results, or a recorded "
        "run; the campaign that ran last if not given.",
        show_default=False,
    ),
]


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of market data; that of the settings, or of the campaign, if not given.",
        show_default=False,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", help="Whose terms of trade count, and how many sessions a year has: cn, us, tw.", show_default=False
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="The label: an expression, or a file; Alpha158's for scores without labels of their own.",
        show_default=False,
    ),
]
LabelSpan = Annotated[
    int | None,
    typer.Option("--label-span", min=0, help="Sessions of future that the labels of a file read.", show_default=False),
]
LabelHorizon = Annotated[
    int | None,
    typer.Option(
        "--label-horizon", min=1, help="Sessions over which the return runs that they are.", show_default=False
    ),
]
Groups = Annotated[
    int | None, typer.Option("--groups", min=2, max=20, help="Score groups; 5 if not given.", show_default=False)
]
Member = Annotated[
    str | None,
    typer.Option(
        "--member",
        help="Whose scores, of a campaign of several members; its signal's if not given.",
        show_default=False,
    ),
]
Horizons = Annotated[
    str | None,
    typer.Option(
        "--horizons", help="Sessions over which the decay is measured; 1,2,3,5,10,20 if not given.", show_default=False
    ),
]
Columns = Annotated[
    Path | None,
    typer.Option(
        "--columns",
        help="Table of columns of yours by instrument, maybe by datetime: CSV or Parquet.",
        show_default=False,
    ),
]
GroupsBy = Annotated[
    str | None,
    typer.Option("--groups-by", help="Columns by whose groups the IC is told, with commas.", show_default=False),
]
Neutralise = Annotated[
    str | None,
    typer.Option(
        "--neutralise", help="Columns without which the IC is told once more, with commas.", show_default=False
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for tables, summary and predictions.", show_default=False)
]
Topk = Annotated[int | None, typer.Option("--topk", min=1, help="Names held; 50 if not given.", show_default=False)]
Drop = Annotated[
    int | None,
    typer.Option("--n-drop", min=0, help="Names replaced a day at most; 5 if not given.", show_default=False),
]
Account = Annotated[
    float | None, typer.Option("--account", help="Cash to begin with; 1e8 if not given.", show_default=False)
]
Benchmark = Annotated[
    str | None,
    typer.Option(
        "--benchmark", help="`mean` of the scored instruments, as if not given, or a code.", show_default=False
    ),
]
Mode = Annotated[
    str | None, typer.Option("--mode", help="strict, as if not given, or qlib: pyqlib's numbers.", show_default=False)
]
Price = Annotated[
    str | None,
    typer.Option(
        "--deal-price",
        help="Field that is traded at, `close` if not given; `open,close` buys and sells at two.",
        show_default=False,
    ),
]
OpenCost = Annotated[
    float | None,
    typer.Option(
        "--open-cost", help="Share of its value that a purchase costs; that of the region.", show_default=False
    ),
]
CloseCost = Annotated[
    float | None,
    typer.Option("--close-cost", help="Share of its value that a sale costs; that of the region.", show_default=False),
]
MinCost = Annotated[
    float | None, typer.Option("--min-cost", help="Least cost of a trade; that of the region.", show_default=False)
]
RiskFree = Annotated[
    float | None,
    typer.Option("--risk-free", help="Rate of a year without risk, as a fraction; 0 if not given.", show_default=False),
]
Rules = Annotated[
    str | None,
    typer.Option(
        "--rules", help="Dated rules of a market by board, in place of the region's: cn, us, none.", show_default=False
    ),
]
HoldThresh = Annotated[
    int | None,
    typer.Option(
        "--hold-thresh", min=0, help="Sessions a holding is kept at least; 1 if not given.", show_default=False
    ),
]
RiskDegree = Annotated[
    float | None,
    typer.Option("--risk-degree", help="Share of the cash that is spent; 0.95 if not given.", show_default=False),
]
OnlyTradable = Annotated[
    bool,
    typer.Option("--only-tradable", help="Rank only what can be traded on the session of the trade; this looks ahead."),
]
AtLimits = Annotated[
    bool, typer.Option("--trade-at-limits", help="Sell at the upper price limit, and buy at the lower one.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWords:
    """How a signal is judged, as it was typed: values of `SignalOptions`, and of its back-test by a file's keys."""

    signal: Mapping[str, Any]
    trade: Mapping[str, Any]

    def make(self) -> SignalOptions:
        """Return the options that they stand for."""
        from rollwright.app.given_signal import SignalOptions  # noqa: PLC0415 - keeps --help light

        return SignalOptions(**self.signal, trade=self.trade)


def read_signal_options(
    label: Label = None,
    label_span: LabelSpan = None,
    label_horizon: LabelHorizon = None,
    groups: Groups = None,
    member: Member = None,
    horizons: Horizons = None,
    columns: Columns = None,
    groups_by: GroupsBy = None,
    neutralise: Neutralise = None,
) -> dict[str, Any]:
    """Return what was typed of how scores are judged."""
    analysis = {
        "horizons": _split(horizons),
        "columns": _folder(columns),
        "groups_by": _split(groups_by),
        "neutralise": _split(neutralise),
    }
    return {
        "label": label,
        "label_span": label_span,
        "label_horizon": label_horizon,
        "groups": groups,
        "member": member,
        "analysis": {name: value for name, value in analysis.items() if value is not None},
    }


def _split(words: str | None) -> list[str] | None:
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]


def read_trade_options(
    topk: Topk = None,
    n_drop: Drop = None,
    account: Account = None,
    benchmark: Benchmark = None,
    mode: Mode = None,
    deal_price: Price = None,
    open_cost: OpenCost = None,
    close_cost: CloseCost = None,
    min_cost: MinCost = None,
    risk_free: RiskFree = None,
    rules: Rules = None,
    hold_thresh: HoldThresh = None,
    risk_degree: RiskDegree = None,
    only_tradable: OnlyTradable = False,
    trade_at_limits: AtLimits = False,
) -> dict[str, Any]:
    """Return what was typed of the back-test, by the keys of a campaign's file."""
    price = deal_price.split(",") if deal_price and "," in deal_price else deal_price
    given = {
        "topk": topk,
        "n_drop": n_drop,
        "account": account,
        "benchmark": benchmark,
        "mode": mode,
        "deal_price": price,
        "open_cost": open_cost,
        "close_cost": close_cost,
        "min_cost": min_cost,
        "risk_free": risk_free,
        "rules": rules,
        "hold_thresh": hold_thresh,
        "risk_degree": risk_degree,
        "only_tradable": only_tradable or None,
        "forbid_all_trade_at_limit": False if trade_at_limits else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _with_options(*readers: Callable[..., dict[str, Any]]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Let a command take the options of `readers` between its own; it gets them as one value, `options`."""

    def wrap(command: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(command, eval_str=True)
        shared = [inspect.signature(reader, eval_str=True).parameters for reader in readers]

        @wraps(command)
        def run(**given: Any) -> int:
            parts = [
                reader(**{name: given.pop(name) for name in names})
                for reader, names in zip(readers, shared, strict=True)
            ]
            trade = {} if len(parts) < 2 else parts[1]
            return command(**given, options=SignalWords(signal=parts[0], trade=trade))

        named = [one for name, one in own.parameters.items() if name != "options"]
        parameters = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for one in (*named, *(each for names in shared for each in names.values()))
        ]
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # Typer asks for it
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return wrap


@_with_options(read_signal_options)
def analyze(
    options: SignalWords,
    what: What = None,
    data: Data = None,
    region: Region = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Judge scores by a label: IC, its error, score groups. Trains nothing.

    A score is taken as known after the close of its date. A campaign's own results are made anew; scores from a file or
    a run are judged without a file being written, but in the folder of --out. What is found of a run is logged to it.
    """
    return _judge(["analyze"], options, what, data, region, out, as_json=as_json)


@_with_options(read_signal_options, read_trade_options)
def backtest(
    options: SignalWords,
    what: What = None,
    data: Data = None,
    region: Region = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Trade scores day by day: account, positions, every order, and what it cost. Trains nothing.

    A score is taken as known after the close of its date, and is traded on the session after.
    """
    return _judge(["backtest"], options, what, data, region, out, as_json=as_json)


@_with_options(read_signal_options, read_trade_options)
def report(
    options: SignalWords,
    what: What = None,
    data: Data = None,
    region: Region = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Render the report: of results from their tables alone; of scores from a file or a run they are judged first.

    Exit code 4 when the predictions changed after the tables were made.
    """
    from rollwright.app import judgement  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        found = judgement.report(what, options=options.make(), provider_uri=_folder(data), region=region, out=out)
    return _show(found, as_json=as_json)


def _judge(
    stages: list[Any],
    options: SignalWords,
    what: str | None,
    data: Path | None,
    region: str | None,
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    from rollwright.app import judgement  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        found = judgement.judge(
            what, stages, options=options.make(), provider_uri=_folder(data), region=region, out=out
        )
    return _show(found, as_json=as_json)


def _folder(path: Path | None) -> str | None:
    """Return a folder or file that was typed, from where it was typed."""
    return None if path is None else str(path.expanduser().absolute())


def _show(found: Judgement, *, as_json: bool) -> int:
    if as_json:
        print_json(found.to_json())
        return 0
    show_result(found.result)
    for name, reason in found.left_out.items():
        if name not in ("windows", "missing_rows"):
            stderr.print(f"left out: {name}: {reason}")
    return 0
