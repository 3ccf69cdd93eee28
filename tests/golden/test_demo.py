"""The demo, whole: the numbers it must reach, the network it must not touch, the labels it must not know."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

SHUFFLE = '''\
"""A processor of the user's own: gives every instrument the label of another one of the same day."""
import numpy as np

from rollwright.dataset.processors import Processor


class ShuffleLabels(Processor):
    def __call__(self, df):
        shuffled = df.copy()
        column = ("label", "LABEL0")
        random = np.random.default_rng(0)
        days = df[column].groupby(level="datetime")
        shuffled[column] = days.transform(lambda day: random.permutation(day.to_numpy()))
        return shuffled
'''


MEMBERS = ("trees-1", "trees-2", "linear")


def values(output: dict, variant: str = "combined") -> dict[str, float]:
    """Return the metrics of a variant, the signal made of the members if not given."""
    return {key: entry["value"] for key, entry in output["data"]["variants"][variant]["metrics"].items()}


class Demo:
    """One finished demo."""

    def __init__(self, folder: Path, seconds: float, output: dict, talk: str) -> None:
        self.folder = folder
        self.seconds = seconds
        self.output = output
        self.data = output["data"]["variants"]["combined"]
        self.metrics = values(output)
        self.tasks = len(MEMBERS) * self.data["windows"]
        self.talk = talk
        self.facts = json.loads((folder / "data" / "demo.json").read_text())


@pytest.fixture(scope="module")
def demo(shell, tmp_path_factory) -> Demo:
    home = tmp_path_factory.mktemp("demo")
    start = time.perf_counter()
    done = shell.run("demo", "--dir", "here", "-j", "2", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    return Demo(home / "here", time.perf_counter() - start, json.loads(done.stdout), done.stderr)


def test_three_members_walk_at_least_six_windows_and_end_with_numbers_and_a_report(demo):
    variants = demo.output["data"]["variants"]
    assert [*variants] == ["combined", *MEMBERS]
    assert {variant["windows"] for variant in variants.values()} == {demo.data["windows"]}
    assert demo.data["windows"] >= 6
    assert set(demo.metrics) >= {"ic", "icir", "rank_ic", "rank_icir"}
    results = demo.folder / "results" / "demo"
    assert (results / "report.html").stat().st_size > 100_000
    summary = json.loads((results / "summary.json").read_text())
    assert summary["files"]["report"] == "report.html"
    assert values({"data": summary}) == demo.metrics


def test_the_signal_of_all_members_is_above_that_of_each(demo):
    for member in MEMBERS:
        alone = values(demo.output, member)
        assert demo.metrics["ic"] > alone["ic"]
        assert demo.metrics["rank_ic"] > alone["rank_ic"]


@pytest.mark.slow
def test_it_is_audited_and_no_leak_is_found(demo):
    audited = demo.output["data"]["audit"]
    assert not [finding for finding in audited["findings"] if finding["severity"] == "leak"]
    assert len({probe["date"] for probe in audited["power"]["probes"]}) >= 2
    assert audited["power"]["features"] == 158


SIGNAL = {
    "ic": 0.065504368,
    "ic_error": 0.004970609,
    "ic_low": 0.054916428,
    "ic_high": 0.076092309,
    "icir": 0.507185018,
    "rank_ic": 0.080289436,
    "rank_ic_error": 0.004099311,
    "rank_ic_low": 0.071835826,
    "rank_ic_high": 0.088743047,
    "rank_icir": 0.812859336,
    "monotonicity": 1.0,
    "monotone_days": 0.0375,
    "calibration_slope": 0.001426567,
    "calibration_slope_error": 0.000132341,
    "calibration_raw_slope": 0.001428157,
    "calibration_raw_slope_error": 0.000132614,
    "calibration_intercept": 0.000428228,
    "calibration_intercept_error": 0.00032768,
    "coverage_scored": 1.0,
    "coverage_labelled": 0.991049962,
}
BACKTEST = {
    "annualized_return": 0.356677706,
    "excess_return": 0.250031264,
    "information_ratio": 4.353407296,
    "max_drawdown": -0.084361056,
    "turnover": 0.330167760,
    "sharpe": 2.771186997,
    "psr": 0.999936284,
    "deflated_sharpe": 0.999722947,
    "min_track_record": 0.354301520,
}


def test_its_figures_are_those_of_the_pinned_versions(demo):
    """Market, windows and learning are drawn from seeds, so the figures are the same each time.

    A change of the market, the features, the processors, the model's parameters, a metric or the back-test moves them:
    then this table changes with it, and the commit says why. Counts are exact. Another processor may round a sum
    otherwise and take another split in some tree, hence a thousandth of a signal's figures, and two hundredths of
    those of a back-test, where one other trade on one day counts.
    """
    assert (demo.data["windows"], demo.data["days"], demo.data["rows"]) == (6, 480, 56_983)
    assert demo.metrics.keys() == SIGNAL.keys() | BACKTEST.keys() | {"ic_days", "trials", "pbo"}
    assert demo.metrics["ic_days"] == 480
    assert demo.metrics["trials"] == 4
    assert 0 <= demo.metrics["pbo"] < 0.5
    assert {key: demo.metrics[key] for key in SIGNAL} == pytest.approx(SIGNAL, rel=1e-3)
    assert {key: demo.metrics[key] for key in BACKTEST} == pytest.approx(BACKTEST, rel=2e-2)


def test_the_signal_found_is_between_half_and_a_fifth_above_the_planted_one(demo):
    planted = demo.facts["planted_ic"]
    signal = demo.metrics
    assert signal["ic_error"] < 0.15 * planted
    assert 0.5 * planted <= signal["ic"] <= 1.2 * planted


@pytest.mark.parametrize(
    "members", [pytest.param(MEMBERS, id="all", marks=pytest.mark.slow), pytest.param(("linear",), id="linear")]
)
def test_labels_shuffled_within_each_day_leave_nothing_to_find(demo, shell, tmp_path, members):
    folder = tmp_path  # a project of its own: in that of the demo it would count among the trials
    (folder / "data").symlink_to(demo.folder / "data")
    (folder / "shuffle.py").write_text(SHUFFLE)
    text = (demo.folder / "demo.yaml").read_text()
    text = text.replace("experiment_name: demo", "experiment_name: shuffled")
    learn = (
        "          learn_processors:\n"
        "            - {class: DropnaLabel}\n"
        "            - {class: ShuffleLabels, module_path: shuffle.py}\n"
        "            - {class: CSZScoreNorm, kwargs: {fields_group: label}}\n"
    )
    text = re.sub(r"( +fit_end_time: .*\n)", rf"\1{learn}", text)
    assert "ShuffleLabels" in text
    for other in set(MEMBERS) - set(members):
        text = re.sub(rf"  - {{name: {other}, .*\n", "", text)
    (folder / "shuffled.yaml").write_text(text)
    done = shell.run("roll", "shuffled.yaml", "-j", "2", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    signal = values(json.loads(done.stdout))
    assert abs(signal["ic"]) < 2 * signal["ic_error"]
    assert signal["ic_days"] == demo.metrics["ic_days"]
    assert abs(signal["ic"]) < 0.2 * values(demo.output, members[0])["ic"]


def test_the_same_command_again_trains_nothing_and_writes_the_same_bytes(demo, shell):
    pred = demo.folder / "results" / "demo" / "pred.parquet"
    before = pred.read_bytes()
    done = shell.run("demo", "--dir", ".", "--json", cwd=demo.folder)
    assert done.returncode == 0, done.stderr
    assert f"{demo.tasks} of {demo.tasks} windows are finished already and kept" in done.stderr
    assert values(json.loads(done.stdout)) == demo.metrics
    assert pred.read_bytes() == before


def test_a_damaged_artifact_is_found_and_made_again_from_the_model_of_its_window(demo, shell):
    pred = demo.folder / "results" / "demo" / "pred.parquet"
    before = pred.read_bytes()
    victim = sorted((demo.folder / ".rollwright" / "artifacts").rglob("pred.parquet"))[0]
    spoiled = bytearray(victim.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    victim.write_bytes(bytes(spoiled))
    done = shell.run("roll", "demo.yaml", "--json", cwd=demo.folder)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"window \S+ keeps its model, and its records are made again", done.stderr)) == 1
    assert "is trained again" not in done.stderr
    assert json.loads(done.stdout)["data"]["training"] == {
        "trained": 0,
        "records_only": 1,
        "kept": demo.tasks - 1,
    }
    assert pred.read_bytes() == before


def test_no_socket_opens_outside_loopback(demo, shell):
    loaded = Path(f"{shell.sockets}.loaded").read_text().split()
    assert loaded  # the watch was on in the command, and in the slots that it forks
    seen = shell.sockets.read_text() if shell.sockets.exists() else ""
    assert seen == ""


def test_the_report_fetches_nothing(demo):
    page = (demo.folder / "results" / "demo" / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    page = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # Plotly names its home in a link it never follows
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)


@pytest.mark.slow
def test_it_takes_less_than_a_minute_on_two_cores(demo):
    assert demo.seconds < 60
