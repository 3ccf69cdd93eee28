"""Start workers of a campaign by the engine that the user has, look at them, and end them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rollwright.app.campaign_record import find_campaign
from rollwright.app.elastic import ElasticController, ElasticTerms, ScalingStep
from rollwright.config.settings import DRAIN, Settings, load_settings
from rollwright.core.canonical import sha256_hex
from rollwright.core.sqlite_urls import SQLITE
from rollwright.errors import ConfigError
from rollwright.launch.kubernetes import KubernetesLauncher
from rollwright.launch.kubernetes_objects import PodPlan, WorkToScaleBy
from rollwright.launch.launcher import LaunchedWorker, Launcher, Resources, WorkerCommand
from rollwright.launch.local import LocalLauncher
from rollwright.launch.ray import RayLauncher
from rollwright.launch.slurm import SlurmLauncher
from rollwright.pool.needs import Offer
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.wakeup import SignalHandler

__all__ = [
    "check_shared_stores",
    "describe_scaling",
    "describe_workers",
    "list_launched",
    "make_command",
    "make_offer",
    "make_resources",
    "open_kubernetes",
    "open_launcher",
    "scale_workers",
    "start_workers",
    "stop_workers",
]

_DIGITS: Final = 8
_FILES: Final = (SQLITE, "memory:")


def open_launcher(settings: Settings, kind: str | None = None) -> Launcher:
    """Return the launcher of this name, of the settings if None.

    Raises
    ------
    ConfigError
        For a name that none has.
    """
    chosen = kind if kind is not None else settings.cluster.launcher
    if chosen == "local":
        return LocalLauncher(settings.state_dir / "launched")
    if chosen == "slurm":
        return SlurmLauncher(options=settings.cluster.sbatch_options, project=_digest_project(settings))
    if chosen == "kubernetes":
        return open_kubernetes(settings)
    if chosen == "ray":
        given = settings.cluster
        return RayLauncher(address=given.ray_address, resources=given.ray_resources, project=_digest_project(settings))
    raise ConfigError(f"nothing called `{chosen}` starts workers", hint="use local, slurm, kubernetes or ray")


def open_kubernetes(settings: Settings) -> KubernetesLauncher:
    """Return the launcher of Kubernetes, as the settings say.

    Raises
    ------
    ConfigError
        When they name no image.
    """
    given = settings.cluster
    if given.image is None:
        raise ConfigError(
            "nothing says which image the workers run in",
            hint="build one with the project's Containerfile, push it, and name it: cluster.image",
        )
    plan = PodPlan(image=given.image, folder=given.image_folder, volume=given.volume, secret=given.secret)
    return KubernetesLauncher(plan, project=_digest_project(settings), namespace=given.namespace)


def _digest_project(settings: Settings) -> str:
    return sha256_hex(str(settings.root.resolve()).encode())[:_DIGITS]


def make_resources(settings: Settings) -> Resources:
    """Return what the settings give each worker."""
    given = settings.cluster
    return Resources(cores=given.cores, memory=given.memory, gpus=given.gpus, seconds=given.time_limit)


def make_command(
    settings: Settings, name: str, launcher: Launcher, *, jobs: int, until_empty: bool = True
) -> WorkerCommand:
    """Return the worker of a campaign that a launcher starts, which trains `jobs` windows at the same time."""
    program = ("rollwright",) if launcher.traits.own_files else (sys.executable, "-m", "rollwright")
    offer = make_offer(settings, jobs=jobs)
    has = [word for tag in sorted(offer.tags) for word in ("--tag", tag)]
    has += ["--memory", f"{offer.memory:.15g}G"] if offer.memory is not None else []
    drain = settings.worker.drain
    has += ["--drain", f"{drain:.15g}"] if drain != DRAIN else []
    waits = "--until-empty" if until_empty else "--keep-waiting"
    return WorkerCommand(
        name=name,
        words=(*program, "worker", "run", name, "--jobs", str(jobs), *has, waits),
        folder=settings.root,
        logs=settings.state_dir / "logs" / name,
        ends=until_empty,
        drain=drain,
    )


def check_shared_stores(settings: Settings, launcher: Launcher) -> None:
    """Refuse to start workers on other machines while tasks or runs are in files of this one.

    Raises
    ------
    ConfigError
        When the task store or the tracking store is SQLite or memory, the launcher may use other machines, and the
        setting ``cluster.one_machine`` does not say that they are all this one; and when workers run from an image and
        what they record would be a folder of it, which goes with them.
    """
    if not launcher.traits.multi_host or settings.cluster.one_machine:
        return
    places = {"pool.url": settings.pool.url, "tracking.uri": settings.tracking.uri}
    local = [name for name, url in places.items() if url.startswith(_FILES)]
    if local:
        raise ConfigError(
            f"{' and '.join(f'`{name}`' for name in local)} is a file of this machine, and workers may start on others",
            hint="name a server that all machines reach (pool.url = postgresql://… or mongodb://…, tracking.uri = "
            "http://… or postgresql://…); or, where every node is this machine: ROLLWRIGHT_CLUSTER__ONE_MACHINE=true",
        )
    takes_files = settings.artifact_address is not None or settings.tracking.uri.startswith(("http://", "https://"))
    if launcher.traits.own_files and settings.cluster.volume is None and not takes_files:
        raise ConfigError(
            "`tracking.artifacts` is a folder of the image, and what a worker records there is gone with it",
            hint="name a volume that holds the project (cluster.volume), or an address (tracking.artifacts = s3://…)",
        )


def start_workers(
    name: str | None,
    count: int,
    *,
    on: str | None = None,
    jobs: int = 1,
    until_empty: bool = True,
    project: Path | None = None,
) -> tuple[str, Sequence[str]]:
    """Start workers for a campaign that was started here; return its name and the ids of the workers.

    Parameters
    ----------
    name : str or None
        The campaign; the one that ran last if None.
    count : int
    on : str, optional
        The launcher; that of the settings if not given.
    jobs : int
        Windows that each worker trains at the same time.
    until_empty : bool
        Whether workers end when nothing is left to do.
    project : Path, optional

    Raises
    ------
    ConfigError
        When there is no such campaign, or its stores are files that other machines do not see.
    LaunchError
        When the engine refuses.
    """
    settings, campaign = _find(name, project)
    launcher = open_launcher(settings, on)
    check_shared_stores(settings, launcher)
    command = make_command(settings, campaign, launcher, jobs=jobs, until_empty=until_empty)
    return campaign, launcher.submit(count, command, make_resources(settings))


def describe_workers(
    name: str | None,
    count: int,
    *,
    on: str | None = None,
    jobs: int = 1,
    until_empty: bool = True,
    project: Path | None = None,
) -> str:
    """Return what `start_workers` would give to the engine; nothing is started."""
    settings, campaign = _find(name, project)
    launcher = open_launcher(settings, on)
    command = make_command(settings, campaign, launcher, jobs=jobs, until_empty=until_empty)
    return launcher.describe(count, command, make_resources(settings))


def list_launched(
    name: str | None = None, *, on: str | None = None, project: Path | None = None
) -> Sequence[LaunchedWorker]:
    """Return the workers that the engine has of this project, of one campaign or of all."""
    return open_launcher(load_settings(start=project), on).list(name)


def stop_workers(name: str | None, *, on: str | None = None, project: Path | None = None) -> Sequence[LaunchedWorker]:
    """Tell the workers of a campaign, or all of this project if None, to give their tasks back; return which."""
    launcher = open_launcher(load_settings(start=project), on)
    found = launcher.list(name)
    if found:
        launcher.cancel([worker.id for worker in found])
    return found


def scale_workers(
    name: str | None,
    terms: ElasticTerms,
    *,
    on: str | None = None,
    until_empty: bool = True,
    once: bool = False,
    project: Path | None = None,
    tell: Callable[[ScalingStep], None] = lambda _step: None,
) -> ScalingStep | None:
    """Keep as many workers of a campaign as there is work, until told to stop, or look `once`.

    Returns the last step; see `ElasticController`, whose errors are raised.
    """
    settings, campaign = _find(name, project)
    launcher = open_launcher(settings, on)
    check_shared_stores(settings, launcher)
    store = store_from_url(settings.resolve_url(settings.pool.url))
    stopping = threading.Event()
    try:
        controller = ElasticController(
            store=store,
            launcher=launcher,
            command=make_command(settings, campaign, launcher, jobs=terms.jobs, until_empty=until_empty),
            resources=make_resources(settings),
            offer=make_offer(settings, jobs=terms.jobs),
            terms=terms,
            folder=settings.state_dir / "elastic",
            tell=tell,
        )
        with SignalHandler(stopping.set):
            return controller.run(stopping, once=once)
    finally:
        store.close()


def describe_scaling(
    name: str | None, terms: ElasticTerms, *, on: str | None = None, project: Path | None = None
) -> str:
    """Return the documents by which KEDA scales the workers of a campaign.

    Raises
    ------
    ConfigError
        For another engine than Kubernetes, and where KEDA would not reach the pool.
    """
    settings, campaign = _find(name, project)
    chosen = on if on is not None else settings.cluster.launcher
    if chosen != "kubernetes":
        raise ConfigError(
            f"nothing is printed by which {chosen} would scale workers itself",
            hint="leave out --print: the command scales them; or --on kubernetes, where KEDA does",
        )
    launcher = open_kubernetes(settings)
    offer = make_offer(settings, jobs=terms.jobs)
    work = WorkToScaleBy(
        url=settings.pool.url, least=terms.least, most=terms.most, every=terms.every, jobs=terms.jobs,
        tags=tuple(sorted(offer.tags)), memory=offer.memory,
    )  # fmt: skip
    command = make_command(settings, campaign, launcher, jobs=terms.jobs)
    return launcher.describe_scaling(command, make_resources(settings), work)


def make_offer(settings: Settings, *, jobs: int) -> Offer:
    """Return what a worker that a launcher starts can do: what the settings of workers say, and what it is given.

    One that is given GPUs has the tag ``gpu``; its memory is shared by the `jobs` windows that it trains at a time.
    """
    own, given = settings.worker, settings.cluster
    sizes = [own.memory, None if given.memory is None else given.memory / jobs]
    known = [size for size in sizes if size is not None]
    return Offer(tags=frozenset((*own.tags, *(("gpu",) if given.gpus else ()))), memory=min(known) if known else None)


def _find(name: str | None, project: Path | None) -> tuple[Settings, str]:
    campaign, folder = find_campaign(name, project=project)
    return load_settings(start=folder), campaign
