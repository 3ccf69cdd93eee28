"""Notifications: told at least once, in order, to whom the file names and to nobody else."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rollwright.app.online import notify as module
from rollwright.app.online.notification import CommandTarget, Notification, WebhookTarget, make_test
from rollwright.app.online.notify import deliver_notifications, list_pending, send_trial, tell_afterwards
from rollwright.campaign.online_section import NotifySection
from rollwright.errors import NotificationError, SignalRefusedError
from rollwright.online.ledger import Draft, ServingLedger
from served_days import CHALLENGER, CHAMPION, DemoServing

DAYS = ("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets and answers as it is told."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, dict(self.headers.items()), json.loads(body)))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.got, server.answers, server.daemon_threads = [], [], True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class NoWait:
    """A clock whose waits take no time."""

    def __init__(self):
        self.waits = []

    def now(self):
        raise AssertionError

    def monotonic(self):
        return time.monotonic()

    def sleep(self, seconds):
        self.waits.append(seconds)


def section_of(receiver, path="/hook", **more):
    return NotifySection(webhook=f"http://127.0.0.1:{receiver.server_port}{path}", **more)


def deliver(demo, *sections):
    clock = NoWait()
    report = deliver_notifications(demo.ledger, sections, clock=clock)
    return report, clock.waits


def events_of(receiver):
    return [(body["event"], body["session"]) for _, _, body in receiver.got]


@pytest.fixture
def demo():
    made = DemoServing()
    made.serve(DAYS[0])
    return made


def test_each_event_is_told_once_and_in_order(demo, receiver):
    section = section_of(receiver)
    deliver(demo, section)
    demo.serve(DAYS[1], refuse=True)
    demo.override(DAYS[1])
    demo.append(
        Draft(kind="roles", body={"roles": {CHAMPION: "challenger", CHALLENGER: "champion"}, "action": "promote"}),
        Draft(kind="alarm", session=DAYS[1], body={"event": "late", "text": "no data of 2024-01-04 yet"}),
        Draft(kind="alarm", session=DAYS[1], body={"event": "alarm", "text": "the IC fell"}),
        Draft(kind="alarm", session=DAYS[1], body={"event": "acknowledged", "text": "seen"}, reason="looked at it"),
    )
    deliver(demo, section)
    assert events_of(receiver) == [
        ("published", DAYS[0]),
        ("refused", DAYS[1]),
        ("published", DAYS[1]),
        ("promoted", None),
        ("late", DAYS[1]),
        ("alarm", DAYS[1]),
    ]
    texts = [body["text"] for _, _, body in receiver.got]
    assert texts[0] == f"demo: session {DAYS[0]} is published, 2 names"
    assert "turnover" in texts[1]
    assert "after it was refused" in texts[2]
    assert "linear is champion now" in texts[3]
    assert texts[5] == f"demo: session {DAYS[1]}: the IC fell"
    assert deliver(demo, section)[0].delivered == ()
    assert len(receiver.got) == 6


def test_what_is_sent_has_the_form_that_the_page_describes(demo, receiver):
    deliver(demo, section_of(receiver, "/hook?room=1"))
    path, headers, body = receiver.got[0]
    closing = demo.ledger.read(demo.ledger.read_state().last.entry)
    assert path == "/hook?room=1"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == body["key"]
    assert body["key"].endswith(f"-{closing.number}-{closing.digest}")
    assert [*body] == [
        "format", "key", "event", "serving", "entry", "digest", "at", "session", "reason", "text", "signal", "details",
    ]  # fmt: skip
    assert body["signal"] == {"sha256": closing.body["signal"]["sha256"], "rows": 2}
    assert body["details"] == dict(closing.body)


def test_only_what_a_target_wants_is_told(demo, receiver):
    section = section_of(receiver, on=["refused"])
    deliver(demo, section)
    demo.serve(DAYS[1])
    demo.serve(DAYS[2], refuse=True)
    deliver(demo, section)
    assert events_of(receiver) == [("refused", DAYS[2])]


def test_a_target_that_is_named_twice_is_told_once_of_what_either_says(demo, receiver):
    deliver(demo, section_of(receiver, on=["refused"]), section_of(receiver, on=["published"]))
    demo.serve(DAYS[1], refuse=True)
    deliver(demo, section_of(receiver, on=["refused"]), section_of(receiver, on=["published"]))
    assert events_of(receiver) == [("published", DAYS[0]), ("refused", DAYS[1])]


def test_a_new_target_is_told_of_the_last_session_and_not_of_years(demo, receiver):
    for session in DAYS[1:]:
        demo.serve(session)
    deliver(demo, section_of(receiver))
    assert events_of(receiver) == [("published", DAYS[3])]


def test_what_came_between_the_first_look_and_the_next_is_told(receiver):
    demo = DemoServing()
    section = section_of(receiver, on=["alarm"])
    deliver(demo, section)
    demo.append(Draft(kind="alarm", session=None, body={"event": "alarm", "text": "far"}))
    demo.serve(DAYS[0])
    demo.serve(DAYS[1])
    deliver(demo, section)
    assert events_of(receiver) == [("alarm", None)]


def test_what_fails_is_tried_again_then_waits_and_those_after_it_too(demo, receiver):
    section = section_of(receiver)
    receiver.answers = [500, 503, 404]
    demo.serve(DAYS[1])
    report, waits = deliver(demo, section)
    assert waits == [1.0, 4.0]
    assert report.delivered == ()
    assert "404" in report.undelivered[0].reason
    assert len(receiver.got) == 3
    demo.serve(DAYS[2])
    assert [one.told.session for one in list_pending(demo.ledger, [section])] == [DAYS[1], DAYS[2]]
    receiver.got.clear()
    deliver(demo, section)
    assert events_of(receiver) == [("published", DAYS[1]), ("published", DAYS[2])]
    assert list_pending(demo.ledger, [section]) == []


def test_a_target_that_fails_holds_up_no_other(demo, receiver):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    report, _ = deliver(demo, NotifySection(webhook=f"http://127.0.0.1:{port}/"), section_of(receiver))
    assert [one.target for one in report.undelivered] == ["webhook at 127.0.0.1"]
    assert events_of(receiver) == [("published", DAYS[0])]


def test_killed_between_telling_and_marking_it_is_told_again_under_the_same_key(demo, receiver, monkeypatch):
    section = section_of(receiver)
    with monkeypatch.context() as patched:

        def die(*_):
            raise KeyboardInterrupt

        patched.setattr(module, "_mark", die)
        with pytest.raises(KeyboardInterrupt):
            deliver(demo, section)
    deliver(demo, section)
    assert len(receiver.got) == 2
    assert receiver.got[0][2] == receiver.got[1][2]


def test_two_that_tell_at_once_never_move_the_mark_back(demo, receiver, monkeypatch):
    section, mark = section_of(receiver), module._mark
    other = ServingLedger("demo", demo.ledger.store)

    def mark_late(ledger, target, due, numbers):
        with monkeypatch.context() as patched:
            patched.setattr(module, "_mark", mark)
            demo.serve(DAYS[1])
            deliver_notifications(other, [section], clock=NoWait())
        mark(ledger, target, due, numbers)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_mark", mark_late)
        deliver(demo, section)
    assert list_pending(demo.ledger, [section]) == []
    assert len([entry for entry in demo.ledger.list_entries() if entry.kind == "notify"]) == 1


def test_a_mark_is_renewed_before_it_is_far_away(demo, receiver, monkeypatch):
    section = section_of(receiver, on=["refused"])
    deliver(demo, section)
    before = demo.ledger.read_head().number
    demo.serve(DAYS[1])
    deliver(demo, section)
    assert demo.ledger.read_head().number == before + 5  # nothing was told, and no entry says so
    monkeypatch.setattr(module, "_STALE", 3)
    deliver(demo, section)
    assert demo.ledger.read_head().kind == "notify"
    monkeypatch.setattr(module, "_PAGE", 2)
    demo.serve(DAYS[2], refuse=True)
    deliver(demo, section)
    assert events_of(receiver) == [("refused", DAYS[2])]


def test_the_ledger_names_no_address(demo, receiver):
    deliver(demo, section_of(receiver, "/services/T0/secret-token"))
    stored = json.dumps([entry.to_json() for entry in demo.ledger.list_entries()])
    assert "secret-token" not in stored
    assert "127.0.0.1" not in stored


def test_an_address_in_the_ledger_is_nowhere_to_go(demo, receiver):
    evil = f"http://127.0.0.1:{receiver.server_port}/evil"
    body = {
        "event": "alarm",
        "quantity": evil,
        "text": evil,
        "webhook": evil,
        "command": ["touch", "never"],
        "target": evil,
    }
    demo.append(Draft(kind="alarm", session=DAYS[0], body=body), Draft(kind="notify", body={**body, "through": 10**9}))
    deliver(demo, section_of(receiver))
    assert {path for path, _, _ in receiver.got} == {"/hook"}


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 410, 500])
def test_an_answer_that_is_no_success_is_a_failure_and_redirects_are_not_followed(receiver, status):
    receiver.answers = [status]
    target = WebhookTarget(url=f"http://127.0.0.1:{receiver.server_port}/hook")
    with pytest.raises(NotificationError, match=str(status)):
        target.send(make_test("demo", "2024-01-01T00:00:00Z"))
    assert [path for path, _, _ in receiver.got] == ["/hook"]


@contextmanager
def slow_server(answer):
    """A server that takes a connection and sends `answer`, a byte at a time, for ever."""
    ended = threading.Event()

    def serve():
        with listening:
            connection, _ = listening.accept()
            with connection:
                try:
                    while not ended.wait(0.02):
                        connection.sendall(answer)
                except OSError:
                    pass

    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    ended.set()
    thread.join()


@pytest.mark.parametrize("answer", [b"", b"H", b"HTTP/1.1 200 OK\r\nx: y\r\n"])
def test_a_server_that_takes_for_ever_is_left(answer):
    with slow_server(answer) as port:
        began = time.monotonic()
        with pytest.raises(NotificationError):
            WebhookTarget(url=f"http://127.0.0.1:{port}/", seconds=0.3).send(make_test("demo", "2024-01-01T00:00:00Z"))
        assert time.monotonic() - began < 3


def test_a_command_gets_json_on_its_input_and_no_shell_reads_it(demo, tmp_path):
    out = tmp_path / "told; rm -rf $HOME"
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read() + sys.argv[2])"
    section = NotifySection(command=[sys.executable, "-c", program, str(out), "$(id)`id`"])
    report, _ = deliver(demo, section)
    assert report.undelivered == ()
    told = out.read_text()
    assert told.endswith("}$(id)`id`")
    assert json.loads(told.removesuffix("$(id)`id`"))["event"] == "published"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no room\\nfor it')"], "ended with 1: for it"),
        (["/nowhere/program"], "cannot be run"),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], "ended with -9"),
    ],
)
def test_a_command_that_fails_is_told(command, said):
    with pytest.raises(NotificationError, match=said):
        CommandTarget(command=tuple(command)).send(make_test("demo", "2024-01-01T00:00:00Z"))


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(tmp_path):
    note = tmp_path / "child"
    program = (
        "import subprocess, sys, pathlib, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    target = CommandTarget(command=(sys.executable, "-c", program), seconds=1.0)
    with pytest.raises(NotificationError, match="did not end within 1 s"):
        target.send(make_test("demo", "2024-01-01T00:00:00Z"))
    child = int(note.read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and is_running(child):
        os.sched_yield()
    assert not is_running(child)


def is_running(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/x", "file:///etc/passwd", "hooks.example/x", "http://", "http://user:pw@hooks.example/",
        "http://token@hooks.example/", "http://hooks.example:99999/", "http://hooks.example/a b",
        "http://hooks.example/\r\nx: y",
        "http://hooks.example/#part", "http://höoks.example/",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_when_the_file_is_read(url):
    with pytest.raises(ValueError, match="web address"):
        NotifySection(webhook=url)


def test_what_happened_is_told_after_a_block_that_was_refused_and_not_after_ctrl_c(demo, receiver):
    sections = [section_of(receiver)]
    with pytest.raises(SignalRefusedError), tell_afterwards(demo.ledger, sections, clock=NoWait()):
        raise SignalRefusedError("too much turnover", session=DAYS[0], violations=())
    assert events_of(receiver) == [("published", DAYS[0])]
    demo.serve(DAYS[1])
    with pytest.raises(KeyboardInterrupt), tell_afterwards(demo.ledger, sections, clock=NoWait()):
        raise KeyboardInterrupt
    assert len(receiver.got) == 1
    with tell_afterwards(demo.ledger, sections, clock=NoWait()):
        demo.serve(DAYS[2])
    assert events_of(receiver)[1:] == [("published", DAYS[1]), ("published", DAYS[2])]


def test_a_trial_is_of_no_entry_and_marks_nothing(demo, receiver):
    class Noon(NoWait):
        def now(self):
            return datetime(2024, 1, 2, 12, tzinfo=UTC)

    before = demo.ledger.read_head().number
    found = send_trial("demo", [section_of(receiver)], clock=Noon())
    assert found == [("webhook at 127.0.0.1", None)]
    assert receiver.got[0][2]["event"] == "test"
    assert demo.ledger.read_head().number == before


def test_keys_of_different_entries_and_servings_differ():
    def key(serving, entry):
        return Notification(
            event="published", serving=serving, entry=entry, digest="a" * 64, at="", session=None, reason=""
        ).key

    assert len({key("a", 1), key("a", 2), key("b", 1)}) == 3
