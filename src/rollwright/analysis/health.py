"""Health: what has to be known before a number of a result is believed.

A finding is a value: what was found, how serious it is, the figures it rests on and the metrics it is about. Its words
are made in `rollwright.analysis.health_text`, in the reader's language. Whoever shows a metric shows beside it which
findings are about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from rollwright.errors import DataError

__all__ = [
    "ACCOUNT",
    "EVERYTHING",
    "HONESTY",
    "SIGNAL",
    "HealthFinding",
    "Severity",
    "findings_from_json",
    "group_findings",
    "sort_findings",
]

Severity: TypeAlias = Literal["serious", "warning", "note"]
"""``serious``: the numbers do not mean what they seem to; ``warning``: read with care; ``note``: nothing is wrong."""

SIGNAL: Final = ("ic", "rank_ic", "icir", "rank_icir")
HONESTY: Final = ("sharpe", "psr", "deflated_sharpe", "pbo", "min_track_record")
ACCOUNT: Final = ("annualized_return", "excess_return", "information_ratio", "max_drawdown", "turnover", *HONESTY)
EVERYTHING: Final = SIGNAL + ACCOUNT

_SEVERITIES: Final = get_args(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFinding:
    """One finding.

    Attributes
    ----------
    kind : str
        A key that programs compare, such as ``constant_scores``; `rollwright.analysis.health_text` has its words.
    severity : {"serious", "warning", "note"}
    values : mapping of str to int, float, str or list
        The figures it rests on.
    metrics : tuple of str
        Keys of the metrics it is about.
    variant : str
        The variant it is about; "" for the whole campaign.
    """

    kind: str
    severity: Severity
    values: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = EVERYTHING
    variant: str = ""

    def __post_init__(self) -> None:
        if self.severity not in _SEVERITIES:
            raise DataError(f"{self.severity!r} is no severity", hint=f"known: {', '.join(_SEVERITIES)}")

    def touches(self, metric: str, variant: str) -> bool:
        """Return whether the finding makes this metric of this variant doubtful; a note never does."""
        return self.severity != "note" and metric in self.metrics and self.variant in ("", variant)


def sort_findings(findings: Iterable[HealthFinding]) -> tuple[HealthFinding, ...]:
    """Return the findings, the most serious first; those that are alike keep their order."""
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))


def group_findings(findings: Iterable[HealthFinding]) -> list[tuple[HealthFinding, ...]]:
    """Return the findings in groups, each where its first stood: what is of one kind about several variants is one.

    Findings about the whole campaign stand alone, and no group has two about one variant: the first of each variant are
    together, then the second.
    """
    groups: dict[object, list[HealthFinding]] = {}
    seen: Counter[object] = Counter()
    for place, finding in enumerate(findings):
        like = (finding.kind, finding.severity, finding.metrics)
        key = (*like, seen[like, finding.variant]) if finding.variant else place
        seen[like, finding.variant] += 1
        groups.setdefault(key, []).append(finding)
    return [tuple(group) for group in groups.values()]


def findings_from_json(data: Sequence[Mapping[str, Any]]) -> tuple[HealthFinding, ...]:
    """Return the findings of a ``summary.json``; its words are not read, since they are made of the values.

    Raises
    ------
    DataError, KeyError, TypeError
        When it is of another form.
    """
    return tuple(
        HealthFinding(
            kind=entry["kind"],
            severity=entry["severity"],
            values=dict(entry["values"]),
            metrics=tuple(entry["metrics"]),
            variant=entry["variant"],
        )
        for entry in data
    )
