"""A campaign whose windows the printed document of Kubernetes trains, its command run as a process of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import engine_programs
from rollwright.app.campaign import roll_campaign
from rollwright.app.cluster import describe_workers
from rollwright.app.open_campaign import open_campaign
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from small_campaign import make_project, roll_here


@pytest.mark.slow
def test_the_printed_command_trains_the_windows_of_a_campaign(tmp_path: Path) -> None:
    here = make_project(tmp_path / "here")
    assert roll_here(here) is not None
    file = make_project(tmp_path / "there")
    (file.parent / "rollwright.toml").write_text(
        f'[cluster]\nimage = "registry/rollwright:1"\nimage_folder = "{file.parent}"\nsecret = "rollwright"\n'
    )
    campaign = open_campaign(file, project=file.parent)
    ran: list[int] = []

    def train(manager: TaskManager, ids: object, on_event: object = None) -> bool:
        del manager, ids, on_event
        text = describe_workers("small", 1, on="kubernetes", project=file.parent)
        (container,) = YAML(typ="safe").load(text)["spec"]["template"]["spec"]["containers"]
        variables: dict[str, str] = {}
        for one in container["env"]:
            variables[one["name"]] = engine_programs.expand(one["value"], variables)
        words = [engine_programs.expand(word, variables) for word in [*container["command"], *container["args"]]]
        assert words[-7:] == ["rollwright", "worker", "run", "small", "--jobs", "1", "--until-empty"]
        programs = str(Path(sys.executable).parent)
        environ = {**os.environ, **variables, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        ran.append(subprocess.run(words, check=False, cwd=container["workingDir"], env=environ, timeout=120).returncode)
        return True

    result = roll_campaign(campaign, jobs=1, elsewhere=train)

    assert result is not None
    assert ran == [0]
    for name in ("pred.parquet", "label.parquet"):
        made = [(one.parent / "results" / "small" / name).read_bytes() for one in (here, file)]
        assert made[0] == made[1]
    store = store_from_url(campaign.settings.resolve_url(campaign.settings.pool.url))
    assert {record.status.value for record in store.find("small")} == {"done"}
    store.close()
