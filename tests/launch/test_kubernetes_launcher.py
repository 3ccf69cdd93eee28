"""What is given to Kubernetes and KEDA, and what is read of kubectl's answers."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from ruamel.yaml import YAML

import engine_programs
from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.kubernetes import KubernetesLauncher
from rollwright.launch.kubernetes_objects import PodPlan, WorkToScaleBy, digest_name
from rollwright.launch.launcher import Resources, WorkerCommand

SCHEMAS = json.loads((Path(__file__).parent / "kubernetes_schemas.json").read_text())
PLAN = PodPlan(image="registry/rollwright:1", volume="project", secret="rollwright")
FULL = Resources(cores=2, memory=1.5, gpus=1, seconds=90)
HARD = (
    "on",
    "1e3",
    "0x1f",
    "null",
    "~",
    "- a",
    "a: b",
    "#",
    "'",
    '"',
    "é\n\tx",
    "",
    "$(HOME)",
    "yes",
    "12:30",
    "=",
    "趋势",
)


def make_command(*words: str, ends: bool = True, name: str = "alpha", **environ: str) -> WorkerCommand:
    place = Path("/project")
    return WorkerCommand(name=name, words=words or ("worker",), folder=place, logs=place, environ=environ, ends=ends)


def make_launcher(plan: PodPlan = PLAN, **given: Any) -> KubernetesLauncher:
    return KubernetesLauncher(plan, project="p1", **{"make_token": lambda: "t", **given})


def scale(
    url: str = "postgresql://user:secret@db/tasks", *, plan: PodPlan = PLAN, name: str = "alpha", **given: Any
) -> str:
    work = WorkToScaleBy(url=url, least=1, most=4, every=15, jobs=2, **given)
    return make_launcher(plan).describe_scaling(make_command(name=name), FULL, work)


def load(text: str) -> list[dict[str, Any]]:
    return [*YAML(typ="safe", pure=True).load_all(text)]


def every_text() -> list[str]:
    texts = [scale(), scale("mongodb://user:secret@db/tasks")]
    for plan in (PLAN, PodPlan(image="a")):
        for resources in (FULL, Resources()):
            texts += [
                make_launcher(plan).describe(2, make_command(*HARD, ends=ends), resources) for ends in (True, False)
            ]
    return texts


@pytest.mark.parametrize("text", every_text(), ids=lambda text: f"{len(text)} characters")
def test_what_is_printed_is_valid_by_the_published_schemas(text: str) -> None:
    for document in load(text):
        jsonschema_rs.validator_for(SCHEMAS[document["kind"]]).validate(document)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("Job", ("spec", "parallellism")), ("Job", ("spec", "template", "spec", "restartpolicy")), ("ScaledJob", ("mx",))],
)
def test_a_field_that_is_misspelt_is_not_valid(kind: str, path: tuple[str, ...]) -> None:
    texts = [scale(), make_launcher().describe(2, make_command(), FULL)]
    (document,) = (one for text in texts for one in load(text) if one["kind"] == kind)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "1"
    assert not jsonschema_rs.validator_for(SCHEMAS[kind]).is_valid(document)


def test_it_reads_the_same_by_both_versions_of_yaml() -> None:
    for text in every_text():
        assert [*yaml.safe_load_all(text)] == load(text)
    (job,) = load(make_launcher().describe(1, make_command(*HARD, GIVEN="no"), FULL))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert [engine_programs.expand(word, {"HOME": "x"}) for word in container["args"]] == [*HARD]
    assert {"name": "GIVEN", "value": "no"} in container["env"]


def test_each_worker_gets_what_it_was_promised_and_no_more_rights_than_it_needs() -> None:
    (job,) = load(make_launcher().describe(3, make_command(), FULL))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["spec"]["completionMode"]) == (3, 3, "Indexed")
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "1500M", "nvidia.com/gpu": "1"},
        "limits": {"memory": "1500M", "nvidia.com/gpu": "1"},
    }
    assert pod["terminationGracePeriodSeconds"] >= 10  # a worker gives its tasks back within five seconds
    assert pod["activeDeadlineSeconds"] >= 90 + pod["terminationGracePeriodSeconds"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (job,) = load(make_launcher().describe(3, replace(make_command(), drain=100.0), FULL))
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 110  # what it drains, and a little more
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_a_pod_that_is_preempted_or_out_of_time_is_replaced_without_counting() -> None:
    (job,) = load(make_launcher().describe(1, make_command(), FULL))
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert {rule["action"] for rule in rules} == {"Ignore"}
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert rules[1]["onExitCodes"]["values"] == [143]
    assert job["spec"]["backoffLimitPerIndex"] > 0  # a worker that fails leaves the others alone
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_no_secret_is_in_what_is_printed() -> None:
    for text in every_text():
        assert "secret@" not in text
    (authentication, scaled) = load(scale())
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "connection", "name": "rollwright", "key": "ROLLWRIGHT_POOL__URL"}
    ]
    (container,) = scaled["spec"]["jobTargetRef"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "rollwright"}}]
    for variable, value in (("ROLLWRIGHT_POOL__URL", "postgresql://u:pw@db/x"), ("API_PASSWORD", "hunter2")):
        with pytest.raises(ConfigError, match="looks like a secret"):
            make_launcher().describe(1, make_command(**{variable: value}), FULL)


def test_keda_starts_a_worker_for_each_task_that_is_open_or_in_hand() -> None:
    _, scaled = load(scale(name="it's"))
    (trigger,) = scaled["spec"]["triggers"]
    assert "open + running" in trigger["metadata"]["query"]
    assert "'it''s'" in trigger["metadata"]["query"]
    assert trigger["metadata"]["targetQueryValue"] == "2"
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 4)
    _, scaled = load(scale("mongodb://db/tasks"))
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["dbName"] == "tasks"
    assert json.loads(trigger["metadata"]["query"])["pool"] == "alpha"


def test_keda_is_given_no_store_that_it_cannot_read_and_none_without_a_secret() -> None:
    with pytest.raises(ConfigError, match="KEDA does not read sqlite"):
        scale("sqlite:///pool.db")
    with pytest.raises(ConfigError, match="nothing says where KEDA finds the address") as caught:
        scale(plan=PodPlan(image="a"))
    assert "cluster.secret" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "given",
    [
        {"image": "-x"}, {"image": "a b"}, {"image": "a\nkind: Pod"}, {"image": ""},
        {"image": "a", "folder": "project"}, {"image": "a", "folder": "/../x y"},
        {"image": "a", "volume": "A"}, {"image": "a", "secret": "a/b"},
    ],
)  # fmt: skip
def test_what_kubernetes_would_not_take_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        PodPlan(**given)


@pytest.mark.parametrize("name", ["alpha", "趋势", "A_B.c", "x" * 90, "é" * 40])
def test_every_name_of_a_campaign_has_a_name_that_kubernetes_takes(name: str) -> None:
    (job,) = load(make_launcher(make_token=lambda: "0a1b2c3d").describe(1, make_command(name=name), FULL))
    assert len(job["metadata"]["name"]) <= 57  # an index and what tells pods apart follow
    for label in job["metadata"]["labels"].values():
        assert len(label) <= 63
        assert label.isascii()
    assert job["metadata"]["annotations"]["rollwright/name"] == name


# -- the script --------------------------------------------------------------------------------------------------


def start(words: Sequence[str], *, seconds: float | None = None) -> subprocess.Popen[bytes]:
    """Start what the pod would run."""
    (job,) = load(make_launcher().describe(1, make_command(*words), Resources(seconds=seconds)))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = [engine_programs.expand(word, {}) for word in [*container["command"], *container["args"]]]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


UNTIL_TOLD = "trap 'echo drained; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


def test_a_pod_that_is_told_to_end_lets_the_worker_drain_and_asks_to_be_replaced() -> None:
    process = start(["/bin/sh", "-c", UNTIL_TOLD])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == b"drained\n"
    assert process.returncode == 143


def test_a_worker_whose_time_is_over_drains_and_asks_for_another_turn() -> None:
    process = start(["/bin/sh", "-c", UNTIL_TOLD], seconds=0.5)
    assert process.communicate(timeout=20)[0] == b"ready\ndrained\n"
    assert process.returncode == 143


@pytest.mark.slow
def test_a_worker_that_the_first_signal_did_not_reach_is_told_again() -> None:
    deaf_once = "end() { echo drained; exit 0; }; once() { trap end TERM; }; trap once TERM; echo ready; "
    process = start(["/bin/sh", "-c", deaf_once + "while :; do sleep 0.05; done"])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=25)[0] == b"drained\n"
    assert process.returncode == 143


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_worker_that_ends_by_itself_ends_the_pod_with_its_code(code: int) -> None:
    process = start(["/bin/sh", "-c", f"exit {code}"], seconds=3600)
    process.communicate(timeout=20)
    assert process.returncode == code


# -- kubectl -----------------------------------------------------------------------------------------------------


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, answer: str = "{}", code: int = 0, says: str = ""
) -> Path:
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "answer").write_text(answer)
    program = programs / "kubectl"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {programs}/arguments\ncat > {programs}/input\n'
        f"cat {programs}/answer\necho '{says}' >&2\nexit {code}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return programs


def labelled(kind: str, name: str, *, campaign: str = "alpha", **given: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "labels": {"rollwright/submission": "rw-1", "rollwright/name": digest_name(campaign)},
        "annotations": {"rollwright/name": campaign},
        **given.pop("metadata", {}),
    }
    return {"kind": kind, "metadata": metadata, **given}


def pod(index: int, phase: str, *, node: str = "", ending: bool = False, **status: Any) -> dict[str, Any]:
    made = labelled("Pod", f"rw-1-{index}-x", spec={"nodeName": node, "hostname": f"rw-1-{index}"})
    made["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = str(index)
    made["metadata"] |= {"deletionTimestamp": "2024-01-01T00:00:00Z"} if ending else {}
    return {**made, "status": {"phase": phase, **status}}


def list_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *items: Any) -> list[tuple[str, ...]]:
    install(tmp_path, monkeypatch, answer=json.dumps({"items": items}))
    return [(one.id, one.state, one.place, one.reason) for one in make_launcher().list()]


def test_workers_are_the_indexes_of_a_job_that_have_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = labelled("Job", "rw-1", spec={"completions": 12}, status={"completedIndexes": "0,4-6", "failedIndexes": "7"})
    waiting = [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    unscheduled = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]
    found = list_answer(
        tmp_path, monkeypatch, pod(1, "Running", node="n1"), job, pod(2, "Pending", containerStatuses=waiting),
        pod(3, "Pending", conditions=unscheduled), pod(8, "Running", node="n2", ending=True), pod(9, "Failed"),
        pod(4, "Succeeded"),
    )  # fmt: skip
    assert make_launcher().list()[0].owner == "rw-1-1:"  # a pod calls itself by its hostname
    assert found == [
        ("rw-1/1", "running", "n1", ""),
        ("rw-1/2", "pending", "", "ImagePullBackOff"),
        ("rw-1/3", "pending", "", "0/3 nodes are available"),
        ("rw-1/8", "ending", "n2", ""),
        ("rw-1/9", "pending", "", ""),
        ("rw-1/10", "pending", "", ""),
        ("rw-1/11", "pending", "", ""),
    ]


def test_of_a_job_that_is_over_only_pods_that_end_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = labelled(
        "Job", "rw-1", spec={"completions": 2}, status={"conditions": [{"type": "Failed", "status": "True"}]}
    )
    assert list_answer(tmp_path, monkeypatch, failed, pod(1, "Running", ending=True)) == [("rw-1/1", "ending", "", "")]


def test_objects_of_others_and_damaged_ones_are_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lies = labelled("Job", "rw-1", spec={"completions": 2})
    lies["metadata"]["annotations"]["rollwright/name"] = "another"
    path = labelled("Job", "rw-1", campaign="../x", spec={"completions": 1})
    unlabelled = {"kind": "Pod", "metadata": {"name": "x", "labels": None}, "spec": {}, "status": {"phase": "Running"}}
    odd = labelled("Job", "rw-1", spec={"completions": 2.5}, status={"completedIndexes": 3, "conditions": "x"})
    evil = labelled("Job", "rw-1", spec={"completions": 1})
    evil["metadata"]["labels"]["rollwright/submission"] = "-n kube-system) --all"
    assert list_answer(tmp_path, monkeypatch, lies, path, unlabelled, odd, evil, {"kind": "Service"}, {}) == []


def test_a_job_that_claims_a_billion_workers_costs_no_more_than_a_few_thousand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = labelled("Job", "rw-1", spec={"completions": 10**9}, status={"completedIndexes": "0-999999999"})
    assert len(list_answer(tmp_path, monkeypatch, job)) <= 10_000


@pytest.mark.parametrize("answer", ["", "[]", "{", '{"items": {}}', '{"items": [1]}', "[" * 100_000])
def test_an_answer_that_is_no_list_of_objects_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    install(tmp_path, monkeypatch, answer=answer)
    with pytest.raises(LaunchError, match="kubectl answered"):
        make_launcher().list()


def test_what_may_have_been_created_although_the_answer_was_lost_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = install(tmp_path, monkeypatch, answer="{", code=0)
    with pytest.raises(LaunchError):
        make_launcher().submit(1, make_command(), FULL)
    words = (programs / "arguments").read_text().splitlines()
    assert words[words.index("delete") :][-1] == "rollwright/submission in (rollwright-p1-alpha-t)"


def test_the_namespace_of_the_settings_is_the_one_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = install(tmp_path, monkeypatch, answer='{"items": []}')
    make_launcher(namespace="research").list()
    assert "--namespace=research" in (programs / "arguments").read_text().splitlines()


def test_a_refusal_of_the_cluster_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, code=1, says="Forbidden: token=s3cr3t-of-mine jobs.batch")
    with pytest.raises(LaunchError, match=r"Forbidden.*jobs\.batch") as caught:
        make_launcher().submit(1, make_command(), FULL)
    assert "s3cr3t-of-mine" not in str(caught.value)


def test_a_machine_without_kubectl_says_how_another_one_submits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="`kubectl` is not installed here") as caught:
        make_launcher().submit(1, make_command(), FULL)
    assert "rollwright cluster up --on kubernetes --print | kubectl apply -f -" in (caught.value.hint or "")
    assert make_launcher().describe(1, make_command(), FULL)


def test_what_is_submitted_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = install(tmp_path, monkeypatch, answer='{"metadata": {"name": "rollwright-p1-alpha-t"}}')
    assert make_launcher().submit(2, make_command(), FULL) == [f"rollwright-p1-alpha-t/{index}" for index in (0, 1)]
    assert (programs / "input").read_text() == make_launcher().describe(2, make_command(), FULL)
