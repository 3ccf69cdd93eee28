"""What a person decides about a campaign that is served: from the evidence of its recorded signals to the next day."""

from __future__ import annotations

import json
import shutil

import pytest

from rollwright.app.online.aliases import mirror_aliases
from rollwright.app.online.audit import ask_what_was_live, verify_serving
from rollwright.app.online.record import open_ledger
from rollwright.app.online.roles import (
    compare_strategy,
    promote_strategy,
    publish_refused_signal,
    roll_back_serving,
)
from rollwright.app.online.routine import begin_serving, run_routine
from rollwright.app.online.serving import open_serving
from rollwright.cli.root import run
from rollwright.errors import ConfigError, OnlineError, SignalRefusedError
from rollwright.tracking.manager import MLflowExpManager
from served_project import CAMPAIGN, arrive, make_arriving, session

KNOWN = 114
TWO = """\
vary:
  - {name: ridge}
  - {name: ols, model.kwargs: {estimator: ols}}
online: {champions: [ridge], challengers: [ols], checks: {turnover: null, level_shift: null}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A project that served 22 sessions of a champion and a challenger; to be copied."""
    folder = tmp_path_factory.mktemp("decisions") / "project"
    begin_serving(make_arriving(folder, known=KNOWN, text=f"{CAMPAIGN}{TWO}"), project=folder)
    arrive(folder, KNOWN, KNOWN + 20)
    run_routine(project=folder)
    return folder


@pytest.fixture
def project(served, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(served, folder)
    monkeypatch.chdir(folder)
    return folder


def roles():
    with open_ledger() as opened:
        return {name: one.role for name, one in opened.read_head()[1].strategies.items()}


def count_entries():
    with open_ledger() as opened:
        return opened.read_head()[0].number


def serve(place):
    arrive_at = session(place)
    run_routine(session=arrive_at)
    return ask_what_was_live(arrive_at)


def test_the_evidence_uses_the_sessions_whose_labels_are_known(project, capsys):
    found = compare_strategy("ols")
    assert (found.evidence.first, found.evidence.last) == (session(KNOWN - 1), session(KNOWN + 18))
    assert (found.evidence.days, found.evidence.label_span, found.entry) == (20, 2, None)
    before = count_entries()
    assert run(["online", "promote", "ols", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "ols beside ridge: 20 sessions with a known label" in said
    assert "rank IC" in said
    assert count_entries() == before


def test_a_promotion_without_enough_evidence_is_refused_and_an_override_recorded(project, capsys):
    before = count_entries()
    assert run(["online", "promote", "ols"]) == 2
    assert "may be 0" in capsys.readouterr().err
    assert run(["online", "promote", "ols", "--override"]) == 2
    assert (count_entries(), roles()) == (before, {"ridge": "champion", "ols": "challenger"})
    assert run(["online", "promote", "ols", "--override", "--reason", "an order"]) == 0
    assert "lacking: the difference in rank IC" in capsys.readouterr().out
    assert roles() == {"ridge": "challenger", "ols": "champion"}
    arrive(project, KNOWN + 21, KNOWN + 21)
    live = serve(KNOWN + 21)
    ols, ridge = live.strategies
    assert (live.outcome, ols.role, ols.role_entry.reason) == ("published", "champion", "an order")
    assert live.signal.sha256 == ols.scores.sha256 != ridge.scores.sha256
    assert run(["online", "rollback", "daily", "--reason", "no better"]) == 0
    assert roles() == {"ridge": "champion", "ols": "challenger"}
    assert verify_serving(signals=True).to_json()["problems"] == []


def test_models_are_rolled_back_until_the_next_window(project, capsys):
    with open_ledger() as opened:
        before = opened.read_head()[1].strategies["ridge"]
    assert run(["online", "rollback", "--models", "ridge", "--reason", "its scores look wrong"]) == 0
    assert "until its next window" in capsys.readouterr().out
    arrive(project, KNOWN + 21, KNOWN + 21)
    ridge = serve(KNOWN + 21).strategies[1]
    assert ridge.models[0].model.serves_from < before.online[0].serves_from
    assert ridge.models[0].trained is not None
    with pytest.raises(OnlineError, match="no strategy"):
        roll_back_serving(models="other", reason="x")


def test_a_refused_session_is_published_after_all_with_a_reason(project, capsys):
    file, told = project / "daily.yaml", project / "told"
    keep = f"publish: {{folder: out}}, notify: [{{command: [/bin/sh, -c, 'cat >> {told}; echo >> {told}']}}], checks"
    file.write_text(file.read_text().replace("turnover: null", "turnover: 0.0, topk: 3").replace("checks", keep))
    arrive(project, KNOWN + 21, KNOWN + 21)
    with pytest.raises(SignalRefusedError, match="turnover"):
        run_routine()
    assert ask_what_was_live(session(KNOWN + 21)).published == session(KNOWN + 20)
    assert run(["online", "publish"]) == 2
    with pytest.raises(ConfigError, match="reason"):
        publish_refused_signal(reason="")
    assert run(["online", "publish", "--override", "--reason", "looked at it"]) == 0
    assert f"session {session(KNOWN + 21)} of daily is published after all" in capsys.readouterr().out
    assert (project / "out" / f"{session(KNOWN + 21)}.csv").is_file()
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert [event["event"] for event in events[-2:]] == ["refused", "published"]
    assert roll_back_serving(models="ridge", reason="odd").entry.number == count_entries()
    live = ask_what_was_live(session(KNOWN + 21))
    assert (live.outcome, live.entries[-1].reason) == ("published", "looked at it")
    assert [check.name for check in live.checks if check.violated] == ["turnover"]


def test_who_is_promoted_without_a_name_that_is_served_is_told(project):
    for name, said in (("olds", "no strategy `olds`"), ("ridge", "champion already")):
        with pytest.raises(OnlineError, match=said):
            promote_strategy(name)


@pytest.mark.slow
def test_roles_are_mirrored_into_the_registry_of_mlflow_and_repaired(project):
    file = project / "daily.yaml"
    file.write_text(file.read_text().replace("online: {", "online: {aliases: true, "))
    with open_serving() as serving:
        assert mirror_aliases(serving)
        client = MLflowExpManager().client
        state = serving.read_head()[1]
        found = client.get_model_version_by_alias("daily.ridge", "champion")
        assert found.run_id == state.strategies["ridge"].online[0].recorder
        assert client.get_model_version_by_alias("daily.ols", "challenger").run_id != found.run_id
    promote_strategy("ols", override=True, reason="an order")
    with open_serving() as serving:
        assert set(client.get_registered_model("daily.ols").aliases) == {"champion"}
        assert set(client.get_registered_model("daily.ridge").aliases) == {"challenger"}
        client.delete_registered_model("daily.ols")  # somebody else did
        (project / ".rollwright" / "online" / "daily.aliases").unlink()
        assert mirror_aliases(serving)
        assert set(client.get_registered_model("daily.ols").aliases) == {"champion"}
