"""What varies: grids, lists and generators become members with names, and mistakes are told with their place."""

from __future__ import annotations

import pytest

from rollwright.campaign.config_file import read_config
from rollwright.campaign.member_names import is_member_name, name_members
from rollwright.campaign.members import MAX_MEMBERS, expand_members, make_members
from rollwright.errors import ConfigError

FILE = """\
task:
  model: {class: LGBModel, module_path: rollwright.models.lightgbm, kwargs: {loss: mse}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler: {class: Alpha158, module_path: rollwright.dataset.alpha, kwargs: {instruments: all}}
      segments: {train: [2015-01-05, 2016-12-30], test: [2017-01-03, 2017-12-29]}
rolling: {step: 20}
"""
LINEAR = "{class: LinearModel, module_path: rollwright.models.linear}"
TREES = "{class: LGBModel, module_path: rollwright.models.lightgbm}"


def read(tmp_path, vary: str):
    file = tmp_path / "c.yaml"
    file.write_text(FILE + vary + "\n")
    config, document = read_config(file, trusted=())
    assert not hasattr(config.vary, "class_")
    return expand_members(config.template(), config.vary, document)


def names(tmp_path, vary: str) -> list[str]:
    return [member.name for member in read(tmp_path, vary)]


def refuse(tmp_path, vary: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, vary)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ("vary: {model.kwargs.seed: [0, 1]}", ["seed=0", "seed=1"]),
        ("vary: {task.model.kwargs.seed: [0, 1]}", ["seed=0", "seed=1"]),
        ("vary: {model.kwargs.loss: [mse, mae]}", ["loss=mse", "loss=mae"]),
        (f"vary: {{model: [{TREES}, {LINEAR}]}}", ["LGBModel", "LinearModel"]),
        ("vary: {model.kwargs.seed: [0, 1], seed: [3]}", ["seed=0", "seed=1"]),
        ("vary: {model.kwargs.seed: [1], seed: [3, 4]}", ["seed=3", "seed=4"]),
        (
            "vary: {model.kwargs.seed: [0, 1], seed: [3, 4]}",
            ["model.seed=0-seed=3", "model.seed=0-seed=4", "model.seed=1-seed=3", "model.seed=1-seed=4"],
        ),
        ("vary: {horizon: [1, 5]}", ["horizon=1", "horizon=5"]),
        ("vary: [{name: as-it-is}, {name: mae, model.kwargs.loss: mae}]", ["as-it-is", "mae"]),
        (
            "vary: {dataset.kwargs.handler.kwargs.instruments: [csi300, csi500]}",
            ["instruments=csi300", "instruments=csi500"],
        ),
        (
            "vary: {horizon: [1, 20], model.kwargs.loss: [mse, mae]}",
            ["loss=mse-horizon=1", "loss=mae-horizon=1", "loss=mse-horizon=20", "loss=mae-horizon=20"],
        ),
        (f"vary: [{{model.kwargs.seed: 1}}, {{model: {LINEAR}}}]", ["LGBModel", "LinearModel"]),
        (
            f"vary: [{{model.kwargs.seed: 1}}, {{model.kwargs.seed: 2}}, {{model: {LINEAR}}}]",
            ["LGBModel-seed=1", "LGBModel-seed=2", "LinearModel"],
        ),
        ("vary: [{name: deep, model.kwargs.max_depth: 9}, {model.kwargs.max_depth: 3}]", ["deep", "max_depth=3"]),
        ("vary: {model.kwargs.learning_rate: [0.05, 1e-3]}", ["learning_rate=0.05", "learning_rate=0.001"]),
    ],
)
def test_members_are_named_by_what_differs_between_them(tmp_path, vary, expected):
    found = names(tmp_path, vary)
    assert found == expected
    assert found == names(tmp_path, vary)
    assert all(is_member_name(name) for name in found)


def test_a_grid_sets_the_whole_before_its_parts_whichever_is_written_first(tmp_path):
    made = read(tmp_path, f"vary: {{model.kwargs.seed: [1], model: [{TREES}]}}")
    assert made[0].task["model"] == {
        "class": "LGBModel",
        "module_path": "rollwright.models.lightgbm",
        "kwargs": {"seed": 1},
    }


def test_a_horizon_is_a_label_of_its_own(tmp_path):
    made = read(tmp_path, "vary: {horizon: [1, 20]}")
    labels = [member.task["dataset"]["kwargs"]["handler"]["kwargs"]["label"] for member in made]
    assert labels == [["Ref($close, -2)/Ref($close, -1) - 1"], ["Ref($close, -21)/Ref($close, -1) - 1"]]


def test_members_share_nothing_that_one_of_them_set(tmp_path):
    first, second = read(tmp_path, "vary: {model.kwargs.seed: [0, 1]}")
    first.task["model"]["kwargs"]["seed"] = 7
    assert second.task["model"]["kwargs"]["seed"] == 1
    assert first.task["dataset"] == second.task["dataset"]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("vary: {modle.kwargs.seed: [0]}", "10:8: `vary` cannot set `modle.kwargs.seed`; did"),
        ("vary: {model.kwarg.seed: [0]}", "10:8: `vary` cannot set `model.kwarg.seed`: "),
        ("vary: {model.kwargs.sead: [0]}", "10:28: `LGBModel` has no parameter `sead`"),
        ("vary: {model.kwargs.early_stopping_rounds: [fast]}", "10:45: `early_stopping_rounds` of `LGBModel`"),
        ("vary: {model.kwargs.seed: 0}", "10:27: `model.kwargs.seed` of `vary` takes the list of its values"),
        ("vary: {model.kwargs.seed: []}", "10:27: `model.kwargs.seed` of `vary` has no values"),
        ("vary: {model.kwargs.seed: [1, 1]}", "10:31: two members are the same task"),
        ("vary: [{model.kwargs.seed: 1}, {model.kwargs.seed: 1}]", "10:32: two members are the same task: vary[0],"),
        ("vary: {horizon: [0]}", "10:18: the horizon 0 is no whole number"),
        ("vary: {seed: [-1]}", "10:15: the seed -1 is no whole number"),
        ("vary: {horizon.x: [1]}", "10:8: `horizon` has no parts"),
        ("vary: {grid: {model.kwargs.seed: [1]}}", "`vary` has no `grid`"),
        ("vary: 3", "10:7: `vary` is a grid"),
        ("vary: []", "10:7: `vary` is a grid"),
        ("vary: [3]", "10:8: `vary[0]` is a mapping"),
        ("vary: [{}]", "10:8: `vary[0]` is a mapping"),
        ("vary: [{name: a}, {name: b}]", "two members are the same task"),
        ("vary: [{name: a/b, seed: 1}]", "10:15: 'a/b' is no name of a member"),
        ("vary: [{name: combined, seed: 1}]", "10:15: 'combined' is no name of a member"),
        ("vary: [{name: a, seed: 1}, {name: A, seed: 2}]", "10:35: two members are called `A`"),
        ("vary: {model.kwargs.loss.x: [1]}", "10:8: `vary` cannot set `model.kwargs.loss.x`: "),
        ("vary: {record.3: [SignalRecord]}", "`3` is no position of the list of 0"),
        ("vary: {dataset.kwargs.segments.test: [[2017-12-29, 2017-01-03]]}", "10:52: `test` ends 2017-01-03"),
        (f"vary: {{model: [{LINEAR}], model.kwargs.seed: [1]}}", "`LinearModel` has no parameter `seed`"),
        ("vary: {model: [7]}", "10:16: "),
        ("vary: {class: SeadGen, kwargs: {seeds: 2}}", "did you mean `SeedGen`"),
        ("vary: {class: SeedGen, kwargs: {seed: 2}}", "`SeedGen` has no parameter `seed`; did you mean `seeds`?"),
        ("vary: {class: SeedGen, module_path: os}", "10:37: "),
        ("combine: average", "10:1: there is nothing to combine without `vary`"),
        ("vary: {seed: [1, 2]}\ncombine: {members: [seed=1, seed=3]}", "11:29: there is no member `seed=3`; did you"),
        ("vary: {seed: [1, 2]}\ncombine: {members: [seed=1, seed=1]}", "11:29: the member `seed=1` is named"),
        ("vary: {seed: [1, 2]}\ncombine: {label: x}", "11:18: there is no member `x`; the members are"),
        ("vary: {seed: [1, 2]}\ncombine: {method: median}", "11:19: `combine.method`: input should"),
        ("vary: {seed: [1, 2]}\ncombine: {method: none, label: seed=1}", "11:25: `combine.label` has no effect"),
        ("vary: {seed: [1, 2]}\ncombine: {methd: none}", "did you mean `method`?"),
        ("budget: {}", "a budget says how many `tasks`"),
        ("budget: {tasks: 0}", "10:17: `budget.tasks`"),
        ("budget: {hour: 3}", "did you mean `hours`?"),
        ("pool: {lease: -1}", "10:15: `pool.lease`"),
        ("pool: {name: a}", "unknown key `pool.name`"),
        ("pool: {max_generated: 3}", "unknown key `pool.max_generated`"),
        ("pool: {url: sqlite:///a.db}\nqlib_init: {pool_url: sqlite:///b.db}", "and `pool.url` are both given"),
        ("qlib_init: {trust.modules: [os]}", "10:28: `qlib_init.trust.modules`: which modules are trusted"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_with_its_place(tmp_path, vary, said):
    assert said in refuse(tmp_path, vary)


def test_a_grid_that_multiplies_out_of_hand_is_refused_before_it_is_made(tmp_path):
    many = "[" + ", ".join(str(number) for number in range(40)) + "]"
    said = refuse(tmp_path, f"vary: {{seed: {many}, model.kwargs.max_depth: {many}, model.kwargs.num_leaves: {many}}}")
    assert f"64,000 members, and more than {MAX_MEMBERS:,}" in said


def test_what_a_generator_makes_is_named_by_its_differences():
    task = {"model": {"class": "M", "kwargs": {"deep": {"a": 1}}}, "dataset": {"class": "D"}}
    made = make_members([task, {**task, "model": {"class": "M", "kwargs": {"deep": {"a": 2}}}}])
    assert [member.name for member in made] == ["a=1", "a=2"]
    with pytest.raises(ConfigError, match="the same task"):
        make_members([task, task])
    with pytest.raises(ConfigError, match="made no task"):
        make_members([])


def test_no_two_names_are_one_folder():
    tasks = [{"model": {"kwargs": {"loss": loss}}} for loss in ("MSE", "mse", "m/s", "m s", "x" * 200, "x" * 201)]
    made = name_members(tasks)
    assert len({name.casefold() for name in made}) == len(tasks)
    assert all(is_member_name(name) and len(name) < 80 for name in made)
    assert name_members([{"a": {"main": 1}}, {"b": 1}]) != ["main", "b"]
