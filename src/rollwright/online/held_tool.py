"""Which models are online, as the ledger says: what strategies ask while a day is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rollwright.online.online_tags import OnlineTool
from rollwright.online.strategy import OnlineStrategy
from rollwright.tracking.recorder import Recorder

__all__ = ["HeldTool", "hold_tool"]


class HeldTool(OnlineTool):
    """Answers from a list in memory, and writes nothing.

    A strategy may switch models in `prepare_online_models`, as Qlib's do. Here that changes the list: the ledger's
    entry is the switch, and tags follow it.
    """

    def __init__(self, online: Sequence[Recorder]) -> None:
        self._online = list(online)

    def set_online_tag(self, tag: str, recorder: Recorder | Sequence[Recorder]) -> None:
        """Add the recorders to those that are online, or take them away."""
        given = _as_list(recorder)
        ids = {one.id for one in given}
        self._online = [one for one in self._online if one.id not in ids]
        if tag == self.ONLINE_TAG:
            self._online += given

    def get_online_tag(self, recorder: Recorder) -> str:
        """Return whether a recorder is online."""
        return self.ONLINE_TAG if recorder.id in {one.id for one in self._online} else self.OFFLINE_TAG

    def reset_online_tag(self, recorder: Recorder | Sequence[Recorder], exp_name: str | None = None) -> None:
        """Let these recorders be online, and no others."""
        del exp_name
        self._online = _as_list(recorder)

    def online_models(self, exp_name: str | None = None) -> list[Recorder]:
        """Return those that are online."""
        del exp_name
        return list(self._online)

    def update_online_pred(self, to_date: Any = None, from_date: Any = None, exp_name: str | None = None) -> None:
        """Do nothing: the day's scores are made in its own step."""


@contextmanager
def hold_tool(strategy: OnlineStrategy, online: Sequence[Recorder]) -> Iterator[HeldTool]:
    """Let a strategy find these models online in the block, and write no tags."""
    own, held = strategy.tool, HeldTool(online)
    strategy.tool = held
    try:
        yield held
    finally:
        strategy.tool = own


def _as_list(recorder: Recorder | Sequence[Recorder]) -> list[Recorder]:
    return [recorder] if isinstance(recorder, Recorder) else list(recorder)
