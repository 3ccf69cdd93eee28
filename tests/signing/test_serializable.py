"""`Serializable`: which attributes go into a file, for how long a rule holds, and what a file is."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import pytest

from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactTypeError,
    ConfigError,
    CorruptArtifactError,
    UnknownSettingError,
    UnsupportedArtifactError,
    UntrustedArtifactError,
)
from rollwright.signing.envelope import open_sealed
from rollwright.signing.keys import Keyring
from rollwright.signing.serializable import Serializable


class Box(Serializable):
    def __init__(self, **values):
        self.__dict__.update(values)


class Ruled(Box):
    include_attr = ("_kept", "both")
    exclude_attr = ("plain", "both", "_kept")


class Whole(Box):
    default_dump_all = True


def saved(obj, tmp_path, **rules):
    """Return the names that come back from a file."""
    obj.to_pickle(tmp_path / "x.pkl", **rules)
    return set(vars(type(obj).load(tmp_path / "x.pkl")))


def test_names_with_an_underscore_stay_behind_unless_everything_is_dumped(tmp_path):
    box = Box(a=1, _b=2)
    assert saved(box, tmp_path) == {"a"}
    assert saved(box, tmp_path, dump_all=True) == {"a", "_b"}
    assert saved(Whole(a=1, _b=2), tmp_path) == {"a", "_b"}
    assert saved(Whole(a=1, _b=2), tmp_path, dump_all=False) == {"a"}


def test_include_wins_over_exclude_and_exclude_over_dump_all(tmp_path):
    ruled = Ruled(plain=1, both=2, other=3, _kept=4, _lost=5)
    assert saved(ruled, tmp_path) == {"both", "other", "_kept"}
    assert saved(ruled, tmp_path, dump_all=True) == {"both", "other", "_kept", "_lost"}
    assert saved(ruled, tmp_path, include=["plain"], exclude=["other", "plain"]) == {"plain", "both"}
    ruled.config(include=["_lost"], exclude=[])
    assert saved(ruled, tmp_path) == {"plain", "both", "other", "_lost"}
    ruled.config(include=None, exclude=None)
    assert saved(ruled, tmp_path) == {"both", "other", "_kept"}


def test_s1_rules_given_to_to_pickle_hold_for_that_file_only(tmp_path):
    box = Box(a=1, _b=Box(_c=2))
    before = dict(vars(box))
    assert saved(box, tmp_path, dump_all=True, recursive=True) == {"a", "_b"}
    assert vars(box) == before
    assert (box.dump_all, vars(box._b)) == (False, {"_c": 2})
    assert saved(box, tmp_path) == {"a"}
    with pytest.raises(UnsupportedArtifactError, match="cannot be stored: TypeError: cannot pickle"):
        Box(_file=sys.stdout).to_pickle(tmp_path / "y", dump_all=True)
    assert saved(box, tmp_path) == {"a"}


def test_the_flags_themselves_are_never_written(tmp_path):
    box = Box(a=1, _b=2)
    box.config(dump_all=True, include=["_include", "_dump_all"])
    assert saved(box, tmp_path) == {"a", "_b"}


def test_s2_config_reaches_lists_dictionaries_and_circles_and_leaves_nothing_else(tmp_path):
    inner = [Box(_n=place) for place in range(5)]
    outer = Box(a=inner[0], b=[inner[1], {"x": (inner[2], {inner[3]})}], _c=inner[4], text="abc", number=3)
    inner[0].back = outer
    outer.config(True, dump_all=True)
    for box in (outer, *inner):
        assert box.dump_all
        assert {name for name in vars(box) if "flag" in name} == set()
    outer.config(dump_all=False, recursive=True)
    assert [box.dump_all for box in (outer, *inner)] == [False] * 6
    assert set(vars(inner[1])) == {"_n", "_dump_all"}
    outer.config(dump_all=True)
    assert [box.dump_all for box in (outer, *inner)] == [True, *[False] * 5]
    outer.to_pickle(tmp_path / "x", dump_all=True, recursive=True)
    loaded = Box.load(tmp_path / "x")
    assert loaded.b[1]["x"][0]._n == 2
    assert loaded.a.back is loaded


def test_a_copy_and_a_message_to_another_process_are_whole():
    box = Ruled(plain=1, _kept=2, _lost=3)
    for other in (copy.copy(box), copy.deepcopy(box), pickle.loads(pickle.dumps(box))):
        assert vars(other) == vars(box)


def test_s10_a_state_with_an_underscore_survives_where_a_class_says_so(tmp_path, caplog):
    caplog.set_level("INFO", logger="rollwright.signing")
    assert saved(Whole(_fitted=True), tmp_path) == {"_fitted"}
    assert caplog.messages == []
    assert saved(Box(_fitted=True), tmp_path) == set()
    assert caplog.messages == ["serializable.dropped class=Box names=_fitted"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "x.pkl"
    Box(a=1).to_pickle(path)
    before = path.read_bytes()
    with pytest.raises(UnsupportedArtifactError, match="cannot be stored: TypeError: cannot pickle"):
        Box(a=sys.stdout).to_pickle(path)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["x.pkl"]


def test_load_refuses_another_class_and_takes_a_derived_one(tmp_path):
    Ruled(a=1).to_pickle(tmp_path / "x")
    assert type(Box.load(tmp_path / "x")) is Ruled
    assert type(Serializable.load(tmp_path / "x")) is Ruled
    with pytest.raises(ArtifactTypeError, match=r"holds a .*Ruled, not a Whole") as caught:
        Whole.load(tmp_path / "x")
    assert isinstance(caught.value, TypeError)


def test_nothing_is_loaded_that_is_absent_old_cut_or_unsigned(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(ArtifactNotFoundError, match="no file"):
        Box.load(path)
    path.write_bytes(pickle.dumps({"old": 1}))
    with pytest.raises(CorruptArtifactError, match="no signed envelope") as caught:
        Box.load(path)
    assert "import pickle" in caught.value.hint
    Box(a=1).to_pickle(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UntrustedArtifactError, match="its signature is not that of"):
        Box.load(path)
    path.write_bytes(whole)
    Keyring().path.unlink()
    with pytest.raises(UntrustedArtifactError, match="none of this machine's"):
        Box.load(path)


def test_a_file_is_the_signed_envelope_and_says_what_it_holds(tmp_path):
    Box(a=1).to_pickle(tmp_path / "x")
    opened = open_sealed((tmp_path / "x").read_bytes(), fmt="serializable", name=None, where="x")
    assert opened.name == f"{Box.__module__}.Box"
    with pytest.raises(UntrustedArtifactError, match="stands where artifact"):
        open_sealed((tmp_path / "x").read_bytes(), fmt="artifact", name=None, where="x")


@pytest.mark.parametrize(
    ("rules", "error", "word"),
    [
        ({"dump_al": True}, UnknownSettingError, "dump_al"),
        ({"dump_all": 1}, ConfigError, "dump_all = 1"),
        ({"include": "name"}, ConfigError, "no list of names"),
        ({"exclude": 3}, ConfigError, "no list of names"),
    ],
)
def test_a_rule_that_is_none_is_told_and_changes_nothing(rules, error, word, tmp_path):
    box = Box(a=1)
    for call in (lambda: box.config(**rules), lambda: box.to_pickle(tmp_path / "x", **rules)):
        with pytest.raises(error, match=word):
            call()
    assert vars(box) == {"a": 1}
    assert not (tmp_path / "x").exists()


def test_the_backend_is_always_the_signed_one(tmp_path):
    class Dilled(Box):
        pickle_backend = "dill"

    class Wrong(Box):
        pickle_backend = "marshal"

    for cls in (Box, Dilled):
        backend, buffer = cls.get_backend(), io.BytesIO()
        assert backend.name == cls.pickle_backend
        backend.dump({"f": lambda x: x + 1}, buffer)
        buffer.seek(0)
        assert backend.load(buffer)["f"](1) == 2
        with pytest.raises(CorruptArtifactError, match="is no signed envelope"):
            backend.loads(pickle.dumps(1))
    with pytest.raises(ConfigError, match="marshal"):
        Wrong(a=1).to_pickle(tmp_path / "x")


def test_general_dump_writes_anything(tmp_path):
    Serializable.general_dump({"a": {1}}, tmp_path / "x")
    Serializable.general_dump(Box(a=1, _b=2), tmp_path / "y")
    assert Box.get_backend().loads((tmp_path / "x").read_bytes()) == {"a": {1}}
    assert vars(Box.load(tmp_path / "y")) == {"a": 1}


def test_a_class_of_a_script_is_opened_by_another_script(tmp_path):
    define = "from rollwright import Serializable\nclass Own(Serializable):\n    def __init__(self): self.n = 7\n"
    write = f"{define}Own().to_pickle('x.pkl')"
    read = f"{define}print(Own.load('x.pkl').n)"
    subprocess.run([sys.executable, "-c", write], check=True, cwd=tmp_path)
    done = subprocess.run([sys.executable, "-c", read], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "7\n"
