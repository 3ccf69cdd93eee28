"""What workers that an engine starts say they have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rollwright.app.cluster import check_shared_stores, make_command, make_offer, open_launcher
from rollwright.cli.root import run
from rollwright.config.settings import Settings, load_settings
from rollwright.errors import ConfigError
from rollwright.pool.needs import Needs


def load(folder: Path, values: Mapping[str, object]) -> Settings:
    (folder / "rollwright.toml").write_text("")
    return load_settings(start=folder).with_values(values, origin="test")


@pytest.mark.parametrize(
    ("values", "jobs", "words"),
    [
        ({}, 1, ()),
        ({"cluster.gpus": 1}, 1, ("--tag", "gpu")),
        ({"cluster.gpus": 2, "worker.tags": ("gpu", "fast")}, 1, ("--tag", "fast", "--tag", "gpu")),
        ({"cluster.memory": 16.0}, 1, ("--memory", "16G")),
        ({"cluster.memory": 16.0}, 4, ("--memory", "4G")),
        ({"cluster.memory": 16.0, "worker.memory": "3.5G"}, 4, ("--memory", "3.5G")),
        ({"worker.memory": 8.0}, 4, ("--memory", "8G")),
        ({"worker.drain": 4.0}, 1, ()),
        ({"worker.drain": 90.0}, 1, ("--drain", "90")),
    ],
)
def test_a_worker_says_what_it_was_given(
    tmp_path: Path, values: Mapping[str, object], jobs: int, words: tuple[str, ...]
) -> None:
    settings = load(tmp_path, values)
    command = make_command(settings, "alpha", open_launcher(settings, "local"), jobs=jobs)
    assert command.words[3:] == ("worker", "run", "alpha", "--jobs", str(jobs), *words, "--until-empty")


def test_what_pods_record_must_outlive_them(tmp_path: Path) -> None:
    servers = {"pool.url": "postgresql://db/tasks", "tracking.uri": "postgresql://db/runs", "cluster.image": "a"}
    settings = load(tmp_path, servers)
    with pytest.raises(ConfigError, match="is a folder of the image"):
        check_shared_stores(settings, open_launcher(settings, "kubernetes"))
    for better in (
        {"cluster.volume": "project"},
        {"tracking.artifacts": "s3://models/desk"},
        {"tracking.uri": "https://tracking"},
    ):
        kept = settings.with_values(better, origin="test")
        check_shared_stores(kept, open_launcher(kept, "kubernetes"))
    check_shared_stores(settings, open_launcher(settings, "slurm"))


def test_it_may_take_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    offer = make_offer(load(tmp_path, {"cluster.gpus": 1, "cluster.memory": 16.0}), jobs=2)
    assert offer.meets(Needs(tags=("gpu",), memory=8))
    assert not offer.meets(Needs(memory=8.5))
    assert not offer.meets(Needs(tags=("fast",)))


def test_the_command_takes_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its words are options that ``rollwright worker run`` has: it fails for want of the campaign alone."""
    settings = load(tmp_path, {"cluster.gpus": 1, "cluster.memory": 16.0, "worker.drain": 90.0})
    command = make_command(settings, "alpha", open_launcher(settings, "local"), jobs=3)
    assert command.notice > 90
    monkeypatch.chdir(tmp_path)
    assert run([*command.words[3:]]) == 2
    assert "no campaign was started" in capsys.readouterr().err
