"""Training many models: whatever one does, the others get their outcomes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rollwright.compare.coordinate import Coordinator, ModelJob
from rollwright.compare.environment import Environment, EnvironmentLock
from rollwright.compare.evaluation import RunKey
from rollwright.compare.folders import ModelSource
from rollwright.compare.outcome import RunOutcome
from rollwright.compare.workers import ModelProcess, clean_environment, last_words
from rollwright.errors import EnvironmentFailedError, RollwrightError

READY = 'import json, sys\nprint(json.dumps({"kind": "ready"}), flush=True)\n'


def tell(*keys: RunKey) -> str:
    """Return the code that tells that these runs are done."""
    lines = [json.dumps({"kind": "outcome", "outcome": RunOutcome(key=key, status="done").to_json()}) for key in keys]
    return "".join(f"print({line!r}, flush=True)\n" for line in lines)


class Environments:
    """Makes the environments of models by name; of those that start with ``no`` it cannot."""

    def compile(self, requirements: Path) -> EnvironmentLock:
        return EnvironmentLock(text=requirements.stem, python="", rollwright="", key=requirements.stem)

    def ensure(self, lock: EnvironmentLock) -> Environment:
        if lock.key.startswith("no"):
            raise EnvironmentFailedError("no versions fit: https://user:secret@host/simple has none")
        if lock.key.startswith("odd"):
            raise ZeroDivisionError("a bug of an installer")
        return Environment(lock=lock, path=requirements_of(lock.key), python=Path(sys.executable))

    def close(self) -> None:
        """Hold nothing."""

    def log_of(self, key: str) -> Path | None:
        del key
        return None


def requirements_of(name: str) -> Path:
    return Path(f"{name}.txt")


class Seen:
    """Remembers what a coordinator tells."""

    def __init__(self) -> None:
        self.outcomes: dict[RunKey, RunOutcome] = {}
        self.messages: list[tuple[str, str]] = []
        self.environments: dict[str, object] = {}

    def note_environment(self, model: str, environment: Environment | RollwrightError) -> None:
        self.environments[model] = environment

    def note_message(self, model: str, message: Mapping[str, Any]) -> None:
        self.messages.append((model, str(message["kind"])))

    def note_outcome(self, outcome: RunOutcome) -> None:
        assert outcome.key not in self.outcomes
        self.outcomes[outcome.key] = outcome


def run_scripts(folder: Path, scripts: Mapping[str, str], *, runs: int = 2, slots: int = 2) -> tuple[Seen, list[Any]]:
    """Run a script as the process of each model; return what was told, and (model, slots) of each start."""
    seen, started = Seen(), []

    def start(
        model: str,
        environment: Environment,
        slots: int,
        on_message: Callable[[dict[str, Any] | None], None],
        goes_on: bool,
    ) -> ModelProcess:
        started.append((model, slots))
        return ModelProcess(
            [str(environment.python), "-c", scripts[model]],
            folder=folder,
            log=folder / f"{model}.log",
            environ=clean_environment({}),
            on_message=on_message,
            goes_on=goes_on,
        )

    coordinator = Coordinator(Environments(), start, seen, slots=slots)
    sources = [ModelSource(name=name, requirements=requirements_of(name), workflows={}) for name in scripts]
    coordinator.begin([ModelJob(source=one, runs=keys_of(one.name, runs)) for one in sources])
    coordinator.run()
    return seen, started


def keys_of(name: str, runs: int) -> tuple[RunKey, ...]:
    return tuple(RunKey(name, "D", seed) for seed in range(1, runs + 1))


def test_every_run_gets_one_outcome_whatever_its_model_does(tmp_path: Path) -> None:
    scripts = {
        "good": READY + tell(*keys_of("good", 2)),
        "noenv": "",
        "oddenv": "",
        "dies": READY + "sys.exit(7)\n",
        "early": "import sys\nprint('ImportError: no such thing', file=sys.stderr)\nsys.exit(1)\n",
        "lies": READY + 'print("not json")\nprint("[]")\n' + tell(*keys_of("good", 2), *keys_of("lies", 2)),
    }
    seen, _ = run_scripts(tmp_path, scripts)
    assert set(seen.outcomes) == {key for name in scripts for key in keys_of(name, 2)}
    causes = {key.model: outcome.cause for key, outcome in seen.outcomes.items() if outcome.status == "failed"}
    assert causes == {
        "noenv": "no versions fit: https://user:***@host/simple has none",
        "oddenv": "its environment could not be made: ZeroDivisionError: a bug of an installer",
        "dies": "the process that trains it ended with exit code 7 again and again",
        "early": "the process that trains it ended with exit code 1 as it started: ImportError: no such thing",
    }


def test_a_process_that_dies_is_started_again_and_goes_on(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first, second = keys_of("a", 2)
    script = (
        f"{READY}from pathlib import Path\nimport os\nmark = Path({str(mark)!r})\n"
        f"if not mark.exists():\n    mark.touch()\n    print('first', file=sys.stderr)\n"
        + "".join(f"    {line}\n" for line in tell(first).splitlines())
        + f"    os.kill(os.getpid(), 9)\nprint('second', file=sys.stderr)\n{tell(second)}"
    )
    seen, started = run_scripts(tmp_path, {"a": script})
    assert {outcome.status for outcome in seen.outcomes.values()} == {"done"}
    assert len(started) == 2
    assert ("a", "died") in seen.messages
    assert (tmp_path / "a.log").read_text() == "first\nsecond\n"


def test_a_process_that_told_everything_and_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollwright.compare.coordinate._LONGEST_END", 0.2)
    script = f"{READY}{tell(*keys_of('a', 2))}import time\ntime.sleep(600)\n"
    seen, _ = run_scripts(tmp_path, {"a": script})
    assert {outcome.status for outcome in seen.outcomes.values()} == {"done"}


def test_slots_are_shared_and_the_last_models_get_more(tmp_path: Path) -> None:
    scripts = {name: READY + tell(*keys_of(name, 2)) for name in "ab"}
    _, started = run_scripts(tmp_path, scripts, slots=1)
    assert sorted(started) == [("a", 1), ("b", 1)]
    _, alone = run_scripts(tmp_path, {"a": scripts["a"]}, slots=4)
    assert alone == [("a", 4)]


def test_no_process_is_left_when_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollwright.compare.coordinate._PATIENCE", 0.2)
    ended: list[ModelProcess] = []

    class Interrupted(Seen):
        def note_message(self, model: str, message: Mapping[str, Any]) -> None:
            raise KeyboardInterrupt

    def start(
        _model: str,
        environment: Environment,
        _slots: int,
        on_message: Callable[[dict[str, Any] | None], None],
        _goes_on: bool,
    ) -> ModelProcess:
        script = f"import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{READY}time.sleep(600)"
        ended.append(
            ModelProcess(
                [str(environment.python), "-c", script],
                folder=tmp_path,
                log=tmp_path / "log",
                environ=clean_environment({}),
                on_message=on_message,
            )
        )
        return ended[0]

    coordinator = Coordinator(Environments(), start, Interrupted(), slots=1)
    source = ModelSource(name="a", requirements=requirements_of("a"), workflows={})
    coordinator.begin([ModelJob(source=source, runs=keys_of("a", 1))])
    with pytest.raises(KeyboardInterrupt):
        coordinator.run()
    assert ended[0].exit_code == -9


def test_a_process_gets_no_variable_that_leads_to_other_packages() -> None:
    given = {"PATH": "/bin", "PYTHONPATH": "/other", "VIRTUAL_ENV": "/venv", "PYTHONHOME": "/home"}
    assert clean_environment(given) == {"PATH": "/bin", "PYTHONNOUSERSITE": "1"}


def test_the_last_words_of_a_log_are_one_line_without_hints_and_secrets(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x\nStoreUnavailableError: postgresql://me:secret@host/db is away\nhint: start it\n\n")
    assert last_words(log) == "StoreUnavailableError: postgresql://me:***@host/db is away"
    assert last_words(tmp_path / "none") == ""
