"""Seeds that files give are taken out, and each run gets its own."""

from __future__ import annotations

from pathlib import Path

from compared_models import MODELS
from rollwright.campaign.config_file import read_config
from rollwright.compare.seeds import strip_seeds, with_seed


def test_seeds_go_at_every_depth_and_nothing_else() -> None:
    given = {
        "seed": 3,
        "random_state": None,
        "num_threads": 4,
        "kwargs": {"data_random_seed": 1, "Bagging_Seed": 2, "seeds": [1, 2], "proceed": 1, "seed": "a text"},
        "list": [{"random_seed": 5, "depth": 2}],
    }
    assert strip_seeds(given) == {
        "num_threads": 4,
        "kwargs": {"seeds": [1, 2], "proceed": 1, "seed": "a text"},
        "list": [{"depth": 2}],
    }
    assert given["seed"] == 3


def test_a_run_has_its_number_as_the_seed_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(MODELS["trees"][0] + "seed: 77\n")
    config, _ = read_config(file)
    made = with_seed(config, 2)
    assert made.template()["seed"] == 2
    assert made.template()["model"]["kwargs"] == {"num_boost_round": 5, "subsample": 0.5, "bagging_freq": 1}
    assert config.task.model.kwargs["seed"] == 3
