"""A Slurm cluster of the tests' own: two nodes on this machine, with preemption, gone when the test run ends.

It needs Debian's ``slurm-wlm`` and ``munge``, and root: Slurm's daemons start processes as other users.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from rollwright.core.clock import SystemClock

__all__ = ["NODES", "SlurmServer", "absent", "missing"]

NODES: Final = ("n1", "n2")

_PROGRAMS: Final = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
_PATIENCE: Final = 60.0
_MUNGE: Final = Path("/run/munge")

_CONFIGURATION: Final = """\
ClusterName=rollwright
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=1,requeue_delay=1
KillWait=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cores} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cores} State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=7 OverSubscribe=YES:4 State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 OverSubscribe=NO State=UP
"""


def missing() -> str | None:
    """Return why there is no Slurm to test against, or None when there is one."""
    return absent() if os.geteuid() == 0 else "not run: Slurm's daemons need root"


def absent() -> str | None:
    """Return which programs are not on this machine, or None; None, too, for who could not use them."""
    names = [name for name in _PROGRAMS if _find(name) is None] if os.geteuid() == 0 else []
    return f"not run: no Slurm ({', '.join(names)} not on this machine)" if names else None


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class SlurmServer:
    """A controller and two nodes.

    Parameters
    ----------
    folder : Path
        Its files; made if it is not there.
    cores : int
        Of each node; Slurm counts these and not those of the machine.

    Attributes
    ----------
    environ : dict of str to str
        What every command of Slurm needs.
    """

    def __init__(self, folder: Path, *, cores: int = 4) -> None:
        self.folder = folder
        for name in ("state", "spool-n1", "spool-n2"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.configuration = folder / "slurm.conf"
        host = socket.gethostname().partition(".")[0]
        self.configuration.write_text(
            _CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(3), cores=cores)
        )
        self.environ = {"SLURM_CONF": str(self.configuration)}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the daemons and wait until both nodes take jobs."""
        atexit.register(self.stop)
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self._start(node, "slurmd", "-D", "-N", node)
        self.wait_for_nodes()

    def wait_for_nodes(self) -> None:
        """Wait until both nodes take jobs.

        A node is set aside for good when a controller that was killed has forgotten a job there and starts it twice.
        """
        clock = SystemClock()
        end = clock.monotonic() + _PATIENCE
        while not all(self._takes_jobs(node) for node in NODES):
            if clock.monotonic() > end:
                raise RuntimeError(f"Slurm did not start; see {self.folder}")
            clock.sleep(0.2)

    def _takes_jobs(self, node: str) -> bool:
        state = self.run("sinfo", "--noheader", f"--nodes={node}", "--format=%t").splitlines()[:1]
        if state in (["drain"], ["drng"]):
            self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
        return state in (["idle"], ["mix"], ["alloc"])

    def start_controller(self) -> None:
        """Start the controller, which knows the jobs that there were."""
        self._start("slurmctld", "slurmctld", "-D")

    def kill_controller(self) -> None:
        """Let the controller die at once."""
        self._kill("slurmctld")

    def kill_node(self, node: str) -> int:
        """Let a node die with all that runs on it, and tell the controller; return how many processes died.

        The controller requeues the jobs that were there.
        """
        self._kill(node)
        died = _kill_all(self._find_processes(node))
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=killed")
        return died

    def lose_node(self, node: str) -> None:
        """Tell the controller that a node is down though what runs there goes on: its jobs run twice from then on."""
        self._kill(node)
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def start_node(self, node: str) -> None:
        """Start a node that died, and let it take jobs."""
        self._start(node, "slurmd", "-D", "-N", node)
        self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.wait_for_nodes()

    def count_restarts(self) -> int:
        """Return how often members of the jobs that the controller remembers were started again."""
        return sum(int(number) for number in re.findall(r"\bRestarts=([0-9]+)", self.run("scontrol", "show", "job")))

    def _find_processes(self, node: str) -> list[psutil.Process]:
        """Return what runs on a node of this cluster: jobs, and the programs of Slurm that started them."""
        found: set[psutil.Process] = set()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environ = process.environ()
                if environ.get("SLURM_CONF") == str(self.configuration) and environ.get("SLURMD_NODENAME") == node:
                    found |= {process, *(one for one in process.parents() if one.name() == "slurmstepd")}
        return [*found]

    def _kill(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def run(self, *words: str, stdin: str = "") -> str:
        """Run a command of Slurm and return what it prints; "" where it fails."""
        program = _find(words[0])
        assert program is not None
        done = subprocess.run(
            [program, *words[1:]], input=stdin, capture_output=True, text=True, env={**os.environ, **self.environ},
            check=False,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else ""

    def stop(self) -> None:
        """End all jobs and the daemons."""
        if not self._daemons:
            return
        self.run("scancel", "--me")
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        for node in NODES:
            _kill_all(self._find_processes(node))

    def _start(self, name: str, *words: str) -> None:
        program = _find(words[0])
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [program, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )

    def _start_munge(self) -> None:
        """Start the daemon that Slurm's programs trust one another by, unless it runs."""
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
            return
        _MUNGE.mkdir(parents=True, exist_ok=True)
        shutil.chown(_MUNGE, "munge", "munge")
        program = _find("munged")
        assert program is not None
        subprocess.run(["runuser", "-u", "munge", "--", program], check=True, capture_output=True)


def _kill_all(processes: list[psutil.Process]) -> int:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return len(processes)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
