"""A Slurm cluster of the tests' own: two nodes on this machine, with preemption, gone when the test run ends.

It needs Debian's ``slurm-wlm`` and ``munge``, and root: Slurm's daemons start processes as other users.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Final

from rollwright.core.clock import SystemClock

__all__ = ["SlurmServer", "missing"]

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
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=7 OverSubscribe=YES:4 State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 OverSubscribe=NO State=UP
"""


def missing() -> str | None:
    """Return why there is no Slurm to test against, or None when there is one."""
    if os.geteuid() != 0:
        return "not run: Slurm's daemons need root"
    absent = [name for name in _PROGRAMS if _find(name) is None]
    return f"not run: no Slurm ({', '.join(absent)} not on this machine)" if absent else None


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class SlurmServer:
    """A controller and two nodes.

    Parameters
    ----------
    folder : Path
        Its files; made if it is not there.

    Attributes
    ----------
    environ : dict of str to str
        What every command of Slurm needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool-n1", "spool-n2"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(
            _CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=folder, ports=_free_ports(3))
        )
        self.environ = {"SLURM_CONF": str(self.configuration)}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons and wait until both nodes take jobs."""
        atexit.register(self.stop)
        self._start_munge()
        self._start("slurmctld", "-D")
        for node in ("n1", "n2"):
            self._start("slurmd", "-D", "-N", node)
        clock = SystemClock()
        end = clock.monotonic() + _PATIENCE
        while self.run("sinfo", "--noheader", "--Node", "--format=%N|%t").count("|idle") < 2:
            if clock.monotonic() > end:
                raise RuntimeError(f"Slurm did not start; see {self.folder}")
            clock.sleep(0.2)

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
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def _start(self, name: str, *words: str) -> None:
        program = _find(name)
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons.append(
                subprocess.Popen(
                    [program, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env={**os.environ, **self.environ},
                    start_new_session=True,
                )
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


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
