r"""The signed envelope around bytes that must be unpickled: the signature is checked before any of them is read.

.. code-block:: text

    magic      8   b"RWSEAL1\n"
    length     4   of the head, little-endian
    kind       1   1: HMAC-SHA256 by a key of the keyring; 2: Ed25519 by a machine
    signer    32   id of the key, or the machine's public key
    proof     64   the signature; an HMAC is followed by 32 zeros
    head           JSON {fmt, name, producer, len, sha256}
    payload

The proof covers every byte but itself, so a change of any bit is found. `fmt` and `name` say what the payload is: a
file signed as one thing is refused as another. A signature proves where a file comes from, not that it is harmless.
"""

from __future__ import annotations

import json
import platform
import struct
import sys
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

from rollwright.core.bounded_read import LARGE, open_regular, read_rest
from rollwright.errors import CorruptArtifactError, UntrustedArtifactError
from rollwright.signing.keys import Keyring
from rollwright.signing.machine_keys import load_identity, verify_machine_signature
from rollwright.signing.trusted_keys import Trusted

__all__ = ["MAGIC", "Opened", "open_sealed", "payload_digest", "read_envelope", "seal"]

MAGIC: Final = b"RWSEAL1\n"
_FIXED: Final = struct.Struct("<8sIB32s64s")
_PROOF: Final = 64
_BY_KEY: Final = 1
_BY_MACHINE: Final = 2
_MAX_HEAD: Final = 1 << 16
_UNPICKLED: Final = "would have to be unpickled, which can run any code"
_FIELDS: Final = {"fmt": str, "name": str, "producer": str, "len": int, "sha256": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The content of an envelope; only `open_sealed` creates one, after it checked the signature.

    Attributes
    ----------
    fmt, name : str
        What the payload is, and its name.
    payload : memoryview
    signer : str
        Who signed it, in words.
    producer : str
        The versions that wrote it.
    """

    fmt: str
    name: str
    payload: memoryview
    signer: str
    producer: str


def seal(payload: bytes, *, fmt: str, name: str, keyring: Keyring | None = None) -> bytes:
    """Return `payload` in an envelope that this machine signs.

    Where the machine has an identity of its own (``rollwright key share``) that signs, else the newest key of the
    keyring, created now if there is none.

    Raises
    ------
    KeyringError
    """
    ring = keyring or Keyring()
    head = json.dumps(
        {
            "fmt": fmt,
            "name": name,
            "producer": _producer(),
            "len": len(payload),
            "sha256": sha256(payload).hexdigest(),
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    if len(head) > _MAX_HEAD:
        raise CorruptArtifactError(f"an envelope's name of {len(name):,} characters is too long")
    machine = load_identity(ring.folder)
    if machine is not None:
        start = _FIXED.pack(MAGIC, len(head), _BY_MACHINE, machine.public, bytes(_PROOF))
        proof = machine.sign(_digest(start, head, payload))
    else:
        key = ring.signing_key()
        start = _FIXED.pack(MAGIC, len(head), _BY_KEY, bytes.fromhex(key.id), bytes(_PROOF))
        proof = key.sign((start[:-_PROOF], head, payload)) + bytes(32)
    return b"".join((start[:-_PROOF], proof, head, payload))


def _producer() -> str:
    version = sys.modules["rollwright"].__version__  # imported by name, it would draw all packages below this one
    return f"rollwright {version}, Python {platform.python_version()}"


def read_envelope(path: Path) -> bytes:
    """Return the bytes of the file `path` for `open_sealed`: of a file that is no envelope, only how it begins.

    Raises
    ------
    FileNotFoundError
    OSError
        When it is larger than 4 GiB, is no regular file, or cannot be read.
    """
    with open_regular(path) as file:
        start = file.read(len(MAGIC))
        return start + read_rest(file, limit=LARGE) if start == MAGIC else start


def payload_digest(data: bytes) -> str:
    """Return the SHA-256 of the payload of an envelope, which is not opened: the head tells runs apart, this does not.

    Raises
    ------
    CorruptArtifactError
        When it is no envelope.
    """
    if len(data) < _FIXED.size or data[: len(MAGIC)] != MAGIC:
        raise CorruptArtifactError("this is no signed envelope")
    length = _FIXED.unpack_from(data)[1]
    return sha256(memoryview(data)[_FIXED.size + length :]).hexdigest()


def open_sealed(
    data: bytes, *, fmt: str, name: str | None, where: str, keyring: Keyring | None = None, danger: str = _UNPICKLED
) -> Opened:
    """Return what the envelope `data` holds, after checking it.

    1. Read the fixed part and the head, whose length is limited.
    2. Verify the signature over all bytes, by a key of the keyring, a trusted machine or a trusted file.
    3. Parse the head, and compare the payload's length and SHA-256 with it.
    4. Compare the format and the name with the ones expected, so that no signed file takes the place of another.

    Parameters
    ----------
    fmt, name : str
        What it must be; None admits any name.
    where : str
        The file's name in error messages.
    danger : str
        What would happen with the payload, in the message of an untrusted one.

    Raises
    ------
    CorruptArtifactError
        When it is no envelope or is incomplete.
    UntrustedArtifactError
        When nobody this machine trusts signed these bytes, or they were signed as something else.
    KeyringError
    """
    ring = keyring or Keyring()
    if len(data) < _FIXED.size or data[: len(MAGIC)] != MAGIC:
        old = data[:1] in (b"\x80", b"(", b"c", b"]", b"}")
        hint = "an old pickle is not opened; see what it holds with: rollwright import pickle FILE" if old else None
        raise CorruptArtifactError(f"{where} is no signed envelope", hint=hint)
    _, length, kind, signer, proof = _FIXED.unpack_from(data)
    view = memoryview(data)
    start, head, payload = view[: _FIXED.size - _PROOF], view[_FIXED.size :][:length], view[_FIXED.size + length :]
    if length > _MAX_HEAD or len(head) != length:
        raise CorruptArtifactError(f"{where} is no complete envelope")
    signed_by = _verify_signer(ring, kind, signer, proof, (start, head, payload), f"{where} {danger}")
    fields = _parse_head(bytes(head), where)
    if fields["len"] != len(payload) or not compare_digest(fields["sha256"], sha256(payload).hexdigest()):
        raise CorruptArtifactError(f"{where} does not hold what its head says")
    if fields["fmt"] != fmt or (name is not None and fields["name"] != name):
        wanted = f"{fmt} {name!r}" if name is not None else fmt
        is_former = fields["fmt"] != fmt and fields["fmt"].partition(" ")[0] == fmt.partition(" ")[0]
        raise UntrustedArtifactError(
            f"{where} was signed as {fields['fmt']} {fields['name']!r} and stands where {wanted} belongs",
            hint="an earlier version signed it, without saying of which run it is; train that task again"
            if is_former
            else None,
        )
    return Opened(fmt=fmt, name=fields["name"], payload=payload, signer=signed_by, producer=fields["producer"])


def _verify_signer(
    ring: Keyring, kind: int, signer: bytes, proof: bytes, parts: tuple[memoryview, ...], what: str
) -> str:
    """Return who signed the bytes, or refuse them."""
    trusted = Trusted(ring.folder)
    reason = f"it carries no kind of signature this version knows (kind {kind})"
    if kind == _BY_KEY:
        key = ring.find(signer.hex())
        reason = f"its key {signer.hex()[:16]} is none of this machine's"
        if key is not None:
            if proof[32:] == bytes(32) and key.verifies(proof[:32], parts):
                return f"key {key.id[:16]}"
            reason = f"its signature is not that of key {key.id[:16]}: it was changed, or never signed"
    elif kind == _BY_MACHINE:
        machine = trusted.machine(signer, own=load_identity(ring.folder))
        reason = f"no machine with the public key {signer.hex()} is trusted"
        if machine is not None:
            digest = sha256(b"rollwright envelope 1\0")
            for part in parts:
                digest.update(part)
            if verify_machine_signature(signer, proof, digest.digest()):
                return f"machine {machine}"
            reason = f"its signature is not that of machine {machine}: it was changed, or never signed"
    whole = sha256(parts[0])
    whole.update(proof)
    for part in parts[1:]:
        whole.update(part)
    if trusted.has_file(whole.hexdigest()):
        return f"trusted file {whole.hexdigest()[:16]}"
    raise UntrustedArtifactError(
        f"{what}, and it has no trusted signature: {reason}",
        hint=f"if you know where it comes from: rollwright trust add {whole.hexdigest()}",
    )


def _digest(start: bytes, head: bytes, payload: bytes) -> bytes:
    digest = sha256(b"rollwright envelope 1\0")
    for part in (start[:-_PROOF], head, payload):
        digest.update(part)
    return digest.digest()


def _parse_head(head: bytes, where: str) -> dict[str, Any]:
    try:
        fields = json.loads(head)
        sound = isinstance(fields, dict) and all(isinstance(fields.get(key), kind) for key, kind in _FIELDS.items())
    except (ValueError, RecursionError):
        sound, fields = False, {}
    if not sound:
        raise CorruptArtifactError(f"the head of {where} is not one this version can follow")
    return dict(fields)
