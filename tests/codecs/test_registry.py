"""Codecs and references: an object becomes a file or a small JSON value, and nothing is executed on the way back."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

import pytest

from rollwright.codecs.registry import Codec, CodecRegistry, JsonCodec, codecs
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import CorruptArtifactError, TaskValueError, UnsupportedArtifactError
from rollwright.pool.types import decode_result, encode_result


class Animal:
    pass


class Dog(Animal):
    pass


class AnimalCodec(Codec):
    kind = "animal"
    suffix = ".txt"

    def write(self, obj, path):
        path.write_text(type(obj).__name__, encoding="utf-8")

    def read(self, path):
        return {"Animal": Animal, "Dog": Dog}[path.read_text(encoding="utf-8")]()


class DogCodec(AnimalCodec):
    kind = "dog"


def name_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("value", [None, True, 3, 0.1, "茅台\n", [], {}, {"a": [1, {"b": None}]}])
def test_json_values_survive_their_file(value, tmp_path):
    codec = codecs.for_object(value)
    assert (codec.kind, codec.suffix) == ("json", ".json")
    codec.write(value, tmp_path / "v.json")
    assert codec.read(tmp_path / "v.json") == value


@pytest.mark.parametrize("value", [{"b": 1, "a": [2.0]}, {"b": {"y": (1,), "x": {3, 1, 2}}, "a": 1}], ids=len)
def test_equal_objects_give_equal_bytes_and_come_back_in_their_order(tmp_path, value):
    codec = codecs.for_object(value)
    codec.write(value, tmp_path / "one")
    codec.write(copy.deepcopy(value), tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    found = codec.read(tmp_path / "one")
    assert found == value
    assert list(found) == ["b", "a"]


def test_what_has_no_json_form_leaves_no_file(tmp_path):
    with pytest.raises(TaskValueError, match="JSON does not give back all of this dict"):
        JsonCodec().write({"a": {1}}, tmp_path / "v.json")
    assert list(tmp_path.glob("v.json")) == []


@pytest.mark.parametrize("content", [b"", b"{", b"NaN", b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 100_000], ids=len)
def test_a_damaged_json_file_is_named(content, tmp_path):
    path = tmp_path / "v.json"
    path.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"v\.json"):
        JsonCodec().read(path)


def test_the_most_derived_class_with_a_codec_decides():
    registry = CodecRegistry()
    registry.register(AnimalCodec(), types=[name_of(Animal)])
    assert registry.for_object(Dog()).kind == "animal"
    registry.register(DogCodec(), types=[name_of(Dog)])
    assert registry.for_object(Dog()).kind == "dog"
    assert registry.for_object(Animal()).kind == "animal"
    assert registry.kinds() == ["dog", "animal"]


def test_a_codec_registered_later_is_asked_first():
    registry = CodecRegistry()
    registry.register(AnimalCodec(), types=[name_of(Animal)])
    registry.register(DogCodec(), types=[name_of(Animal)])
    assert registry.for_object(Animal()).kind == "dog"


def test_a_kind_registered_again_is_replaced():
    registry = CodecRegistry()
    first, second = AnimalCodec(), AnimalCodec()
    registry.register(first, types=[name_of(Animal)])
    registry.register(second, types=[name_of(Animal)])
    assert registry.for_kind("animal") is second
    assert registry.kinds() == ["animal"]


def test_registries_do_not_share_what_is_registered():
    registry = CodecRegistry()
    registry.register(AnimalCodec(), types=[name_of(Animal)])
    assert "animal" not in CodecRegistry().kinds()
    assert "animal" not in codecs.kinds()


def test_an_object_without_a_codec_is_refused_by_name():
    with pytest.raises(UnsupportedArtifactError, match="Animal") as caught:
        CodecRegistry().for_object(Animal())
    assert caught.value.hint


@pytest.mark.parametrize("obj", [len, Animal(), Animal, {"a": Animal()}, [len], {Animal: 2}, OrderedDict(a=1)])
def test_what_has_no_format_of_its_own_goes_into_the_signed_envelope(obj):
    assert codecs.for_object(obj).kind == "envelope"


def test_a_codec_may_leave_an_object_to_the_next():
    class Choosy(AnimalCodec):
        def accepts(self, obj):
            return type(obj) is Animal

    registry = CodecRegistry()
    registry.register(Choosy(), types=[name_of(Animal)])
    assert registry.for_object(Animal()).kind == "animal"
    with pytest.raises(UnsupportedArtifactError, match="Dog"):
        registry.for_object(Dog())


def test_what_cannot_be_stored_is_known_before():
    codecs.check({"a": 1})
    codecs.check(Animal())
    with pytest.raises(UnsupportedArtifactError, match="lock"):
        codecs.check({"lock": threading.Lock()})


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(CorruptArtifactError, match="parquet"):
        codecs.for_kind("pickle")


def test_the_built_in_kinds():
    assert {"parquet", "npy", "json", "lightgbm", "dataset"} <= set(codecs.kinds())
    assert not {"pickle", "cloudpickle", "dill"} & set(codecs.kinds())


def test_asking_for_a_codec_imports_no_library_of_another_kind():
    script = (
        "import sys\n"
        "from rollwright.codecs.registry import codecs\n"
        "codecs.for_object({'a': 1}); codecs.kinds()\n"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'lightgbm', 'mlflow', 'pickle_'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("value", [None, 3, "x", [1, 2], {"a": {"b": 1}}, (1, 2), {"$stored": 1}])
def test_a_result_is_given_back(value):
    assert from_reference(value) == value
    assert decode_result(encode_result(value)) == value


def test_a_result_that_has_no_form_and_is_not_referable_is_refused():
    with pytest.raises(TaskValueError, match=r"\$\.recorder: Animal has no JSON form"):
        encode_result({"recorder": Animal()})
    with pytest.raises(TaskValueError, match="Animal is stored nowhere else"):
        to_reference(Animal())


def test_a_user_s_value_never_looks_like_a_reference():
    with pytest.raises(TaskValueError, match="reference"):
        encode_result({"$reference": "recorder", "id": "x"})


@pytest.mark.parametrize(
    "kind", ["pickle", "", None, 3, ["recorder"], {"a": 1}, "rollwright.codecs.registry:JsonCodec"]
)
def test_a_reference_of_unknown_kind_is_refused(kind):
    with pytest.raises(CorruptArtifactError, match="an object of unknown kind"):
        from_reference({"$reference": kind, "id": "x"})


def test_codecs_are_one_instance_per_kind():
    assert codecs.for_kind("json") is codecs.for_object({})


def test_a_path_stays_a_path(tmp_path):
    path = Path(tmp_path) / "x.json"
    codec = codecs.for_object({"p": Path("a/b")})
    codec.write({"p": Path("a/b")}, path)
    assert codec.read(path) == {"p": Path("a/b")}
