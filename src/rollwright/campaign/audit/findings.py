"""What an audit finds: leaks and notes with their proofs, and what it would have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from rollwright.campaign.leaks import Leak, LeakKind
from rollwright.core.canonical import JSON

__all__ = ["AuditFinding", "AuditReport", "Power", "ProbePower", "Proof", "Severity"]

Severity: TypeAlias = Literal["leak", "declared", "note"]
REPORT_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One cell that moved when only what came later, or the base of the prices, was changed.

    Attributes
    ----------
    column : str
        The feature or label; ``(row)`` where the row itself comes or goes.
    instrument, date : str
        Whose cell it is.
    before, after : float
        Its value on the data as they are, and on the changed ones; NaN where there is none.
    change : str
        What was changed, in words.
    earliest : str or None
        The earliest session after `date` whose change alone moves the cell; None where no session stands for itself.
    distance : int or None
        How many sessions after `date` that is.
    """

    column: str
    instrument: str
    date: str
    before: float
    after: float
    change: str
    earliest: str | None = None
    distance: int | None = None

    @property
    def text(self) -> str:
        """The proof, in words."""
        found = f"`{self.column}` of {self.instrument} on {self.date}: {_show(self.before)}, and {_show(self.after)} "
        found += f"after {self.change}"
        if self.earliest is None:
            return found
        return f"{found}; {self.earliest}, {self.distance} session(s) later, moves it alone"

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON; NaN is null."""
        return {**asdict(self), "before": _plain(self.before), "after": _plain(self.after)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """One way in which something knows more than it may.

    Attributes
    ----------
    kind : str
        One of `rollwright.campaign.leaks.LEAK_KINDS`, as ``allow_leak`` names it; ``warm-up`` and ``universe`` for
        notes.
    severity : {"leak", "declared", "note"}
        A leak ends the audit with exit code 4; a declared one has a reason in the file; a note is worth knowing.
    message, hint : str
    window : str
        The window it was found in.
    columns : tuple of str
        The columns it is about; none where it is about rows or segments.
    proof : Proof or None
        None where the configuration itself says so.
    reason : str or None
        Why it is meant, where the file declares it.
    members : tuple of str
        Of a campaign with several: those whose windows have it.
    """

    kind: LeakKind | Literal["warm-up", "universe"]
    severity: Severity
    message: str
    hint: str
    window: str
    columns: tuple[str, ...] = ()
    proof: Proof | None = None
    reason: str | None = None
    members: tuple[str, ...] = ()

    @classmethod
    def of_leak(
        cls, leak: Leak, *, window: str, columns: tuple[str, ...] = (), members: tuple[str, ...] = ()
    ) -> AuditFinding:
        """Return what the configuration says as a finding."""
        return cls(
            kind=leak.kind,
            severity="leak" if leak.reason is None else "declared",
            message=leak.message,
            hint=leak.hint,
            window=window,
            columns=columns,
            reason=leak.reason,
            members=members,
        )

    def touching(self, members: Sequence[str]) -> AuditFinding:
        """Return it with other members that have it, too."""
        return replace(self, members=tuple(dict.fromkeys((*self.members, *members))))

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            "window": self.window,
            "columns": list(self.columns),
            "proof": None if self.proof is None else self.proof.to_json(),
            "reason": self.reason,
            "members": list(self.members),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePower:
    """What was looked at on one probe date.

    Attributes
    ----------
    window, date : str
        The window, and the last session whose data stayed as they are.
    names, rows : int
        Instruments, and (session, instrument) rows that were compared.
    ahead : int
        Sessions after the date that were changed: what reads further ahead than this alone is not seen here.
    history : int
        Sessions before the date that were loaded.
    is_whole : bool
        Whether that was all the history there is.
    """

    window: str
    date: str
    names: int
    rows: int
    ahead: int
    history: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What an audit would have seen, and what it could not.

    Attributes
    ----------
    probes : tuple of ProbePower
    changes : tuple of str
        How the data were changed.
    features, labels : int
        Columns that were compared.
    blind : tuple of str
        Columns that no change of the market moved, after the date either: constant, or not computed from the market.
    empty : tuple of str
        Columns that had no value where it was looked.
    unseen : tuple of str
        What was not looked at, and why.
    recomputed : int
        How often the data were computed.
    """

    probes: tuple[ProbePower, ...] = ()
    changes: tuple[str, ...] = ()
    features: int = 0
    labels: int = 0
    blind: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    recomputed: int = 0

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "probes": [dict(asdict(probe)) for probe in self.probes],
            "changes": list(self.changes),
            "features": self.features,
            "labels": self.labels,
            "blind": list(self.blind),
            "empty": list(self.empty),
            "unseen": list(self.unseen),
            "recomputed": self.recomputed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The verdict on a campaign.

    Attributes
    ----------
    name : str
        The campaign.
    findings : tuple of AuditFinding
        Leaks first, then declared ones, then notes.
    power : Power
    """

    name: str
    findings: tuple[AuditFinding, ...]
    power: Power = field(default_factory=Power)

    @property
    def leaks(self) -> tuple[AuditFinding, ...]:
        """The findings that nothing declares."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    @property
    def ok(self) -> bool:
        """Whether no leak was found that the file does not declare."""
        return not self.leaks

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, with the number of the format."""
        return {
            "format": REPORT_FORMAT,
            "campaign": self.name,
            "findings": [finding.to_json() for finding in self.findings],
            "power": self.power.to_json(),
        }


def sort_findings(findings: Sequence[AuditFinding]) -> tuple[AuditFinding, ...]:
    """Return leaks, declared leaks and notes, each in the order found."""
    order = ("leak", "declared", "note")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def _show(value: float) -> str:
    return "no value" if np.isnan(value) else f"{value:.6g}"


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
