"""``rollwright compare envs``: listing environments, and removing those that nobody uses."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from compared_models import make_comparison_project
from rollwright.app.compare.environments import open_environments
from rollwright.cli.root import run
from rollwright.compare.environments.folder import EnvironmentFolder
from rollwright.compare.environments.installers import find_installer
from rollwright.compare.this_environment import ThisEnvironment
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError
from tiny_wheels import make_wheels, offline_environment, tiny_rollwright

pytest.importorskip("uv", reason="not run: the extra `compare` is not installed")


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / ".rollwright").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def made(project, tmp_path):
    """Two environments, the second of which is in use."""
    store, keys = open_store(project, tmp_path), []
    for name in ("tiny-tool", "tiny-core==1.0"):
        file = tmp_path / f"{name}.txt"
        file.write_text(name)
        store.close()
        keys.append(store.ensure(store.compile(file)).lock.key)
    yield keys
    store.close()


def open_store(project, tmp_path):
    return EnvironmentFolder(
        project / ".rollwright" / "environments",
        installer=find_installer("uv"),
        wheel=tiny_rollwright,
        environ=offline_environment(make_wheels(tmp_path / "wheels")),
    )


def data(capsys):
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    return answer["data"]


def test_a_project_without_environments_says_so_and_makes_no_folder(project, capsys):
    assert run(["compare", "envs", "ls"]) == 0
    assert "there are no environments" in capsys.readouterr().out
    assert not list((project / ".rollwright").iterdir())
    assert run(["compare", "envs", "rm", "--all", "--yes"]) == 0
    assert "0 environments removed" in capsys.readouterr().out


def test_environments_are_listed_with_their_packages_and_whether_they_are_used(made, capsys):
    assert run(["compare", "envs", "ls", "--json"]) == 0
    listed = data(capsys)
    first, second = listed["environments"]
    assert [first["key"], second["key"]] == made
    assert [first["in_use"], second["in_use"]] == [False, True]
    assert first["packages"] == {"rollwright": "0.1.0", "tiny-core": "2.0", "tiny-tool": "1.0"}
    assert first["state"] == "whole"
    assert first["last_used"].endswith("Z")
    assert listed["size"] == first["size"] + second["size"] > 0
    assert run(["compare", "envs", "ls"]) == 0
    shown = capsys.readouterr().out
    assert made[0][:12] in shown
    assert made[1][:12] in shown
    assert "in use" in shown
    assert "2 environments" in shown


def test_one_is_removed_by_the_beginning_of_its_key_and_one_in_use_stays(made, project, capsys):
    assert run(["compare", "envs", "rm", made[0][:8], made[1][:8], "--yes"]) == 0
    shown = capsys.readouterr()
    assert "1 environment removed" in shown.out
    assert f"{made[1][:12]} is in use and stays" in shown.err
    assert [path.name for path in (project / ".rollwright" / "environments").glob("?" * 64)] == [made[1]]


def test_unused_ones_go_and_leave_the_kept_locks(made, project, capsys):
    compiled = project / ".rollwright" / "environments" / "compiled"
    assert run(["compare", "envs", "rm", "--unused", "--yes", "--json"]) == 0
    assert data(capsys)["removed"] == [made[0]]
    assert len(list(compiled.iterdir())) == 2
    assert run(["compare", "envs", "rm", "--locks"]) == 0
    assert "chooses versions anew" in capsys.readouterr().out
    assert not list(compiled.iterdir())


def test_what_killed_builds_left_goes_along(made, project):
    leftover = project / ".rollwright" / "environments" / f".tmp-{'f' * 64}-01234567"
    leftover.mkdir()
    assert run(["compare", "envs", "rm", "--unused", "--yes"]) == 0
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing says what is to go"),
        (["fffffff"], "there is no environment"),
        (["../x"], "there is no environment"),
    ],
)
def test_what_cannot_be_meant_is_an_error(made, capsys, arguments, says):
    assert run(["compare", "envs", "rm", *arguments, "--yes"]) == 2
    assert says in capsys.readouterr().err


def test_a_key_that_several_begin_with_is_an_error(project, monkeypatch, capsys):
    root = project / ".rollwright" / "environments"
    for last in "ab":
        (root / f"{'0' * 63}{last}").mkdir(parents=True)
    assert run(["compare", "envs", "rm", "0000", "--yes"]) == 2
    assert "the beginning of 2 environments" in capsys.readouterr().err
    assert run(["compare", "envs", "ls"]) == 0
    assert capsys.readouterr().out.count("damaged") == 2


def test_a_question_is_asked_before_and_no_removes_nothing(made, project, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(["compare", "envs", "rm", "--unused"]) == 2
    assert len(list((project / ".rollwright" / "environments").glob("?" * 64))) == 2


def test_the_settings_name_the_folder_the_installer_and_the_day(project, tmp_path):
    shared = tmp_path / "shared"
    (project / "rollwright.toml").write_text(
        f'[compare]\nenvironments = "{shared}"\ninstaller = "pip"\nexclude_newer = 2026-01-31\n'
    )
    settings = load_settings()
    assert settings.compare.exclude_newer == "2026-01-31"
    store = open_environments(settings)
    assert store.root == shared
    for value in ('"soon"', "20260131", "2026-01-31T10:00:00"):
        (project / "rollwright.toml").write_text(f"[compare]\nexclude_newer = {value}\n")
        with pytest.raises(ConfigError, match="it is no day"):
            load_settings()


class _Borrowed(ThisEnvironment):
    """Gives this interpreter as if it were an environment that was made."""

    def __init__(self, key: str) -> None:
        self._key = key

    def compile(self, requirements):
        return replace(super().compile(requirements), key=self._key)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "left"), [(0, [1]), (1, [0, 1])], ids=["unused", "in use"])
def test_a_comparison_told_so_removes_the_environments_that_nobody_else_uses(
    made, place, left, project, capsys, monkeypatch
):
    models = make_comparison_project(project / "compared", "ridge")
    (project / "compared" / "rollwright.toml").write_text(
        f'[compare]\nenvironments = "{project}/.rollwright/environments"\n'
    )
    monkeypatch.chdir(project / "compared")
    monkeypatch.setattr(
        "rollwright.app.compare.environments.open_environments", lambda _settings: nullcontext(_Borrowed(made[place]))
    )

    assert run(["compare", "run", str(models), "--remove-env"]) == 0

    told = capsys.readouterr().err
    assert ("1 environment removed" if place == 0 else "1 are used by others and stay") in told
    assert run(["compare", "envs", "ls", "--json"]) == 0
    assert [one["key"] for one in data(capsys)["environments"]] == [made[number] for number in left]
    assert (project / "compared" / "results" / "compare-models" / "table.json").is_file()
