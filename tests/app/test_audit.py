"""`rollwright audit`: a campaign's file and everything of the user's own beside it, audited from the command line."""

from __future__ import annotations

import json

import pytest

from rollwright.cli.root import run
from rollwright.market.demo import make_demo_market

OWN = """\
from rollwright.dataset.processors import Processor


class Future(Processor):
    def __call__(self, df):
        made = df.copy()
        made["feature"] = df["feature"].groupby(level="instrument").shift(-2).to_numpy()
        return made
"""
FILE = """\
qlib_init: {{provider_uri: market}}
task:
  model: {{class: LinearModel, module_path: rollwright.models.linear}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          data_loader:
            class: QlibDataLoader
            kwargs:
              config:
                feature: [["{feature}"], [A]]
                label: [["Ref($close,-2)/Ref($close,-1)-1"], [L]]
          infer_processors: [{processors}]
      segments: {{train: [2015-02-02, 2015-06-30], valid: [2015-07-01, 2015-08-31], test: [2015-09-01, 2015-12-01]}}
{more}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    make_demo_market(tmp_path / "market", instruments=20, sessions=250, seed=1)
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)

    def write_file(*, feature="$close/Ref($close,5)", processors="", more="rolling: {step: 20}"):
        path = tmp_path / "study.yaml"
        path.write_text(FILE.format(feature=feature, processors=processors, more=more))
        return path

    return write_file


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
