"""How a serving stands after an entry of its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from rollwright.core.canonical import JSON
from rollwright.errors import LedgerError
from rollwright.online.entry import take_session
from rollwright.online.stored_values import (
    take_count,
    take_fields,
    take_list,
    take_name,
    take_one_of,
    take_text,
)

__all__ = [
    "ROLES",
    "ClosedDay",
    "DayOutcome",
    "OnlineModel",
    "OpenDay",
    "Role",
    "ServingState",
    "SignalReference",
    "StrategyState",
    "StrategyStatus",
    "is_active",
    "read_references",
]

Role = Literal["champion", "challenger", "shadow"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
StrategyStatus = Literal["active", "paused", "removed"]
DayOutcome = Literal["published", "refused", "skipped"]
_STATUSES: Final = get_args(StrategyStatus)
_OUTCOMES: Final = get_args(DayOutcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineModel:
    """A trained model that serves, or will.

    Attributes
    ----------
    experiment, recorder : str
        Where it is: an experiment's name and a recorder's id.
    serves_from : str
        The first session that it predicts, where its test segment begins.
    fit_key : str
        Identity of what was learnt.
    """

    experiment: str
    recorder: str
    serves_from: str
    fit_key: str

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "experiment": self.experiment,
            "recorder": self.recorder,
            "serves_from": self.serves_from,
            "fit_key": self.fit_key,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("experiment", "recorder", "serves_from", "fit_key"), "an online model")
        take_session(fields["serves_from"], "the first session of an online model")
        return cls(**{name: take_text(text, f"{name} of an online model") for name, text in fields.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReference:
    """Scores of one session, as they are stored: an artifact of a recorder, known by the digest of what it holds.

    Attributes
    ----------
    recorder, artifact : str
        The recorder's id, and the artifact's name in it.
    sha256 : str
        Digest of the rows (see `docs/online.md`), whatever file holds them.
    rows : int
        Instruments that have a score.
    """

    recorder: str
    artifact: str
    sha256: str
    rows: int

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"recorder": self.recorder, "artifact": self.artifact, "sha256": self.sha256, "rows": self.rows}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("recorder", "artifact", "sha256", "rows"), "a reference to a signal")
        rows = fields.pop("rows")
        if type(rows) is not int or rows < 0:
            raise LedgerError(f"a reference to a signal counts {str(rows)[:80]} rows")
        return cls(**{name: take_text(text, f"{name} of a signal") for name, text in fields.items()}, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyState:
    """One strategy.

    Attributes
    ----------
    role : {"champion", "challenger", "shadow"}
        The signals of champions are published, as one; those of challengers and shadows are recorded beside it.
        A challenger is compared with the champion and may be promoted; a shadow is only recorded.
    status : {"active", "paused", "removed"}
    definition : str
        Fingerprint of what it is: its templates and how they roll.
    online : tuple of OnlineModel
        The models that serve.
    next : tuple of OnlineModel
        Models that are trained and wait for their first session.
    withdrawn : tuple of OnlineModel
        Models that a rollback took offline, until others are put online: their windows are not due again.
    role_since, online_since : int
        Numbers of the entries that gave it its role, and put its models online; 0 where none did.
    """

    role: Role
    status: StrategyStatus = "active"
    definition: str = ""
    online: tuple[OnlineModel, ...] = ()
    next: tuple[OnlineModel, ...] = ()
    withdrawn: tuple[OnlineModel, ...] = ()
    role_since: int = 0
    online_since: int = 0

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "role": self.role,
            "status": self.status,
            "definition": self.definition,
            "online": [model.to_json() for model in self.online],
            "next": [model.to_json() for model in self.next],
            "withdrawn": [model.to_json() for model in self.withdrawn],
            "role_since": self.role_since,
            "online_since": self.online_since,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        names = ("role", "status", "definition", "online", "next", "withdrawn", "role_since", "online_since")
        fields = take_fields(value, names, "a strategy")
        return cls(
            role=take_one_of(fields["role"], ROLES, "the role of a strategy"),
            status=take_one_of(fields["status"], _STATUSES, "the status of a strategy"),
            definition=take_text(fields["definition"], "the definition of a strategy"),
            online=take_list(fields["online"], OnlineModel.from_json, "the online models of a strategy"),
            next=take_list(fields["next"], OnlineModel.from_json, "the next models of a strategy"),
            withdrawn=take_list(fields["withdrawn"], OnlineModel.from_json, "the withdrawn models of a strategy"),
            role_since=take_count(fields["role_since"], "the entry of a role"),
            online_since=take_count(fields["online_since"], "the entry of a switch"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDay:
    """The session that is being served.

    Attributes
    ----------
    session : str
    generation : str
        Identity of the data it is served from.
    trained, switched : bool
        Whether what was due is trained, and whether the models of this session are online.
    scores : mapping of str to SignalReference
        The scores of each strategy; empty until they are made.
    signal : SignalReference or None
        The champion's signal, which is to be published.
    """

    session: str
    generation: str
    trained: bool = False
    switched: bool = False
    scores: Mapping[str, SignalReference] | None = None
    signal: SignalReference | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        scores: dict[str, JSON] | None = None
        if self.scores is not None:
            scores = {name: reference.to_json() for name, reference in sorted(self.scores.items())}
        return {
            "session": self.session,
            "generation": self.generation,
            "trained": self.trained,
            "switched": self.switched,
            "scores": scores,
            "signal": None if self.signal is None else self.signal.to_json(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("session", "generation", "trained", "switched", "scores", "signal"), "an open day")
        scores = fields["scores"]
        return cls(
            session=take_session(fields["session"], "the session of an open day"),
            generation=take_text(fields["generation"], "the generation of an open day"),
            trained=fields["trained"] is True,
            switched=fields["switched"] is True,
            scores=None if scores is None else read_references(scores),
            signal=None if fields["signal"] is None else SignalReference.from_json(fields["signal"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedDay:
    """The last session that was served, refused or skipped.

    Attributes
    ----------
    session : str
    outcome : {"published", "refused", "skipped"}
    generation : str
        Identity of the data it was served from; "" where it was skipped.
    known : int
        How many sessions the data had then.
    entry : int
        Number of the entry that closed it.
    signal : SignalReference or None
        The champion's; None where the session was skipped.
    """

    session: str
    outcome: DayOutcome
    generation: str
    known: int
    entry: int
    signal: SignalReference | None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "session": self.session,
            "outcome": self.outcome,
            "generation": self.generation,
            "known": self.known,
            "entry": self.entry,
            "signal": None if self.signal is None else self.signal.to_json(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, ("session", "outcome", "generation", "known", "entry", "signal"), "a closed day")
        return cls(
            session=take_session(fields["session"], "the session of a closed day"),
            outcome=take_one_of(fields["outcome"], _OUTCOMES, "the outcome of a closed day"),
            generation=take_text(fields["generation"], "the generation of a closed day"),
            known=take_count(fields["known"], "the sessions of a closed day"),
            entry=take_count(fields["entry"], "the entry of a closed day"),
            signal=None if fields["signal"] is None else SignalReference.from_json(fields["signal"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingState:
    """A serving after an entry.

    Attributes
    ----------
    begin : str
        The first session to be served.
    strategies : mapping of str to StrategyState
        By name, removed ones included.
    day : OpenDay or None
        The session that is being served.
    known : int
        How many sessions the data had when it was opened.
    last : ClosedDay or None
        The last session that was closed.
    published : str or None
        The last session whose signal was published.
    """

    begin: str
    strategies: Mapping[str, StrategyState]
    day: OpenDay | None = None
    known: int = 0
    last: ClosedDay | None = None
    published: str | None = None

    def with_role(self, *roles: Role) -> tuple[str, ...]:
        """Return the strategies that have one of these roles and serve, sorted."""
        return tuple(sorted(name for name, one in self.strategies.items() if one.role in roles and is_active(one)))

    @property
    def reached(self) -> str | None:
        """The latest session that was opened, skipped or closed."""
        if self.day is not None:
            return self.day.session
        return None if self.last is None else self.last.session

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "begin": self.begin,
            "strategies": {name: one.to_json() for name, one in sorted(self.strategies.items())},
            "day": None if self.day is None else self.day.to_json(),
            "known": self.known,
            "last": None if self.last is None else self.last.to_json(),
            "published": self.published,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(
            value, ("begin", "strategies", "day", "known", "last", "published"), "the state of a serving"
        )
        strategies = fields["strategies"]
        if not isinstance(strategies, Mapping):
            raise LedgerError("the strategies of a serving are no JSON object")
        published = fields["published"]
        return cls(
            begin=take_session(fields["begin"], "the first session of a serving"),
            strategies={take_name(name): StrategyState.from_json(one) for name, one in strategies.items()},
            day=None if fields["day"] is None else OpenDay.from_json(fields["day"]),
            known=take_count(fields["known"], "the known sessions of a serving"),
            last=None if fields["last"] is None else ClosedDay.from_json(fields["last"]),
            published=None if published is None else take_session(published, "the published session"),
        )


def is_active(strategy: StrategyState) -> bool:
    """Tell whether a strategy is served."""
    return strategy.status == "active"


def read_references(value: object) -> dict[str, SignalReference]:
    """Return references to signals by the names of strategies.

    Raises
    ------
    LedgerError
    """
    if not isinstance(value, Mapping):
        raise LedgerError("the scores of a session are no JSON object")
    return {take_name(name): SignalReference.from_json(one) for name, one in value.items()}
