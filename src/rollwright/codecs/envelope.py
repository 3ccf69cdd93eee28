"""The fallback codec: what has no format of its own, pickled, in a signed envelope."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from rollwright.codecs.registry import Codec
from rollwright.errors import CorruptArtifactError
from rollwright.signing.envelope import open_sealed, read_envelope, seal
from rollwright.signing.serializable import apply_file_rules
from rollwright.signing.unpickling import pickle_object, unpickle_object

__all__ = ["EnvelopeCodec"]


class EnvelopeCodec(Codec):
    """Any object that can be pickled; classes of the user's own files go with it.

    A `Serializable` follows its own rules; any other object is written completely.

    Guarantees: nothing is unpickled before the signature of the whole file is found good; a file signed under one name
    is refused under another, and a run's artifact is signed under its run and its name. Not guaranteed: that equal
    objects give equal bytes.
    """

    kind = "envelope"
    suffix = ".sealed"
    FORMAT: ClassVar[str] = "artifact 2"  # the first one did not say of which run it is

    def write(self, obj: Any, path: Path, *, name: str = "") -> None:
        """Write `obj`, signed under `name`, to `path`.

        Raises
        ------
        UnsupportedArtifactError
            When it holds what cannot be pickled.
        KeyringError
        """
        with apply_file_rules():
            payload = pickle_object(obj)
        path.write_bytes(seal(payload, fmt=self.FORMAT, name=name))

    def check(self, obj: Any) -> None:
        """Refuse `obj` when it could not be pickled as it is now."""
        pickle_object(obj)

    def read(self, path: Path, *, name: str = "") -> Any:
        """Return the object in `path`.

        Raises
        ------
        UntrustedArtifactError
            When nobody this machine trusts signed the file, or it was signed under another name.
        CorruptArtifactError
            When it is no envelope, or its object cannot be rebuilt here.
        """
        try:
            data = read_envelope(path)
        except OSError as error:
            raise CorruptArtifactError(f"the artifact {path} cannot be read: {error.strerror}") from error
        opened = open_sealed(data, fmt=self.FORMAT, name=name, where=path.name)
        return unpickle_object(opened)

    def write_as(self, name: str, obj: Any, path: Path) -> None:
        """Write `obj`, signed under `name`, to `path`."""
        self.write(obj, path, name=name)

    def read_as(self, name: str, path: Path) -> Any:
        """Return the object in `path`, which must be signed under `name`."""
        return self.read(path, name=name)
