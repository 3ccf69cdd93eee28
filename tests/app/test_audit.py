"""`rollwright audit`: a campaign's file and everything of the user's own beside it, audited from the command line."""

from __future__ import annotations

import json
from functools import partial

import pytest

from audited_campaign import make_audited_market, write_audited_campaign
from rollwright.cli.root import run

OWN = """\
from rollwright.dataset.processors import Processor


class Future(Processor):
    def __call__(self, df):
        made = df.copy()
        made["feature"] = df["feature"].groupby(level="instrument").shift(-2).to_numpy()
        return made
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    make_audited_market(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)

    return partial(write_audited_campaign, tmp_path)


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_clean_file_ends_with_0_and_writes_nothing(write, capsys, tmp_path):
    write()
    before = files_of(tmp_path)
    assert run(["audit", "study.yaml", "--dates", "2"]) == 0
    out = capsys.readouterr().out
    assert "study: no leak was found" in out
    assert "looked at 1 feature and 1 label of up to 19 instruments" in out
    assert files_of(tmp_path) == before


def test_a_feature_that_looks_ahead_ends_with_4_and_its_proof(write, capsys):
    write(feature="Mean(Ref($close,-1),3)/$close")
    assert run(["audit", "study.yaml", "--dates", "1"]) == 4
    said = capsys.readouterr()
    assert "leak     feature      the feature `A` reads 1 session(s) ahead" in said.out
    assert "proof: `A` of " in said.out
    assert "1 session(s) later, moves it alone" in said.out
    assert "allow_leak" in said.err


def test_a_processor_in_a_file_of_the_users_own_is_recomputed(write, capsys):
    write(processors="{class: Future, module_path: own.py}")
    assert run(["audit", "study.yaml", "--dates", "1", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    (leak,) = found["data"]["findings"]
    assert (leak["kind"], leak["columns"], leak["proof"]["distance"]) == ("processors", ["A"], 2)


def test_a_declared_leak_ends_with_0_and_shows_its_reason(write, capsys):
    write(feature="$close", more="allow_leak: {adjustment: prices as the paper has them}")
    assert run(["audit", "study.yaml", "--dates", "1"]) == 0
    out = capsys.readouterr().out
    assert "declared adjustment" in out
    assert "declared: prices as the paper has them" in out


def test_overrides_count_and_what_is_no_campaign_is_an_error(write, capsys):
    write(feature="$close")
    assert run(["audit", "study.yaml", "allow_leak.adjustment=meant", "--dates", "1"]) == 0
    assert run(["audit", "nothing.yaml"]) == 2
    assert run(["audit", "nobody"]) == 2
    assert "no campaign was started" in capsys.readouterr().err
