"""What an audit's findings say, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rollwright.campaign.audit.checks import BASE_SHARE, BASE_SIZE, Hit
from rollwright.campaign.audit.findings import AuditFinding
from rollwright.campaign.audit.hindsight import Hindsight
from rollwright.dataset.feature_reach import FeatureReach
from rollwright.market.source import DataSource

__all__ = ["describe_hit", "describe_universe", "join_names"]

SHOWN: Final = 8
ENOUGH_NAMES: Final = 50
ENOUGH_SESSIONS: Final = 250
"""Of so many instruments some are delisted within so many sessions."""

PARTS: Final = {
    "raw": "",
    "infer": " after the processors",
    "train": " that the model learns from",
    "valid": " that the model is chosen by",
    "test": " as the dataset prepares it",
    "refused": "",
}


PURGE: Final = "leave `rolling.trunc_days: auto`, or end the segment as far before the next as the label reads"
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "feature": (
        "the feature {column} knows what came after its session",
        (
            "look for a shift, a centred window or a statistic of the whole sample in its expression, operator, "
            "loader or handler"
        ),
    ),
    "processors": (
        "{column} knows what came after: its processors learn from it, or look at other sessions' rows",
        (
            "let processors learn from train alone, `fit_end_time: <dataset.kwargs.segments.train.1>`, and transform "
            "each session by itself or by what they learnt"
        ),
    ),
    "members": (
        "{column} depends on who is listed, or a member, later",
        "take means, ranks and fills over the rows of the session alone, and members as of it",
    ),
    "label": (
        "the label {column} reads further ahead than its dataset says",
        "give the loader a `label_lookahead` that covers it, so that the purge does",
    ),
    "adjustment": (
        (
            "the feature {column} depends on the base that prices are adjusted to: {share:.0%} of its values move by "
            "more than {limit:.0%} of their size, the middle one by {size:.0%} (a leak above {most:.0%} of the "
            "values): each later split or dividend changes that base"
        ),
        "take ratios of prices, such as `/$close`, and of volumes",
    ),
}
ROWS: Final[Mapping[str, tuple[str, str]]] = {
    "label": ("{count} row(s){where} come or go with labels that know a later segment", PURGE),
    "members": (
        "{count} row(s){where} are there, or not, because of what became of the instrument later",
        (
            "choose instruments by what is known on the session: a universe with lifetimes, and no filter that looks "
            "at the end of a series"
        ),
    ),
    "processors": (
        "{count} row(s){where} are dropped or kept by what came later",
        "drop rows by their own session's values alone; rows without a label only for learning (`DropnaLabel`)",
    ),
}


def describe_hit(hit: Hit, reaches: Sequence[FeatureReach]) -> tuple[str, str]:
    """Return message and hint of what moved."""
    where = PARTS[hit.part]
    if hit.column is None:
        message, hint = ROWS[hit.kind]
        return message.format(count=len(hit.moved.lost) + len(hit.moved.gained), where=where), hint
    reach = next((one for one in reaches if one.name == hit.name), None)
    column = f"`{hit.name}`{where}" if reach is None else f"`{hit.name}` ({reach.expression}){where}"
    if hit.kind == "label" and hit.part in ("train", "valid"):
        return f"the label {column} knows prices of a later segment", PURGE
    message, hint = COLUMNS[hit.kind]
    return message.format(column=column, share=hit.share, limit=BASE_SIZE, size=hit.size, most=BASE_SHARE), hint


def describe_universe(
    judged: Hindsight, instruments: Any, window: str, source: DataSource, date: int
) -> AuditFinding | None:
    """Return what there is to say about a universe; None when it is as a universe should be."""
    is_list = isinstance(instruments, Sequence | Mapping) and not isinstance(instruments, str)
    day = f"{source.calendar()[date]:%Y-%m-%d}"
    shown = f"`{instruments}`" if isinstance(instruments, str) else "the list of instruments"
    if judged.is_leak:
        return AuditFinding(
            kind="members",
            severity="leak",
            message=f"{shown} has {judged.members} of the {judged.listed} instruments that were listed on {day}, and "
            f"none of the {judged.ended} of them that were delisted since (such as {judged.example}): by chance that "
            f"happens once in {1 / max(judged.chance, 1e-12):,.0f}; it was chosen by who survived",
            hint="take a universe with the lifetimes of its members, those who left included",
            window=window,
        )
    if is_list and "market" not in instruments:
        return AuditFinding(
            kind="universe",
            severity="note",
            message=f"the instruments are a list of {len(instruments)}, the same on every date: whether it was chosen "
            "with hindsight their data cannot tell",
            hint="a universe with the lifetimes of its members can be checked",
            window=window,
        )
    if judged.listed >= ENOUGH_NAMES and judged.ended == 0 and source.calendar().known - date > ENOUGH_SESSIONS:
        return AuditFinding(
            kind="universe",
            severity="note",
            message=f"none of the {judged.listed} instruments that were listed on {day} was delisted since: the market "
            "data may lack those that were",
            hint="add delisted instruments, or read the results as those of survivors",
            window=window,
        )
    return None


def join_names(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
