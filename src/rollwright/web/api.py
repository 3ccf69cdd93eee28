"""The routes of the serving API, all of which only read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from rollwright import __version__
from rollwright.app.metrics import METRICS_TYPE
from rollwright.app.online.serve import Scores, ServingReader
from rollwright.core.canonical import sha256_hex
from rollwright.errors import RollwrightError, SignalNotFoundError, StoreUnavailableError, TrackingUnavailableError
from rollwright.online.entry import LedgerEntry
from rollwright.online.state import Role, ServingState
from rollwright.web.answers import (
    DayAnswer,
    DaysAnswer,
    EntryAnswer,
    FreshnessAnswer,
    HealthAnswer,
    HistoryAnswer,
    ModelsAnswer,
    ProblemAnswer,
    ReadinessAnswer,
    RolesAnswer,
    ServingAnswer,
    ServingsAnswer,
    SignalAnswer,
    SignalsAnswer,
    StrategiesAnswer,
)
from rollwright.web.guard import AccessRules, RequestGuard, is_known
from rollwright.web.latest import LatestSignals
from rollwright.web.media import BY_FORMAT, Media, accepts_gzip, choose_media
from rollwright.web.page import STYLE, render_page
from rollwright.web.problems import PROBLEM_TYPE, make_problem
from rollwright.web.renditions import Rendition, render_scores, render_table

__all__ = ["make_api", "make_application"]

_logger: Final = logging.getLogger("rollwright.web")

_SESSION: Final = r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$"
_MOST_DAYS: Final = 250
_MOST_SIGNALS: Final = 20
_MOST_ENTRIES: Final = 500

Format = Literal["json", "csv", "arrow", "parquet"]
Session = Annotated[str, Field(pattern=_SESSION, description="a session, as 2024-05-17")]
ServingPath = Annotated[str, Path(description="name of a serving", max_length=100)]
StrategyPath = Annotated[str, Path(description="name of a strategy", max_length=100)]
_FORMAT: Final = "instead of the header Accept"

_PROBLEM: Final = {"content": {PROBLEM_TYPE: {"schema": ProblemAnswer.model_json_schema()}}}
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"description": "what was asked for is not there, or not answered", **_PROBLEM},
    "5XX": {"description": "it cannot be answered now", **_PROBLEM},
}
_TABLES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "scores; `ETag` names the entry and the digest",
        "content": {media.plain: {"schema": {"type": "string"}} for media in Media if media is not Media.JSON},
    },
    304: {"description": "what the client has, by `If-None-Match`, is still it"},
}


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FormatQuery(_Query):
    """How scores are wanted."""

    format: Annotated[Format | None, Field(description=_FORMAT)] = None


class SessionQuery(FormatQuery):
    """Of which session scores are wanted."""

    session: Annotated[Session | None, Field(description="the last one that was scored if not given")] = None


class DaysQuery(_Query):
    """Which sessions are listed."""

    start: Annotated[Session | None, Field(description="the first one")] = None
    end: Annotated[Session | None, Field(description="the last one")] = None
    limit: Annotated[int, Field(ge=1, le=_MOST_DAYS, description="the most to list")] = 60


class RangeQuery(FormatQuery):
    """Of which sessions signals are wanted."""

    start: Annotated[Session, Field(description="the first one")]
    end: Annotated[Session, Field(description="the last one")]
    limit: Annotated[int, Field(ge=1, le=_MOST_SIGNALS, description="the most to return, the newest ones")] = 5


class HistoryQuery(_Query):
    """Which entries are listed."""

    before: Annotated[int | None, Field(ge=1, le=2**53, description="only entries below this number")] = None
    limit: Annotated[int, Field(ge=1, le=_MOST_ENTRIES, description="the most to list")] = 100


class NoQuery(_Query):
    """Nothing is asked for in the query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Routes:
    """What the routes answer; one method each."""

    readers: Mapping[str, ServingReader]
    latest: LatestSignals

    def read(self, serving: str) -> ServingReader:
        """Return the reader of a serving."""
        reader = self.readers.get(serving)
        if reader is None:
            raise HTTPException(404, "this server has no serving of that name; /v1/servings lists them")
        return reader

    def head(self, serving: str) -> LedgerEntry:
        """Return the last entry of a serving."""
        head = self.read(serving).read_head()
        if head is None:
            raise HTTPException(404, "this serving was not begun yet: its ledger has no entry")
        return head

    def state(self, serving: str) -> ServingState:
        """Return how a serving stands."""
        return ServingState.from_json(self.head(serving).state)

    def list_servings(self) -> ServingsAnswer:
        """Return all servings that were begun."""
        heads = [reader.read_head() for _, reader in sorted(self.readers.items())]
        return ServingsAnswer(servings=[ServingAnswer.of(head) for head in heads if head is not None])

    def find_latest(self, request: Request, serving: str, query: FormatQuery) -> Response:
        """Return the latest signal, as the thread that looks for it found it."""
        self.read(serving)
        look = self.latest.find(serving)
        if look is None:
            raise HTTPException(503, "the ledger was not read lately, so that nobody knows which signal is the latest")
        if not look.renditions:
            raise HTTPException(404, "no signal of this serving is published yet")
        return _send(request, look.renditions[_choose(request, query)])

    def list_days(self, serving: str, query: DaysQuery) -> DaysAnswer:
        """Return the sessions that were closed."""
        days = self.read(serving).list_days(start=query.start, end=query.end, limit=query.limit + 1)
        return DaysAnswer(days=[DayAnswer.of(day) for day in days[: query.limit]], more=len(days) > query.limit)

    def find_role(self, request: Request, serving: str, role: Role, query: SessionQuery) -> Response:
        """Return what all strategies of a role said of a session."""
        several = self.read(serving).load_role(role, query.session)
        if not several:
            raise HTTPException(404, f"no strategy was a {role} and has scores of that session")
        name = f"{serving}-{role}-{several[0].session}"
        return _send(request, _join(several, _choose(request, query), name=name, with_strategy=True))

    def find_range(self, request: Request, serving: str, query: RangeQuery) -> Response:
        """Return the published signals of a range."""
        several = self.read(serving).load_range(start=query.start, end=query.end, limit=query.limit)
        name = f"{serving}-{query.start}-{query.end}"
        return _send(request, _join(several, _choose(request, query), name=name))

    def list_history(self, serving: str, query: HistoryQuery) -> HistoryAnswer:
        """Return a page of the history."""
        entries = self.read(serving).list_history(before=query.before, limit=query.limit)
        last = entries[-1].number if entries else 1
        return HistoryAnswer(entries=[EntryAnswer.of(entry) for entry in entries], before=last if last > 1 else None)

    def find_entry(self, serving: str, number: int) -> EntryAnswer:
        """Return one entry."""
        entry = self.read(serving).read_entry(number)
        if entry is None:
            raise HTTPException(404, f"this serving has no entry {number}")
        return EntryAnswer.of(entry)

    def read_freshness(self, serving: str) -> FreshnessAnswer:
        """Return how far a serving is behind the data."""
        found = self.read(serving).read_freshness()
        if found is None:
            raise HTTPException(404, "this server does not read the data of this serving")
        return FreshnessAnswer.of(found)

    def read_readiness(self, response: Response) -> ReadinessAnswer:
        """Return whether all ledgers were read lately."""
        ready = {name: self.latest.find(name) is not None for name in sorted(self.readers)}
        response.status_code = 200 if all(ready.values()) else 503
        return ReadinessAnswer(ready=all(ready.values()), servings=ready)


def make_application(
    readers: Sequence[ServingReader],
    latest: LatestSignals,
    rules: AccessRules,
    read_metrics: Callable[[], str] | None = None,
) -> RequestGuard:
    """Return the whole application: the routes behind the guard."""
    return RequestGuard(make_api(readers, latest, read_metrics), rules, latest)


def make_api(
    readers: Sequence[ServingReader], latest: LatestSignals, read_metrics: Callable[[], str] | None = None
) -> FastAPI:
    """Return the routes, without the guard that belongs before them."""
    off: Any = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False, "operation_spans": False}
    api = FastAPI(
        title="rollwright serving API",
        description=(
            "Signals, models and roles of servings, and what was done when. Everything here only reads. "
            "Scores come as JSON, CSV, Arrow or Parquet, as the header Accept or ?format= says."
        ),
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=_PROBLEMS,
        telemetry=off,  # nothing is sent anywhere, whatever the environment says
    )
    routes = _Routes(readers={reader.serving: reader for reader in readers}, latest=latest)
    _add_process_routes(api, routes)
    _add_signal_routes(api, routes)
    _add_serving_routes(api, routes)
    _add_page(api)
    if read_metrics is not None:
        _add_metrics(api, read_metrics)
    api.add_exception_handler(HTTPException, _answer_http_error)
    api.add_exception_handler(RequestValidationError, _answer_bad_request)
    api.add_exception_handler(RollwrightError, _answer_error)
    return api


def _add_process_routes(api: FastAPI, routes: _Routes) -> None:
    @api.get("/v1/health", tags=["process"], summary="The process runs")
    def health(query: Annotated[NoQuery, Query()]) -> HealthAnswer:
        del query
        return HealthAnswer(version=__version__)

    @api.get(
        "/v1/readiness",
        tags=["process"],
        summary="Whether the ledgers were read lately; 503 where one was not",
        responses={503: {"description": "a ledger was not read lately", "model": ReadinessAnswer}},
    )
    def readiness(query: Annotated[NoQuery, Query()], response: Response) -> ReadinessAnswer:
        del query
        return routes.read_readiness(response)

    @api.get("/v1/servings", tags=["servings"], summary="All servings of this server, as they stand")
    def servings(query: Annotated[NoQuery, Query()]) -> ServingsAnswer:
        del query
        return routes.list_servings()


def _add_signal_routes(api: FastAPI, routes: _Routes) -> None:
    table: dict[str, Any] = {"response_model": SignalAnswer, "responses": _TABLES, "tags": ["signals"]}
    tables: dict[str, Any] = {**table, "response_model": SignalsAnswer}

    @api.get("/v1/servings/{serving}/signal", summary="The signal of the last session that was published", **table)
    def latest(request: Request, serving: ServingPath, query: Annotated[FormatQuery, Query()]) -> Response:
        return routes.find_latest(request, serving, query)

    @api.get("/v1/servings/{serving}/signals", tags=["signals"], summary="What became of each session, newest first")
    def days(serving: ServingPath, query: Annotated[DaysQuery, Query()]) -> DaysAnswer:
        return routes.list_days(serving, query)

    @api.get(
        "/v1/servings/{serving}/signals/{session}",
        summary="The signal that was published of a session",
        description="A signal that was refused is not given; its scores are those of its strategies.",
        **table,
    )
    def published(
        request: Request,
        serving: ServingPath,
        session: Annotated[str, Path(pattern=_SESSION, description="a session, as 2024-05-17")],
        query: Annotated[FormatQuery, Query()],
    ) -> Response:
        scores = routes.read(serving).load_published(session)
        return _send(request, render_scores(scores, _choose(request, query)))

    @api.get("/v1/servings/{serving}/scores", summary="The published signals of a range of sessions", **tables)
    def scores_of_range(request: Request, serving: ServingPath, query: Annotated[RangeQuery, Query()]) -> Response:
        return routes.find_range(request, serving, query)

    @api.get(
        "/v1/servings/{serving}/strategies/{strategy}/signal",
        summary="What one strategy said of a session, published or not",
        **table,
    )
    def strategy_signal(
        request: Request, serving: ServingPath, strategy: StrategyPath, query: Annotated[SessionQuery, Query()]
    ) -> Response:
        scores = routes.read(serving).load_strategy(strategy, query.session)
        return _send(request, render_scores(scores, _choose(request, query)))

    @api.get(
        "/v1/servings/{serving}/roles/{role}/signal",
        summary="What each strategy that had a role said of a session, published or not",
        **tables,
    )
    def role_signal(
        request: Request, serving: ServingPath, role: Role, query: Annotated[SessionQuery, Query()]
    ) -> Response:
        return routes.find_role(request, serving, role, query)


def _add_serving_routes(api: FastAPI, routes: _Routes) -> None:
    @api.get("/v1/servings/{serving}", tags=["servings"], summary="How a serving stands")
    def serving_of(serving: ServingPath, query: Annotated[NoQuery, Query()]) -> ServingAnswer:
        del query
        return ServingAnswer.of(routes.head(serving))

    @api.get("/v1/servings/{serving}/strategies", tags=["servings"], summary="Its strategies, removed ones included")
    def strategies(serving: ServingPath, query: Annotated[NoQuery, Query()]) -> StrategiesAnswer:
        del query
        return StrategiesAnswer.of(routes.state(serving))

    @api.get("/v1/servings/{serving}/models", tags=["servings"], summary="Its models: online, and the next")
    def models(serving: ServingPath, query: Annotated[NoQuery, Query()]) -> ModelsAnswer:
        del query
        return ModelsAnswer.of(routes.state(serving))

    @api.get("/v1/servings/{serving}/roles", tags=["servings"], summary="The strategies that serve, by role")
    def roles(serving: ServingPath, query: Annotated[NoQuery, Query()]) -> RolesAnswer:
        del query
        return RolesAnswer.of(routes.state(serving))

    @api.get("/v1/servings/{serving}/freshness", tags=["servings"], summary="How far it is behind the data, and late")
    def freshness(serving: ServingPath, query: Annotated[NoQuery, Query()]) -> FreshnessAnswer:
        del query
        return routes.read_freshness(serving)

    @api.get("/v1/servings/{serving}/history", tags=["history"], summary="What was done, newest first, in pages")
    def history(serving: ServingPath, query: Annotated[HistoryQuery, Query()]) -> HistoryAnswer:
        return routes.list_history(serving, query)

    @api.get("/v1/servings/{serving}/history/{number}", tags=["history"], summary="One entry of the ledger")
    def entry(
        serving: ServingPath,
        number: Annotated[int, Path(ge=1, le=2**53)],
        query: Annotated[NoQuery, Query()],
    ) -> EntryAnswer:
        del query
        return routes.find_entry(serving, number)


def _add_page(api: FastAPI) -> None:
    @api.get("/docs", include_in_schema=False)
    def page() -> Response:
        return Response(render_page(api.openapi()), media_type="text/html")

    @api.get("/docs.css", include_in_schema=False)
    def style() -> Response:
        return Response(STYLE, media_type="text/css")


def _add_metrics(api: FastAPI, read_metrics: Callable[[], str]) -> None:
    @api.get("/metrics", include_in_schema=False)
    def metrics(query: Annotated[NoQuery, Query()]) -> Response:
        del query
        return Response(read_metrics(), headers={"content-type": METRICS_TYPE, "cache-control": "no-store"})


def _choose(request: Request, query: FormatQuery) -> Media:
    media = choose_media(request.headers.get("accept", "")) if query.format is None else BY_FORMAT[query.format]
    if media is None:
        raise HTTPException(406, f"scores come as {', '.join(each.plain for each in Media)}")
    return media


def _join(several: Sequence[Scores], media: Media, *, name: str, with_strategy: bool = False) -> Rendition:
    entries = "-".join(str(one.entry) for one in several) or "0"
    digests = "".join(one.reference.sha256 for one in several)
    identity = f"{entries}-{sha256_hex(digests.encode())}"
    return render_table(several, media, identity=identity, name=name, with_strategy=with_strategy)


def _send(request: Request, rendition: Rendition) -> Response:
    zipped = accepts_gzip(request.headers.get("accept-encoding", "")) and rendition.zipped is not None
    validators = dict(rendition.validators(zipped=zipped))
    known = request.headers.get("if-none-match")
    if known is not None and is_known(known, validators["etag"]):
        return Response(status_code=304, headers=validators)
    body = rendition.zipped if zipped else rendition.body
    return Response(body, headers=dict(rendition.headers(zipped=zipped)))


def _answer_http_error(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    return Response(make_problem(error.status_code, str(error.detail)), error.status_code, headers, PROBLEM_TYPE)


def _answer_bad_request(request: Request, error: Exception) -> Response:
    """Say of each argument what is wrong with it, by its name; a value is not repeated."""
    del request
    found = error.errors() if isinstance(error, RequestValidationError) else []
    problems = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in found]
    return Response(make_problem(422, "; ".join(problems)), 422, media_type=PROBLEM_TYPE)


def _answer_error(request: Request, error: Exception) -> Response:
    """Tell what was not found; of what cannot be read now tell that, and the rest to the log."""
    if isinstance(error, SignalNotFoundError):
        return Response(make_problem(404, error.message, hint=error.hint), 404, media_type=PROBLEM_TYPE)
    _logger.warning("serve.unanswered path=%s reason=%s", request.url.path, error)
    status = 503 if isinstance(error, StoreUnavailableError | TrackingUnavailableError) else 500
    detail = f"it cannot be read now ({type(error).__name__}); the server's log says more"
    return Response(make_problem(status, detail), status, media_type=PROBLEM_TYPE)
