"""What a campaign found, as values and as ``summary.json``: the numbers, what stands against them, and the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rollwright.analysis.conventions import Conventions
from rollwright.analysis.health import HealthFinding, findings_from_json
from rollwright.analysis.health_text import finding_to_json
from rollwright.analysis.metrics import Metric, metrics_from_json, metrics_to_json
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError

__all__ = [
    "SUMMARY_FILE",
    "CampaignResult",
    "CombinedResult",
    "TrainingCounts",
    "VariantResult",
    "read_summary",
    "write_summary",
]

SUMMARY_FORMAT: Final = 4
KNOWN_FORMATS: Final = (2, 3, SUMMARY_FORMAT)
"""Format 2 knew no members, no signal made of them, and no windows that a budget left out; format 3 no stages."""
SUMMARY_FILE: Final = "summary.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """Results of one member of the campaign, or of the signal that is made of several.

    Attributes
    ----------
    variant : str
    windows, days, rows : int
        Windows walked, sessions and rows predicted.
    metrics : tuple of Metric
        Of the collected prediction against the raw label and, with a ``backtest`` section, of the account.
    files : mapping of str to Path
        ``predictions`` and ``labels``; the index of each stage, ``collect``, ``analysis`` and ``backtest``; of a
        back-test also ``trades`` and ``unfilled``.
    """

    variant: str
    windows: int
    days: int
    rows: int
    metrics: tuple[Metric, ...]
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedResult:
    """How the campaign's signal was made of its members, and how much these agree.

    Attributes
    ----------
    method : str
    members : tuple of str
        Those that took part.
    label : str
        The member whose label the signal is judged by.
    correlations : mapping of str to mapping of str to float or None
        The mean daily rank correlation of each pair; None where it cannot be told.
    """

    method: str
    members: tuple[str, ...]
    label: str
    correlations: Mapping[str, Mapping[str, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "method": self.method,
            "members": list(self.members),
            "label": self.label,
            "correlations": {name: dict(row) for name, row in self.correlations.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            When it is of another form.
        """
        return cls(
            method=str(data["method"]),
            members=tuple(data["members"]),
            label=str(data["label"]),
            correlations={name: dict(row) for name, row in data["correlations"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """Results of a campaign.

    Attributes
    ----------
    name : str
    variants : tuple of VariantResult
        The signal that is made of several members first, if there is one.
    files : mapping of str to Path
        ``summary``, ``report`` and ``about``.
    notes : tuple of str
        Remarks to read with the numbers.
    health : tuple of HealthFinding
        What has to be known before the numbers are believed, the most serious first.
    conventions : Conventions
        What the numbers count in.
    combined : CombinedResult or None
        None where no signal is made of several members.
    missing : tuple of str
        The windows that a budget left out; the result is partial when there are any.
    left_out : tuple of str
        The windows that failed, and that the file declares as allowed to be missing.
    """

    name: str
    variants: tuple[VariantResult, ...]
    files: Mapping[str, Path]
    notes: tuple[str, ...]
    health: tuple[HealthFinding, ...]
    conventions: Conventions
    combined: CombinedResult | None = None
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self, *, beside: Path | None = None) -> dict[str, Any]:
        """Return everything as JSON: the values that the terminal and the report make their text of.

        Parameters
        ----------
        beside : Path, optional
            A folder that paths are made relative to, so that they stay true when it is moved.
        """
        return {
            "format": SUMMARY_FORMAT,
            "name": self.name,
            "health": [finding_to_json(finding) for finding in self.health],
            "variants": {
                result.variant: {
                    "windows": result.windows,
                    "days": result.days,
                    "rows": result.rows,
                    "metrics": metrics_to_json(result.metrics, findings=self.health, variant=result.variant),
                    "files": _paths_to_json(result.files, beside),
                }
                for result in self.variants
            },
            "combined": None if self.combined is None else self.combined.to_json(),
            "missing": list(self.missing),
            "left_out": list(self.left_out),
            "conventions": self.conventions.to_json(),
            "files": _paths_to_json(self.files, beside),
            "notes": list(self.notes),
        }


def _paths_to_json(files: Mapping[str, Path], beside: Path | None) -> dict[str, str]:
    return {name: (path.relative_to(beside) if beside else path).as_posix() for name, path in files.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCounts:
    """How the windows of a campaign came to their results, here or with workers elsewhere.

    Attributes
    ----------
    trained : int
        Windows whose model was trained.
    records_only : int
        Windows whose model was there already, and of which only records were made.
    kept : int
        Windows whose result was finished and valid before.
    """

    trained: int
    records_only: int
    kept: int


def write_summary(result: CampaignResult, path: Path) -> None:
    """Write `result` as ``summary.json``, whole or not at all; the paths in it are relative to its folder."""
    write_text(path, json.dumps(result.to_json(beside=path.parent), indent=1, ensure_ascii=False) + "\n")


def read_summary(path: Path) -> CampaignResult:
    """Read what `make_results` wrote as ``summary.json``; paths come back beneath the folder it lies in now.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    CorruptFileError
        When it has a format this version does not know, or is damaged.
    """
    try:
        data = json.loads(read_text(path, limit=MEDIUM))
        found = data["format"]
    except FileNotFoundError as error:
        raise DataNotFoundError(path, "no campaign ended here", hint="run it: rollwright roll FILE") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            path,
            f"it is not a campaign's summary: {error}",
            hint="give the campaign's command again: it writes it anew",
        ) from error
    if found not in KNOWN_FORMATS:
        raise CorruptFileError(
            path,
            f"it has format {found!r}, and this version of rollwright reads formats 2 to {SUMMARY_FORMAT}",
            hint="read it with the version that wrote it, or give the campaign's command again: it writes it anew",
        )
    try:
        return CampaignResult(
            name=data["name"],
            variants=tuple(_variant_from_json(name, part, path.parent) for name, part in data["variants"].items()),
            files={name: path.parent / file for name, file in data["files"].items()},
            notes=tuple(data["notes"]),
            health=findings_from_json(data["health"]),
            conventions=Conventions.from_json(data["conventions"]),
            combined=None if data.get("combined") is None else CombinedResult.from_json(data["combined"]),
            missing=tuple(data.get("missing", ())),
            left_out=tuple(data.get("left_out", ())),
        )
    except (DataError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(
            path, f"a part of it is missing or of another form: {error}", hint="give the campaign's command again"
        ) from error


def _variant_from_json(name: str, part: Mapping[str, Any], folder: Path) -> VariantResult:
    return VariantResult(
        variant=name,
        windows=int(part["windows"]),
        days=int(part["days"]),
        rows=int(part["rows"]),
        metrics=metrics_from_json(part["metrics"]),
        files={name: folder / file for name, file in part["files"].items()},
    )
