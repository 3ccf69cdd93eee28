"""Eight processes ask for one environment and are killed, again and again: exactly one is made, and it is sound."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from crash_size import sized
from rollwright.compare.environments.folder import EnvironmentFolder
from rollwright.compare.environments.installers import find_installer
from tiny_wheels import make_wheels, tiny_rollwright

pytest.importorskip("uv", reason="not run: the extra `compare` is not installed")
HELPER = Path(__file__).parents[1] / "helpers" / "environment_process.py"
PROCESSES = 8
KILLS_A_ROUND = 5
PATIENCE = 120


class Askers:
    """Processes that ask for the environment of one round."""

    def __init__(self, root, choice, mark, requirements, wheels):
        self.arguments = [sys.executable, str(HELPER), str(root), choice, mark, str(requirements), str(wheels)]
        self.environ = {**os.environ, "PYTHONPATH": str(HELPER.parent)}
        self.running = []
        self.said = []
        self.made = 0

    def start(self):
        while len(self.running) < PROCESSES:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            self.running.append(subprocess.Popen(self.arguments, env=self.environ, **pipes))

    def wait_for_maker(self, rng):
        """One of those that run, a moment later: mostly the one whose installer works, since the others only wait."""
        waits = rng.random() < 0.9
        while alive := [one for one in self.running if one.poll() is None]:
            busy = [one for one in alive if installers_of(one)]
            if busy or not waits:
                with suppress(subprocess.TimeoutExpired):
                    alive[0].wait(timeout=rng.uniform(0, 0.3))
                return rng.choice(busy or alive)
            with suppress(subprocess.TimeoutExpired):
                alive[0].wait(timeout=0.02)
        return None

    def kill(self, victim, *, with_installer):
        children = installers_of(victim) if with_installer else []
        victim.send_signal(signal.SIGKILL)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.running.remove(victim)
        self.hear(victim)

    def finish(self):
        outs = []
        for one in self.running:
            out = self.hear(one)
            assert one.returncode == 0, self.said[-1]
            outs.append(json.loads(out))
        self.running = []
        return outs

    def hear(self, one):
        out, err = one.communicate(timeout=PATIENCE)
        self.made += err.count("environment.made")
        self.said.append(err)
        return out


def installers_of(process):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children()
    return []


@pytest.mark.crash
@pytest.mark.parametrize(("choice", "kills"), [("uv", sized(100, 15)), ("pip", sized(30, 5))])
def test_killed_processes_leave_exactly_one_sound_environment(tmp_path, choice, kills):
    wheels, root = make_wheels(tmp_path / "wheels"), tmp_path / "environments"
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("tiny-model\ntiny-tool\n")
    rng = random.Random(17)
    store = EnvironmentFolder(root, installer=find_installer("pip"), wheel=tiny_rollwright)
    known, done, while_building, number = set(), 0, 0, 0
    while done < kills:
        number += 1
        askers = Askers(root, choice, f"round {number}", requirements, wheels)
        for _ in range(min(KILLS_A_ROUND, kills - done)):
            askers.start()
            victim = askers.wait_for_maker(rng)
            if victim is None:  # all of them were sooner
                break
            while_building += bool(installers_of(victim))
            askers.kill(victim, with_installer=rng.random() < 0.4)
            done += 1
        askers.start()
        outs = askers.finish()
        (key,) = {out["key"] for out in outs}
        assert askers.made <= 1
        assert key not in known
        known.add(key)
        assert sorted(entry.key for entry in store.entries()) == sorted(known)
        assert {entry.state for entry in store.entries()} == {"whole"}
        code = "import rollwright, tiny_core, tiny_model, tiny_tool; print(rollwright.MARK)"
        ran = subprocess.run([outs[0]["python"], "-I", "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == f"round {number}"
    assert while_building >= kills // 3
    store.remove_leftovers()
    assert [path.name for path in root.iterdir() if path.name.startswith(".tmp-")] == []
    assert len(list((root / "compiled").iterdir())) == 1
    sys.stderr.write(f"{choice}: {done} kills, {while_building} while it was made, of {len(known)} environments\n")
