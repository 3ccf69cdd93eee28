"""What is given to Slurm, and what is read of its answers; the programs are scripts of the test's own."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.launcher import Resources, WorkerCommand
from rollwright.launch.slurm import SlurmLauncher


def make_command(
    folder: Path, *, name: str = "alpha", words: tuple[str, ...] = ("worker", "it's $HOME; `id`")
) -> WorkerCommand:
    return WorkerCommand(name=name, words=words, folder=folder, logs=folder / "logs")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs stand in for Slurm's; each notes its arguments and its input in a file of its name."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return programs


def install(slurm: Path, name: str, answer: str, *, code: int = 0, complaint: str = "") -> None:
    (slurm / f"{name}.answer").write_text(answer)
    program = slurm / name
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {slurm}/{name}.arguments\ncat > {slurm}/{name}.input\n'
        f"cat {slurm}/{name}.answer\necho '{complaint}' >&2\nexit {code}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


class CountingClock:
    """A clock that only its own sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def install_queue(slurm: Path, *answers: str) -> None:
    """Let ``squeue`` give these answers one after another, the last again and again."""
    for number, answer in enumerate(answers):
        (slurm / f"queue.{number}").write_text(answer)
    program = slurm / "squeue"
    program.write_text(
        f"#!/bin/sh\nn=$(cat {slurm}/asked 2>/dev/null || echo 0)\necho $((n + 1)) > {slurm}/asked\n"
        f'[ "$n" -lt {len(answers)} ] || n={len(answers) - 1}\ncat {slurm}/queue.$n\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def install_scancel(slurm: Path) -> Path:
    """Let ``scancel`` note each call in a line of the file that is returned."""
    program = slurm / "scancel"
    program.write_text(f'#!/bin/sh\necho "$*" >> {slurm}/cancelled\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return slurm / "cancelled"


def test_an_array_of_workers_is_submitted_with_what_each_needs(slurm: Path, tmp_path: Path) -> None:
    install(slurm, "sbatch", "4711;cluster\n")
    launcher = SlurmLauncher(options=["--partition=low"], project="p1")

    ids = launcher.submit(3, make_command(tmp_path), Resources(cores=2, memory=1.5, gpus=1, seconds=181))

    assert ids == ["4711_1", "4711_2", "4711_3"]
    arguments = (slurm / "sbatch.arguments").read_text().splitlines()
    assert {"--array=1-3", "--requeue", "--cpus-per-task=2", "--mem=1500M", "--gres=gpu:1", "--time=4"} <= {*arguments}
    assert arguments[-1] == "--partition=low"
    assert "--job-name=rollwright-p1-alpha" in arguments


def test_words_reach_the_worker_as_they_are_and_no_shell_reads_them(slurm: Path, tmp_path: Path) -> None:
    install(slurm, "sbatch", "1\n")
    noted = tmp_path / "noted"
    words = ("/bin/sh", "-c", 'printf "%s|" "$@" > "$0"', str(noted), "it's", "$HOME", "`id`", "a b", "; exit 9")

    SlurmLauncher(project="p").submit(1, make_command(tmp_path, words=words), Resources())

    script = tmp_path / "script"
    script.write_text((slurm / "sbatch.input").read_text())
    assert os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "/bin/sh", ["sh", str(script)])) == 0
    assert noted.read_text() == "it's|$HOME|`id`|a b|; exit 9|"


@pytest.mark.parametrize(
    "option",
    ["low", "-p", "--partition=low\n--wrap=id", "--Wrap", "", "--a b"],
    ids=["word", "short", "line", "case", "none", "blank"],
)
def test_what_is_no_option_of_sbatch_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="no option of sbatch"):
        SlurmLauncher(options=[option], project="p")


def test_only_living_jobs_of_this_project_are_listed_in_their_order(slurm: Path) -> None:
    install(
        slurm,
        "squeue",
        "12_10|PENDING|rollwright-p1-alpha||Resources\n"
        "12_2|RUNNING|rollwright-p1-alpha|n1|None\n"
        "9_1|COMPLETING|rollwright-p1-be-ta|n2|None\n"
        "3|RUNNING|rollwright-p2-alpha|n1|None\n"
        "4|RUNNING|other|n1|None\n"
        "5_1|FAILED|rollwright-p1-alpha|n1|None\n"
        "nonsense\n",
    )
    launcher = SlurmLauncher(project="p1")

    found = launcher.list()

    assert [(one.id, one.name, one.state, one.place, one.reason) for one in found] == [
        ("9_1", "be-ta", "ending", "n2", ""),
        ("12_2", "alpha", "running", "n1", ""),
        ("12_10", "alpha", "pending", "", "Resources"),
    ]
    assert [one.id for one in launcher.list("alpha")] == ["12_2", "12_10"]


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("launch failed requeued held", "held"),
        ("launch_failed_requeued_held", "held"),
        ("JobHoldMaxRequeue", "held"),
        ("JobHeldUser", "pending"),
        ("JobHeldAdmin", "pending"),
        ("BeginTime", "pending"),
    ],
)
def test_what_slurm_itself_holds_is_not_waiting(slurm: Path, reason: str, state: str) -> None:
    install(slurm, "squeue", f"12_1|PENDING|rollwright-p1-alpha||{reason}\n")
    assert [(one.state, one.reason) for one in SlurmLauncher(project="p1").list()] == [(state, reason)]


def test_only_jobs_that_are_left_are_ended(slurm: Path) -> None:
    install_queue(slurm, "12_2|RUNNING|rollwright-p1-alpha|n1|None\n", "")
    cancelled = install_scancel(slurm)

    SlurmLauncher(project="p1", clock=CountingClock()).cancel(["12_1", "12_2"])

    assert cancelled.read_text() == "--full --quiet 12_2\n"
    with pytest.raises(ConfigError, match="no job of Slurm"):
        SlurmLauncher(project="p1").cancel(["--user=root"])


def test_a_member_that_was_being_preempted_when_it_was_ended_is_ended_once_it_is_requeued(slurm: Path) -> None:
    ending, waiting = (f"7_1|{state}|rollwright-p1-alpha||None\n" for state in ("COMPLETING", "PENDING"))
    install_queue(slurm, ending, ending, waiting, "")
    cancelled = install_scancel(slurm)
    clock = CountingClock()

    SlurmLauncher(project="p1", clock=clock).cancel(["7_1"])

    assert cancelled.read_text() == "--full --quiet 7_1\n"
    assert clock.seconds < 3


def test_a_member_that_drains_after_it_was_told_is_not_waited_for(slurm: Path) -> None:
    running, ending = (f"7_1|{state}|rollwright-p1-alpha|n1|None\n" for state in ("RUNNING", "COMPLETING"))
    install_queue(slurm, running, ending)
    cancelled = install_scancel(slurm)
    clock = CountingClock()

    SlurmLauncher(project="p1", clock=clock).cancel(["7_1"])

    assert cancelled.read_text() == "--full --quiet 7_1\n"
    assert clock.seconds < 3


def test_a_member_that_ends_for_ever_holds_nobody_up_for_longer_than_half_a_minute(slurm: Path) -> None:
    install_queue(slurm, "7_1|COMPLETING|rollwright-p1-alpha|n1|None\n")
    cancelled = install_scancel(slurm)
    clock = CountingClock()

    SlurmLauncher(project="p1", clock=clock).cancel(["7_1"])

    assert not cancelled.exists()
    assert 30 <= clock.seconds < 31


@pytest.mark.parametrize("seconds", [1.0, 179.0])
def test_a_time_limit_of_which_slurm_would_tell_at_once_is_refused(slurm: Path, tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ConfigError, match=f"a time limit of {seconds:g} s is too short") as caught:
        SlurmLauncher(project="p1").submit(1, make_command(tmp_path), Resources(seconds=seconds))
    assert "180" in str(caught.value)


def test_a_worker_that_drains_for_long_is_told_that_much_before_its_time_is_over(slurm: Path, tmp_path: Path) -> None:
    launcher, command = SlurmLauncher(project="p1"), replace(make_command(tmp_path), drain=100.0)
    assert "--signal=B:USR1@140" in launcher.describe(1, command, Resources(seconds=300.0))
    with pytest.raises(ConfigError, match="tells a worker of its end 140 to 200 s before"):
        launcher.describe(1, command, Resources(seconds=240.0))


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_only_a_worker_whose_time_is_over_asks_for_another_turn(slurm: Path, tmp_path: Path, name: str) -> None:
    install(slurm, "scontrol", "")
    install(slurm, "sbatch", "1\n")
    ready, noted = tmp_path / "ready", tmp_path / "noted"
    worker = f"trap 'echo drained > {noted}; exit 3' TERM; echo > {ready}; while :; do sleep 0.02; done"
    SlurmLauncher(project="p").submit(1, make_command(tmp_path, words=("/bin/sh", "-c", worker)), Resources())
    environ = {**os.environ, "SLURM_ARRAY_JOB_ID": "47", "SLURM_ARRAY_TASK_ID": "2"}
    with subprocess.Popen(["/bin/sh", str(slurm / "sbatch.input")], env=environ) as job:
        while not ready.exists():
            assert job.poll() is None
            time.sleep(0.01)
        job.send_signal(getattr(signal, f"SIG{name}"))
        code = job.wait(10)

    assert noted.read_text() == "drained\n"
    asked = slurm / "scontrol.arguments"
    assert (code, asked.exists()) == ((0, True) if name == "USR1" else (3, False))
    if name == "USR1":
        assert asked.read_text().splitlines() == ["requeue", "47_2"]


def test_a_refusal_of_slurm_is_told_in_its_words(slurm: Path, tmp_path: Path) -> None:
    install(slurm, "sbatch", "", code=1, complaint="sbatch: error: invalid partition specified: nowhere")
    with pytest.raises(LaunchError, match="invalid partition specified: nowhere"):
        SlurmLauncher(project="p").submit(1, make_command(tmp_path), Resources())


def test_an_answer_that_is_no_job_is_refused(slurm: Path, tmp_path: Path) -> None:
    install(slurm, "sbatch", "Submitted batch job ../../x\n")
    with pytest.raises(LaunchError, match="which is no job"):
        SlurmLauncher(project="p").submit(1, make_command(tmp_path), Resources())


def test_a_machine_without_slurm_says_so(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(slurm))
    with pytest.raises(LaunchError, match="`sbatch` is not installed here") as caught:
        SlurmLauncher(project="p").submit(1, make_command(tmp_path), Resources())
    assert caught.value.exit_code == 3


def test_what_would_be_submitted_can_be_read_before(slurm: Path, tmp_path: Path) -> None:
    install(slurm, "sbatch", "1\n")
    launcher = SlurmLauncher(project="p1")
    shown = launcher.describe(2, make_command(tmp_path), Resources())
    assert not (slurm / "sbatch.arguments").exists()

    launcher.submit(2, make_command(tmp_path), Resources())

    assert (slurm / "sbatch.input").read_text() in shown
    assert all(word in shown for word in (slurm / "sbatch.arguments").read_text().split())
