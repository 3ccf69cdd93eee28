"""``create_env``, ``execute``, ``managed_environment``, ``cleanup_env``: scripts written for Qlib's names run."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import rollwright
from rollwright import cleanup_env, create_env, execute, managed_environment
from rollwright.errors import CompareError
from tiny_wheels import make_wheels

PYTHON = sys.executable


@pytest.fixture(scope="module")
def env():
    made = create_env()
    yield made
    cleanup_env(made)
    assert not made.env_path.exists()


def test_an_environment_runs_this_rollwright_and_finds_what_it_needs(env):
    temp_dir, env_path, python_path, conda_activate = env
    assert (Path(temp_dir), conda_activate) == (env_path, "")
    code = "import rollwright, numpy, pandas, sys; print(rollwright.__file__, sys.prefix, rollwright.__version__)"
    ran = subprocess.run([python_path, "-I", "-c", code], capture_output=True, text=True, check=True)
    file, prefix, version = ran.stdout.split()
    assert Path(file).is_relative_to(env_path)
    assert (Path(prefix), version) == (env_path, rollwright.__version__)
    assert (env_path / "bin" / "rollwright").exists()


def test_the_first_snippet_installs_what_a_file_requires(env, tmp_path, monkeypatch):
    temp_dir, env_path, python_path, conda_activate = env  # noqa: RUF059 - the snippet's
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheels(tmp_path / "wheels")))
    req_path = tmp_path / "requirements.txt"
    req_path.write_text("tiny-model==1.0\n")

    execute(f"{python_path} -m pip install -r {req_path}")

    ran = subprocess.run([env_path / "bin" / "tiny-model"], capture_output=True, text=True, check=True)
    assert ran.stdout == "1.0\n"
    assert subprocess.run([PYTHON, "-c", "import tiny_model"], capture_output=True, check=False).returncode == 1


@pytest.mark.slow
def test_the_second_snippet_removes_the_environment_whatever_happens():
    @contextmanager
    def managed_environment():
        env = create_env()
        try:
            yield env
        finally:
            cleanup_env(env)

    with pytest.raises(FileExistsError), managed_environment() as env:
        env[1].mkdir()  # it is there, and the block fails
    assert not env[1].exists()


def test_the_third_snippet_runs_tasks_side_by_side():
    meeting = threading.Barrier(4, timeout=60)
    tasks = [f"{PYTHON} -c 'print({number})'" for number in range(4)]

    def execute_task(task):
        meeting.wait()
        return execute(task)

    executor = ThreadPoolExecutor(max_workers=4)
    futures = [executor.submit(execute_task, task) for task in tasks]
    results = [f.result() for f in futures]
    executor.shutdown()
    assert results == [None] * 4


def test_our_own_context_manager_does_the_same(env, monkeypatch):
    removed = []
    monkeypatch.setattr("rollwright.compare.environments.temporary.create_env", lambda: env)
    monkeypatch.setattr("rollwright.compare.environments.temporary.cleanup_env", removed.append)
    with pytest.raises(FileExistsError), managed_environment() as given:
        given.env_path.mkdir()
    assert given is env
    assert removed == [env]


def test_only_what_create_env_made_is_removed(tmp_path):
    for name in ("mine", "rollwright-env-x"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").touch()
        with pytest.raises(CompareError, match="was not made by create_env"):
            cleanup_env((str(folder), folder, folder / "bin" / "python", ""))
        assert (folder / "file").exists()
    (tmp_path / "rollwright-env-link").symlink_to(tmp_path / "rollwright-env-x")
    (tmp_path / "rollwright-env-x" / ".rollwright-environment").touch()
    with pytest.raises(CompareError, match="was not made by create_env"):
        cleanup_env((str(tmp_path / "rollwright-env-link"),))
    cleanup_env((str(tmp_path / "gone"),))


def test_what_a_command_writes_appears_as_it_is_written(capsys):
    assert execute(f"{PYTHON} -c 'import sys; print(1); print(2, file=sys.stderr)'") is None
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("Running CMD: ")
    assert said.out.splitlines()[1:] == ["1"]
    assert said.err == "2\n"


def test_a_failure_is_raised_with_what_the_command_said_and_no_password(capsys):
    code = 'import sys; sys.exit("cannot reach https://u:hunter2@index.invalid/")'
    with pytest.raises(CompareError, match="a command ended with 1") as caught:
        execute(f"{PYTHON} -c '{code}'")
    assert "cannot reach https://u:***@index.invalid/" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_or_its_text_is_returned():
    assert execute(f"{PYTHON} -c 'import sys; sys.exit(\"the cause\")'", raise_err=False) == "the cause"
    assert execute(f"{PYTHON} -c 'print(\"on stdout\"); exit(3)'", raise_err=False) == "on stdout"
    assert execute(f"{PYTHON} -c 'exit(3)'", raise_err=False) == "it ended with 3 and said nothing"


def test_somebody_may_look_at_a_failure_first(monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", asked.append)
    assert execute(f"{PYTHON} -c 'exit(3)'", wait_when_err=True, raise_err=False)
    assert execute(f"{PYTHON} -c 'exit(0)'", wait_when_err=True) is None
    assert asked == ["Press Enter to Continue"]


@pytest.mark.parametrize(
    "command",
    [
        "echo a && echo b",
        "echo a; echo b",
        "echo a | cat",
        "echo a > file",
        "cat < file",
        "echo $HOME",
        'echo "$HOME"',
        "echo `id`",
        "echo $(id)",
        "echo a &",
        "ls ~",
        "echo a\necho b",
        "pip install lightgbm>=4",
    ],
)
def test_what_only_a_shell_understands_is_refused(command, tmp_path):
    with pytest.raises(CompareError, match="only a shell understands"):
        execute(command)
    assert not list(Path.cwd().iterdir())


def test_quoted_text_reaches_the_program_as_it_is(capsys):
    assert execute(f"""{PYTHON} -c 'import sys; print(sys.argv[1:])' '$HOME; ls' "a > b" c\\;d  a~b """) is None
    assert capsys.readouterr().out.splitlines()[-1] == "['$HOME; ls', 'a > b', 'c;d', 'a~b']"


@pytest.mark.parametrize(
    ("command", "says"), [("", "without a word"), ("echo 'a", "split"), ("/absent/x", "cannot be started")]
)
def test_what_cannot_be_run_is_told(command, says):
    with pytest.raises(CompareError, match=says):
        execute(command)
