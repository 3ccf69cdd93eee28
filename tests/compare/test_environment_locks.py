"""The text of a lock, and the wheel of the rollwright that runs now."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import rollwright
from rollwright.compare.environments.lock_text import Pin, describe_python, format_lock, parse_lock, seal_lock
from rollwright.compare.environments.own_wheel import pack_own_wheel
from rollwright.errors import CompareError

TWO = "--"  # the options themselves stand in no file of the project
A, B = "a" * 64, "b" * 64
TEXT = f"numpy==2.4.6 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\nscipy==1.17.1 \\\n    --hash=sha256:{A}\n"


def test_the_same_packages_are_the_same_text_in_whatever_order():
    pins = [Pin(name="scipy", version="1.17.1", hashes=(A,)), Pin(name="numpy", version="2.4.6", hashes=(B, A))]
    assert format_lock(pins) == TEXT
    assert (
        format_lock(parse_lock(f"# by hand\n\nscipy==1.17.1 --hash=sha256:{A}\n{TEXT.partition('scipy')[0]}")) == TEXT
    )
    assert format_lock(()) == ""


def test_a_key_is_of_the_packages_the_python_and_the_rollwright():
    locks = [
        seal_lock(TEXT, python="3.11.7-linux-x86_64", rollwright=A),
        seal_lock(TEXT.replace("2.4.6", "2.4.7"), python="3.11.7-linux-x86_64", rollwright=A),
        seal_lock(TEXT, python="3.12.1-linux-x86_64", rollwright=A),
        seal_lock(TEXT, python="3.11.7-linux-x86_64", rollwright=B),
    ]
    assert len({lock.key for lock in locks}) == 4
    assert seal_lock(TEXT + "# said\n", python="3.11.7-linux-x86_64", rollwright=A) == locks[0]


@pytest.mark.parametrize(
    "line",
    [
        f"{TWO}index-url https://index.invalid/simple",
        "-r other.txt",
        "numpy",
        "numpy==1.0",
        f"numpy>=1.0 --hash=sha256:{A}",
        f"numpy @ https://index.invalid/x --hash=sha256:{A}",
        f"numpy==1.0 --hash=md5:{A}",
        f"numpy==1.0 --hash=sha256:{A} --global-option=x",
        f"./numpy==1.0 --hash=sha256:{A}",
        f"numpy==../x --hash=sha256:{A}",
        f"numpy==1.0; python_version > '3' --hash=sha256:{A}",
    ],
)
def test_a_lock_says_nothing_but_packages_with_their_hashes(line):
    with pytest.raises(CompareError, match="a line of a lock"):
        seal_lock(f"{TEXT}{line}\n", python="x", rollwright=A)


def test_a_package_stands_in_a_lock_once():
    with pytest.raises(CompareError, match="numpy twice"):
        parse_lock(TEXT + TEXT)


def test_the_python_is_told_with_its_platform():
    version, system, machine = describe_python().split("-")
    assert (version, system) == (".".join(str(part) for part in sys.version_info[:3]), sys.platform)
    assert machine


def test_the_wheel_of_the_same_files_has_the_same_bytes():
    one, other = pack_own_wheel(), pack_own_wheel()
    assert one == other
    assert len(one.sha256) == 64


def test_the_wheel_holds_the_running_package_its_commands_and_its_needs(tmp_path):
    wheel = pack_own_wheel()
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    folder = Path(rollwright.__file__).parent
    sources = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {name.removeprefix("rollwright/") for name in names if name.startswith("rollwright/")} >= {
        *sources,
        "py.typed",
    }
    assert not [name for name in names if "__pycache__" in name]
    assert {"numpy", "pandas", "packaging"} <= {line.partition(">")[0].partition("<")[0] for line in wheel.requirements}
    found = metadata.Distribution.at(next(tmp_path.glob("*.dist-info")))
    assert found.version == wheel.version == metadata.version("rollwright")
    assert {"rollwright"} <= {entry.name for entry in found.entry_points}
    assert all(file.hash is None or file.locate().stat().st_size == file.size for file in found.files or ())
    code = "import rollwright, sys; sys.stdout.write(rollwright.__file__)"
    ran = subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == str(tmp_path / "rollwright" / "__init__.py")
