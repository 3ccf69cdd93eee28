"""A tracking server on this machine, for tests: what MLflow's REST interface says, and every way in which it may fail.

It keeps its runs in memory and speaks the part of MLflow's protocol that our MLflow store uses, so that a test needs
neither MLflow's own server nor a network.
"""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from rollwright.errors import ExperimentNotFoundError, RecorderNotFoundError, RecordError
from rollwright.tracking.store import ExperimentRecord, MetricPoint, RunRecord
from rollwright.tracking.stores.memory import MemoryTrackingStore

__all__ = ["Mood", "TrackingServer"]

Mood = Literal["well", "broken", "hanging", "forgetful", "foreign", "strict"]
_API: Final = "/api/2.0/mlflow/"
_FILES: Final = "/api/2.0/mlflow-artifacts/artifacts/"
_VIEWS: Final[dict[str, Any]] = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}


class TrackingServer:
    """A tracking server on the loopback interface; a context manager.

    Attributes
    ----------
    mood : str
        ``well``; ``broken`` answers 503; ``hanging`` never answers; ``forgetful`` does what it is asked and hangs up
        without a word; ``foreign`` is a server of something else; ``strict`` wants a token nobody has.
    requests : list of str
        The method and path of each request, in order.
    points : set
        (run, metric, step, value, milliseconds): each point it was ever given, once.
    files : dict of str to bytes
        The artifacts, by path.
    before : callable, optional
        Called with each request's method and path before anything is done about it.
    """

    def __init__(self) -> None:
        self.store = MemoryTrackingStore()
        self.mood: Mood = "well"
        self.requests: list[str] = []
        self.points: set[tuple[str, str, int, str, int]] = set()
        self.files: dict[str, bytes] = {}
        self.before: Callable[[str], None] | None = None
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self._released = threading.Event()
        self.connections: set[socket.socket] = set()

    @property
    def uri(self) -> str:
        """Its address, the same after it was away."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, at the port it had before."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self._released.clear()
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go away: nobody listens at the port."""
        if self._server is not None:
            self._released.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for connection in list(self.connections):  # those that were kept open would still be answered
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hang(self) -> None:
        """Keep whoever asks waiting until the server stops."""
        self._released.wait()

    def answer(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request; errors of the store are answers too, for `_Handler` to spell."""
        run, experiment = str(asked.get("run_id", "")), str(asked.get("experiment_id", ""))
        store = self.store
        calls: dict[str, Callable[[], dict[str, Any]]] = {
            "experiments/create": lambda: {"experiment_id": store.create_experiment(asked["name"]).id},
            "experiments/get": lambda: {"experiment": _experiment(_one(store.experiments(experiment_id=experiment)))},
            "experiments/get-by-name": lambda: {
                "experiment": _experiment(_one(store.experiments(name=asked["experiment_name"])))
            },
            "experiments/search": lambda: {"experiments": [_experiment(item) for item in store.experiments()]},
            "experiments/delete": lambda: _done(store.delete_experiment, experiment),
            "experiments/update": dict,
            "runs/create": lambda: {"run": _run(self._create(experiment, asked))},
            "runs/get": lambda: {"run": _run(store.get_run(run))},
            "runs/update": lambda: self._update(run, asked),
            "runs/delete": lambda: _done(store.delete_run, run),
            "runs/delete-tag": lambda: _done(store.delete_tags, run, [asked["key"]]),
            "runs/log-batch": lambda: self._log(run, asked),
            "runs/search": lambda: self._search(asked),
        }
        return calls[path]()

    def _create(self, experiment: str, asked: dict[str, Any]) -> RunRecord:
        tags = {item["key"]: item["value"] for item in asked.get("tags", ())}
        start = _moment(asked["start_time"])
        return self.store.create_run(
            experiment, name=asked.get("run_name", ""), status="RUNNING", start=start, tags=tags
        )

    def _update(self, run: str, asked: dict[str, Any]) -> dict[str, Any]:
        end = _moment(asked["end_time"]) if asked.get("end_time") else None
        self.store.update_run(run, status=asked.get("status"), end=end, name=asked.get("run_name"))
        return {"run_info": _run(self.store.get_run(run))["info"]}

    def _log(self, run: str, asked: dict[str, Any]) -> dict[str, Any]:
        points = [
            MetricPoint(
                key=item["key"],
                value=float(item["value"]),
                step=int(item.get("step", 0)),
                at=_moment(item["timestamp"]),
            )
            for item in asked.get("metrics", ())
        ]
        pairs = [{item["key"]: item["value"] for item in asked.get(kind, ())} for kind in ("params", "tags")]
        self.store.log_batch(run, params=pairs[0], metrics=points, tags=pairs[1])
        self.points |= {(run, item.key, item.step, repr(item.value), _millis(item.at)) for item in points}
        return {}

    def _search(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.store.search_runs(
            asked.get("experiment_ids", ()),
            where=asked.get("filter", ""),
            order_by=[item for item in asked.get("order_by", ()) if not item.startswith("attributes.start_time")],
            view=_VIEWS[asked.get("run_view_type", "ACTIVE_ONLY")],
        )
        first = int(asked.get("page_token") or 0)
        last = first + int(asked.get("max_results", 1000))
        more = {"next_page_token": str(last)} if last < len(found) else {}
        return {"runs": [_run(item) for item in found[first:last]], **more}


class _Handler(BaseHTTPRequestHandler):
    owner: TrackingServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for each other

    def setup(self) -> None:
        """Take the connection up."""
        super().setup()
        self.owner.connections.add(self.connection)

    def finish(self) -> None:
        """Let the connection go."""
        self.owner.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        owner, parts = self.owner, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        owner.requests.append(f"{self.command} {parts.path}")
        if owner.before is not None:
            owner.before(owner.requests[-1])
        if owner.mood == "hanging":
            owner.hang()
            self.close_connection = True
            return
        if owner.mood in {"broken", "strict", "foreign"}:
            status = {"broken": 503, "strict": 401}.get(owner.mood, 404)
            self._say(status, b"<html>no</html>", "text/html")
            return
        status, answer = self._file(parts.path, body) if parts.path.startswith(_FILES) else self._word(parts, body)
        if owner.mood == "forgetful":
            self.close_connection = True
            return
        self._say(status, answer, "application/json")

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def _word(self, parts: Any, body: bytes) -> tuple[int, bytes]:
        asked: dict[str, Any] = dict(parse_qsl(parts.query)) if self.command == "GET" else json.loads(body or b"{}")
        try:
            found = self.owner.answer(parts.path.removeprefix(_API), asked)
        except (ExperimentNotFoundError, RecorderNotFoundError) as error:
            return 404, _problem("RESOURCE_DOES_NOT_EXIST", error)
        except RecordError as error:
            return 400, _problem("INVALID_PARAMETER_VALUE", error)
        except KeyError:
            return 404, json.dumps({"error_code": "ENDPOINT_NOT_FOUND", "message": parts.path}).encode()
        return 200, json.dumps(found).encode()

    def _file(self, path: str, body: bytes) -> tuple[int, bytes]:
        name, files = unquote(path.removeprefix(_FILES)), self.owner.files
        if self.command == "PUT":
            files[name] = body
        elif name not in files:
            return 404, b"{}"
        elif self.command == "DELETE":
            del files[name]
        else:
            return 200, files[name]
        return 200, b"{}"

    def _say(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _problem(code: str, error: RecordError) -> bytes:
    return json.dumps({"error_code": code, "message": error.message}).encode()


def _one(found: list[ExperimentRecord]) -> ExperimentRecord:
    if not found:
        raise ExperimentNotFoundError("no such experiment")
    return found[0]


def _done(change: Callable[..., None], *arguments: object) -> dict[str, Any]:
    change(*arguments)
    return {}


def _experiment(record: ExperimentRecord) -> dict[str, Any]:
    return {
        "experiment_id": record.id,
        "name": record.name,
        "artifact_location": f"mlflow-artifacts:/{record.id}",
        "lifecycle_stage": "deleted" if record.deleted else "active",
    }


def _run(record: RunRecord) -> dict[str, Any]:
    run = replace(record, tags={**record.tags, "mlflow.runName": record.name})
    end = {"end_time": _millis(run.end)} if run.end is not None else {}
    return {
        "info": {
            "run_id": run.id,
            "run_uuid": run.id,
            "run_name": run.name,
            "experiment_id": run.experiment_id,
            "status": run.status,
            "start_time": _millis(run.start),
            **end,
            "artifact_uri": f"mlflow-artifacts:/{run.experiment_id}/{run.id}/artifacts",
            "lifecycle_stage": "deleted" if run.deleted else "active",
        },
        "data": {
            "params": [{"key": key, "value": value} for key, value in run.params.items()],
            "tags": [{"key": key, "value": value} for key, value in run.tags.items()],
            "metrics": [
                {"key": key, "value": "NaN" if math.isnan(value) else value, "timestamp": 0, "step": 0}
                for key, value in run.metrics.items()
            ],
        },
    }


def _moment(millis: object) -> datetime:
    return datetime.fromtimestamp(int(str(millis)) / 1000, UTC)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
