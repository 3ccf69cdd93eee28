"""Files that somebody else put among the chains: each is named, none is believed, and no trial is hidden by them."""

from __future__ import annotations

import json
import os

import pytest

from made_trials import make_trial
from rollwright.core.canonical import dump_canonical, sha256_hex

NAME = "other-user-0123456789ab"


def line_of(**changes):
    """Return a line whose digest is right, of a record that may be none."""
    record = {
        "before": "0" * 64,
        "body": {},
        "format": 1,
        "heads": {},
        "kind": "begin",
        "number": 1,
        "time": "2026-11-30T12:00:00Z",
        "writer": NAME,
    }
    text = json.dumps({**record, **changes}, sort_keys=True, separators=(",", ":")).encode()
    return seal(text)


def seal(text):
    return sha256_hex(text).encode() + b" " + text + b"\n"


BODY = dump_canonical(make_trial(1).to_json())
TEXTS = {
    "no record": b"hello\n",
    "empty lines": b"\n\n\n",
    "pickle": b"\x80\x04cposix\nsystem\n",
    "binary": bytes(range(256)) + b"\n",
    "a wrong digest": b"0" * 64 + b" {}\n",
    "no mapping": seal(b"[]"),
    "NaN": seal(b'{"format":1,"number":NaN}'),
    "Infinity": seal(b'{"format":Infinity}'),
    "a key given twice": seal(b'{"format":1,"format":1}'),
    "deep": seal(b'{"format":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "no UTF-8": seal(b'{"format":"\xff"}'),
    "a later format": line_of(format=2),
    "a format of text": line_of(format="1"),
    "a foreign field": line_of(path="/etc/passwd"),
    "a number below one": line_of(number=0),
    "a number that is true": line_of(number=True),
    "a huge number": line_of(number=10**400),
    "another writer": line_of(writer="somebody-else-0123456789ab"),
    "a writer that is a path": line_of(writer="../../x"),
    "a kind that is none": line_of(kind="Trial!"),
    "a time that is none": line_of(time="yesterday"),
    "a digest that is none": line_of(before="x"),
    "a body that is none": line_of(body=[]),
    "heads that are none": line_of(heads=[]),
    "a head that is a path": line_of(heads={"../x": [1, "0" * 64]}),
    "a head without a digest": line_of(heads={NAME: [1]}),
    "a head that is long": line_of(heads={NAME: [1, "0" * 64, 2]}),
    "a trial that is none": line_of(kind="trial"),
    "a trial of floats": line_of(kind="trial", body={**json.loads(BODY), "series": {"values": [0.5]}}),
    "a trial of 2e30": line_of(kind="trial", body=json.loads(BODY.replace("[1,1,", "[1,2" + "0" * 30 + ",", 1))),
    "a long line": b"x" * (1 << 21) + b"\n",
    "a long record": line_of(body={"x": "y" * (1 << 21)}),
}


@pytest.fixture
def sound(registry):
    """A registry with one trial."""
    registry.register([make_trial(1)])
    return registry


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_no_writer_of_ours_wrote_is_damage_and_hides_nothing(sound, text):
    (sound.folder / f"{NAME}.chain").write_bytes(text)
    state = sound.read()
    assert state.damage
    assert {one.file for one in state.damage} == {f"{NAME}.chain"}
    assert all(one.line and one.reason and len(one.reason) < 400 for one in state.damage)
    assert len(state.distinct("market")) == 1
    assert sound.register([make_trial(2)]).damage


def test_no_file_of_another_name_is_read(sound):
    for name in ("x.chain", "notes.txt", "other-user-0123456789ab.chain.bak", "é-u-0123456789ab.chain"):
        (sound.folder / name).write_bytes(b"x")
    assert {(one.line, one.reason) for one in sound.read().damage} == {
        (0, "this is no chain: nothing here makes such a file")
    }
    assert len(sound.read().damage) == 4


def test_a_link_is_not_followed_when_read_nor_when_written(sound, tmp_path):
    own = next(sound.folder.glob("*.chain"))
    target = tmp_path / "target"
    own.rename(target)
    own.symlink_to(target)
    state = sound.read()
    assert [one.file for one in state.damage if "not read" in one.reason] == [own.name]
    before = target.read_bytes()
    sound.register([make_trial(2)])
    assert target.read_bytes() == before
    assert len(list(sound.folder.glob("*.chain"))) == 2


def test_a_pipe_is_not_waited_for(sound):
    os.mkfifo(sound.folder / f"{NAME}.chain")
    state = sound.read()
    assert [one.reason for one in state.damage] == ["it is not read: it is not a regular file"]
    assert sound.register([make_trial(2)]).distinct("market")


def test_a_folder_in_place_of_a_chain_is_damage(sound):
    (sound.folder / f"{NAME}.chain").mkdir()
    assert "Is a directory" in sound.read().damage[0].reason


def test_a_file_too_large_is_refused_unread(sound):
    with (sound.folder / f"{NAME}.chain").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than" in sound.read().damage[0].reason


def test_a_file_in_place_of_the_folder_is_an_error_of_the_system_when_written(registry):
    registry.folder.parent.mkdir()
    registry.folder.write_text("")
    assert registry.read().trials == ()
    with pytest.raises(OSError, match="trials"):
        registry.register([make_trial(1)])
