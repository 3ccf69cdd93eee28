"""What the results of a campaign or of a given signal say beside their tables: ``about.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rollwright.analysis.health import HealthFinding, findings_from_json
from rollwright.analysis.health_text import finding_to_json
from rollwright.analysis.stages.locations import STAGES, StageName
from rollwright.campaign.summary import CombinedResult
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.text import is_name
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError

__all__ = ["ABOUT_FILE", "AboutResults", "AboutVariant", "read_about", "write_about"]

ABOUT_FILE: Final = "about.json"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutVariant:
    """One signal whose results lie here.

    Attributes
    ----------
    name : str
    is_top : bool
        Whether its files lie at the top of the folder, and not in ``members/NAME``.
    is_signal : bool
        Whether it is made of the others.
    stages : tuple of StageName
        Those that lie there, in order.
    """

    name: str
    is_top: bool = True
    is_signal: bool = False
    stages: tuple[StageName, ...] = ("collect", "analyze")


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutResults:
    """Whose results they are, and what is to be read with them.

    Attributes
    ----------
    name, title : str
    command : str
        What makes the results anew, as a line for a shell.
    variants : tuple of AboutVariant
        In the order in which they are shown.
    findings : tuple of HealthFinding
        Those that no stage of a variant finds: of plan, market and tracking.
    notes : tuple of str
    facts : tuple of (str, str)
        Small print.
    created : str
        When they were made.
    config : str
        The file that asked for them, passwords hidden; "" without one.
    lang : {"en", "zh"}
    combined : CombinedResult or None
    missing, left_out : tuple of str
        As `CampaignResult` has them.
    """

    name: str
    title: str
    command: str
    variants: tuple[AboutVariant, ...]
    findings: tuple[HealthFinding, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    created: str = ""
    config: str = ""
    lang: Literal["en", "zh"] = "en"
    combined: CombinedResult | None = None
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "format": FORMAT,
            "name": self.name,
            "title": self.title,
            "command": self.command,
            "variants": [
                {
                    "name": one.name,
                    "is_top": one.is_top,
                    "is_signal": one.is_signal,
                    "stages": list(one.stages),
                }
                for one in self.variants
            ],
            "findings": [finding_to_json(finding) for finding in self.findings],
            "notes": list(self.notes),
            "facts": [list(fact) for fact in self.facts],
            "created": self.created,
            "config": self.config,
            "lang": self.lang,
            "combined": None if self.combined is None else self.combined.to_json(),
            "missing": list(self.missing),
            "left_out": list(self.left_out),
        }


def write_about(about: AboutResults, folder: Path) -> Path:
    """Write `about` into `folder`, whole or not at all, and return the file."""
    path = folder / ABOUT_FILE
    write_text(path, json.dumps(about.to_json(), indent=1, ensure_ascii=False) + "\n")
    return path


def read_about(folder: Path, *, hint: str) -> AboutResults:
    """Return what `write_about` wrote into `folder`.

    Parameters
    ----------
    folder : Path
    hint : str
        What to do where there is none, or a damaged one.

    Raises
    ------
    DataNotFoundError, CorruptFileError
    """
    path = folder / ABOUT_FILE
    try:
        data = json.loads(read_text(path, limit=MEDIUM))
        if data["format"] != FORMAT:
            raise DataError(f"it has format {data['format']!r}, and this version of rollwright reads {FORMAT}")
        return AboutResults(
            name=_text(data["name"]),
            title=_text(data["title"]),
            command=_text(data["command"]),
            variants=tuple(_variant(entry) for entry in data["variants"]),
            findings=findings_from_json(data["findings"]),
            notes=_texts(data["notes"]),
            facts=tuple((_text(key), _text(text)) for key, text in data["facts"]),
            created=_text(data["created"]),
            config=_text(data["config"]),
            lang="zh" if data["lang"] == "zh" else "en",
            combined=None if data["combined"] is None else CombinedResult.from_json(data["combined"]),
            missing=_texts(data["missing"]),
            left_out=_texts(data["left_out"]),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataNotFoundError(folder, "it holds no results with tables", hint=hint) from error
    except (DataError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFileError(path, f"it does not tell whose results these are: {error}", hint=hint) from error


def _variant(entry: Mapping[str, Any]) -> AboutVariant:
    name = _text(entry["name"])
    if not is_name(name.replace("=", "-")):  # it names a folder
        raise ValueError(f"{name!r} is the name of no variant")
    return AboutVariant(
        name=name,
        is_top=entry["is_top"] is True,
        is_signal=entry["is_signal"] is True,
        stages=tuple(stage for stage in STAGES if stage in _texts(entry["stages"])),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{type(values).__name__} in place of a list")
    return tuple(_text(value) for value in values)
