"""The table of a comparison: what it says of models whose truth is known, and of odd ones."""

import dataclasses
import json
import math
import random
import time

import numpy as np
import pytest

from comparisons import TERMS, make_comparison, make_failure, make_run
from rollwright.analysis.honesty.sharpe import deflated_sharpe_ratio, measure_returns
from rollwright.compare.evaluation import METRIC_KEYS
from rollwright.compare.table import ComparisonTable, make_table
from rollwright.compare.table_files import read_table, table_json, write_costs, write_table
from rollwright.errors import CompareError, CorruptFileError, DataError, DataNotFoundError


def row_of(table, model):
    (found,) = [row for row in table.rows if row.model == model]
    return found


def kinds(table):
    return [note.kind for note in table.notes]


def replace(run, **changes):
    return dataclasses.replace(run, **changes)


def test_models_stand_in_the_order_of_their_means_and_failures_last():
    runs = [make_failure("Aaa"), *make_comparison(models=("LightGBM", "Linear", "XGBoost"), days=500)]
    table = make_table(runs)
    assert [row.model for row in table.rows] == ["LightGBM", "Linear", "XGBoost", "Aaa"]
    assert [row.standing.rank for row in table.rows[:3]] == [1, 2, 3]
    assert table.rows[3].standing is None
    assert table.rows[3].failures[0].cause == "ValueError: num_leaves must be > 1"
    assert not table.is_complete
    assert kinds(table) == ["runs_failed"]


def test_metrics_are_mean_and_deviation_over_its_seeds():
    runs = make_comparison(seeds=4)
    row = row_of(make_table(runs), "LightGBM")
    for name in METRIC_KEYS:
        values = [run.metrics[name] for run in runs if run.key.model == "LightGBM"]
        assert row.metrics[name].mean == pytest.approx(np.mean(values))
        assert row.metrics[name].std == pytest.approx(np.std(values, ddof=1))
        assert row.metrics[name].runs == 4
    assert list(row.digests) == [1, 2, 3, 4]


def test_one_run_has_no_deviation_and_the_table_says_so():
    table = make_table(make_comparison(seeds=1))
    assert row_of(table, "Linear").metrics["ic"].std == 0
    assert "one_seed" in kinds(table)


def test_seeds_that_predict_the_same_are_named():
    runs = make_comparison(models=("LightGBM", "Linear"))
    same = [replace(run, digest="a" * 64) if run.key.model == "Linear" else run for run in runs]
    (note,) = [note for note in make_table(same).notes if note.kind == "same_predictions"]
    assert note.values["rows"] == "Linear/Alpha158"


def test_more_seeds_of_one_market_make_no_difference_surer():
    """Seeds that only add noise to one market are averaged first: the interval does not shrink with their number."""

    def width(seeds):
        runs = [make_run(model, 1, ic=edge) for model, edge in (("A", 0.03), ("B", 0.029))]
        copies = [replace(run, key=run.key._replace(seed=seed)) for run in runs for seed in range(1, seeds + 1)]
        found = row_of(make_table(copies, baseline="A"), "B").standing.versus.rank_ic
        return found.upper - found.lower

    assert width(8) == pytest.approx(width(1), rel=1e-9)


def test_a_model_that_is_far_better_is_alone_in_the_set_and_alike_ones_share_it():
    sure = make_table([make_run("Good", ic=0.08), make_run("Poor", ic=0.0)])
    assert [row.standing.in_set for row in sure.rows] == [True, False]
    assert sure.rows[1].standing.set_p <= 0.1
    alike = make_table([make_run("One", ic=0.03), make_run("Two", ic=0.03)])
    assert [row.standing.in_set for row in alike.rows] == [True, True]


@pytest.mark.parametrize("metric", ["rank_ic", "ic", "excess"])
def test_models_are_ranked_by_what_was_asked_for(metric):
    runs = make_comparison(days=400)
    table = make_table(runs, metric=metric)
    means = [np.mean([getattr(run, metric).mean() for run in runs if run.key.model == row.model]) for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert [row.standing.mean for row in table.rows] == pytest.approx(means)


def test_the_baseline_is_found_in_any_case_and_compared_with_itself_never():
    table = make_table(make_comparison(days=400), baseline="linear")
    assert table.baseline == "Linear"
    assert row_of(table, "Linear").standing.versus is None
    versus = row_of(table, "LightGBM").standing.versus
    assert versus.rank_ic.lower <= versus.rank_ic.difference <= versus.rank_ic.upper
    assert versus.rank_ic.difference > 0
    assert versus.win_sessions > 0.5
    assert versus.win_seeds == 1.0


def test_differences_from_the_baseline_are_those_of_the_averages_over_seeds():
    runs = make_comparison(models=("A", "B"), days=400)
    versus = row_of(make_table(runs, baseline="A"), "B").standing.versus

    def average(model, name):
        return np.mean([getattr(run, name) for run in runs if run.key.model == model], axis=0)

    for name, scale in (("ic", 1.0), ("rank_ic", 1.0)):
        wanted = (average("B", name) - average("A", name)).mean() * scale
        assert getattr(versus, name).difference == pytest.approx(wanted)
    excess = {model: average(model, "excess") for model in "AB"}
    assert versus.annualized_return.difference == pytest.approx(252 * (excess["B"] - excess["A"]).mean())
    ratios = {model: values.mean() / values.std(ddof=1) * math.sqrt(252) for model, values in excess.items()}
    assert versus.information_ratio.difference == pytest.approx(ratios["B"] - ratios["A"])
    wins = (average("B", "rank_ic") > average("A", "rank_ic")).mean()
    assert versus.win_sessions == pytest.approx(wins)


def test_a_baseline_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(CompareError, match="none of the 3 models") as caught:
        make_table(make_comparison(), baseline="LightGMB")
    assert caught.value.hint == "did you mean `LightGBM`?"


def test_a_baseline_that_failed_is_said_and_nothing_is_compared_with_it():
    table = make_table([*make_comparison(), make_failure("Base")], baseline="Base")
    assert "baseline_missing" in kinds(table)
    assert all(row.standing.versus is None for row in table.rows if row.standing)


def test_on_each_dataset_the_baseline_is_that_of_the_dataset():
    runs = [
        make_run(model, dataset=dataset, ic=edge)
        for dataset, edge in (("Alpha158", 0.01), ("Alpha360", 0.05))
        for model in ("A", "B")
    ]
    table = make_table(runs, baseline="A")
    for row in table.rows:
        assert (row.standing.versus is None) == (row.model == "A")
        if row.model == "B":
            assert abs(row.standing.versus.rank_ic.difference) < 0.02
    lone = make_table([*runs[:2], make_run("B", dataset="Alpha360")], baseline="A")
    assert [row.standing.versus for row in lone.rows if row.dataset == "Alpha360"] == [None]


def test_models_with_other_sessions_are_compared_on_the_common_ones():
    table = make_table([make_run("Long", days=300), make_run("Late", days=250, start=50)])
    (group,) = table.groups
    assert (group.sessions, group.dropped) == (250, 50)
    (note,) = table.notes[:1]
    assert note.kind == "sessions_dropped"
    assert dict(note.values) == {"sessions": 250, "dropped": 50}
    assert [row_of(table, name).sessions for name in ("Long", "Late")] == [300, 250]


def test_a_model_with_few_sessions_is_left_out_and_does_not_cut_the_others():
    table = make_table([make_run("Long"), make_run("Other"), make_run("Short", days=60)])
    assert table.groups[0].sessions == 300
    assert table.rows[-1].model == "Short"
    assert table.rows[-1].standing is None
    assert table.rows[-1].metrics["ic"].runs == 1
    assert "left_out" in kinds(table)


def test_models_of_other_labels_or_universes_are_compared_within_their_group_alone():
    other = dataclasses.replace(TERMS, universe="csi500")
    runs = [make_run("A"), make_run("B", ic=0.02), make_run("C", terms=other, ic=0.2)]
    table = make_table(runs)
    assert [row.group for row in table.rows] == [0, 0, 1]
    assert [row.standing.rank for row in table.rows] == [1, 2, 1]
    assert table.groups[1].winner.model == "C"
    (note,) = [note for note in table.notes if note.kind == "not_comparable"]
    assert note.values["terms"] == "universe"


def test_the_winner_is_deflated_by_every_run_that_was_tried():
    runs = make_comparison(days=500, seeds=5)
    table = make_table([*runs, make_failure("GRU")])
    winner = table.groups[0].winner
    best = [run.excess.to_numpy() for run in runs if run.key.model == winner.model]
    moments = measure_returns(np.mean(best, axis=0))
    deviation = np.std([measure_returns(run.excess.to_numpy()).sharpe for run in runs], ddof=1)
    assert table.trials == winner.trials == 15
    assert winner.sharpe == pytest.approx(moments.sharpe * math.sqrt(252))
    assert winner.deflated == pytest.approx(deflated_sharpe_ratio(moments, trials=15, deviation=deviation))
    assert winner.deflated < winner.probabilistic


def test_permuted_runs_give_the_same_bytes_and_another_seed_other_draws():
    runs = [*make_comparison(days=120, seeds=2), make_failure("GRU"), make_run("Late", days=100, start=20)]
    wanted = table_json(make_table(runs, baseline="Linear"))
    for turn in range(3):
        random.Random(turn).shuffle(runs)
        assert table_json(make_table(runs, baseline="Linear")) == wanted
    assert table_json(make_table(runs, baseline="Linear", seed=1)) != wanted


def test_costs_play_no_part_in_the_table():
    runs = make_comparison(days=60)
    slow = [replace(run, cost=run.cost and dataclasses.replace(run.cost, seconds=1e6)) for run in runs]
    assert table_json(make_table(runs)) == table_json(make_table(slow))


def test_all_models_alike_share_the_first_rank():
    run = make_run("A")
    table = make_table([replace(run, key=run.key._replace(model=name)) for name in ("A", "B", "C")], baseline="A")
    for row in table.rows:
        assert (row.standing.rank, row.standing.rank_lower, row.standing.rank_upper) == (1, 1, 3)
        assert (row.standing.set_p, row.standing.in_set) == (1.0, True)
        assert row.standing.win_sessions == 0.5
    versus = table.rows[1].standing.versus
    assert versus.rank_ic.difference == 0
    assert math.isnan(versus.rank_ic.p_value)


def test_a_single_model_is_first_of_one():
    row = make_table([make_run("A")]).rows[0]
    assert row.standing[1:5] == (1, 1, 1, 1.0)
    assert math.isnan(row.standing.win_sessions)


def spoiled(run, name, values):
    series = getattr(run, name).copy()
    series[:] = values
    return replace(run, **{name: series})


def test_a_model_without_any_value_is_left_out():
    table = make_table([make_run("A"), make_run("B"), spoiled(make_run("Flat"), "rank_ic", math.nan)])
    assert row_of(table, "Flat").standing is None
    assert row_of(table, "Flat").sessions == 0
    assert table.groups[0].sessions == 300
    nothing = make_table([spoiled(make_run("Flat"), "rank_ic", math.nan)])
    assert nothing.groups[0].sessions == 0
    assert nothing.groups[0].winner is None
    assert "few_sessions" in kinds(nothing)


def test_missing_and_infinite_values_of_some_sessions_are_left_out():
    run = make_run("B")
    holes = run.rank_ic.to_numpy().copy()
    holes[[3, 5]], holes[7] = math.nan, math.inf
    table = make_table([make_run("A"), spoiled(run, "rank_ic", holes)])
    assert (table.groups[0].sessions, table.groups[0].dropped) == (297, 3)


def test_a_seed_without_a_value_on_a_session_is_left_out_of_its_average():
    first, second = make_run("A", 1), make_run("A", 2)
    holes = second.rank_ic.to_numpy().copy()
    holes[10] = math.nan
    table = make_table([first, spoiled(second, "rank_ic", holes)])
    both = np.mean([first.rank_ic, second.rank_ic], axis=0)
    both[10] = first.rank_ic.iloc[10]
    assert table.rows[0].standing.mean == pytest.approx(both.mean())
    assert table.groups[0].dropped == 0


def test_one_session_gives_ranks_and_no_intervals():
    table = make_table([make_run("A", days=1, ic=0.5), make_run("B", days=1, ic=-0.5)], baseline="A")
    assert [row.standing.rank for row in table.rows] == [1, 2]
    assert [row.standing.rank_lower for row in table.rows] == [0, 0]
    assert [row.standing.in_set for row in table.rows] == [None, None]
    assert math.isnan(table.rows[1].standing.versus.rank_ic.lower)
    assert math.isnan(table.groups[0].winner.sharpe)
    assert "few_sessions" in kinds(table)


def test_models_that_never_traded_have_no_ratio_and_do_not_end_the_table():
    flat = spoiled(spoiled(make_run("Flat", ic=0.2), "returns", 0.0), "excess", 0.0)
    table = make_table([flat, make_run("A")], baseline="A")
    assert table.groups[0].winner.model == "Flat"
    assert math.isnan(table.groups[0].winner.deflated)
    assert math.isnan(row_of(table, "Flat").standing.versus.information_ratio.difference)


def test_nothing_at_all_and_failures_alone_are_tables_too():
    assert make_table([]).rows == ()
    table = make_table([make_failure("A"), make_failure("B", status="waiting", cause="")])
    assert [row.group for row in table.rows] == [-1, -1]
    assert kinds(table) == ["runs_failed", "runs_waiting"]


def test_runs_that_contradict_one_another_are_refused():
    with pytest.raises(CompareError, match="evaluated twice"):
        make_table([make_run("A"), make_run("A")])
    with pytest.raises(CompareError, match="does not say what it was judged by"):
        make_table([replace(make_run("A"), terms=None)])
    with pytest.raises(CompareError, match="different labels"):
        make_table([make_run("A"), make_run("A", 2, terms=dataclasses.replace(TERMS, label="x"))])
    backwards = make_run("A")
    with pytest.raises(DataError, match="do not rise"):
        make_table([replace(backwards, rank_ic=backwards.rank_ic[::-1])])
    with pytest.raises(DataError, match="level 90"):
        make_table([make_run("A")], level=90)
    with pytest.raises(CompareError, match="ranked by 'sharpe'"):
        make_table([make_run("A")], metric="sharpe")


def test_above_three_hundred_models_the_set_is_of_one_statistic_and_the_table_says_so():
    runs = [replace(make_run("A", days=40), key=make_failure(f"m{number:03}").key) for number in range(301)]
    table = make_table(runs)
    assert "too_many_models" in kinds(table)
    assert math.isnan(table.rows[0].standing.set_p_range)
    assert table.rows[0].standing.set_p == 1.0


@pytest.mark.slow
def test_sixty_models_of_ten_seeds_over_ten_years_take_less_than_five_seconds():
    runs = [make_run(f"m{number}", seed, days=2500) for number in range(60) for seed in range(1, 11)]
    begun = time.process_time()
    make_table(runs, baseline="m0")
    assert time.process_time() - begun < 5


def make_full_table():
    other = dataclasses.replace(TERMS, universe="csi500")
    runs = [
        *make_comparison(days=120),
        make_failure("GRU"),
        make_run("Short", days=20),
        make_run("Other", terms=other, days=1),
        make_failure("Late", status="waiting", cause=""),
    ]
    return make_table(runs, baseline="Linear", origin={"rollwright": "1.0", "locks": {"Linear": "a" * 64}})


def test_json_gives_the_same_table_back():
    table = make_full_table()
    text = table_json(table)
    again = ComparisonTable.from_json(json.loads(text))
    assert table_json(again) == text
    assert again.rows[0] == table.rows[0]
    assert again.origin == table.origin


def test_files_are_read_as_they_were_written(tmp_path):
    table = make_full_table()
    files = write_table(tmp_path / "made", table)
    assert {*files} == {"table.json", "table.csv", "table.md"}
    assert table_json(read_table(files["table.json"])) == table_json(table)
    first = {name: path.read_bytes() for name, path in files.items()}
    write_table(tmp_path / "made", make_full_table())
    assert {name: path.read_bytes() for name, path in files.items()} == first
    assert {*write_costs(tmp_path / "made", make_comparison(days=30))} == {"costs.json", "costs.csv", "costs.md"}
    assert json.loads((tmp_path / "made" / "costs.json").read_text())["rows"][0]["seconds"]["mean"] == 4.0


def test_a_file_that_is_not_there_or_no_json_is_said(tmp_path):
    with pytest.raises(DataNotFoundError, match="no table"):
        read_table(tmp_path / "table.json")
    for text in ("{", "[" * 100_000, '{"format": 1}', "[]", "1e999", '{"level": NaN}'):
        (tmp_path / "table.json").write_text(text)
        with pytest.raises(CorruptFileError):
            read_table(tmp_path / "table.json")


def change(*path, value):
    def apply(data):
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        change("format", value=2),
        change("format", value=1.0),
        change("kind", value="campaign"),
        change("metric", value="sharpe"),
        change("level", value=1.5),
        change("level", value=math.inf),
        change("draws", value=-1),
        change("seed", value=10**30),
        change("more", value=1),
        change("rows", value={}),
        change("rows", 0, "model", value=None),
        change("rows", 0, "model", value="x" * 10_001),
        change("rows", 0, "group", value=7),
        change("rows", 0, "metrics", value={"ic": {}}),
        change("rows", 0, "metrics", "ic", value={"mean": "0.1", "std": 0, "runs": 1}),
        change("rows", 0, "runs", 0, "digest", value="../x"),
        change("rows", 0, "runs", 1, "seed", value=1),
        change("rows", 0, "standing", "in_set", value=1),
        change("rows", 0, "standing", "rank", value=True),
        change("rows", 0, "standing", "versus", value={}),
        change("rows", -1, "failures", 0, "status", value="done"),
        change("rows", 1, "model", value="LightGBM"),
        change("groups", 0, "terms", "label_span", value=0),
        change("groups", 0, "winner", value={"model": "x"}),
        change("notes", 0, "kind", value="praise"),
        change("notes", 0, "values", value={"rows": [1]}),
        change("origin", value=[]),
        change("origin", "deep", value=[[[[[[[[[[1]]]]]]]]]]),
    ],
)
def test_json_of_another_form_is_refused(spoil):
    data = make_full_table().to_json()
    spoil(data)
    with pytest.raises(CompareError, match="no table of a comparison"):
        ComparisonTable.from_json(data)
