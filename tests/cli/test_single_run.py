"""``run``: a task that is trained once leads with what stands against its numbers, as a campaign does."""

from __future__ import annotations

import json

from rollwright.cli.root import run
from small_campaign import CAMPAIGN

ONCE = CAMPAIGN.replace("rolling: {step: 25, rtype: sliding}\n", "")


def test_what_stands_against_the_numbers_leads_them(fresh, capsys):
    adjacent = ONCE.replace('"2020-05-22"', '"2020-05-28"')
    (fresh / "once.yaml").write_text(adjacent + "allow_leak: {label: as the paper has it}\n")
    assert run(["run", "once.yaml", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["health"][0]["severity"] == "serious"
    found = {finding["kind"]: finding for finding in data["health"]}
    assert "as the paper has it" in found["declared_leak"]["message"]
    assert found["few_instruments"]["values"]["names"] == 8
    assert "IC" in data["metrics"]
    assert run(["run", "once.yaml"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("health: ")
    assert out.index("[1] serious: ") < out.index("recorder ") < out.index("  IC ")
    (line,) = [line for line in out.splitlines() if line.startswith("  Rank IC ")]
    assert " [1]" in line, "a doubtful number never stands alone"


def test_a_run_without_a_record_is_judged_by_its_segments_alone(fresh, capsys):
    record = "  record: {class: SignalRecord, module_path: rollwright.analysis.records}\n"
    assert record in ONCE
    (fresh / "once.yaml").write_text(ONCE.replace(record, "  record: []\n"))
    assert run(["run", "once.yaml", "--json"]) == 0
    kinds = {finding["kind"] for finding in json.loads(capsys.readouterr().out)["data"]["health"]}
    assert not kinds & {"few_instruments", "no_scores", "declared_leak"}


PORTFOLIO = """\
  record:
    - {class: SignalRecord, module_path: rollwright.analysis.records}
    - class: PortAnaRecord
      module_path: rollwright.analysis.records
      kwargs:
        config:
          strategy:
            class: TopkDropoutStrategy
            module_path: rollwright.backtest.topk_dropout
            kwargs: {signal: "<PRED>", topk: 3, n_drop: 1}
          backtest: {account: 1.0e6, benchmark: mean, exchange_kwargs: {deal_price: close}}
"""


def test_a_portfolio_that_was_trained_once_is_a_trial_and_its_honest_numbers_are_logged(fresh, capsys):
    record = "  record: {class: SignalRecord, module_path: rollwright.analysis.records}\n"
    (fresh / "once.yaml").write_text(ONCE.replace(record, PORTFOLIO))
    for trials in (1, 1):
        assert run(["run", "once.yaml", "--json"]) == 0
        metrics = json.loads(capsys.readouterr().out)["data"]["metrics"]
        assert metrics["trials"] == trials
        assert 0 <= metrics["deflated_sharpe"] <= 1
    assert run(["trials", "list", "--json"]) == 0
    (part,) = json.loads(capsys.readouterr().out)["data"]["data_sets"]
    (trial,) = part["distinct"]
    assert (trial["source"], trial["name"]) == ("single", "small")
