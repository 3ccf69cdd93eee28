"""`docs/configuration.md` lists every setting with its default and what it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

from finding import ROOT, Finding, tell
from table import Table, wants_writing

from rollwright.config.settings import known_names, load_settings

PAGE: Final = ROOT / "docs" / "configuration.md"
TABLE: Final = Table(path=PAGE, heading=("setting", "default", "what it is"))

# In the words of a user; a new setting is not finished without them.
MEANING: Final = {
    "data.provider_uri": "folder of the market data, in Qlib's layout",
    "data.provider_uris": "folders by frequency (`day`, `1min` …); `provider_uri` given as a mapping sets it",
    "data.region": "market whose rules apply: `cn`, `us` or `tw`",
    "data.freq": "frequency of the data",
    "data.days_per_year": "sessions of the year in every annual figure; the region's if not set: 238 in `cn` and `tw` "
    "(Qlib's year), 252 in `us`",
    "data.holdout": 'days that nothing may read, as `["2017-01-03", "2017-12-29"]`, or `"open"` as the last: '
    "[sealed](holdout.md) until `rollwright unseal`",
    "data.custom_ops": "operators of your own, each as `module:Class`, or `file.py:Class` of a file in `trust.folder`",
    "data.kernels": "threads that compute features (default: the machine's cores)",
    "data.kernel_memory": "MB of working memory of each of these threads, as far as its plan allows",
    "data.mem_cache_size_limit": "MB of decoded fields a process keeps; 0 keeps none",
    "point_in_time.as_of": "a day: nothing that became known later is [seen](#seen-from-when)",
    "point_in_time.lag_days": "days of the calendar after its announcement from which a field by period is seen",
    "point_in_time.same_day": "whether it is seen on that day itself, as in Qlib, or from the next one on",
    "pool.url": "the task pool: `sqlite:///FILE`, `postgresql://HOST/DATABASE`, `mongodb://HOST/DATABASE` or `memory:`",
    "pool.lease": "seconds a worker holds a task without a sign of life",
    "pool.max_attempts": "executions after which a failing task is given up",
    "pool.max_generated": "tasks that generators may make of a template before that is taken for a mistake",
    "pool.poll": "seconds between two looks at a pool, for work or the end of a wait, while the store notifies of none",
    "pool.connections": "most [connections](many-machines.md#connections-and-pgbouncer) of a process to PostgreSQL "
    "beside that of its session",
    "pool.session": "whether a process keeps a session on PostgreSQL that shows that it lives, and wakes it",
    "worker.max_tasks_per_child": "tasks after which a worker's slot is replaced by a new process",
    "worker.memory_limit": "share of the host's memory in use above which a worker takes no further task, as `0.9`",
    "worker.task_timeout": "seconds a task may take before its process is ended and the attempt has failed",
    "worker.task_memory": "GB a task's process may take, files it has mapped aside, before it is ended likewise",
    "worker.tags": "what workers started here have, as `gpu`, for tasks that need it",
    "worker.memory": "GB a worker has for one task, as `16G`; tasks that need more are left to others",
    "worker.store_patience": "seconds a worker goes on without an answer from the pool's store before it gives up",
    "worker.drain": "seconds a worker that is told to end goes on with what it has in hand; then it gives it back",
    "tracking.uri": "MLflow's tracking store",
    "tracking.artifacts": "folder of recorded artifacts, or an [address](many-machines.md#storage-apart), as "
    "`s3://BUCKET/FOLDER`",
    "tracking.artifacts_patience": "seconds such an address is asked again while it does not answer",
    "tracking.default_experiment": "experiment of a run that names none",
    "store.path": "folder of computed features",
    "store.default_disk_cache": (
        "0: nothing is read from or written to the store; 1: everything goes through it; 2: what is there is replaced. "
        "Unset: handlers use it, `D.features` does not"
    ),
    "store.max_size": "GB the store may take; after a build the longest unused goes first",
    "trust.modules": "modules whose classes a configuration may name",
    "trust.folder": "folder whose `.py` files a configuration may name",
    "compare.environments": "folder of the environments that compared models run in; projects may share one",
    "compare.installer": "who makes them: `uv`, `pip`, or `auto` for uv where it is installed, else pip",
    "compare.exclude_newer": "a day: what was uploaded to the package index later is not chosen (uv only)",
    "serve.token_file": "file with the token that clients of `rollwright online serve` show",
    "cluster.launcher": "what starts workers: `local` (this machine), `slurm`, `kubernetes` or `ray`",
    "cluster.one_machine": "whether all nodes of the cluster are this machine, so that its SQLite files are shared",
    "cluster.cores": "cores of each worker that a cluster starts",
    "cluster.memory": "GB of each such worker; the cluster's default if not set",
    "cluster.gpus": "GPUs of each such worker",
    "cluster.time_limit": "seconds until such a worker gives its tasks back and asks for another turn; Slurm: from 180",
    "cluster.sbatch_options": 'more options of sbatch, as `["--partition=low", "--account=alpha"]`',
    "cluster.image": "the image of workers on Kubernetes, as `registry.example.com/rollwright:0.1`",
    "cluster.image_folder": "where the project is in a pod",
    "cluster.namespace": "the namespace of Kubernetes; that of kubectl's current context if not set",
    "cluster.volume": "the PersistentVolumeClaim that holds the project; the image holds it if not set",
    "cluster.secret": "the Secret of Kubernetes whose keys are variables of the workers, as `ROLLWRIGHT_POOL__URL`",
    "cluster.ray_address": "the address of Ray's head; `auto` for the cluster that this machine is part of",
    "cluster.ray_resources": 'resources of Ray that each worker asks for, as `["highmem=1"]`',
}


def rows() -> list[tuple[str, str, str]]:
    """Return the table as it should be."""
    values = {name: value for name, value, _ in load_settings(environ={"HOME": os.devnull}, start=ROOT / "docs").rows()}
    shown = {name: "" if value in (None, ()) else f"`{value}`" for name, value in values.items()}
    shown["data.kernels"] = ""
    return [(f"`{name}`", shown[name], MEANING.get(name, "")) for name in known_names()]


def findings() -> Iterator[Finding]:
    """Yield every setting without a meaning, every meaning without a setting, and an outdated table."""
    for name in sorted(set(known_names()) ^ set(MEANING)):
        yield Finding(path=PAGE, line=1, text=f"`{name}` is in only one of the settings and tools/check_settings.py")
    outdated = TABLE.finding(rows())
    if outdated is not None:
        yield outdated


if __name__ == "__main__":
    if wants_writing():
        TABLE.write(rows())
    sys.exit(tell("settings", findings()))
