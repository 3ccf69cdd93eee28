"""The conformance suite of the port `rollwright.launch.launcher.Launcher`.

Subclass `LauncherConformance` in a test module and give it a fixture ``engine`` that returns an `EngineUnderTest`;
pytest then runs every promise of the port over your launcher. It never asks which adapter runs: what may differ is
declared in `LauncherTraits`.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from rollwright.core.clock import SystemClock
from rollwright.errors import ConfigError
from rollwright.launch.launcher import LaunchedWorker, Launcher, Resources, WorkerCommand

__all__ = ["EngineUnderTest", "LauncherConformance"]

_PROGRAM: Final = """
import json, os, pathlib, signal, sys
place = pathlib.Path(sys.argv[1])
def end(*_):
    (place / f"told-{os.getpid()}").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note = {"words": sys.argv[2:], "folder": os.getcwd(), "variable": os.environ.get("GIVEN")}
draft = place / f"draft-{os.getpid()}"
draft.write_text(json.dumps(note))
draft.rename(place / f"started-{os.getpid()}")
while place.exists() and not (place / "finish").exists():
    signal.sigtimedwait([signal.SIGUSR2], 0.02)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUnderTest:
    """A launcher and where its workers may write.

    Attributes
    ----------
    launcher : Launcher
        Without workers yet; the suite starts a few, each of which needs one core at most.
    folder : Path
        One that workers find at the same path.
    other_project : callable, optional
        Returns a launcher of the same engine for another project, where the engine tells projects apart.
    python : str
        The interpreter that workers are started with.
    """

    launcher: Launcher
    folder: Path
    other_project: Callable[[], Launcher] | None = None
    python: str = field(default=sys.executable)

    def make_command(self, name: str = "alpha", *words: str, ends: bool = True) -> WorkerCommand:
        """Return a worker that notes how it was started, and ends when it is told or the file ``finish`` is there."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        return WorkerCommand(
            name=name,
            words=(self.python, "-S", "-c", _PROGRAM, str(place), *words),
            folder=self.folder,
            logs=self.folder / "logs",
            environ={"GIVEN": "it's $HOME; $$ $(GIVEN) `id` 趋势"},
            ends=ends,
        )

    def count_notes(self, kind: str, name: str = "alpha") -> int:
        """Return how many workers noted that they were ``started`` or ``told`` to end."""
        return len([*(self.folder / name).glob(f"{kind}-*")])

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until something holds; a minute at most."""
        clock = SystemClock()
        end = clock.monotonic() + 60
        while not condition():
            assert clock.monotonic() < end, self.launcher.list()
            clock.sleep(0.05)

    def living(self, name: str | None = None) -> list[LaunchedWorker]:
        """Return the workers that are not ending."""
        return [worker for worker in self.launcher.list(name) if worker.state != "ending"]


class LauncherConformance:
    """Every promise of the port, one test each."""

    @pytest.fixture
    def engine(self) -> EngineUnderTest:
        """Return a launcher without workers; to be overridden."""
        raise NotImplementedError

    def test_as_many_workers_are_started_as_asked_for_and_known_by_their_ids(self, engine: EngineUnderTest) -> None:
        ids = engine.launcher.submit(2, engine.make_command(), Resources())
        assert len({*ids}) == 2
        engine.wait(lambda: engine.count_notes("started") == 2)
        engine.wait(lambda: [one.state for one in engine.launcher.list("alpha")] == ["running"] * 2)
        assert {one.id for one in engine.launcher.list("alpha")} == {*ids}
        assert {one.name for one in engine.launcher.list()} == {"alpha"}
        assert engine.launcher.list("beta") == []

    def test_words_and_variables_reach_the_worker_as_they_are(self, engine: EngineUnderTest) -> None:
        words = ("it's", "$HOME", "$$", "$(GIVEN)", "`id`", "a b", "; exit 9", "", "on", "趋势", "--tag")
        engine.launcher.submit(1, engine.make_command("alpha", *words), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        (note,) = (engine.folder / "alpha").glob("started-*")
        told = json.loads(note.read_text())
        assert told["words"] == [*words]
        assert told["variable"] == "it's $HOME; $$ $(GIVEN) `id` 趋势"
        assert Path(told["folder"]).resolve() == engine.folder.resolve()

    def test_a_campaign_of_any_name_is_found_by_it(self, engine: EngineUnderTest) -> None:
        engine.launcher.submit(1, engine.make_command("趋势 2024"), Resources())
        engine.launcher.submit(1, engine.make_command("alpha"), Resources())
        engine.wait(lambda: {one.name for one in engine.launcher.list()} == {"趋势 2024", "alpha"})
        assert [one.name for one in engine.launcher.list("趋势 2024")] == ["趋势 2024"]

    def test_a_worker_that_ended_is_known_no_more(self, engine: EngineUnderTest) -> None:
        engine.launcher.submit(1, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        (engine.folder / "alpha" / "finish").touch()
        engine.wait(lambda: not engine.launcher.list())
        assert engine.count_notes("told") == 0

    def test_a_worker_that_is_ended_is_told_before(self, engine: EngineUnderTest) -> None:
        ids = engine.launcher.submit(1, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        engine.launcher.cancel(ids)
        engine.wait(lambda: not engine.launcher.list())
        assert engine.count_notes("told") == int(engine.launcher.traits.warns_before_end)

    def test_ending_what_has_ended_changes_nothing(self, engine: EngineUnderTest) -> None:
        first = engine.launcher.submit(1, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        engine.launcher.cancel(first)
        engine.wait(lambda: not engine.launcher.list())
        engine.launcher.submit(1, engine.make_command("beta"), Resources())
        engine.launcher.cancel(first)
        engine.launcher.cancel([])
        engine.wait(lambda: engine.count_notes("started", "beta"))
        assert engine.count_notes("told", "beta") == 0
        assert len(engine.living("beta")) == 1

    def test_one_of_several_is_ended_alone_or_none_of_them(self, engine: EngineUnderTest) -> None:
        ids = engine.launcher.submit(2, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started") == 2)
        if engine.launcher.traits.elastic:
            engine.launcher.cancel(ids[:1])
            engine.wait(lambda: [one.id for one in engine.launcher.list()] == [ids[1]])
            assert engine.count_notes("told") == 1
        else:
            with pytest.raises(ConfigError):
                engine.launcher.cancel(ids[:1])
            assert {one.id for one in engine.living()} == {*ids}
            assert engine.count_notes("told") == 0

    def test_workers_that_wait_for_work_are_ended_as_well(self, engine: EngineUnderTest) -> None:
        ids = engine.launcher.submit(2, engine.make_command(ends=False), Resources())
        engine.wait(lambda: engine.count_notes("started") == 2)
        assert {one.id for one in engine.launcher.list("alpha")} == {*ids}
        engine.launcher.cancel(ids)
        engine.wait(lambda: not engine.launcher.list())
        assert engine.count_notes("told") == 2 * engine.launcher.traits.warns_before_end

    @pytest.mark.parametrize("given", ["--all", "-1", "", "*", "../x", "a b", "0x1", "²", "1\n2"])
    def test_what_is_no_id_ends_nothing(self, engine: EngineUnderTest, given: str) -> None:
        with pytest.raises(ConfigError):
            engine.launcher.cancel([given])

    def test_a_time_limit_is_kept_or_refused(self, engine: EngineUnderTest) -> None:
        if engine.launcher.traits.has_time_limit:
            assert engine.launcher.describe(1, engine.make_command(), Resources(seconds=3600))
            return
        with pytest.raises(ConfigError):
            engine.launcher.submit(1, engine.make_command(), Resources(seconds=3600))
        assert engine.launcher.list() == []

    def test_what_would_be_started_can_be_read_and_starts_nothing(self, engine: EngineUnderTest) -> None:
        shown = engine.launcher.describe(2, engine.make_command("alpha", "a-word-of-it"), Resources())
        assert "a-word-of-it" in shown
        assert engine.launcher.list() == []
        assert engine.count_notes("started") == 0

    def test_workers_of_another_project_are_left_alone(self, engine: EngineUnderTest) -> None:
        if engine.other_project is None:
            pytest.skip("this engine knows one project")
        other = engine.other_project()
        ids = engine.launcher.submit(1, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        assert other.list() == []
        other.cancel(ids)
        assert [one.id for one in engine.living()] == [*ids]
        assert engine.count_notes("told") == 0
