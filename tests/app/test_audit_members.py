"""The audit of a campaign of several members: each distinct dataset once, and findings that name whom they touch."""

from __future__ import annotations

import json

import pytest

from audited_campaign import make_audited_market, write_audited_campaign
from rollwright.cli.root import run

LOADER = "dataset.kwargs.handler.kwargs.data_loader"
LEAKING = """{class: QlibDataLoader, kwargs: {config: {
      feature: [["Ref($close,-1)/$close"], [A]], label: [["Ref($close,-2)/Ref($close,-1)-1"], [L]]}}}"""


@pytest.fixture
def audit_members(tmp_path, monkeypatch, capsys):
    make_audited_market(tmp_path)
    monkeypatch.chdir(tmp_path)

    def audit_file(vary, code):
        write_audited_campaign(tmp_path, more=f"rolling: {{step: 20}}\nvary:\n{vary}")
        assert run(["audit", "study.yaml", "--dates", "1", "--json"]) == code
        return json.loads(capsys.readouterr().out)["data"]

    return audit_file


def test_members_that_differ_in_their_model_alone_are_audited_once(audit_members):
    found = audit_members("  model.kwargs.estimator: [ols, nnls]\n", 0)
    assert len(found["power"]["probes"]) == 1


def test_a_leak_names_the_members_that_have_it_and_is_told_once(audit_members):
    found = audit_members(
        f"  - {{name: clean, model.kwargs.estimator: ols}}\n"
        f"  - {{name: one, {LOADER}: {LEAKING}}}\n"
        f"  - {{name: two, model.kwargs.estimator: nnls, {LOADER}: {LEAKING}}}\n",
        4,
    )
    (leak,) = [one for one in found["findings"] if one["severity"] == "leak"]
    assert (leak["kind"], leak["columns"], leak["members"]) == ("feature", ["A"], ["one", "two"])
    assert leak["proof"]["distance"] == 1
    assert "windows" not in leak["message"]  # it is the expression that leaks, in all of them
    assert len(found["power"]["probes"]) == 2  # one for each dataset that differs, not for each member


def test_the_same_column_of_two_members_is_two_findings_where_its_expressions_differ(audit_members):
    other = LEAKING.replace("Ref($close,-1)/$close", "Ref($close,-3)/$close")
    found = audit_members(f"  - {{name: one, {LOADER}: {LEAKING}}}\n  - {{name: two, {LOADER}: {other}}}\n", 4)
    leaks = [one for one in found["findings"] if one["severity"] == "leak"]
    assert [(leak["members"], leak["proof"]["distance"]) for leak in leaks] == [(["one"], 1), (["two"], 3)]


def test_what_moves_in_two_datasets_that_share_a_column_touches_the_members_of_both(audit_members):
    prices = LEAKING.replace("Ref($close,-1)/$close", "$close")
    longer = prices.replace("Ref($close,-2)", "Ref($close,-6)")
    found = audit_members(
        f"  - {{name: short, {LOADER}: {prices}}}\n  - {{name: long, {LOADER}: {longer}}}\ncombine: none\n", 4
    )
    (leak,) = [one for one in found["findings"] if one["kind"] == "adjustment"]
    assert leak["members"] == ["short", "long"]
    assert len(found["power"]["probes"]) == 2


def test_the_terminal_names_the_members(audit_members, capsys):
    audit_members(f"  - {{name: clean, model.kwargs.estimator: ols}}\n  - {{name: one, {LOADER}: {LEAKING}}}\n", 4)
    assert run(["audit", "study.yaml", "--dates", "1"]) == 4
    out = capsys.readouterr().out
    assert "members: one" in out
    (line,) = [line for line in out.splitlines() if line.startswith("looked at")]
    dates = [word.strip(",:") for word in line.split() if word.startswith("2015-")]
    assert len(dates) == len(set(dates)) == 1  # of both datasets
