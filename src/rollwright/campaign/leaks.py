"""Leaks that a configuration asks for: found before anything is trained, and refused unless the file declares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from rollwright.calendar.purge import purge_days
from rollwright.calendar.trading import TradingCalendar, to_session
from rollwright.campaign.yaml.document import KeyPath
from rollwright.dataset.contract import FitRange, TaskDataset
from rollwright.errors import LookAheadError
from rollwright.tasks.purge import segment_pairs

__all__ = ["LEAK_KINDS", "Leak", "LeakKind", "find_leaks", "give_reasons", "refuse_leaks"]

LeakKind: TypeAlias = Literal["label", "overlap", "order", "processors", "feature", "members", "adjustment"]
LEAK_KINDS: Final[tuple[LeakKind, ...]] = (
    "label", "overlap", "order", "processors", "feature", "members", "adjustment",
)  # fmt: skip
"""What can leak, as ``allow_leak`` names it: labels that read a later segment, segments that share sessions, a model
that learns from sessions after those it is judged on, processors that learn from what is judged. The audit alone finds
the others: features that read later sessions, instruments chosen by what became of them, values that depend on what
prices are adjusted to."""

SEGMENTS: Final = ("task", "dataset", "kwargs", "segments")
HANDLER: Final = ("task", "dataset", "kwargs", "handler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A way in which what is learnt knows what is judged.

    Attributes
    ----------
    kind : str
        One of `LEAK_KINDS`.
    message : str
        What leaks, with segments and sessions.
    hint : str
        How to close it.
    keys : tuple
        Where the configuration says so.
    reason : str or None
        Why it is meant, where the file declares it.
    """

    kind: LeakKind
    message: str
    hint: str
    keys: KeyPath
    reason: str | None = None

    @property
    def text(self) -> str:
        """It and the reason, in one line: what stands beside every number that comes of it."""
        return f"look-ahead by configuration ({self.kind}): {self.message}; declared: {self.reason}"


def find_leaks(
    dataset: TaskDataset, segments: Mapping[str, Any], calendar: TradingCalendar, *, gap_keys: KeyPath = SEGMENTS
) -> list[Leak]:
    """Return how the segments and the processors of a dataset leak; no data are read.

    Parameters
    ----------
    dataset : TaskDataset
        It knows its label and its processors.
    segments : mapping
        The segments it is trained on, which may be those of one window of many.
    calendar : TradingCalendar
    gap_keys : tuple
        What the configuration sets the gap between segments with.
    """
    reach = dataset.label_reach
    found = [*_overlaps(segments, calendar), *_learnt_later(segments)]
    if reach is not None and reach.span:
        found += _label_leaks(segments, calendar, span=reach.span, what=reach.text, keys=gap_keys)
    return found + [leak for span in dataset.fit_ranges() for leak in _fit_leaks(span, segments)]


def refuse_leaks(
    leaks: Sequence[Leak], allowed: Mapping[str, str], *, locate: Callable[[KeyPath], str] | None = None
) -> tuple[Leak, ...]:
    """Return `leaks` with the reasons that the file declares for them.

    Parameters
    ----------
    leaks : sequence of Leak
    allowed : mapping
        The reason for each kind that is declared.
    locate : callable, optional
        Returns file, line and column of a key of the configuration.

    Raises
    ------
    LookAheadError
        Naming every leak that is not declared, where it is written, and how to close it.
    """
    refused = [leak for leak in leaks if leak.kind not in allowed]
    if refused:
        lines = [f"{locate(leak.keys)}: {leak.message}" if locate else leak.message for leak in refused]
        kinds = list(dict.fromkeys(leak.kind for leak in refused))
        hints = list(dict.fromkeys(leak.hint for leak in refused))
        declared = ", ".join(f"{kind}: why" for kind in kinds)
        raise LookAheadError(
            "\n".join(["what is learnt would know what it is judged by:", *lines]),
            hint="; ".join(hints) + f"; or declare it, and it stands beside every number: `allow_leak: {{{declared}}}`",
        )
    return give_reasons(leaks, allowed)


def give_reasons(leaks: Sequence[Leak], allowed: Mapping[str, str]) -> tuple[Leak, ...]:
    """Return `leaks`, each with the reason that the file declares for its kind; None where it declares none."""
    return tuple(replace(leak, reason=allowed.get(leak.kind)) for leak in leaks)


def _overlaps(segments: Mapping[str, Any], calendar: TradingCalendar) -> Iterator[Leak]:
    for one, other, last, first in segment_pairs(segments, calendar):
        if last >= first:
            yield Leak(
                kind="overlap",
                message=f"`{one}` and `{other}` share {last - first + 1} session(s), from {calendar[first]:%Y-%m-%d}",
                hint=f"end `{one}` before `{other}` begins",
                keys=(*SEGMENTS, other),
            )


def _learnt_later(segments: Mapping[str, Any]) -> Iterator[Leak]:
    """Yield the segments that a model learns from, or is chosen by, and that begin after what it is judged on."""
    test = segments.get("test")
    for role in ("train", "valid"):
        begin = (segments.get(role) or (None,))[0]
        if test is None or test[0] is None or begin is None or to_session(begin) <= to_session(test[0]):
            continue
        yield Leak(
            kind="order",
            message=f"`{role}` begins on {to_session(begin):%Y-%m-%d}, after `test`, which begins on "
            f"{to_session(test[0]):%Y-%m-%d}: the model would know what came later",
            hint=f"let `{role}` end before `test` begins",
            keys=(*SEGMENTS, role),
        )


def _label_leaks(
    segments: Mapping[str, Any], calendar: TradingCalendar, *, span: int, what: str, keys: KeyPath
) -> Iterator[Leak]:
    wanted = purge_days(span)
    for one, other, last, first in segment_pairs(segments, calendar):
        if last < first < last + wanted:
            days = last + wanted - first
            clean = (
                f"end `{one}` on {calendar[first - wanted]:%Y-%m-%d}" if first >= wanted else f"begin `{other}` later"
            )
            by_rule = keys[0] == "rolling" and other == "test"
            yield Leak(
                kind="label",
                message=f"the labels of the last {days} session(s) of `{one}` read prices of `{other}`: the label is "
                f"{what}, and {first - last - 1} lie between `{one}` and `{other}`, which begins on "
                f"{calendar[first]:%Y-%m-%d}",
                hint=f"set `rolling.trunc_days: auto`, or {wanted} at least" if by_rule else clean,
                keys=keys if by_rule else (*SEGMENTS, one),
            )


def _fit_leaks(span: FitRange, segments: Mapping[str, Any]) -> Iterator[Leak]:
    train = segments.get("train")
    if train is None or train[0] is None:
        return
    judged = {
        role: to_session(segments[role][0])
        for role in ("valid", "test")
        if role in segments and segments[role][0] is not None
    }
    later = {role: start for role, start in judged.items() if start > to_session(train[0])}
    met = [role for role, start in later.items() if span.end is None or to_session(span.end) >= start]
    if not met:
        return
    known = "from all the data there are" if span.end is None else f"up to {span.end}"
    ranged = "" if span.named else ", for it names no fit range"
    starts = " and ".join(f"`{role}` (from {later[role]:%Y-%m-%d})" for role in met)
    yield Leak(
        kind="processors",
        message=f"`{span.processor}` learns {known}{ranged}, and so from {starts}",
        hint="let it learn from train alone: `fit_start_time: <dataset.kwargs.segments.train.0>`, "
        "`fit_end_time: <dataset.kwargs.segments.train.1>`",
        keys=HANDLER,
    )
