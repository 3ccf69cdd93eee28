"""``plan``: what a campaign would do is drawn, counted and judged, and nothing is changed by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rolling_project import CODES, DAYS, rows
from rollwright.cli.root import run
from rollwright.cli.timeline import Bar, BarPart, draw_axis, draw_bar
from rollwright.core.atomic import measure_file
from rollwright.market.ingest.importer import import_market
from small_campaign import CAMPAIGN, roll_here

WINDOWS = ("2020-05-29..2020-07-02", "2020-07-03..2020-08-06", "2020-08-07..2020-09-10", "2020-09-11..2020-10-05")
VOLATILE = ("-wal", "-shm", "-owners", ".lock", "-lock")


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file but what SQLite and locks keep beside their files."""
    return {
        str(path.relative_to(folder)): measure_file(path).sha256
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.endswith(VOLATILE) for part in path.relative_to(folder).parts)
    }


def preview(capsys, *arguments: str) -> dict:
    capsys.readouterr()
    code = run(["plan", "small.yaml", "--json", *arguments])
    answer = json.loads(capsys.readouterr().out)
    assert code == (0 if answer["ok"] else 4)
    return answer["data"]


def changes(data: dict) -> dict[str, tuple[str, str]]:
    return {window["name"]: (window["change"]["action"], window["change"]["reason"]) for window in data["windows"]}


def test_windows_are_drawn_with_their_purge_and_embargo_and_counted(fresh, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["plan", "small.yaml", "rolling.embargo=5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("small: 4 windows, test 2020-05-29 to 2020-10-05\n")
    assert "before test 2 sessions of purge and 5 sessions of embargo" in out
    lines = [line for line in out.splitlines() if line.startswith("2020-")]
    assert [line.split()[0] for line in lines] == [*WINDOWS]
    for line in lines:
        drawn = "".join(line.split()[1:])
        kinds = [sign for place, sign in enumerate(drawn) if place == 0 or drawn[place - 1] != sign]
        assert "".join(kinds) == "━×─×○█"
        assert len(line) <= 100
    assert "rollwright roll small.yaml" in out


def test_members_with_labels_of_their_own_are_shown_with_them(fresh, capsys):
    key = "dataset.kwargs.handler.kwargs.data_loader.kwargs.config.label"
    labels = [[[f"Ref($close, -{span})/Ref($close, -1) - 1"], ["LABEL0"]] for span in (2, 11)]
    members = [{"name": name, key: label} for name, label in zip(("one", "ten"), labels, strict=True)]
    assert run(["plan", "small.yaml", f"vary={json.dumps(members)}", "combine=none"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("label: ")]
    assert "does not tell" not in line
    one, ten = line.removeprefix("label: ").split("; ")[:2]
    assert (one.startswith("the return over 1 session"), one.endswith("(one)")) == (True, True)
    assert ten.startswith("the return over 10 sessions")
    assert "(ten)" in ten
    assert "before test at most 11 sessions of purge" in line


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("collect={allow_missing: {2031-01: why}}", "the campaign has no window `2031-01`"),
        ("vary=[{model.kwargs.alpha: 0.1}, {model.kwargs.alphas: 0.2}]", "alphas"),
    ],
)
def test_what_roll_would_refuse_is_refused_here(fresh, capsys, override, said):
    refused = []
    for verb in ("plan", "roll"):
        assert run([verb, "small.yaml", override]) == 2
        refused.append(capsys.readouterr().err)
        assert said in refused[-1]
    assert refused[0] == refused[1]


def test_it_fits_a_phone(fresh, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert run(["plan", "small.yaml"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("20-")]
    assert [line.split()[0] for line in lines] == ["20-05-29", "20-07-03", "20-08-07", "20-09-11"]
    assert all(len(line) <= 40 and line.rstrip().endswith("█") for line in lines)


def test_of_many_windows_the_first_and_the_last_are_drawn(fresh, capsys):
    assert run(["plan", "small.yaml", "rolling.step=2"]) == 0
    out = capsys.readouterr().out
    drawn = [line for line in out.splitlines() if line.startswith("2020-")]
    assert len(drawn) == 20
    assert "more like these" in out
    assert run(["plan", "small.yaml", "rolling.step=2", "--all"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("2020-")]) == 46


@pytest.mark.parametrize("arguments", [[], ["--diff"], ["--json"], ["task.model.kwargs.alpha=0.3", "--diff"]])
def test_nothing_is_changed_by_looking(rolled, capsys, arguments):
    assert run(["plan", "small.yaml", *arguments]) == 0  # SQLite puts into its file what the copied log still had
    before = contents(rolled)
    assert run(["plan", "small.yaml", *arguments]) == 0
    assert contents(rolled) == before


def test_where_nothing_was_run_nothing_is_made(fresh, capsys):
    before = contents(fresh)
    assert run(["plan", "small.yaml", "--diff"]) == 0
    assert contents(fresh) == before
    assert not (fresh / ".rollwright").exists()
    out = capsys.readouterr().out
    assert "to train: 4 windows" in out
    assert "it was never run" in out
    assert "time: not known for 4 windows" in out


def test_the_time_is_judged_by_earlier_runs(rolled, capsys):
    data = preview(capsys, "task.model.kwargs.alpha=0.7")
    assert data["to_train"] == 4
    assert data["estimate"]["runs"] == 4
    assert data["estimate"]["pools"] == ["small"]
    assert 0 < data["estimate"]["least"] <= data["estimate"]["seconds"] <= data["estimate"]["most"]
    assert preview(capsys)["to_train"] == 0
    assert preview(capsys, "task.model.class=LGBModel", "task.model.module_path=rollwright.models.lightgbm",
                   "task.model.kwargs={}")["estimate"] is None  # fmt: skip


def test_the_memory_is_judged_by_the_runs_that_worker_processes_made_here(rolled, capsys):
    again = "task.model.kwargs.alpha=0.7"
    assert preview(capsys, again)["estimate"]["memory"] is None
    assert run(["plan", "small.yaml", again]) == 0
    assert "memory: not known" in capsys.readouterr().out
    logs = rolled / ".rollwright" / "logs" / "small"
    logs.mkdir(parents=True)
    notes = [("1", 300), ("2", 400), ("2", 500), ("3", 700), ("99", 9_000)]  # the last is none of its tasks
    lines = [json.dumps({"task": task, "seconds": 1.0, "peak": peak * 10**6}) for task, peak in notes]
    (logs / "usage.jsonl").write_text("\n".join([*lines, "no line of ours"]))
    estimate = preview(capsys, again)["estimate"]
    assert (estimate["memory"], estimate["most_memory"]) == (500 * 10**6, 700 * 10**6)
    assert run(["plan", "small.yaml", again, "-j", "3"]) == 0
    assert "memory: about 500.0 MB for a worker process, 700.0 MB at most; 2.1 GB for 3" in capsys.readouterr().out


def test_what_stands_is_kept_and_a_comment_changes_nothing(rolled, capsys):
    (rolled / "small.yaml").write_text("# a comment\n" + CAMPAIGN)
    told = changes(preview(capsys, "--diff"))
    assert set(told) == {*WINDOWS}
    assert {action for action, _ in told.values()} == {"keep"}


def test_a_key_that_changed_is_named_with_both_values_and_the_former_windows_are_set_aside(rolled, capsys):
    data = preview(capsys, "--diff", "task.model.kwargs.alpha=0.3")
    assert changes(data) == dict.fromkeys(WINDOWS, ("train", "its configuration changed: model.kwargs.alpha 0.1 → 0.3"))
    assert data["set_aside"] == [*WINDOWS]


def test_another_record_trains_nothing(rolled, capsys):
    record = "{class: SigAnaRecord, module_path: rollwright.analysis.records}"
    data = preview(capsys, "--diff", f"task.record=[{{class: SignalRecord}}, {record}]")
    assert {action for action, _ in changes(data).values()} == {"records"}


def test_a_revised_price_is_told_before_anything_runs(rolled, capsys):
    import_market(rows(DAYS[150:151], CODES[:1], factor=1.01), rolled / "market", revise=True)
    data = preview(capsys, "--diff")
    told = changes(data)
    assert told[WINDOWS[0]][0] == "keep"
    late = [told[name] for name in WINDOWS[1:]]
    assert all("market data changed from 2020-07-29 on" in reason for action, reason in late if action != "keep")
    stale = [window["name"] for window in data["windows"] if window["change"]["is_stale"]]
    assert stale == [name for name, (action, _) in told.items() if action != "keep"] != []
    assert run(["plan", "small.yaml", "--diff"]) == 0
    assert "--accept-stale keeps the result as it is" in capsys.readouterr().out


def test_a_deleted_artifact_is_told_and_cannot_be_accepted(rolled, capsys):
    artifact = sorted((rolled / ".rollwright").rglob("pred.parquet"))[0]
    artifact.unlink()
    data = preview(capsys, "--diff")
    torn = [window for window in data["windows"] if window["change"]["action"] != "keep"]
    assert len(torn) == 1
    assert torn[0]["change"]["action"] == "records"
    assert not torn[0]["change"]["is_stale"]


def test_a_leak_is_shown_with_what_closes_it_and_ends_with_4(fresh, capsys):
    (fresh / "small.yaml").write_text(CAMPAIGN.replace('"2020-05-22"', '"2020-05-28"'))
    assert run(["plan", "small.yaml", "rolling.trunc_days=1"]) == 4
    out = capsys.readouterr().out
    assert "leak: the labels of the last" in out
    assert "hint: set `rolling.trunc_days: auto`" in out
    assert "start it" not in out
    assert len(preview(capsys, "rolling.trunc_days=1")["windows"]) == 4


@pytest.mark.parametrize(
    ("words", "notes"),
    [
        (["allow_leak.order=why not"], ["declares `order`, and nothing leaks in that way: take it out"]),
        (["allow_leak.label=why not"], ["and need not: ", "with it no segment is cut and labels leak"]),
        (["allow_leak.label=why not", "task.dataset.kwargs.segments.train=[2020-01-09, 2020-04-24]"],
         ["and need not: ", "with it nothing leaks in that way either"]),
        (["allow_leak.label=why not", "rolling.trunc_days=1",
          "task.dataset.kwargs.segments.valid=[2020-05-01, 2020-05-28]"], []),
        (["backtest.topk=8", "backtest.n_drop=1"], ["holds the best 8, and `all` has 8 instruments"]),
        (["backtest.topk=7", "backtest.n_drop=1"], []),
    ],
)  # fmt: skip
def test_what_does_not_do_what_it_seems_to_say_is_told(fresh, capsys, words, notes):
    told = preview(capsys, *words)["notes"]
    said = [note for note in told if "allow_leak" in note or "back-test" in note]
    assert len(said) == min(len(notes), 1), told
    assert all(note in said[0] for note in notes)


def test_a_file_without_rolling_is_one_window(fresh, capsys):
    (fresh / "once.yaml").write_text(CAMPAIGN.replace("rolling: {step: 25, rtype: sliding}\n", ""))
    assert run(["plan", "once.yaml"]) == 0
    out = capsys.readouterr().out
    assert "small: trained once, without rolling, test 2020-05-29 to 2020-10-05" in out
    assert "rollwright run once.yaml" in out


def test_after_a_change_only_changed_windows_run_and_what_does_not_belong_is_set_aside(rolled, capsys):
    told: dict[str, object] = {}
    file = rolled / "small.yaml"
    file.write_text(CAMPAIGN.replace('"2020-10-05"', '"2020-09-25"'))
    roll_here(file, on_progress=lambda what, value: told.update({what: value}))
    submission = told["submitted"]
    assert [str(key) for key in submission.reused] == [*WINDOWS[:3]]
    assert submission.set_aside == (WINDOWS[3],)
    file.write_text(CAMPAIGN)
    roll_here(file, on_progress=lambda what, value: told.update({what: value}))
    assert told["submitted"].todo == ()  # what was set aside is not lost


def test_a_result_that_is_stale_can_be_kept_and_everything_says_so(rolled, capsys):
    import_market(rows(DAYS[150:151], CODES[:1], factor=1.01), rolled / "market", revise=True)
    told: dict[str, object] = {}
    result = roll_here(
        rolled / "small.yaml", accept_stale=True, on_progress=lambda what, value: told.update({what: value})
    )
    assert told["submitted"].todo == ()
    accepted = [str(key) for key, _ in told["submitted"].accepted]
    assert accepted
    (finding,) = [finding for finding in result.health if finding.kind == "accepted_stale"]
    assert finding.severity == "serious"
    assert finding.values["names"] == accepted
    page = (rolled / "results" / "small" / "report.html").read_text()
    assert "--accept-stale" in page
    assert "accepted_stale" in (rolled / "results" / "small" / "summary.json").read_text()


def test_every_part_of_a_bar_is_seen_however_short(monkeypatch):
    import datetime as dt  # noqa: PLC0415

    day = dt.date
    spans = (
        BarPart("train", day(2000, 1, 1), day(2019, 12, 20)),
        BarPart("purge", day(2019, 12, 21), day(2019, 12, 23)),
        BarPart("embargo", day(2019, 12, 24), day(2019, 12, 24)),
        BarPart("test", day(2019, 12, 25), day(2019, 12, 31)),
    )
    drawn = draw_bar(Bar(spans), start=day(2000, 1, 1), end=day(2019, 12, 31), width=20)
    assert drawn.endswith("━×○█")
    assert len(drawn) == 20
    assert draw_axis(day(2000, 1, 1), day(2019, 12, 31), 40).startswith("2000")
