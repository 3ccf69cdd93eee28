"""The checkpoint of a fit as a file in the project's folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rollwright.core.atomic import remove_drafts, write_atomically
from rollwright.core.bounded_read import LARGE, read_whole
from rollwright.core.fit_checkpoint import offer_checkpoint_place

__all__ = ["CheckpointFile", "keep_checkpoint"]

_NAME: Final = "checkpoint"
_logger: Final = logging.getLogger("rollwright.training")


class CheckpointFile:
    """A place for the checkpoint of one fit: a file in a folder of its own, which is named by the fit's identity.

    Guarantees: a reader finds one whole checkpoint or none, whenever a writer is killed; of two processes that make
    the same fit each replaces what the other left. Not guaranteed: that it survives a power failure, after which the
    fit begins anew.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._is_refused = False

    def load(self) -> bytes | None:
        """Return the bytes of the file; None when there is none, and, with a warning, when it cannot be read."""
        remove_drafts(self._path.parent)  # of a killed writer
        try:
            return read_whole(self._path, limit=LARGE)
        except FileNotFoundError:
            return None
        except OSError as error:
            _logger.warning("fit.checkpoint_ignored fit=%s reason=%s", self._path.parent.name, error.strerror)
            return None

    def save(self, content: bytes) -> None:
        """Replace the file; that it cannot be written is said once, and the fit goes on without."""
        if self._is_refused:
            return
        try:
            write_atomically(self._path, lambda draft: _write(draft, content), durable=False)
        except OSError as error:
            self._is_refused = True
            name = self._path.parent.name
            _logger.warning("fit.checkpoint_not_written fit=%s reason=%s", name, error.strerror)

    def remove(self) -> None:
        """Remove the file and its folder, and the folder of all checkpoints when this was the last."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            remove_drafts(self._path.parent)
            self._path.parent.rmdir()
            self._path.parent.parent.rmdir()


@contextmanager
def keep_checkpoint(folder: Path) -> Iterator[None]:
    """Offer the fit in a block the checkpoint in `folder`, removed when the fit has ended, or refused to learn.

    It stays when the process is killed or interrupted: the same fit goes on from it.
    """
    place = CheckpointFile(folder)
    with offer_checkpoint_place(place):
        try:
            yield
        except Exception:
            place.remove()
            raise
    place.remove()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
