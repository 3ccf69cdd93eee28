"""An installed package adds a codec by an entry point, and changes nothing that rollwright stores itself."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from rollwright.codecs.registry import ENTRY_POINTS, Codec, CodecRegistry
from rollwright.core.registry import CODECS, Registry
from rollwright.errors import ConfigError, CorruptArtifactError

BIRDS = """
from pathlib import Path

from rollwright.codecs.registry import Codec


class Bird:
    def __init__(self, song):
        self.song = song


class BirdCodec(Codec):
    kind = "bird"
    suffix = ".bird"
    types = ("birds.Bird",)

    def write(self, obj, path):
        Path(path).write_text(obj.song, encoding="utf-8")

    def read(self, path):
        return Bird(Path(path).read_text(encoding="utf-8"))
"""


def install(folder, *, source=BIRDS, points="bird = birds:BirdCodec"):
    """Put the package `birds` into `folder` as an installer does: a module, and a folder with its entry points."""
    info = folder / "birds-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: birds\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[rollwright.codecs]\n{points}\n", encoding="utf-8")
    (folder / "birds.py").write_text(source, encoding="utf-8")
    return folder


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Install the package `birds`, or a variant of it, and return a registry that has read nothing yet."""

    def add(**changes):
        monkeypatch.syspath_prepend(str(install(tmp_path / "site", **changes)))
        return CodecRegistry(CODECS, entry_points=ENTRY_POINTS, fallback="envelope")

    yield add
    sys.modules.pop("birds", None)


def test_its_codec_takes_its_objects_and_opens_its_files(add, tmp_path):
    registry = add()
    birds = importlib.import_module("birds")

    codec = registry.for_object(birds.Bird("tweet"))
    assert (codec.kind, codec.suffix) == ("bird", ".bird")
    codec.write(birds.Bird("tweet"), tmp_path / "x")
    assert registry.for_kind("bird").read(tmp_path / "x").song == "tweet"


def test_a_kind_is_found_before_any_object_of_it_was_stored(add):
    assert add().for_kind("bird").suffix == ".bird"


def test_without_the_package_its_kind_is_unknown():
    with pytest.raises(CorruptArtifactError, match="bird") as caught:
        CodecRegistry(CODECS, entry_points=ENTRY_POINTS).for_kind("bird")
    assert "installed" in caught.value.hint


def test_what_rollwright_stores_itself_asks_no_installed_package(add):
    registry = add(source="raise RuntimeError('imported')\n")
    assert registry.for_object({"a": 1}).kind == "json"
    assert registry.for_kind("parquet").suffix == ".parquet"


class Kennel(dict):
    """A class derived from one that rollwright stores."""


@pytest.mark.parametrize("earlier", [True, False])
def test_a_class_of_its_own_has_its_codec_whatever_was_stored_before(add, earlier):
    own = f'types = ("{Kennel.__module__}.Kennel", "builtins.dict")'
    registry = add(source=BIRDS.replace('types = ("birds.Bird",)', own))
    if earlier:
        registry.for_kind("bird")
    assert registry.for_object({"a": 1}).kind == "json"
    assert registry.for_object({"a": len}).kind == "bird"  # it has no typed form, and the package takes dictionaries
    assert registry.for_object(Kennel()).kind == "bird"


def test_a_codec_registered_by_code_goes_before_an_installed_one(add):
    registry = add()
    birds = importlib.import_module("birds")

    registry.for_kind("bird")
    mine = birds.BirdCodec()
    registry.register(mine, types=["birds.Bird"])
    assert registry.for_kind("bird") is mine
    assert registry.for_object(birds.Bird("x")) is mine


def test_a_kind_that_is_taken_is_told_and_stays(add, caplog):
    registry = add(source=BIRDS.replace('"bird"', '"json"'), points="json = birds:BirdCodec")
    with caplog.at_level(logging.WARNING, logger="rollwright.codecs"):
        assert registry.for_object(Fraction(1, 3)).kind == "envelope"
    assert [record.getMessage() for record in caplog.records] == ["codec.ignored kind=json package=birds reason=taken"]
    assert registry.for_kind("json").suffix == ".json"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "import no_such_package\n"}, "no_such_package"),
        ({"points": "bird = birds:NoCodec"}, "NoCodec"),
        ({"points": "bird = birds:Bird"}, "song"),
        ({"source": "class BirdCodec:\n    kind = 'bird'\n"}, "does not derive"),
        ({"points": "crow = birds:BirdCodec"}, "`bird`"),
        ({"source": BIRDS.replace('("birds.Bird",)', '"birds.Bird"')}, "types"),
        ({"source": BIRDS.replace('("birds.Bird",)', "()")}, "types"),
    ],
)
def test_a_codec_that_cannot_be_used_is_an_error_with_the_name_of_its_package(add, changes, words):
    registry = add(**changes)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"package `birds` cannot be used") as caught:
            registry.for_object(Fraction(1, 3))
        assert words in caught.value.message
        assert "update or remove birds" in caught.value.hint


def test_a_registry_of_its_own_reads_no_entry_points(add):
    add()
    with pytest.raises(CorruptArtifactError, match="kind `bird` is none of"):
        CodecRegistry(Registry()).for_kind("bird")


SAVE = """
from birds import Bird
from rollwright.tracking.r import R
with R.start(experiment_name="birds"):
    R.save_objects(**{"crow.pkl": Bird("caw")})
    print(R.get_recorder().id)
"""
LOAD = """
import sys
from rollwright.tracking.r import R
recorder = R.get_recorder(recorder_id=sys.argv[1], experiment_name="birds")
print(recorder.load_object("crow.pkl").song)
"""


def run(script, *arguments, site, cwd):
    environ = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_object_goes_through_a_recorder_from_one_process_to_another(tmp_path):
    site = install(tmp_path / "site")
    project = tmp_path / "project"
    (project / ".rollwright").mkdir(parents=True)
    run_id = run(SAVE, site=site, cwd=project)
    assert [path.read_text() for path in project.rglob("crow.bird")] == ["caw"]
    assert run(LOAD, run_id, site=site, cwd=project) == "caw"


def test_a_base_class_writes_and_reads_whatever_the_name():
    class Plain(Codec):
        kind = "plain"
        suffix = ".txt"

        def write(self, obj, path):
            path.write_text(obj, encoding="utf-8")

        def read(self, path):
            return path.read_text(encoding="utf-8")

    path = Path("x.txt")
    codec = Plain()
    codec.write_as("name", "content", path)
    assert codec.read_as("another name", path) == "content"
    assert codec.accepts(object())
    assert codec.check(object()) is None
