"""What the routes answer, as the OpenAPI page describes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rollwright.app.online.serve import Freshness, ServedSession
from rollwright.online.entry import LedgerEntry
from rollwright.online.state import DayOutcome, OnlineModel, Role, ServingState, StrategyStatus

__all__ = [
    "DayAnswer",
    "DaysAnswer",
    "EntryAnswer",
    "FreshnessAnswer",
    "HealthAnswer",
    "HistoryAnswer",
    "ModelsAnswer",
    "ProblemAnswer",
    "ReadinessAnswer",
    "RolesAnswer",
    "ServingAnswer",
    "ServingsAnswer",
    "SignalAnswer",
    "SignalsAnswer",
    "StrategiesAnswer",
]

Digest = Annotated[str, Field(description="SHA-256 of the rows, in hex")]
Day = Annotated[str, Field(description="a session, as 2024-05-17", examples=["2024-05-17"])]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProblemAnswer(_Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str | None = None


class HealthAnswer(_Answer):
    """The process runs."""

    status: Literal["ok"] = "ok"
    version: str


class ReadinessAnswer(_Answer):
    """Whether the ledgers were read lately."""

    ready: bool
    servings: dict[str, bool]


class ServingAnswer(_Answer):
    """How a serving stands."""

    serving: str
    begin: Day
    published: Day | None = Field(description="the last session that was published")
    reached: Day | None = Field(description="the last session that was opened, closed or skipped")
    open: Day | None = Field(description="the session that is being served")
    entry: int = Field(description="number of the ledger's last entry")
    digest: str = Field(description="its digest")
    at: str = Field(description="when it was made, in UTC")

    @classmethod
    def of(cls, head: LedgerEntry) -> ServingAnswer:
        """Describe the serving as its last entry says."""
        state = ServingState.from_json(head.state)
        return cls(
            serving=head.serving,
            begin=state.begin,
            published=state.published,
            reached=state.reached,
            open=None if state.day is None else state.day.session,
            entry=head.number,
            digest=head.digest,
            at=head.at,
        )


class ServingsAnswer(_Answer):
    """All servings of this server."""

    servings: list[ServingAnswer]


class SignalAnswer(_Answer):
    """Scores of one session."""

    serving: str
    session: Day
    strategy: str | None = Field(description="whose they are; null for the signal that is published")
    entry: int = Field(description="number of the entry that closed the session")
    sha256: Digest
    rows: int
    scores: dict[str, float | None] = Field(description="by instrument; null where a strategy gave none")


class SignalsAnswer(_Answer):
    """Scores of several sessions or strategies."""

    signals: list[SignalAnswer]


class DayAnswer(_Answer):
    """What became of one session."""

    session: Day
    outcome: DayOutcome
    entry: int
    generation: str = Field(description="identity of the data it was served from")
    sha256: Digest | None = Field(description="of the signal that was published or refused")
    rows: int | None
    roles: dict[str, Role] = Field(description="the role of each strategy that scored it")

    @classmethod
    def of(cls, day: ServedSession) -> DayAnswer:
        """Describe a session."""
        return cls(
            session=day.session,
            outcome=day.outcome,
            entry=day.entry,
            generation=day.generation,
            sha256=None if day.signal is None else day.signal.sha256,
            rows=None if day.signal is None else day.signal.rows,
            roles=dict(day.roles),
        )


class DaysAnswer(_Answer):
    """Sessions that were closed, the newest first."""

    days: list[DayAnswer]
    more: bool = Field(description="whether older ones of the range were left out; ask for those before the last one")


class ModelAnswer(_Answer):
    """A model that serves, or will."""

    experiment: str
    recorder: str
    serves_from: Day
    fit_key: str = Field(description="identity of what was learnt")

    @classmethod
    def of(cls, model: OnlineModel) -> ModelAnswer:
        """Describe a model."""
        return cls(
            experiment=model.experiment,
            recorder=model.recorder,
            serves_from=model.serves_from,
            fit_key=model.fit_key,
        )


class StrategyAnswer(_Answer):
    """One strategy."""

    strategy: str
    role: Role
    status: StrategyStatus
    definition: str = Field(description="fingerprint of what it is")


class StrategiesAnswer(_Answer):
    """All strategies of a serving, removed ones included."""

    strategies: list[StrategyAnswer]

    @classmethod
    def of(cls, state: ServingState) -> StrategiesAnswer:
        """Describe the strategies."""
        return cls(
            strategies=[
                StrategyAnswer(strategy=name, role=one.role, status=one.status, definition=one.definition)
                for name, one in sorted(state.strategies.items())
            ]
        )


class RolesAnswer(_Answer):
    """The strategies that serve, by role."""

    champion: list[str]
    challenger: list[str]
    shadow: list[str]

    @classmethod
    def of(cls, state: ServingState) -> RolesAnswer:
        """Describe the roles."""
        return cls(
            champion=[*state.with_role("champion")],
            challenger=[*state.with_role("challenger")],
            shadow=[*state.with_role("shadow")],
        )


class StrategyModelsAnswer(_Answer):
    """The models of one strategy."""

    strategy: str
    role: Role
    online: list[ModelAnswer]
    next: list[ModelAnswer] = Field(description="trained, waiting for their first session")


class ModelsAnswer(_Answer):
    """The models of the strategies that serve."""

    models: list[StrategyModelsAnswer]

    @classmethod
    def of(cls, state: ServingState) -> ModelsAnswer:
        """Describe the models."""
        return cls(
            models=[
                StrategyModelsAnswer(
                    strategy=name,
                    role=state.strategies[name].role,
                    online=[ModelAnswer.of(model) for model in state.strategies[name].online],
                    next=[ModelAnswer.of(model) for model in state.strategies[name].next],
                )
                for name in state.with_role("champion", "challenger", "shadow")
            ]
        )


class EntryAnswer(_Answer):
    """One entry of the ledger."""

    number: int
    kind: str
    at: str
    user: str
    host: str
    reason: str
    session: Day | None
    before: str = Field(description="digest of the entry before")
    digest: str
    body: dict[str, Any]

    @classmethod
    def of(cls, entry: LedgerEntry) -> EntryAnswer:
        """Describe an entry."""
        return cls(
            number=entry.number,
            kind=entry.kind,
            at=entry.at,
            user=entry.by.user,
            host=entry.by.host,
            reason=entry.reason,
            session=entry.session,
            before=entry.before,
            digest=entry.digest,
            body=dict(entry.body),
        )


class HistoryAnswer(_Answer):
    """Entries of the ledger, the newest first."""

    entries: list[EntryAnswer]
    before: int | None = Field(description="ask with ?before= this for the next page; null on the last")


class FreshnessAnswer(_Answer):
    """How far what is published is behind the data."""

    data: Day | None = Field(description="the last session of the data")
    published: Day | None
    reached: Day | None
    behind: int = Field(description="sessions of the data after the published one")
    due: datetime | None = Field(description="until when the last session of the data is to be published")
    late: bool

    @classmethod
    def of(cls, found: Freshness) -> FreshnessAnswer:
        """Describe the freshness."""
        return cls(
            data=found.data,
            published=found.published,
            reached=found.reached,
            behind=found.behind,
            due=found.due,
            late=found.late,
        )
