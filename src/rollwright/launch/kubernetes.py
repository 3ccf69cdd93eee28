"""Workers as pods: an indexed Job of those that end by themselves, a Deployment of those that wait."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from rollwright.core.text import escape_text, is_name
from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.kubernetes_objects import (
    CAMPAIGN,
    INDEX,
    SUBMISSION,
    PodPlan,
    WorkToScaleBy,
    digest_name,
    format_documents,
    make_deployment,
    make_job,
    make_scaling,
    name_submission,
    select_project,
)
from rollwright.launch.launcher import LaunchedWorker, LauncherTraits, Resources, WorkerCommand, WorkerState
from rollwright.launch.program import ProgramHints, run_program
from rollwright.launch.worker_ids import SUBMISSION_ID, split_id

__all__ = ["KubernetesLauncher"]

_HINTS: Final = ProgramHints(
    absent="print what a machine with kubectl can submit: rollwright cluster up --on kubernetes --print | kubectl "
    "apply -f -",
    silent="see whether the cluster answers: kubectl cluster-info",
    refused="see what it says of itself: kubectl auth whoami; kubectl get events",
)
_MOST: Final = 10_000
"""Workers of one submission that are believed to exist."""
_ENDED: Final = ("Succeeded", "Failed")


class KubernetesLauncher:
    """Starts workers by ``kubectl``, in the cluster and as the user of its current context.

    Workers that end when nothing is left are an indexed Job for each call of `submit`; those that wait are a
    Deployment. Both are ended as a whole. Their pods get what is secret from a Secret of the cluster, by its name: no
    value of it is in what is submitted or printed.

    Parameters
    ----------
    plan : PodPlan
        The image, and what its pods are given.
    namespace : str or None
        That of the current context if None.
    project : str
        What tells the workers of this project from those of others: letters and digits.
    make_token : callable, optional
        Returns what tells one submission from another.
    """

    traits: Final = LauncherTraits(
        multi_host=True, warns_before_end=True, has_time_limit=True, restarts=True, elastic=False, own_files=True
    )

    def __init__(
        self,
        plan: PodPlan,
        *,
        project: str,
        namespace: str | None = None,
        make_token: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._plan = plan
        self._project = project
        self._where = () if namespace is None else (f"--namespace={namespace}",)
        self._make_token = make_token

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        """Create one Job or Deployment of `count` pods; see `Launcher.submit`."""
        name = name_submission(self._project, command.name, self._make_token())
        text = self._describe(name, count, command, resources)
        try:
            answer = _read(
                run_program(["kubectl", "create", *self._where, "-f", "-", "-o", "json"], text=text, hints=_HINTS)
            )
            if _text(answer, "metadata", "name") != name:
                raise LaunchError("kubectl says that it created something else than what it was given")
        except LaunchError:
            with suppress(LaunchError):  # it may be there, although the answer was lost
                self._delete([name])
            raise
        return [f"{name}/{index}" for index in range(count)]

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        """Ask ``kubectl`` for Jobs, Deployments and pods of this project; see `Launcher.list`."""
        words = [
            "kubectl",
            "get",
            "jobs,deployments,pods",
            *self._where,
            "-l",
            select_project(self._project),
            "-o",
            "json",
        ]
        answer = _read(run_program(words, hints=_HINTS))
        items = answer.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise LaunchError("kubectl answered something else than a list of objects")
        found = {worker.id: worker for worker in _list_workers(items)}
        ordered = sorted(found.values(), key=lambda worker: split_id(worker.id))
        return [worker for worker in ordered if name in (None, worker.name)]

    def cancel(self, ids: Sequence[str]) -> None:
        """Delete whole Jobs and Deployments: their pods get SIGTERM and half a minute; see `Launcher.cancel`."""
        for one in ids:
            if SUBMISSION_ID.fullmatch(one) is None:
                raise ConfigError(f"`{escape_text(one, longest=100)}` is no worker of Kubernetes")
        meant = {*ids}
        known = [worker.id for worker in self.list() if worker.state != "ending"]
        names = sorted({split_id(one)[0] for one in known if one in meant})
        others = [one for one in known if one not in meant and split_id(one)[0] in names]
        if others:
            raise ConfigError(
                f"`{others[0]}` was submitted with workers that are to end, and Kubernetes ends all of them or none",
                hint="submit workers one by one to end them so",
            )
        if names:
            self._delete(names)

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        """Return the document that ``kubectl`` is given."""
        return self._describe(
            name_submission(self._project, command.name, self._make_token()), count, command, resources
        )

    def describe_scaling(self, command: WorkerCommand, resources: Resources, work: WorkToScaleBy) -> str:
        """Return documents by which KEDA starts workers as long as there is work; nothing is submitted.

        Raises
        ------
        ConfigError
            Without a Secret that holds the address of the task store, and for a store that KEDA cannot read.
        """
        return format_documents(make_scaling(self._plan, self._project, command, resources, work))

    def _describe(self, name: str, count: int, command: WorkerCommand, resources: Resources) -> str:
        make = make_job if command.ends else make_deployment
        return format_documents([make(self._plan, self._project, name, count, command, resources)])

    def _delete(self, names: Sequence[str]) -> None:
        selector = f"{SUBMISSION} in ({','.join(names)})"
        run_program(
            ["kubectl", "delete", "jobs,deployments", *self._where, "--wait=false", "-l", selector], hints=_HINTS
        )


def _list_workers(items: Sequence[Mapping[str, Any]]) -> Iterator[LaunchedWorker]:
    """Yield the workers that objects of the cluster stand for.

    1. Each index of a Job that has not ended, and each replica of a Deployment, is a worker that is pending.
    2. Its pod says more, and what it says is yielded later, so that it counts.
    """
    for item in items:
        if item.get("kind") in ("Job", "Deployment"):
            yield from _list_of_object(item)
    replicas: dict[str, int] = {}
    pods = [item for item in items if item.get("kind") == "Pod"]
    for pod in sorted(
        pods, key=lambda pod: (_text(pod, "metadata", "creationTimestamp"), _text(pod, "metadata", "name"))
    ):
        submission, campaign = _text(pod, "metadata", "labels", SUBMISSION), _campaign_of(pod)
        if campaign is None or _text(pod, "status", "phase") in _ENDED:
            continue
        index = _text(pod, "metadata", "annotations", INDEX)
        number = int(index) if index.isascii() and index.isdigit() else replicas.get(submission, 0)
        replicas[submission] = replicas.get(submission, 0) + 1
        if SUBMISSION_ID.fullmatch(f"{submission}/{number}") is not None:
            yield _read_pod(pod, f"{submission}/{number}", campaign)


def _list_of_object(item: Mapping[str, Any]) -> Iterator[LaunchedWorker]:
    submission, campaign = _text(item, "metadata", "labels", SUBMISSION), _campaign_of(item)
    is_job = item.get("kind") == "Job"
    count = _number(item, "spec", "completions" if is_job else "replicas")
    conditions = _part(item, "status", "conditions")
    over = is_job and any(
        isinstance(one, dict) and one.get("type") in ("Complete", "Failed") and one.get("status") == "True"
        for one in (conditions if isinstance(conditions, list) else [])
    )
    if campaign is None or over or _text(item, "metadata", "deletionTimestamp"):
        return  # of one that is deleted its pods tell
    ended = {*_read_indexes(_text(item, "status", "completedIndexes"))}
    ended |= {*_read_indexes(_text(item, "status", "failedIndexes"))}
    for index in range(min(count, _MOST)):
        if index not in ended and SUBMISSION_ID.fullmatch(f"{submission}/{index}") is not None:
            yield LaunchedWorker(id=f"{submission}/{index}", name=campaign, state="pending")


def _read_pod(pod: Mapping[str, Any], worker_id: str, campaign: str) -> LaunchedWorker:
    state: WorkerState = "running" if _text(pod, "status", "phase") == "Running" else "pending"
    if _text(pod, "metadata", "deletionTimestamp"):
        state = "ending"
    host = _text(pod, "spec", "hostname") or _text(pod, "metadata", "name")[:63]
    return LaunchedWorker(
        id=worker_id,
        name=campaign,
        state=state,
        place=_text(pod, "spec", "nodeName"),
        reason=_find_reason(pod) if state == "pending" else "",
        owner=f"{host}:" if host else "",
    )


def _find_reason(pod: Mapping[str, Any]) -> str:
    """Return why a pod does not run, as its containers or the scheduler say it."""
    containers = _part(pod, "status", "containerStatuses")
    conditions = _part(pod, "status", "conditions")
    told = [_text(one, "state", "waiting", "reason") for one in containers or () if isinstance(one, dict)]
    told += [
        _text(one, "message") or _text(one, "reason")
        for one in conditions or ()
        if isinstance(one, dict) and one.get("type") == "PodScheduled" and one.get("status") == "False"
    ]
    return escape_text(next((text for text in told if text), ""), longest=200)


def _campaign_of(item: Mapping[str, Any]) -> str | None:
    """Return the campaign that an object names, where its label is that of the name."""
    name = _text(item, "metadata", "annotations", CAMPAIGN)
    return name if is_name(name) and _text(item, "metadata", "labels", CAMPAIGN) == digest_name(name) else None


def _read_indexes(text: str) -> Iterator[int]:
    """Yield the numbers of a list as ``0,2-4``."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isascii() and first.isdigit() and (not last or (last.isascii() and last.isdigit())):
            yield from range(int(first), min(int(last or first), _MOST) + 1)


def _read(text: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LaunchError(f"kubectl answered what is no JSON: {escape_text(text[:200])}") from error
    if not isinstance(answer, dict):
        raise LaunchError("kubectl answered JSON that is no object")
    return answer


def _part(item: object, *path: str) -> Any:
    for key in path:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _text(item: object, *path: str) -> str:
    found = _part(item, *path)
    return found if isinstance(found, str) else ""


def _number(item: object, *path: str) -> int:
    found = _part(item, *path)
    return found if type(found) is int and found > 0 else 0
