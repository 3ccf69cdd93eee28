"""The objects of Kubernetes and KEDA by which workers are started, and how they are written."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from rollwright.core.canonical import sha256_hex
from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError
from rollwright.launch.launcher import Resources, WorkerCommand

__all__ = [
    "CAMPAIGN",
    "INDEX",
    "SUBMISSION",
    "PodPlan",
    "WorkToScaleBy",
    "digest_name",
    "format_documents",
    "make_deployment",
    "make_job",
    "make_scaling",
    "name_submission",
    "select_project",
]

CAMPAIGN: Final = "rollwright/name"
"""The label that holds a digest of the campaign's name, and the annotation that holds the name."""
SUBMISSION: Final = "rollwright/submission"
INDEX: Final = "batch.kubernetes.io/job-completion-index"
_NAME: Final = "app.kubernetes.io/name"
_PROJECT: Final = "rollwright/project"

_TOLD: Final = 143
"""What the script ends with when it was told to end: the worker is started again where the engine wants one."""
_TRIES: Final = 3
"""How often a worker that ends with an error is started again."""
_KEPT: Final = 86_400
"""Seconds that a Job which has ended can be looked at."""
_ADDRESS: Final = "ROLLWRIGHT_POOL__URL"
"""The key of the Secret that holds the address of the task store."""
_DEMAND: Final = "SELECT coalesce(least(sum(open + running), min(max_running)), 0) FROM pool_demand"
_MET: Final = (
    "NOT EXISTS (SELECT FROM unnest(string_to_array(needs, ',')) AS need "
    "WHERE need NOT LIKE 'memory=%' AND need <> ALL (ARRAY[{tags}]::text[]))"
)
_FITS: Final = "coalesce(substring(needs FROM 'memory=([0-9.]+)$')::float8, 0) <= {memory:.15g}"
_PLAIN: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9./-]{3,}")
_WORDS: Final = ("true", "false", "null", "none")
_KINDS: Final = {"postgresql": "postgresql", "postgres": "postgresql", "mongodb": "mongodb", "mongodb+srv": "mongodb"}

_SCRIPT: Final = """\
# SIGTERM lets the worker give its tasks back, which costs no attempt; so does the end of its time.
limit=$1; shift
worker='' told=0 again=0
tell() { told=1; if [ -n "$worker" ]; then kill -TERM "$worker" 2>/dev/null; fi; }
trap tell TERM INT
"$@" &
worker=$!
if [ "$told" = 1 ]; then tell; fi
if [ "$limit" -gt 0 ]; then
  while kill -0 $$; do  # ends soon after this shell, whatever became of the signal to it
    if [ "$limit" -le 0 ]; then kill -TERM $$; break; fi
    nap=$((limit < 5 ? limit : 5)); limit=$((limit - nap)); sleep "$nap"
  done >/dev/null 2>&1 &
fi
while :; do
  wait "$worker"
  code=$?
  kill -0 "$worker" 2>/dev/null || break
  if [ "$told$again" = 10 ]; then
    again=1  # a signal is lost to a worker that is just being started
    (sleep 10; kill -TERM "$worker") >/dev/null 2>&1 &
  fi
done
if [ "$told" = 1 ]; then exit 143; fi
exit "$code"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """What every pod is made of.

    Attributes
    ----------
    image : str
        With rollwright in it, as ``Containerfile`` makes it.
    folder : str
        Where the project is in a pod.
    volume : str or None
        The PersistentVolumeClaim that holds the project; None where the image does.
    secret : str or None
        The Secret whose keys are environment variables of the worker, as ``ROLLWRIGHT_POOL__URL``.

    Raises
    ------
    ConfigError
        For a name that Kubernetes would not take.
    """

    image: str
    folder: str = "/project"
    volume: str | None = None
    secret: str | None = None

    def __post_init__(self) -> None:
        if re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,499}", self.image) is None:
            raise ConfigError(f"`{escape_text(self.image, longest=100)}` is no image", hint="cluster.image = NAME:TAG")
        if re.fullmatch(r"(/[a-zA-Z0-9._-]+)+", self.folder) is None:
            raise ConfigError(f"`{escape_text(self.folder, longest=100)}` is no folder of an image", hint="as /project")
        for what, name in (("volume", self.volume), ("Secret", self.secret)):
            if name is not None and re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name) is None:
                raise ConfigError(
                    f"`{escape_text(name, longest=100)}` is no name of a {what}",
                    hint="small letters, digits and hyphens",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkToScaleBy:
    """How KEDA finds how many workers there is work for.

    Attributes
    ----------
    url : str
        The task store's; only its kind and database are used, KEDA has the whole from the Secret.
    least, most : int
        Workers that are there always, and at most.
    every : float
        Seconds between two looks at the pool.
    jobs : int
        Windows that each worker trains at the same time.
    tags : tuple of str
        What each worker has: tasks that need anything else do not count.
    memory : float or None
        GB that each has for a task; not limited if None.
    """

    url: str
    least: int
    most: int
    every: float
    jobs: int = 1
    tags: tuple[str, ...] = ()
    memory: float | None = None


def digest_name(name: str) -> str:
    """Return what stands for a campaign's name in a label, which could not hold every name."""
    return sha256_hex(name.encode())[:16]


def name_submission(project: str, campaign: str, token: str) -> str:
    """Return the name of a Job or Deployment: the project's, with what may stand there of the campaign's name."""
    words = re.sub(r"[^a-z0-9]+", "-", campaign.lower()).strip("-")[:24].strip("-")
    return "-".join(part for part in ("rollwright", project, words, token) if part)


def select_project(project: str) -> str:
    """Return the selector of a project's objects."""
    return f"{_NAME}=rollwright,{_PROJECT}={project}"


def make_job(
    plan: PodPlan, project: str, name: str, count: int, command: WorkerCommand, resources: Resources
) -> dict[str, Any]:
    """Return a Job of `count` workers, each an index of its own.

    A pod that is preempted, evicted or told to end by the end of its time is replaced and does not count as a failure;
    one that ends with an error is tried anew a few times and leaves the others alone.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(project, command.name, name),
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            "backoffLimitPerIndex": _TRIES,
            "maxFailedIndexes": count,
            "ttlSecondsAfterFinished": _KEPT,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _FAILURES,
            "template": _template(plan, project, name, command, resources, policy="Never"),
        },
    }


_FAILURES: Final[Mapping[str, Any]] = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"containerName": "worker", "operator": "In", "values": [_TOLD]}},
    ]
}


def make_deployment(
    plan: PodPlan, project: str, name: str, count: int, command: WorkerCommand, resources: Resources
) -> dict[str, Any]:
    """Return a Deployment of `count` workers that wait for work."""
    selected = {_NAME: "rollwright", SUBMISSION: name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(project, command.name, name),
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": selected},
            "template": _template(plan, project, name, command, resources, policy="Always"),
        },
    }


def make_scaling(
    plan: PodPlan,
    project: str,
    command: WorkerCommand,
    resources: Resources,
    work: WorkToScaleBy,
) -> list[dict[str, Any]]:
    """Return a ScaledJob of KEDA and the TriggerAuthentication by which it reads the pool; see `KubernetesLauncher`."""
    kind = _KINDS.get(urlsplit(work.url).scheme.lower())
    if kind is None:
        raise ConfigError(
            f"KEDA does not read {mask_secrets(work.url)}",
            hint="keep the tasks in PostgreSQL or MongoDB: pool.url = postgresql://…",
        )
    if plan.secret is None:
        raise ConfigError(
            "nothing says where KEDA finds the address of the task store",
            hint=f"make a Secret whose key {_ADDRESS} is that address, and name it: cluster.secret",
        )
    name = name_submission(project, command.name, "scaled")
    parameter = "connection" if kind == "postgresql" else "connectionString"
    metadata = _metadata(project, command.name, name)
    authentication = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": metadata,
        "spec": {"secretTargetRef": [{"parameter": parameter, "name": plan.secret, "key": _ADDRESS}]},
    }
    trigger = _postgresql_trigger(command, work) if kind == "postgresql" else _mongodb_trigger(command, work)
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": metadata,
        "spec": {
            "pollingInterval": max(1, math.ceil(work.every)),
            "minReplicaCount": work.least,
            "maxReplicaCount": work.most,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "rollout": {"strategy": "gradual"},
            "jobTargetRef": {
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": _TRIES,
                "podFailurePolicy": _FAILURES,
                "template": _template(plan, project, name, command, resources, policy="Never"),
            },
            "triggers": [{"type": kind, "metadata": trigger, "authenticationRef": {"name": name}}],
        },
    }
    return [authentication, scaled]


def _postgresql_trigger(command: WorkerCommand, work: WorkToScaleBy) -> dict[str, str]:
    """Return what counts the tasks that these workers could take, or hold, as KEDA subtracts the jobs that run."""
    pool = command.name.replace("'", "''")
    conditions = ["NOT paused", f"pool = '{pool}'", _MET.format(tags=", ".join(f"'{tag}'" for tag in work.tags))]
    conditions += [_FITS.format(memory=work.memory)] if work.memory is not None else []
    return {
        "query": f"{_DEMAND} WHERE {' AND '.join(conditions)}",
        "targetQueryValue": str(work.jobs),
        "activationTargetQueryValue": "0",
    }


def _mongodb_trigger(command: WorkerCommand, work: WorkToScaleBy) -> dict[str, str]:
    """Return the same as a filter of documents; the memory that tasks ask for, pauses and caps are not in it."""
    met = f"^(?:(?:{'|'.join(work.tags)})(?:,|$))*(?:memory=[0-9.]+)?$" if work.tags else "^(?:memory=[0-9.]+)?$"
    query = {
        "pool": command.name,
        "status": {"$in": ["waiting", "part_done", "running"]},
        "$or": [{"needs": {"$exists": False}}, {"needs": {"$regex": met}}],
    }
    return {
        "dbName": urlsplit(work.url).path.strip("/"),
        "collection": "rollwright_tasks",
        "query": json.dumps(query, ensure_ascii=True),
        "queryValue": str(work.jobs),
        "activationQueryValue": "0",
    }


def _metadata(project: str, campaign: str, name: str) -> dict[str, Any]:
    return {"name": name, "labels": _labels(project, campaign, name), "annotations": {CAMPAIGN: campaign}}


def _labels(project: str, campaign: str, name: str) -> dict[str, str]:
    return {_NAME: "rollwright", _PROJECT: project, CAMPAIGN: digest_name(campaign), SUBMISSION: name}


def _template(
    plan: PodPlan, project: str, name: str, command: WorkerCommand, resources: Resources, *, policy: str
) -> dict[str, Any]:
    limit = 0 if resources.seconds is None else max(1, math.ceil(resources.seconds))
    notice = math.ceil(command.notice)
    spec: dict[str, Any] = {
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": notice,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(plan, command, resources, limit)],
    }
    if limit and policy == "Never":
        spec["activeDeadlineSeconds"] = limit + 2 * notice  # for a worker that does not end when it is told
    if plan.volume is not None:
        spec["volumes"] = [{"name": "project", "persistentVolumeClaim": {"claimName": plan.volume}}]
    metadata = {"labels": _labels(project, command.name, name), "annotations": {CAMPAIGN: command.name}}
    return {"metadata": metadata, "spec": spec}


def _container(plan: PodPlan, command: WorkerCommand, resources: Resources, limit: int) -> dict[str, Any]:
    for variable, value in command.environ.items():
        if mask_secrets(value) != value or mask_secrets(f"{variable}={value}") != f"{variable}={value}":
            raise ConfigError(
                f"`{variable}` holds what looks like a secret, which would stand in the cluster for all to read",
                hint="put it into a Secret, and name that: cluster.secret",
            )
    variables = {"PYTHONUNBUFFERED": "1", **command.environ}
    limits: dict[str, str] = {}
    if resources.memory is not None:
        limits["memory"] = f"{math.ceil(resources.memory * 1000)}M"
    if resources.gpus:
        limits["nvidia.com/gpu"] = str(resources.gpus)
    container: dict[str, Any] = {
        "name": "worker",
        "image": plan.image,
        "command": ["/bin/sh", "-c", _escape(_SCRIPT), "worker", str(limit)],
        "args": [_escape(word) for word in command.words],
        "workingDir": plan.folder,
        "env": [{"name": variable, "value": _escape(value)} for variable, value in variables.items()],
        "resources": {"requests": {"cpu": str(resources.cores), **limits}, "limits": limits},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if plan.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": plan.secret}}]
    if plan.volume is not None:
        container["volumeMounts"] = [{"name": "project", "mountPath": plan.folder}]
    return container


def _escape(text: str) -> str:
    """Return a text as a pod gives it to the worker: ``$(NAME)`` is not replaced, and two dollars stay two."""
    return text.replace("$", "$$")


def format_documents(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return objects as YAML that reads back the same by the rules of YAML 1.1, which the cluster uses, and of 1.2."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 1 << 16
    stream = io.StringIO()
    yaml.dump_all([_quote(document) for document in documents], stream)
    return stream.getvalue()


def _quote(value: Any) -> Any:
    """Return a value with its texts quoted where one could be taken for something else."""
    if isinstance(value, Mapping):
        return {_quote(str(key)): _quote(of) for key, of in value.items()}
    if isinstance(value, list):
        return [_quote(of) for of in value]
    if not isinstance(value, str):
        return value
    if value.endswith("\n") and value == _escape(_SCRIPT):
        return LiteralScalarString(value)
    is_plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
    return value if is_plain else DoubleQuotedScalarString(value)
