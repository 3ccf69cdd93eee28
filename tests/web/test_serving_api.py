"""The serving API over a real socket: every route, every format, what is not there, and what changes meanwhile."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollwright.app.online.serve import ServingReader
from rollwright.web.renditions import render_latest
from served_api import send_raw, serve_api
from served_days import CHALLENGER, CHAMPION, DemoServing, MarketSessions

DAYS = ("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")
NAMES = ("SH600000", "=cmd|'/C calc'!A0", "<script>alert(1)</script>", "名称", 'a"b,c')


@pytest.fixture(scope="module")
def served():
    """A serving of four days, the third refused, that nothing changes; and a client."""
    demo = DemoServing()
    demo.serve(DAYS[0])
    demo.serve(DAYS[1], names=NAMES)
    demo.serve(DAYS[2], refuse=True)
    reader = ServingReader(demo.ledger, demo.scores, sessions=MarketSessions(DAYS))
    empty = DemoServing("empty")
    with serve_api(reader, ServingReader(empty.ledger, empty.scores)) as client:
        yield demo, client


def scores_of(demo, session):
    return demo.scores.load(ServingReader(demo.ledger, demo.scores).load_published(session).reference).to_dict()


def test_the_latest_signal_is_the_published_one(served):
    demo, client = served
    answer = client.get("/v1/servings/demo/signal")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["session"], found["strategy"], found["rows"]) == (DAYS[1], None, len(NAMES))
    assert found["scores"] == scores_of(demo, DAYS[1])


@pytest.mark.parametrize("path", ["/v1/servings/demo/signal", f"/v1/servings/demo/signals/{DAYS[1]}"])
@pytest.mark.parametrize("by", ["accept", "format"])
def test_every_format_holds_the_same_scores(served, path, by):
    demo, client = served
    types = {
        "csv": "text/csv",
        "arrow": "application/vnd.apache.arrow.stream",
        "parquet": "application/vnd.apache.parquet",
    }
    wanted = scores_of(demo, DAYS[1])
    for name, media in types.items():
        asked = {"headers": {"accept": media}} if by == "accept" else {"params": {"format": name}}
        answer = client.get(path, **asked)
        assert answer.headers["content-type"].startswith(media)
        assert answer.headers["content-disposition"].endswith(f"demo-{DAYS[1]}.{name}")
        if name == "csv":
            rows = [*csv.DictReader(io.StringIO(answer.text))]
            assert [*rows[0]] == ["session", "instrument", "score"]
            found = {row["instrument"]: float(row["score"]) for row in rows}
            assert found.pop("'=cmd|'/C calc'!A0") == wanted["=cmd|'/C calc'!A0"]  # no spreadsheet computes it
            assert found == {name: value for name, value in wanted.items() if not name.startswith("=")}
            continue
        buffer = pa.BufferReader(answer.content)
        table = pa.ipc.open_stream(buffer).read_all() if name == "arrow" else pq.read_table(buffer)
        assert dict(zip(table["instrument"].to_pylist(), table["score"].to_pylist(), strict=True)) == wanted
        assert json.loads(table.schema.metadata[b"rollwright"])[0]["session"] == DAYS[1]


@pytest.mark.parametrize("path", ["/v1/servings/demo/signal", f"/v1/servings/demo/signals/{DAYS[0]}"])
def test_what_a_client_has_already_is_not_sent_again(served, path):
    _, client = served
    for headers in ({"accept-encoding": "identity"}, {"accept-encoding": "gzip"}, {"accept": "text/csv"}):
        first = client.get(path, headers=headers)
        assert first.headers["vary"] == "accept, accept-encoding"
        assert first.json()["sha256"] in first.headers["etag"] if "accept" not in headers else True
        again = client.get(path, headers={**headers, "if-none-match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert client.get(path, headers={**headers, "if-none-match": '"other"'}).status_code == 200


def test_compressed_answers_are_the_same_bytes(served):
    _, client = served
    path = f"/v1/servings/demo/signals/{DAYS[1]}"
    plain = client.get(path, headers={"accept-encoding": "identity"})
    with client.stream("GET", path, headers={"accept-encoding": "br, gzip;q=0.5"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())) == plain.content
    assert "content-encoding" not in client.get(path, headers={"accept-encoding": "gzip;q=0"}).headers


def test_a_signal_is_the_same_bytes_whenever_it_is_rendered(served, monkeypatch):
    demo, _ = served
    scores = ServingReader(demo.ledger, demo.scores).load_published(DAYS[1])
    first = render_latest(scores)
    monkeypatch.setattr(gzip.time, "time", lambda: 1.0)
    assert render_latest(scores) == first


def test_an_answer_to_head_is_that_to_get_without_its_body(served):
    _, client = served
    for path in ("/v1/servings/demo/signal", f"/v1/servings/demo/signals/{DAYS[0]}", "/v1/health", "/nowhere"):
        got, head = client.get(path), client.head(path)
        assert head.content == b""
        assert head.status_code == got.status_code
        assert head.headers["content-length"] == got.headers["content-length"]


def test_refused_and_unknown_sessions_are_told(served):
    _, client = served
    answer = client.get(f"/v1/servings/demo/signals/{DAYS[2]}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "was refused" in answer.json()["detail"]
    assert "history" in answer.json()["hint"]
    assert "not closed" in client.get(f"/v1/servings/demo/signals/{DAYS[3]}").json()["detail"]
    assert client.get("/v1/servings/demo/signals/2024-1-1").status_code == 422
    assert client.get("/v1/servings/other/signal").status_code == 404
    assert client.get("/v1/servings/empty/signal").json()["detail"] == "no signal of this serving is published yet"


def test_scores_of_strategies_roles_and_ranges(served):
    demo, client = served
    found = client.get(f"/v1/servings/demo/strategies/{CHALLENGER}/signal").json()
    assert (found["session"], found["strategy"]) == (DAYS[2], CHALLENGER)
    assert client.get("/v1/servings/demo/strategies/xgb/signal").status_code == 404
    role = client.get("/v1/servings/demo/roles/champion/signal", params={"session": DAYS[1]}).json()["signals"]
    assert [(one["strategy"], one["scores"]) for one in role] == [(CHAMPION, scores_of(demo, DAYS[1]))]
    table = client.get("/v1/servings/demo/roles/challenger/signal", params={"format": "csv"}).text
    assert table.startswith(f"session,strategy,instrument,score\n{DAYS[2]},{CHALLENGER},SH600000,")
    assert client.get("/v1/servings/demo/roles/shadow/signal").status_code == 404
    assert client.get("/v1/servings/demo/roles/king/signal").status_code == 422
    asked = {"start": DAYS[0], "end": DAYS[3]}
    several = client.get("/v1/servings/demo/scores", params=asked).json()["signals"]
    assert [one["session"] for one in several] == [DAYS[0], DAYS[1]]
    newest = client.get("/v1/servings/demo/scores", params={**asked, "limit": 2, "format": "parquet"})
    assert pq.read_table(pa.BufferReader(newest.content))["session"].to_pylist() == [DAYS[1]] * len(NAMES)


def test_how_a_serving_stands(served):
    demo, client = served
    listed = client.get("/v1/servings").json()["servings"]
    assert [one["serving"] for one in listed] == ["demo", "empty"]
    head = demo.ledger.read_head()
    assert client.get("/v1/servings/demo").json() == listed[0]
    assert (listed[0]["entry"], listed[0]["digest"], listed[0]["published"]) == (head.number, head.digest, DAYS[1])
    strategies = client.get("/v1/servings/demo/strategies").json()["strategies"]
    assert {one["strategy"]: one["role"] for one in strategies} == {CHAMPION: "champion", CHALLENGER: "challenger"}
    assert client.get("/v1/servings/demo/roles").json()["champion"] == [CHAMPION]
    assert [one["strategy"] for one in client.get("/v1/servings/demo/models").json()["models"]] == [
        CHAMPION,
        CHALLENGER,
    ]
    fresh = client.get("/v1/servings/demo/freshness").json()
    assert (fresh["data"], fresh["published"], fresh["behind"]) == (DAYS[3], DAYS[1], 2)
    assert client.get("/v1/servings/empty/freshness").status_code == 404
    days = client.get("/v1/servings/demo/signals", params={"limit": 2}).json()
    assert [(day["session"], day["outcome"]) for day in days["days"]] == [(DAYS[2], "refused"), (DAYS[1], "published")]
    assert days["more"] is True


def test_history_in_pages_and_one_by_one(served):
    demo, client = served
    numbers, before = [], None
    while True:
        page = client.get(
            "/v1/servings/demo/history", params={"limit": 5, **({"before": before} if before else {})}
        ).json()
        numbers += [entry["number"] for entry in page["entries"]]
        before = page["before"]
        if before is None:
            break
    assert numbers == [*range(demo.ledger.read_head().number, 0, -1)]
    entry = client.get("/v1/servings/demo/history/3").json()
    assert (entry["kind"], entry["digest"]) == ("train", demo.ledger.read(3).digest)
    assert client.get("/v1/servings/demo/history/999").status_code == 404


def test_the_process_tells_that_it_runs_and_is_ready(served):
    _, client = served
    assert client.get("/v1/health").json()["status"] == "ok"
    assert client.get("/v1/readiness").json() == {"ready": True, "servings": {"demo": True, "empty": True}}


def test_the_page_describes_all_routes_and_asks_no_other_server(served):
    _, client = served
    page = client.get("/docs").text
    document = client.get("/openapi.json").json()
    for path in document["paths"]:
        assert path in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert client.get("/docs.css").headers["content-type"].startswith("text/css")


def test_names_are_text_wherever_they_are_shown(served):
    _, client = served
    answer = client.get("/v1/servings/<script>alert(1)</script>/signal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "query", ["?sesion=2024-01-02", "?limit=0", "?limit=100000", "?start=now", "?start=2024-01-02&start=x"]
)
def test_an_argument_that_nothing_takes_is_refused_by_its_name(served, query):
    _, client = served
    answer = client.get(f"/v1/servings/demo/signals{query}")
    assert answer.status_code == 422
    assert query[1:].partition("=")[0] in answer.json()["detail"]


def test_a_format_that_is_not_had_is_told(served):
    _, client = served
    for path in ("/v1/servings/demo/signal", f"/v1/servings/demo/signals/{DAYS[0]}"):
        answer = client.get(path, headers={"accept": "image/png"})
        assert answer.status_code == 406
        assert "text/csv" in answer.json()["detail"]


def test_a_session_that_is_published_meanwhile_is_the_latest_at_once():
    demo = DemoServing()
    demo.serve(DAYS[0])
    seen = []
    ended = threading.Event()

    def serve_days():
        for session in DAYS[1:]:
            demo.serve(session)
        ended.set()

    with serve_api(ServingReader(demo.ledger, demo.scores)) as client:
        thread = threading.Thread(target=serve_days)
        thread.start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (not seen or seen[-1] != DAYS[-1]):
            answer = client.get("/v1/servings/demo/signal").json()
            assert answer["scores"]["SH600000"] == int(answer["session"][-2:]) / 100
            seen.append(answer["session"])
        thread.join()
    assert seen[-1] == DAYS[-1]
    assert seen == sorted(seen)


def test_bytes_that_are_no_request_end_the_connection_and_nothing_else(served):
    _, client = served
    for request in (b"\x00\xff\r\n\r\n", b"GET /\r\n\r\n", b"GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
        assert send_raw(client, request)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 421")
    began = time.monotonic()
    assert send_raw(client, b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000) == b""
    assert time.monotonic() - began < 5  # and not when it waited for the end of the head
    assert client.get("/v1/health").status_code == 200
