"""The Containerfile: what it may hold, and its steps in an environment of this machine. No image is built here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def read_steps() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, lines joined."""
    text = (ROOT / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in joined.splitlines() if line]


def read_allowed() -> list[str]:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"  # nothing but what is named
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_the_base_is_named_by_who_builds_and_the_program_is_not_root() -> None:
    steps = read_steps()
    assert steps[0] == ("ARG", "BASE")  # without a value: a digest is to be named
    assert {words.partition(" ")[0] for what, words in steps if what == "FROM"} == {"${BASE}"}
    user = [words for what, words in steps if what == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[-1])
    assert steps.index(("USER", user[-1])) > max(index for index, (what, _) in enumerate(steps) if what == "RUN")
    assert steps[-1] == ("ENTRYPOINT", '["rollwright"]')


def test_nothing_is_fetched_from_an_address_and_nothing_secret_is_taken() -> None:
    steps = read_steps()
    assert {what for what, _ in steps} <= {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT"}
    assert not any("://" in words for _, words in steps)
    assert [words.partition("=")[0] for what, words in steps if what == "ARG"] == ["BASE", "EXTRAS"]
    copied = [words.split()[:-1] for what, words in steps if what == "COPY" and not words.startswith("--from")]
    assert {name for names in copied for name in names} <= {*read_allowed()}
    assert all((ROOT / name).exists() for name in read_allowed())


@pytest.mark.slow
def test_its_steps_make_a_program_from_the_wheel(tmp_path: Path) -> None:
    """What the first stage runs, with what it copies alone; then the second's install, dependencies from here."""
    build = tmp_path / "build"
    build.mkdir()
    for name in read_allowed():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, build / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, build / name)
    (wheel_step,) = (words for what, words in read_steps() if what == "RUN" and "pip wheel" in words)
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    offline = {**environ, "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(["/bin/sh", "-c", wheel_step], cwd=build, env=offline, check=True, capture_output=True, timeout=120)

    venv.create(tmp_path / "image", with_pip=True)
    python = tmp_path / "image" / "bin" / "python"
    (wheel,) = (build / "wheels").glob("rollwright-*.whl")
    install = [str(python), "-m", "pip", "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, env=offline, check=True, capture_output=True, timeout=120)
    packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    child = {**os.environ, "PYTHONPATH": str(packages)}
    words = [str(tmp_path / "image" / "bin" / "rollwright"), "worker", "run", "--help"]
    told = subprocess.run(words, cwd=tmp_path, env=child, check=True, capture_output=True, text=True, timeout=60)
    assert "--until-empty" in told.stdout
