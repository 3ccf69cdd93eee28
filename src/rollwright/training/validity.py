"""Whether a stored result is still the answer (decision D16).

A task's fingerprint says *what* was asked. What it was answered *from* is noted beside the result: the version of what
we store, the code of the user's own modules, and the data that were read; those of the fit and of each record apart,
since a record may read more than the model learnt from. Same identity but invalid means: that part again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from rollwright.config.construct import Trust
from rollwright.config.context import current_settings
from rollwright.config.placeholders import fill_paths
from rollwright.core.canonical import JSON
from rollwright.dataset.contract import ReadScope
from rollwright.errors import ConfigError
from rollwright.tasks.identity import identify
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.task_view import seen_by
from rollwright.training.user_code import code_files, code_hash

__all__ = [
    "RESULT_SCHEMA",
    "Basis",
    "TaskParts",
    "Validity",
    "Verdict",
    "judge",
]

RESULT_SCHEMA: Final = 2
CODE_CHANGED: Final = "your own code changed"
_SHOWN: Final = 3  # files that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What one part of a result was made from.

    Attributes
    ----------
    key : str
        Identity of the part: the fit key, or that of a record.
    code : str
        Hash of the user's own code that its configuration names, empty when it names none.
    reads : tuple of ReadScope
        The data that were read for it.
    artifacts : mapping of str to str
        Of a record: what it left, with the SHA-256 of each.
    """

    key: str
    code: str
    reads: tuple[ReadScope, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "key": self.key,
            "code": self.code,
            "reads": [scope.to_json() for scope in self.reads],
            "artifacts": dict(self.artifacts),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            key=str(value["key"]),
            code=str(value["code"]),
            reads=tuple(ReadScope.from_json(scope) for scope in value["reads"]),
            artifacts={str(name): str(digest) for name, digest in value["artifacts"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """What a whole result was made from: its fit, and each record in order."""

    fit: Basis
    records: tuple[Basis, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, with the version of what we store."""
        records: list[JSON] = [basis.to_json() for basis in self.records]
        return {"schema": RESULT_SCHEMA, "fit": self.fit.to_json(), "records": records}

    @classmethod
    def from_json(cls, value: object) -> Self | None:
        """Return what `to_json` wrote; None for what another version stored, or none at all."""
        if not isinstance(value, Mapping) or value.get("schema") != RESULT_SCHEMA:
            return None
        try:
            records = tuple(Basis.from_json(basis) for basis in value["records"])
            return cls(fit=Basis.from_json(value["fit"]), records=records)
        except (KeyError, TypeError, AttributeError, ConfigError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskParts:
    """The parts of a task that are made, and judged, apart: their identities and the user's code they name now.

    Attributes
    ----------
    fingerprint : str
        The identity of the whole task.
    seed : int
        What its model draws from, where it names no seed of its own.
    fit : Basis
    records : tuple of Basis
        In the order in which they are made.
    files : mapping of str to str
        All of the user's files that the task names, with their hashes.
    """

    fingerprint: str
    seed: int
    fit: Basis
    records: tuple[Basis, ...]
    files: Mapping[str, str]

    @classmethod
    def of(cls, definition: Mapping[str, Any], *, trust: Trust | None = None) -> TaskParts:
        """Return the parts of the task `definition`."""
        trusted = trust if trust is not None else Trust.from_settings(current_settings())
        learnt = {name: definition.get(name) for name in ("model", "dataset", "reweighter")}
        identity = identify(definition, trust=trusted)
        records = zip(identity.record_keys, record_configs(definition), strict=True)
        return cls(
            fingerprint=identity.fingerprint,
            seed=identity.seed,
            fit=Basis(key=identity.fit_key, code=code_hash(learnt, trusted)),
            records=tuple(Basis(key=key, code=code_hash({"record": config}, trusted)) for key, config in records),
            files=code_files(definition, trusted),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why parts of a result are no answer any more.

    Attributes
    ----------
    fit : str or None
        Why the model must be trained again; None when it stands.
    records : str or None
        Why a record must be made again, on the model there is; None when all stand, or the model does not.
    is_stale : bool
        Whether the result is known to be whole, and only what it was made from has changed.
    """

    fit: str | None = None
    records: str | None = None
    is_stale: bool = False

    @property
    def reason(self) -> str | None:
        """Why anything is to be made again."""
        return self.fit or self.records


def record_configs(definition: Mapping[str, Any]) -> list[Any]:
    """Return the configurations of the records that a task asks for, placeholders of paths filled."""
    records = fill_paths(definition).get("record")
    if records is None:
        return []
    return [*records] if isinstance(records, list | tuple) else [records]


def judge(
    definition: Mapping[str, Any],
    recorded: object,
    *,
    check: ScopeCheck,
    trust: Trust | None = None,
    made_with: Callable[[], Mapping[str, str] | None] | None = None,
) -> Verdict:
    """Tell which parts of a result of `definition` are no answer any more.

    Parameters
    ----------
    definition : mapping
    recorded : JSON
        What `rollwright.training.execute.execute` returned when the result was made.
    check : ScopeCheck
    trust : Trust, optional
    made_with : callable, optional
        Returns the user's own files that the result was made with, as `TaskParts.files`; asked when code changed, so
        that the files can be named. None where that is not known.
    """
    validity = Validity.from_json(recorded)
    if validity is None:
        return Verdict(fit="the format of results changed")
    parts = TaskParts.of(definition, trust=trust)

    def tell_code() -> str:
        return _describe_code(None if made_with is None else made_with(), parts.files)

    with seen_by(definition):
        fit = why_stale(definition, validity.fit, now=parts.fit, check=check, tell_code=tell_code)
        if fit is not None:
            return Verdict(fit=fit)
        if len(validity.records) < len(parts.records):
            return Verdict(records="records are missing")
        reasons = (
            why_stale(definition, basis, now=now, check=check, tell_code=tell_code)
            for basis, now in zip(validity.records, parts.records, strict=False)
        )
        return Verdict(records=next((reason for reason in reasons if reason is not None), None))


def _describe_code(then: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    """Return that the user's own code changed, and which files did where that is known."""
    names = [] if then is None else sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    shown = f": {', '.join(names[:_SHOWN])}" if names else ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{CODE_CHANGED}{shown}{more}"


def why_stale(
    definition: Mapping[str, Any],
    basis: Basis,
    *,
    now: Basis,
    check: ScopeCheck,
    tell_code: Callable[[], str] = lambda: CODE_CHANGED,
) -> str | None:
    """Return why one part of a result does not stand, all reasons at once; None when it does.

    `tell_code` says that the user's own code changed.
    """
    if basis.key != now.key:
        return "it was made from another configuration"
    reasons = [tell_code()] if basis.code != now.code else []
    data = check.why_stale(definition, basis.reads)
    return " and ".join([*reasons, *([data] if data is not None else [])]) or None
