"""The record of a search in its project: what was asked for and what was told, each in a file of its own.

``search.json`` says of which file it is, ``asked/0003.json`` which trials the fourth generation has, and
``told/0007.json`` what became of trial 7. Together with the pool they are all that a search goes on from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rollwright.campaign.search_section import SearchSection
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, SMALL, read_text
from rollwright.core.canonical import parse_json
from rollwright.core.json_lines import dump_lines
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.search.trial import AskedTrial, ToldTrial

__all__ = ["SearchHeader", "SearchRecord"]

_FORMAT: Final = 1
_HEADER: Final = "search.json"
_HINT: Final = "start it anew, which keeps what is trained: rollwright search run FILE --anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHeader:
    """Of which file a search is.

    Attributes
    ----------
    name : str
    file : str
        The campaign's file, relative to the project when it lies there.
    overrides : tuple of str
    provider_uri : str or None
    identity : str
        Of all that its trials depend on: the file as it is read, without the number of trials.
    section : SearchSection
    periods, risk_free : float
        Sessions of a year, and the rate of a year that Sharpe ratios are taken over.
    """

    name: str
    file: str
    overrides: tuple[str, ...]
    provider_uri: str | None
    identity: str
    section: SearchSection
    periods: float
    risk_free: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "file": self.file,
            "overrides": [*self.overrides],
            "provider_uri": self.provider_uri,
            "identity": self.identity,
            "section": self.section.model_dump(mode="json", by_alias=True, exclude_unset=True),
            "periods": self.periods,
            "risk_free": self.risk_free,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` made."""
        if value["format"] != _FORMAT:
            raise ValueError(f"its format is {value['format']!r}, not {_FORMAT}")
        return cls(
            name=str(value["name"]),
            file=str(value["file"]),
            overrides=tuple(str(one) for one in value["overrides"]),
            provider_uri=None if value["provider_uri"] is None else str(value["provider_uri"]),
            identity=str(value["identity"]),
            section=SearchSection.model_validate(value["section"]),
            periods=float(value["periods"]),
            risk_free=float(value["risk_free"]),
        )


class SearchRecord:
    """What is known of a search.

    Guarantees: a file is there whole or not at all, and what was asked or told is not changed once it is written.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def storage(self) -> Path:
        """The database that ``optuna-dashboard`` opens."""
        return self.folder / "optuna.db"

    def read_header(self) -> SearchHeader | None:
        """Return of which file it is; None when nothing was begun.

        Raises
        ------
        CorruptFileError
        """
        path = self.folder / _HEADER
        if not path.exists():
            return None
        try:
            return SearchHeader.from_json(parse_json(read_text(path, limit=SMALL)))
        except (OSError, ValueError, KeyError, TypeError, RollwrightError) as error:
            raise CorruptFileError(path, f"it does not say what is searched: {error}", hint=_HINT) from error

    def write_header(self, header: SearchHeader) -> None:
        """Begin the record, or note that more trials are asked for."""
        write_text(self.folder / _HEADER, json.dumps(header.to_json(), indent=1) + "\n")

    def read_asked(self) -> list[list[AskedTrial]]:
        """Return the generations that were asked for, in order.

        Raises
        ------
        CorruptFileError
            When one cannot be read, or trials are missing among them.
        """
        generations: list[list[AskedTrial]] = []
        count = 0
        for path in sorted((self.folder / "asked").glob("*.json")):
            try:
                found: Any = parse_json(read_text(path, limit=MEDIUM))
                made = [AskedTrial(number=int(one["number"]), params=dict(one["params"])) for one in found["trials"]]
                if [one.number for one in made] != [*range(count, count + len(made))]:
                    raise ValueError(f"its trials are not numbered from {count} on")
            except (OSError, ValueError, KeyError, TypeError, RollwrightError) as error:
                raise CorruptFileError(path, f"it does not say what was tried: {error}", hint=_HINT) from error
            generations.append(made)
            count += len(made)
        return generations

    def write_asked(self, generation: int, trials: Sequence[AskedTrial]) -> None:
        """Note a generation before the first of its windows is submitted."""
        body: dict[str, Any] = {"trials": [{"number": one.number, "params": dict(one.params)} for one in trials]}
        write_text(self.folder / "asked" / f"{generation:04d}.json", dump_lines(body, levels=2))

    def read_told(self, asked: Sequence[Sequence[AskedTrial]]) -> list[ToldTrial]:
        """Return what became of the trials, in order, up to the first that is not known.

        Raises
        ------
        CorruptFileError
            When one cannot be read, or is of other values than were asked for.
        """
        told: list[ToldTrial] = []
        for trial in (one for generation in asked for one in generation):
            path = self._told_path(trial.number)
            if not path.exists():
                break
            try:
                found = ToldTrial.from_json(parse_json(read_text(path, limit=MEDIUM)))
                if (found.number, dict(found.params)) != (trial.number, dict(trial.params)):
                    raise ValueError("it is of other values than were asked for")
            except (OSError, ValueError, KeyError, TypeError, RollwrightError) as error:
                raise CorruptFileError(path, f"it does not say what became of a trial: {error}", hint=_HINT) from error
            told.append(found)
        return told

    def write_told(self, trial: ToldTrial) -> None:
        """Note what became of a trial; trials are told in the order of their numbers."""
        write_text(self._told_path(trial.number), dump_lines(trial.to_json()))

    def _told_path(self, number: int) -> Path:
        return self.folder / "told" / f"{number:04d}.json"
