"""A project that is served for real: the routine tells, and the API answers with the scores that it stored."""

from __future__ import annotations

import json
import sys

import pytest

from rollwright.app.online.notify import list_pending
from rollwright.app.online.record import open_ledger
from rollwright.app.online.routine import begin_serving, run_routine
from rollwright.app.online.serve_project import open_readers
from rollwright.app.online.serving import open_serving
from rollwright.errors import SignalRefusedError
from rollwright.online.checks.check import CheckResult
from served_api import serve_api
from served_project import arrive, make_arriving, session

KNOWN = 120
KEEP = "import sys; open('told.jsonl', 'a').write(sys.stdin.read() + '\\n')"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    file = make_arriving(folder, known=KNOWN)
    command = json.dumps([sys.executable, "-c", KEEP])
    file.write_text(f"{file.read_text()}online:\n  notify:\n    - {{command: {command}}}\n")
    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: ())
    begin_serving(file, project=folder)
    monkeypatch.chdir(folder)
    return folder


def told(folder):
    return [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]


def test_a_routine_tells_and_the_api_answers_what_was_stored(project):
    run_routine()
    with open_serving() as serving:
        reference = serving.ledger.read_state().last.signal
        stored = serving.signals.load(reference).to_dict()
    with open_readers() as readers, serve_api(*readers) as client:
        name = readers[0].serving
        found = client.get(f"/v1/servings/{name}/signal").json()
        assert found["scores"] == stored
        assert (found["session"], found["sha256"]) == (session(KNOWN - 1), reference.sha256)
        fresh = client.get(f"/v1/servings/{name}/freshness").json()
        assert (fresh["data"], fresh["behind"]) == (session(KNOWN - 1), 0)
        models = client.get(f"/v1/servings/{name}/models").json()["models"]
        assert len(models[0]["online"]) == 1
        assert client.get(f"/v1/servings/{name}/signals/{session(KNOWN - 1)}").json()["scores"] == stored
    assert [(one["event"], one["session"]) for one in told(project)] == [("published", session(KNOWN - 1))]
    run_routine()
    assert len(told(project)) == 1
    arrive(project, KNOWN, KNOWN)
    run_routine()
    assert [one["session"] for one in told(project)] == [session(KNOWN - 1), session(KNOWN)]


def test_a_refused_signal_is_told_and_not_given_out(project, monkeypatch):
    class Never:
        name = "never"

        def check(self, context):
            return CheckResult(name="never", value=1.0, bound=0.0, violated=True, text="nothing is good enough")

    monkeypatch.setattr("rollwright.app.online.managing.build_checks", lambda _bounds: (Never(),))
    with pytest.raises(SignalRefusedError):
        run_routine()
    assert [one["event"] for one in told(project)] == ["refused"]
    assert "nothing is good enough" in told(project)[0]["text"]
    with open_ledger() as opened:
        assert list_pending(opened.ledger, opened.options.notify) == []
        name = opened.name
    with open_readers([name]) as readers, serve_api(*readers) as client:
        assert client.get(f"/v1/servings/{name}/signal").status_code == 404
        assert client.get(f"/v1/servings/{name}/signals/{session(KNOWN - 1)}").status_code == 404
        assert client.get(f"/v1/servings/{name}/roles/champion/signal").status_code == 200
