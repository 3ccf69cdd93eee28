"""The signed envelope: what is not signed, changed or meant for something else is never unpickled."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from rollwright.codecs.envelope import EnvelopeCodec
from rollwright.errors import CorruptArtifactError, RollwrightError, UnsupportedArtifactError, UntrustedArtifactError
from rollwright.signing.envelope import MAGIC, open_sealed, seal
from rollwright.signing.keys import Keyring
from rollwright.signing.machine_keys import make_identity
from rollwright.signing.trusted_keys import Trusted
from rollwright.signing.unpickling import unpickle_object

START = 109  # bytes before the head


class Marker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.fixture
def other(tmp_path):
    """Return another machine's keyring."""
    return Keyring(tmp_path / "other")


def opened(data, *, fmt="artifact", name="x", keyring=None):
    return open_sealed(data, fmt=fmt, name=name, where="x.sealed", keyring=keyring)


def test_what_was_sealed_comes_back_and_says_who_signed():
    found = opened(seal(b"payload", fmt="artifact", name="x"))
    assert bytes(found.payload) == b"payload"
    assert found.signer == f"key {Keyring().signing_key().id[:16]}"
    assert found.producer.startswith("rollwright ")


def test_the_layout_is_the_documented_one():
    data = seal(b"payload", fmt="artifact", name="x")
    magic, length, kind, signer, proof = struct.unpack_from("<8sIB32s64s", data)
    head = json.loads(data[START : START + length])
    assert (magic, kind, signer.hex(), proof[32:]) == (MAGIC, 1, Keyring().signing_key().id, bytes(32))
    assert head.pop("producer").startswith("rollwright")
    assert head == {"fmt": "artifact", "name": "x", "len": 7, "sha256": sha256(b"payload").hexdigest()}
    assert data[START + length :] == b"payload"


@pytest.mark.parametrize("by_machine", [False, True], ids=["key", "machine"])
def test_every_bit_flipped_and_every_cut_is_detected(by_machine):
    if by_machine:
        make_identity(Keyring().folder)
    data = seal(b"a small payload", fmt="artifact", name="x")
    assert bytes(opened(data).payload) == b"a small payload"
    tried = 0
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with pytest.raises((CorruptArtifactError, UntrustedArtifactError)):
                opened(bytes(changed))
            tried += 1
    for length in range(len(data)):
        with pytest.raises((CorruptArtifactError, UntrustedArtifactError)):
            opened(data[:length])
    with pytest.raises(UntrustedArtifactError, match="its signature is not that of"):
        opened(data + b"\0")
    assert tried == 8 * len(data)


def test_another_key_another_name_and_another_kind_are_refused(other):
    own, foreign = seal(b"p", fmt="artifact", name="x"), seal(b"p", fmt="artifact", name="x", keyring=other)
    with pytest.raises(UntrustedArtifactError, match="none of this machine's") as caught:
        opened(foreign)
    assert sha256(foreign).hexdigest() in caught.value.hint
    with pytest.raises(UntrustedArtifactError, match=r"signed as artifact 'x' and stands where artifact 'y'"):
        opened(own, name="y")
    with pytest.raises(UntrustedArtifactError, match="stands where serializable belongs"):
        opened(own, fmt="serializable", name=None)


def test_a_file_of_a_trusted_machine_is_opened_and_its_name_told(other):
    public = make_identity(other.folder).public.hex()
    data = seal(b"p", fmt="artifact", name="x", keyring=other)
    with pytest.raises(UntrustedArtifactError, match=public):
        opened(data)
    Trusted(Keyring().folder).add(f"ed25519:{public}", name="lab2")
    assert opened(data).signer == "machine lab2"
    Trusted(Keyring().folder).remove("lab2")
    with pytest.raises(UntrustedArtifactError, match="no machine with the public key"):
        opened(data)


def test_a_machine_trusts_itself_and_what_its_key_signed_before():
    before = seal(b"p", fmt="artifact", name="x")
    make_identity(Keyring().folder)
    after = seal(b"p", fmt="artifact", name="x")
    assert opened(after).signer == "machine this one"
    assert opened(before).signer.startswith("key ")


def test_a_single_file_can_be_trusted_by_what_it_holds(other):
    data = seal(b"p", fmt="artifact", name="x", keyring=other)
    Trusted(Keyring().folder).add(sha256(data).hexdigest())
    assert bytes(opened(data).payload) == b"p"
    with pytest.raises(UntrustedArtifactError, match="is none of this machine's"):
        opened(data[:-1] + b"q")
    with pytest.raises(UntrustedArtifactError, match="stands where"):
        opened(data, name="y")


def test_nothing_unsigned_is_unpickle_object(other, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "x.sealed"
    codec = EnvelopeCodec()
    codec.write(Marker(marker), path, name="x")
    payload = bytes(opened(path.read_bytes(), fmt=EnvelopeCodec.FORMAT).payload)
    path.write_bytes(seal(payload, fmt=EnvelopeCodec.FORMAT, name="x", keyring=other))
    with pytest.raises(UntrustedArtifactError, match="is none of this machine's"):
        codec.read(path, name="x")
    assert not marker.exists()
    codec.write(Marker(marker), path, name="x")
    with pytest.raises(UntrustedArtifactError, match="was signed as artifact 2 'x'"):
        codec.read(path, name="y")
    assert not marker.exists()
    codec.read(path, name="x")  # ours, and what we signed runs: a signature proves origin, nothing else
    assert marker.exists()


def test_only_what_was_opened_can_be_unpickle_object():
    with pytest.raises(TypeError, match="open_sealed"):
        unpickle_object(b"cos\nsystem\n.")


@pytest.mark.parametrize("data", [b"", b"RWSEAL1\n", b"x" * 4000, MAGIC + b"\xff" * 4000, b"\x80\x05N."], ids=len)
def test_what_is_no_envelope_is_named(data, tmp_path):
    (tmp_path / "p.sealed").write_bytes(data)
    with pytest.raises(RollwrightError, match=r"p\.sealed"):
        EnvelopeCodec().read(tmp_path / "p.sealed", name="x")


def test_functions_classes_and_sets_come_back(tmp_path):
    scale = 3
    for obj, ask in (
        ({1, 2}, lambda found: found == {1, 2}),
        (lambda x: x * scale, lambda found: found(2) == 6),
        ({"nan": float("nan"), "when": (1, 2)}, lambda found: found["when"] == (1, 2)),
    ):
        EnvelopeCodec().write(obj, tmp_path / "x", name="x")
        assert ask(EnvelopeCodec().read(tmp_path / "x", name="x"))


def test_what_cannot_be_pickled_says_what_it_is(tmp_path):
    with (
        (tmp_path / "open").open("w") as handle,
        pytest.raises(UnsupportedArtifactError, match="dict cannot be stored"),
    ):
        EnvelopeCodec().write({"log": handle}, tmp_path / "x", name="x")
    assert not (tmp_path / "x").exists()


def test_an_object_whose_package_is_missing_says_so(tmp_path):
    script = (
        "import sys, types\n"
        "from pathlib import Path\n"
        "module = types.ModuleType('gone'); exec('class Kept: pass', module.__dict__); sys.modules['gone'] = module\n"
        "module.Kept.__module__ = 'gone'\n"
        "from rollwright.codecs.envelope import EnvelopeCodec\n"
        "import importlib.machinery\n"
        "module.__spec__ = importlib.machinery.ModuleSpec('gone', None)\n"
        "EnvelopeCodec().write(module.Kept(), Path(sys.argv[1]), name='x')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "x")], check=True)
    with pytest.raises(CorruptArtifactError, match="cannot be rebuilt here: ModuleNotFoundError") as caught:
        EnvelopeCodec().read(tmp_path / "x", name="x")
    assert "written with rollwright" in caught.value.hint
