"""When each number of a back-test is known, and when it is traded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import pandas as pd

__all__ = ["MOMENTS", "TIMED_NUMBERS", "list_timing"]

TIMED_NUMBERS: Final[Mapping[str, Mapping[str, str]]] = {
    "score": {"en": "the score of a session", "zh": "某交易日的分数"},
    "choice": {"en": "what is to be sold and bought for it", "zh": "据此决定的买卖名单"},
    "tradability": {"en": "whether that is suspended or at its limit", "zh": "是否停牌或涨跌停"},
    "trade": {"en": "amount and price of a trade", "zh": "成交数量与价格"},
    "account": {"en": "the first account with these trades in it", "zh": "包含这些成交的首个账户净值"},
    "return": {"en": "the first return of what was bought", "zh": "所买股票的首日收益"},
    "benchmark": {"en": "the benchmark's change of the same session", "zh": "同一交易日的基准涨跌"},
    "label": {"en": "the label of the session, and its IC", "zh": "该交易日的标签与 IC"},
}
"""The numbers that are told, in the words of each language; `t` is the session of the score."""

MOMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "after_close": {"en": "after the close", "zh": "收盘后"},
    "at_deal_price": {"en": "at the price that is dealt at", "zh": "按成交价"},
}
"""The moments of a session."""


def list_timing(
    *, label_span: int | None = None, delay: int = 0, sessions: pd.DatetimeIndex | None = None
) -> pd.DataFrame:
    """Return when each number that hangs on the scores of session `t` is known, and when it is traded on.

    Parameters
    ----------
    label_span : int, optional
        Sessions of future that the label reads; without it the label is left out.
    delay : int
        Sessions that scores wait, beyond the one that they always wait.
    sessions : DatetimeIndex, optional
        Of the back-test: its first three tell the dates of an example.

    Returns
    -------
    DataFrame
        A row for each: ``number``, a key of `TIMED_NUMBERS`; ``known_after``, in sessions after `t`; ``moment``, a key
        of `MOMENTS`; ``traded_after``, the same, NaN of what no trade goes by; ``known_on``, a date if `t` is the first
        of `sessions`, NaT where that is beyond them.
    """
    trade = 1 + delay
    rows = [
        ("score", 0, "after_close", trade),
        ("choice", 0, "after_close", trade),
        ("tradability", trade, "at_deal_price", trade),
        ("trade", trade, "at_deal_price", trade),
        ("account", trade, "after_close", math.nan),
        ("return", trade + 1, "after_close", math.nan),
        ("benchmark", trade + 1, "after_close", math.nan),
    ]
    if label_span is not None:
        rows.append(("label", label_span, "after_close", math.nan))
    table = pd.DataFrame(rows, columns=["number", "known_after", "moment", "traded_after"])
    known = table["known_after"].tolist()
    dates = [sessions[after] if sessions is not None and after < len(sessions) else pd.NaT for after in known]
    table["known_on"] = pd.Series(dates, dtype="datetime64[s]")
    return table.astype({"number": "str", "known_after": "int64", "moment": "str", "traded_after": "float64"})
