"""What the main job says when it is stopped: words that can be typed as they stand."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from rollwright.analysis.conventions import Conventions
from rollwright.analysis.health import SIGNAL, HealthFinding
from rollwright.analysis.metrics import Metric, show_metrics
from rollwright.app import audit, campaign, data, open_campaign
from rollwright.campaign.audit.findings import AuditFinding, AuditReport
from rollwright.campaign.summary import CampaignResult, CombinedResult, TrainingCounts, VariantResult
from rollwright.cli.campaign import show_health, show_result
from rollwright.cli.console import print_wrapped
from rollwright.cli.root import run


@pytest.fixture(autouse=True)
def stopped(monkeypatch):
    opened = SimpleNamespace(name="mine", settings=None)
    monkeypatch.setattr(open_campaign, "open_campaign", lambda *_args, **_kwargs: opened)
    monkeypatch.setattr(open_campaign, "reopen_campaign", lambda *_args, **_kwargs: opened)
    monkeypatch.setattr(campaign, "roll_campaign", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(data, "prepare_demo", lambda folder, **_kwargs: folder / "demo.yaml")


@pytest.mark.parametrize(
    ("arguments", "go_on"),
    [
        (["roll", "mine.yaml"], "rollwright resume mine"),
        (["resume", "mine"], "rollwright resume mine"),
        (["resume"], "rollwright resume"),
        # its project is not in the working directory, so `resume` would not find it
        (["demo", "--dir", "my demo"], "rollwright demo --dir 'my demo'"),
    ],
)
def test_a_stopped_job_says_what_goes_on_with_it(capsys, arguments, go_on):
    assert run(arguments) == 130
    captured = capsys.readouterr()
    assert captured.err.endswith(f"Go on with: {go_on}\n")
    assert captured.out == ""


@pytest.mark.parametrize(("severity", "code"), [("leak", 4), ("declared", 0)])
def test_an_edited_demo_that_leaks_ends_with_the_code_of_the_audit(capsys, monkeypatch, severity, code):
    conventions = Conventions(days_per_year=252, label_horizon=1, label_span=2)
    result = CampaignResult(name="mine", variants=(), files={}, notes=(), health=(), conventions=conventions)

    def roll_campaign(*_args, on_progress, **_kwargs):
        on_progress("trained", TrainingCounts(trained=1, records_only=0, kept=0))
        return result

    found = AuditFinding(kind="feature", severity=severity, message="Reads tomorrow", hint="no", window="w", reason="r")
    monkeypatch.setattr(campaign, "roll_campaign", roll_campaign)
    monkeypatch.setattr(audit, "audit_campaign", lambda *_args: AuditReport(name="mine", findings=(found,)))
    assert run(["demo", "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    assert told["data"]["audit"]["findings"][0]["message"] == "Reads tomorrow"


def test_the_terminal_shows_each_variant_with_the_texts_of_its_metrics(capsys, tmp_path):
    metrics = (
        Metric(key="ic", value=0.0417, unit="correlation"),
        Metric(key="ic_error", value=0.0051, unit="correlation"),
        Metric(key="max_drawdown", value=-0.0927, unit="fraction"),
    )
    variants = tuple(
        VariantResult(variant=name, windows=8, days=400, rows=48_000, metrics=metrics, files={"predictions": tmp_path})
        for name in ("linear", "trees")
    )
    result = CampaignResult(
        name="mine",
        variants=variants,
        files={"report": tmp_path / "r"},
        notes=("Made up.",),
        health=(),
        conventions=Conventions(days_per_year=252, label_horizon=5, label_span=6),
    )
    show_result(result)
    captured = capsys.readouterr()
    for name in ("linear", "trees"):
        assert f"mine, {name}: 8 windows, 400 days, 48,000 predictions" in captured.out
    for metric in show_metrics(metrics):
        assert captured.out.count(metric.text) == 2
    assert "note: Made up." in captured.err
    assert captured.out.startswith("health: nothing was found")
    assert "Label: the return over 5 sessions that reads 6 sessions ahead" in captured.out
    show_result(replace(result, variants=variants[:1]))
    assert "\nmine: 8 windows" in capsys.readouterr().out


def test_findings_lead_what_is_printed_and_stand_beside_their_numbers(capsys):
    metrics = (
        Metric(key="ic", value=0.0417, unit="correlation"),
        Metric(key="turnover", value=0.3, unit="fraction_per_session"),
    )
    variants = tuple(
        VariantResult(variant=name, windows=8, days=400, rows=48_000, metrics=metrics, files={})
        for name in ("linear", "trees")
    )
    scores = {"days": 300, "of": 400, "share": 0.75}
    show_result(
        CampaignResult(
            name="mine",
            variants=variants,
            files={},
            notes=(),
            health=(
                HealthFinding(
                    kind="constant_scores", severity="serious", values=scores, metrics=SIGNAL, variant="trees"
                ),
                HealthFinding(kind="missing_fields", severity="warning", values={"fields": "$vwap"}),
            ),
            conventions=Conventions(days_per_year=252, label_horizon=1, label_span=2),
        )
    )
    health, _, rest = capsys.readouterr().out.partition("mine, linear")
    linear, _, trees = rest.partition("mine, trees")
    assert health.startswith("health: 1 serious, 1 warning; read this before the numbers")
    assert "[1] serious: trees: The scores are constant" in health
    assert "[2] warning: No instrument has $vwap" in health
    assert [part.count("[1]") for part in (linear, trees)] == [0, 1]
    assert [part.count("[2]") for part in (linear, trees)] == [2, 2]


def test_the_table_of_members_keeps_names_and_numbers_whole_on_eighty_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    keys = ("ic", "icir", "rank_ic", "rank_icir")
    metrics = tuple(Metric(key=key, value=-0.0417, unit="correlation" if "ir" not in key else "ratio") for key in keys)
    names = ("LGBModel-seed=0", "LGBModel-seed=1", "XGBModel-seed=0")
    finding = {"severity": "warning", "values": {"fields": "$vwap"}, "metrics": SIGNAL}
    show_result(
        CampaignResult(
            name="mine",
            variants=tuple(
                VariantResult(variant=name, windows=8, days=400, rows=48_000, metrics=metrics, files={})
                for name in ("combined", *names)
            ),
            files={},
            notes=(),
            health=tuple(
                HealthFinding(**finding, kind=f"of {name}, {place}", variant=name)
                for name in names
                for place in range(7)
            ),
            conventions=Conventions(days_per_year=252, label_horizon=1, label_span=2),
            combined=CombinedResult(
                method="average",
                members=names,
                label=names[0],
                correlations={name: dict.fromkeys(names, 0.5) for name in names},
            ),
        )
    )
    table = capsys.readouterr().out.partition(" member ")[2]
    for place, name in enumerate(names):
        (line,) = [one for one in table.splitlines() if name in one]
        assert line.split()[1:6] == [*["-0.0417"] * 4, "+0.500"]
        assert f"[{7 * place + 1}]" in line
    for number in range(1, 22):
        assert f"[{number}]" in table


def test_a_finding_that_many_members_share_is_told_once_with_their_names(capsys):
    names = [f"LGBModel-seed={seed}" for seed in range(9)]
    alike = [
        HealthFinding(kind="missing_fields", severity="note", values={"fields": "$vwap"}, variant=n) for n in names
    ]
    own = [
        HealthFinding(kind="few_days", severity="serious", values={"days": 3 + n, "wanted": 60}, variant=name)
        for n, name in enumerate(names)
    ]
    show_health((*own, *alike), name_variants=True)
    said = capsys.readouterr().out
    assert said.startswith("health: 1 serious, 1 note;")
    assert [line[:5] for line in said.splitlines() if line.startswith("  [")] == ["  [1]", "  [2]"]
    assert f"serious: {names[0]}: " in said
    assert f"likewise, with figures of their own in summary.json: {', '.join(names[1:])}" in said
    assert f"the same of: {', '.join(names)}" in said


@pytest.mark.parametrize("text", ["word " * 60, "数据中的字段缺失，" * 30])
def test_a_long_finding_is_wrapped_beneath_its_beginning_on_a_terminal(capsys, monkeypatch, text):
    monkeypatch.setenv("COLUMNS", "60")
    print_wrapped("  [1] ", text.strip())
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_wrapped("  [1] ", text.strip())
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("  [1] ")
    assert len(rest) >= 5
    assert all(line.startswith("      ") and line[6] != " " for line in rest)
    assert all(cell_len(line) <= 60 for line in (first, *rest))
    assert "".join(line[6:] for line in (first, *rest)).replace(" ", "") == text.replace(" ", "")
