"""Why a back-test traded an instrument on a day, or did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.analysis.conventions import BacktestTerms
from rollwright.app.campaign_record import find_record, list_records, results_folder
from rollwright.app.open_campaign import open_campaign
from rollwright.app.why import Place, find_place
from rollwright.backtest.unfilled import REASONS
from rollwright.calendar.trading import Session, TradingCalendar, to_session
from rollwright.campaign.member_names import COMBINED
from rollwright.campaign.summary import SUMMARY_FILE, CampaignResult, read_summary
from rollwright.codecs.registry import codecs
from rollwright.config.context import Context, using
from rollwright.config.settings import Settings, load_settings
from rollwright.errors import ConfigError, nearest
from rollwright.market.current import current_market
from rollwright.market.seal import find_holdout

__all__ = ["TradeExplanation", "TradeOrder", "explain_trade"]

EXPLANATION_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOrder:
    """An order that the strategy wanted, and what became of it.

    Attributes
    ----------
    side : str
        buy, sell, or settle at the end of a listing.
    wanted_amount, wanted_value : float or None
        As in `UnfilledOrder`; of an order made whole, what was made. None where it never got a size.
    made_amount : float
        Adjusted shares.
    price, cost : float or None
        None where nothing was made.
    reason : str or None
        A key of `REASONS`; None where it was made whole.
    """

    side: str
    wanted_amount: float | None
    wanted_value: float | None
    made_amount: float
    price: float | None
    cost: float | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeExplanation:
    """What a back-test did with an instrument on a day, and why.

    Attributes
    ----------
    name, member : str
        The campaign; the member, or ``combined`` or ``main`` for its signal.
    date, instrument : str
    scored_on : str
        The session before, whose scores are traded on that day.
    place : Place or None
        The score then, among all of that session; None where there was none.
    held : float
        Adjusted shares at the close before.
    orders : tuple of TradeOrder
    because : str
        In one sentence.
    """

    name: str
    member: str
    date: str
    instrument: str
    scored_on: str
    place: Place | None
    held: float
    orders: tuple[TradeOrder, ...]
    because: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {"format": EXPLANATION_FORMAT, **asdict(self)}


def explain_trade(
    date: str, instrument: str, *, name: str | None = None, member: str | None = None, project: Path | None = None
) -> TradeExplanation:
    """Return why a back-test traded `instrument` on `date`, or did not; nothing is computed anew.

    Parameters
    ----------
    date : str
        The session of the trade. What is traded then was scored on the session before.
    instrument : str
    name : str, optional
        The campaign, or a folder of results; the campaign that ran last if not given.
    member : str, optional
        One of its members; its signal if not given.
    project : Path, optional

    Raises
    ------
    ConfigError
        When there is no such session, instrument or member, and when there is no back-test.
    HoldoutSealedError
        When the session lies in the sealed holdout, whenever the back-test was made.
    """
    settings = load_settings(start=project)
    folder = _find_folder(name, settings)
    if folder is not None:
        summary = read_summary(folder / SUMMARY_FILE)
        with using(Context(settings=settings)):
            holdout = find_holdout(settings)
            if holdout is not None:
                holdout.refuse(to_session(date))
            return _explain(summary, date, instrument, name=folder.name, member=member, calendar=None)
    record = find_record(settings, name)
    campaign = open_campaign(
        settings.root / record.file,
        overrides=record.overrides,
        provider_uri=record.provider_uri,
        project=settings.root,
    )
    with using(campaign.context):
        summary = read_summary(results_folder(campaign.settings, record.name) / SUMMARY_FILE)
        calendar = current_market().calendar()
        calendar.refuse_sealed(to_session(date))
        return _explain(summary, date, instrument, name=record.name, member=member, calendar=calendar)


def _find_folder(name: str | None, settings: Settings) -> Path | None:
    """Return the folder of results that is named; None for a campaign by its name."""
    if name is None or not (Path(name) / SUMMARY_FILE).is_file():
        return None
    return None if name in [record.stem for record in list_records(settings)] else Path(name).resolve()


def _explain(
    summary: CampaignResult,
    date: str,
    instrument: str,
    *,
    name: str,
    member: str | None,
    calendar: TradingCalendar | None,
) -> TradeExplanation:
    """Return what the tables of `summary` tell; without a calendar, their account has the sessions."""
    chosen, files, terms = _find_backtest(summary, member)
    codec = codecs.for_kind("parquet")
    pred = codec.read(files["predictions"])
    day = to_session(date)
    _check_known(pred, day, instrument, name=name)
    if calendar is None:
        sessions = codec.read(files["trades"].parent / "account.parquet").index
        calendar = TradingCalendar(pd.DatetimeIndex(sessions).to_numpy())
    if day not in calendar or day == calendar.first:
        raise ConfigError(
            f"{day:%Y-%m-%d} is not a session on which something could be traded",
            hint="take a session: rollwright data info",
        )
    before = calendar.offset(day, -1)
    trades, unfilled = codec.read(files["trades"]), codec.read(files["unfilled"])
    orders = _find_orders(trades, unfilled, day, instrument)
    held = _find_holding(trades, day, instrument)
    scored = pred[pred.index.get_level_values("datetime") == before].iloc[:, 0].dropna()
    is_scored = (before, instrument) in scored.index
    place = find_place(scored.to_frame(), before, instrument, chosen) if is_scored else None
    purchases = _count_purchases(trades, unfilled, day)
    because = _tell_orders(orders) or _tell_nothing(terms, place, held=held, purchases=purchases, of=len(scored))
    return TradeExplanation(
        name=name,
        member=chosen,
        date=f"{day:%Y-%m-%d}",
        instrument=instrument,
        scored_on=f"{before:%Y-%m-%d}",
        place=place,
        held=held,
        orders=orders,
        because=because,
    )


def _find_backtest(summary: CampaignResult, member: str | None) -> tuple[str, Mapping[str, Path], BacktestTerms]:
    """Return whose back-test it is, the files of its tables, and its terms."""
    found = {one.variant: one.files for one in summary.variants}
    chosen = member if member is not None else COMBINED if COMBINED in found else next(iter(found))
    if chosen not in found or (member is None and len(found) > 1 and COMBINED not in found):
        near = nearest(chosen, list(found)) if member is not None else None
        wrong = f"campaign {summary.name} has no member `{member}`" if member else f"{summary.name} makes no one signal"
        raise ConfigError(wrong, hint=f"did you mean `{near}`?" if near else f"--member: {', '.join(found)}")
    terms = summary.conventions.backtest
    if terms is None:
        raise ConfigError(
            f"campaign {summary.name} has no back-test",
            hint="add a section `backtest`, and give its command again; of a folder of results: "
            "rollwright backtest FOLDER --out FOLDER",
        )
    files: Mapping[str, Path] = found[chosen]
    if "unfilled" not in files:
        raise ConfigError(
            f"the results of {summary.name} were made before orders were written down",
            hint=f"make them anew: rollwright collect {summary.name}",
        )
    return chosen, files, terms


def _check_known(pred: pd.DataFrame, day: Session, instrument: str, *, name: str) -> None:
    days = pred.index.get_level_values("datetime")
    if not days.min() <= day <= days.max():
        raise ConfigError(
            f"the back-test of {name} does not run on {day:%Y-%m-%d}",
            hint=f"it runs from {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}",
        )
    names = pred.index.get_level_values("instrument").unique()
    if instrument not in names:
        near = nearest(instrument, [str(code) for code in names])
        raise ConfigError(
            f"`{instrument}` is none of the {len(names)} instruments that {name} scored on some day",
            hint=f"did you mean `{near}`?" if near else "only what has a score is traded",
        )


def _find_orders(trades: pd.DataFrame, unfilled: pd.DataFrame, day: Session, instrument: str) -> tuple[TradeOrder, ...]:
    """Return the orders of the day: those made, wholly or in part, and then those that were not."""
    made = {str(row["side"]): row for _, row in _take(trades, day, instrument).iterrows()}
    lacking = {str(row["side"]): row for _, row in _take(unfilled, day, instrument).iterrows()}
    return tuple(_join_order(side, made.get(side), lacking.get(side)) for side in dict.fromkeys([*made, *lacking]))


def _join_order(side: str, trade: pd.Series | None, short: pd.Series | None) -> TradeOrder:
    """Return an order from its rows in the two tables, one of which it has at least."""
    whole = pd.Series(dtype=np.float64) if trade is None else trade
    wanted = whole.rename({"amount": "wanted_amount", "value": "wanted_value"}) if short is None else short
    return TradeOrder(
        side=side,
        wanted_amount=_finite(wanted["wanted_amount"]),
        wanted_value=_finite(wanted["wanted_value"]),
        made_amount=float(whole.get("amount", 0.0)),
        price=_finite(whole.get("price", np.nan)),
        cost=_finite(whole.get("cost", np.nan)),
        reason=None if short is None else str(short["reason"]),
    )


def _find_holding(trades: pd.DataFrame, day: Session, instrument: str) -> float:
    """Return the shares held at the close before: a holding is bought at once, and sold whole."""
    days, names = (trades.index.get_level_values(level) for level in ("datetime", "instrument"))
    past = trades[(days < day) & (names == instrument)]
    return float(past["amount"].iloc[-1]) if len(past) and past["side"].iloc[-1] == "buy" else 0.0


def _count_purchases(trades: pd.DataFrame, unfilled: pd.DataFrame, day: Session) -> int:
    """Return how many instruments were to be bought on a day; one bought in part is in both tables."""
    wanted: set[str] = set()
    for table in (trades, unfilled):
        days, names = (table.index.get_level_values(level) for level in ("datetime", "instrument"))
        wanted |= set(names[(days == day) & (table["side"] == "buy")])
    return len(wanted)


def _take(table: pd.DataFrame, day: Session, instrument: str) -> pd.DataFrame:
    days, names = (table.index.get_level_values(level) for level in ("datetime", "instrument"))
    return table[(days == day) & (names == instrument)]


def _tell_orders(orders: tuple[TradeOrder, ...]) -> str:
    told = []
    for order in orders:
        verb = {"buy": "bought", "sell": "sold", "settle": "settled"}[order.side]
        why = "" if order.reason is None else REASONS[order.reason]
        if order.reason is None:
            told.append(f"{verb}, whole")
        elif order.made_amount > 0:
            told.append(f"{verb}, less than wanted: {why}")
        else:
            told.append(f"wanted, and not {verb}: {why}")
    return "; ".join(told)


def _tell_nothing(terms: BacktestTerms, place: Place | None, *, held: float, purchases: int, of: int) -> str:
    """Return why there was no order at all."""
    if not of:
        return "no order: nothing was scored on the session before, so that nothing is traded"
    if held:
        return f"kept: it is not among the {terms.n_drop} worst of the holdings and of the best names that are not held"
    if place is None:
        return "not wanted: it had no score on the session before"
    return (
        f"not wanted: {purchases} purchases were, of the best names that are not held and for the places free among "
        f"{terms.topk}; it ranks {place.rank} of {place.of}"
    )


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
