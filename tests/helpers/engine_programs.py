"""Programs that stand in for those of an engine: what they start are processes of this machine.

``python engine_programs.py FOLDER PROGRAM ARGUMENT…`` is what the installed program runs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_SUPERVISOR = 'echo $$ > "$0.group"; "$@" & echo $! > "$0.pid"; wait $!; echo $? > "$0.exit"'


def install(programs: Path, state: Path, *names: str) -> None:
    """Put programs of these names into a folder; what they start is noted in `state`."""
    programs.mkdir(exist_ok=True)
    state.mkdir(exist_ok=True)
    (state / "packages").write_text(sysconfig.get_path("purelib"))
    for name in names:
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "{state}" {name} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)


def end_all(state: Path) -> None:
    """Kill what was started and still runs."""
    for note in state.glob("*.group"):
        if not note.with_suffix(".exit").exists():
            with suppress(ProcessLookupError, ValueError):
                os.killpg(int(note.read_text()), signal.SIGKILL)


def start(state: Path, name: str, words: list[str], folder: str, environ: dict[str, str]) -> None:
    """Start a process under a name."""
    subprocess.Popen(
        ["/bin/sh", "-c", _SUPERVISOR, str(state / name), *words],
        cwd=folder,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def tell(state: Path, name: str) -> None:
    """Send SIGTERM to a process."""
    with suppress(OSError, ValueError):
        os.kill(int((state / f"{name}.pid").read_text()), signal.SIGTERM)


# -- Slurm -------------------------------------------------------------------------------------------------------


def sbatch(state: Path, arguments: list[str], text: str) -> str:
    options = dict(argument.partition("=")[::2] for argument in arguments)
    count = int(options["--array"].partition("-")[2])
    job = str(100 + len([*state.glob("*.job")]))
    (state / f"{job}.job").write_text(options["--job-name"])
    (state / f"{job}.sh").write_text(text)
    for member in range(1, count + 1):
        environ = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(member)}
        start(state, f"{job}_{member}", ["/bin/sh", str(state / f"{job}.sh")], options["--chdir"], environ)
        (state / f"{job}_{member}.member").touch()
    return f"{job}\n"


def squeue(state: Path, _arguments: list[str], _text: str) -> str:
    lines = []
    for member in sorted(state.glob("*.member")):
        job = member.stem
        if member.with_suffix(".exit").exists():
            continue
        name = (state / f"{job.partition('_')[0]}.job").read_text()
        doing = "COMPLETING" if member.with_suffix(".told").exists() else "RUNNING"
        lines.append(f"{job}|{doing}|{name}|n1|None\n")
    return "".join(lines)


def scancel(state: Path, arguments: list[str], _text: str) -> str:
    for job in arguments:
        if not job.startswith("-"):
            (state / f"{job}.told").touch()
            tell(state, job)
    return ""


# -- Kubernetes --------------------------------------------------------------------------------------------------


def kubectl(state: Path, arguments: list[str], text: str) -> str:
    if arguments[0] == "create":
        sys.path.append((state / "packages").read_text())  # started without packages, which takes half the time
        from ruamel.yaml import YAML  # noqa: PLC0415 - as above

        (document,) = YAML(typ="safe", pure=True).load_all(text)
        (state / f"{document['metadata']['name']}.object").write_text(json.dumps(document))
        for index in range(document["spec"].get("completions") or document["spec"]["replicas"]):
            _start_pod(state, document, index)
        return json.dumps(document)
    selector = arguments[arguments.index("-l") + 1]
    if arguments[0] == "get":
        wanted = dict(part.split("=") for part in selector.split(","))
        items = [*_objects(state)]
        return json.dumps(
            {"kind": "List", "items": [item for item in items if wanted.items() <= item["metadata"]["labels"].items()]}
        )
    assert arguments[0] == "delete", arguments
    for name in re.fullmatch(r"rollwright/submission in \(([^()]+)\)", selector)[1].split(","):  # type: ignore[index]
        (state / f"{name}.object").unlink(missing_ok=True)
        for pod in state.glob(f"{name}-*.pod"):
            pod.with_suffix(".told").touch()
            tell(state, pod.stem)
    return ""


def expand(text: str, variables: dict[str, str]) -> str:
    """Replace ``$(NAME)`` as a pod does: two dollars are one, and an unknown name is left."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replace, text)


def _start_pod(state: Path, document: dict[str, Any], index: int) -> None:
    template = document["spec"]["template"]
    (container,) = template["spec"]["containers"]
    name = f"{document['metadata']['name']}-{index}"
    variables: dict[str, str] = {}
    for one in container["env"]:
        variables[one["name"]] = expand(one["value"], variables)
    words = [expand(word, variables) for word in [*container["command"], *container["args"]]]
    metadata = {**template["metadata"], "name": name, "creationTimestamp": "2024-01-01T00:00:00Z"}
    metadata["annotations"] = dict(metadata["annotations"])
    if document["kind"] == "Job":
        metadata["annotations"]["batch.kubernetes.io/job-completion-index"] = str(index)
    pod = {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n1"}}
    (state / f"{name}.pod").write_text(json.dumps(pod))
    start(state, name, words, container["workingDir"], variables)


def _objects(state: Path) -> Iterator[dict[str, Any]]:
    ended: dict[str, list[str]] = {}
    for path in sorted(state.glob("*.pod")):
        pod = json.loads(path.read_text())
        if path.with_suffix(".exit").exists():
            code = path.with_suffix(".exit").read_text().strip()
            pod["status"] = {"phase": "Succeeded" if code == "0" else "Failed"}
            name, _, index = path.stem.rpartition("-")
            ended.setdefault(name, []).append(index)
            if path.with_suffix(".told").exists():
                continue
        else:
            pod["status"] = {"phase": "Running"}
            if path.with_suffix(".told").exists():
                pod["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
        yield pod
    for path in sorted(state.glob("*.object")):
        document = json.loads(path.read_text())
        yield {**document, "status": {"completedIndexes": ",".join(ended.get(path.stem, []))}}


if __name__ == "__main__":
    folder, program, *given = sys.argv[1:]
    (Path(folder) / f"{program}.arguments").write_text("\n".join(given))
    text = "" if sys.stdin is None else sys.stdin.read()
    (Path(folder) / f"{program}.input").write_text(text)
    sys.stdout.write(globals()[program](Path(folder), given, text))
