"""Keys: made silently, whole in every process, private, and never shown."""

from __future__ import annotations

import base64
import copy
import os
import stat
import subprocess
import sys
import traceback

import pytest

from rollwright.errors import ConfigError, KeyringError, MissingExtraError, UntrustedArtifactError
from rollwright.signing.envelope import open_sealed, seal
from rollwright.signing.keys import Keyring
from rollwright.signing.machine_keys import load_identity, make_identity
from rollwright.signing.trusted_keys import Trusted


@pytest.fixture
def ring():
    return Keyring()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_use_makes_a_key_only_its_owner_can_read(ring):
    assert ring.list_keys() == []
    assert not ring.folder.exists()
    key = ring.signing_key()
    assert ring.path.stat().st_size == 32
    assert (mode(ring.path), mode(ring.folder)) == (0o600, 0o700)
    assert ring.signing_key() == key == ring.find(key.id)
    assert [path.name for path in ring.folder.iterdir()] == ["key"]


def test_processes_that_make_it_at_once_agree(ring):
    script = (
        "import sys; from rollwright.signing.keys import Keyring; sys.stdin.read(1); print(Keyring().signing_key().id)"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for worker in workers:
        worker.stdin.write("x")
        worker.stdin.flush()
    found = {worker.communicate()[0].strip() for worker in workers}
    assert found == {ring.signing_key().id}
    assert [path.name for path in ring.folder.iterdir()] == ["key"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o666])
def test_a_key_others_may_read_is_refused_each_time(ring, bits):
    ring.signing_key()
    ring.path.chmod(bits)
    for ask in (ring.signing_key, ring.list_keys, lambda: seal(b"x", fmt="a", name="b")):
        with pytest.raises(KeyringError, match=f"{bits:04o}") as caught:
            ask()
        assert "chmod 600" in caught.value.hint
    ring.path.chmod(0o600)
    ring.signing_key()


def test_a_key_of_another_user_is_refused(ring, monkeypatch):
    ring.signing_key()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(KeyringError, match="another user"):
        ring.signing_key()


def test_a_key_behind_a_link_or_of_another_size_is_refused(ring, tmp_path):
    ring.signing_key()
    kept = tmp_path / "kept"
    ring.path.rename(kept)
    ring.path.symlink_to(kept)
    with pytest.raises(KeyringError, match="cannot be read: Too many levels of symbolic links"):
        ring.signing_key()
    ring.path.unlink()
    for body in (b"", b"x" * 31, b"x" * 33, b"rollwright key 1\nzz\n", b"\xff" * 90):
        ring.path.write_bytes(body)
        ring.path.chmod(0o600)
        with pytest.raises(KeyringError, match="holds no key"):
            ring.signing_key()
    ring.path.unlink()
    ring.path.mkdir()
    with pytest.raises(KeyringError, match="cannot be read: Is a directory"):
        ring.signing_key()


def test_a_home_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(KeyringError, match="cannot be made") as caught:
        Keyring().signing_key()
    assert "XDG_DATA_HOME" in caught.value.hint


def test_after_a_rotation_the_new_key_signs_and_the_old_one_verifies(ring):
    before = seal(b"p", fmt="a", name="x")
    old = ring.signing_key()
    new = ring.rotate()
    assert ring.signing_key() == new != old
    assert ring.list_keys() == [new, old]
    for data, key in ((before, old), (seal(b"p", fmt="a", name="x"), new)):
        assert open_sealed(data, fmt="a", name="x", where="x").signer == f"key {key.id[:16]}"
    assert {mode(path) for path in (ring.folder / "keys").iterdir()} == {0o600}


def test_a_key_crosses_to_another_machine(ring, tmp_path):
    other = Keyring(tmp_path / "other")
    here, there = seal(b"p", fmt="a", name="x"), seal(b"p", fmt="a", name="x", keyring=other)
    ring.export(tmp_path / "out.key")
    assert mode(tmp_path / "out.key") == 0o600
    assert other.import_key(tmp_path / "out.key") == ring.signing_key()
    for data in (here, there, seal(b"q", fmt="a", name="x", keyring=other)):
        open_sealed(data, fmt="a", name="x", where="x", keyring=other)
    open_sealed(seal(b"q", fmt="a", name="x", keyring=other), fmt="a", name="x", where="x")
    with pytest.raises(KeyringError, match="exists"):
        ring.export(tmp_path / "out.key")
    with pytest.raises(KeyringError, match="no file"):
        ring.import_key(tmp_path / "nothing")
    (tmp_path / "out.key").chmod(0o644)
    with pytest.raises(KeyringError, match="0644"):
        ring.import_key(tmp_path / "out.key")


def test_a_lost_key_takes_nothing_but_envelopes_with_it(ring):
    before = seal(b"p", fmt="a", name="x")
    ring.signing_key()
    ring.path.unlink()
    with pytest.raises(UntrustedArtifactError, match="none of this machine's"):
        open_sealed(before, fmt="a", name="x", where="x")


def told(work):
    """Return what a traceback that shows variables tells of the error of `work`."""
    with pytest.raises(KeyringError) as caught:
        work()
    return "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())


def test_a_key_shows_itself_to_nobody(ring):
    key, machine = ring.signing_key(), make_identity(ring.folder)
    shown = [repr(key), str(key), repr(ring), repr(machine), f"{key!r:>80}"]
    for path, work in ((ring.path, ring.signing_key), (ring.folder / "machine", lambda: seal(b"x", fmt="a", name="b"))):
        path.chmod(0o644)
        shown.append(told(work))
        path.chmod(0o600)
    with ring.path.open("ab") as file:
        file.write(b"x")
    (ring.folder / "machine").unlink()
    shown.append(told(lambda: seal(b"x", fmt="a", name="b", keyring=Keyring())))
    assert "ring = Keyring" in shown[-1]
    (ring.folder / "full").touch()
    shown.append(told(lambda: ring.export(ring.folder / "full" / "x")))
    raw = ring.path.read_bytes()[:32]
    for spelled in (repr(raw)[2:-1], raw.hex(), base64.b64encode(raw).decode(), repr(raw[:16])[2:-1]):
        assert not any(spelled in text for text in shown)
    for secret in (key, machine):
        with pytest.raises(TypeError, match="never copied"):
            copy.copy(secret)
        with pytest.raises(TypeError, match="must have __dict__"):
            vars(secret)  # slots only


def test_a_machines_identity_is_made_once_and_private(ring):
    assert load_identity(ring.folder) is None
    made = make_identity(ring.folder)
    assert make_identity(ring.folder).public == load_identity(ring.folder).public == made.public
    assert mode(ring.folder / "machine") == 0o600
    (ring.folder / "machine").chmod(0o640)
    with pytest.raises(KeyringError, match=r"others may read .*\(mode 0640\)"):
        seal(b"x", fmt="a", name="b")


def test_without_the_extra_the_error_says_how_to_install_it(ring, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "cryptography":
                raise ModuleNotFoundError("No module named 'cryptography'", name="cryptography")

    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .rollwright\[signing\]"):
        make_identity(ring.folder)
    assert not (ring.folder / "machine").exists()


@pytest.mark.parametrize(
    ("given", "name", "word"),
    [
        ("", None, "neither"),
        ("abc", None, "neither"),
        ("ed25519:" + "a" * 63, "lab", "neither"),
        ("ed25519:" + "a" * 64, None, "under a name"),
        ("a" * 64, "../x", "no name"),
        ("a" * 64, "a\n", "no name"),
    ],
)
def test_what_cannot_be_trusted_is_told(ring, given, name, word):
    with pytest.raises(ConfigError, match=word):
        Trusted(ring.folder).add(given, name=name)
    assert Trusted(ring.folder).entries() == []


def test_the_list_of_the_trusted(ring):
    trusted = Trusted(ring.folder)
    lab = trusted.add("ed25519:" + "a" * 64, name="lab2")
    file = trusted.add("B" * 64)
    assert trusted.entries() == [lab, file]
    assert (file.kind, file.value, file.name) == ("file", "b" * 64, "b" * 16)
    assert mode(trusted.path) == 0o600
    with pytest.raises(ConfigError, match="already"):
        trusted.add("c" * 64, name="lab2")
    assert trusted.add("ed25519:" + "a" * 64, name="lab3") == trusted.entries()[-1]
    assert trusted.remove("lab3").value == "a" * 64
    assert trusted.remove("b" * 64) == file
    with pytest.raises(ConfigError, match="nothing is trusted as"):
        trusted.remove("lab2")


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{", '{"format": 2, "trusted": []}', '{"format": 1, "trusted": [{"kind": "all"}]}', "[" * 100_000],
    ids=len,
)
def test_a_list_that_cannot_be_read_trusts_nothing(ring, body):
    ring.folder.mkdir(parents=True)
    path = Trusted(ring.folder).path
    path.write_text(body)
    path.chmod(0o600)
    with pytest.raises(KeyringError, match=r"trusted\.json"):
        Trusted(ring.folder).entries()


def test_a_list_others_may_write_trusts_nothing(ring):
    trusted = Trusted(ring.folder)
    trusted.add("b" * 64)
    trusted.path.chmod(0o620)
    with pytest.raises(KeyringError, match="others may write"):
        trusted.entries()
