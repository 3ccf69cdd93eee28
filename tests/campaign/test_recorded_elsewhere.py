"""A worker that shares the pool and not the tracking store."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rollwright.campaign import run
from rollwright.campaign.run import finished_recorders
from rollwright.errors import RecorderNotFoundError


class Manager:
    """Has results of windows, one of them a recorder this process cannot find."""

    def re_query(self, task_id):
        if task_id == "2":
            raise RecorderNotFoundError("the tracking store does not know run 87a4")
        return {"res": f"recorder {task_id}"}


def test_the_window_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(run, "_check_identity", lambda _window, _recorder: None)  # these are no recorders
    windows = [SimpleNamespace(name="a", key="a"), SimpleNamespace(name="b", key="b")]
    submission = SimpleNamespace(ids={"a": "1", "b": "2"})
    with pytest.raises(RecorderNotFoundError, match=r"window b .* elsewhere: .* run 87a4") as caught:
        finished_recorders(windows, submission, Manager())
    assert "tracking.uri" in str(caught.value)
    assert finished_recorders(windows[:1], submission, Manager()) == {"a": "recorder 1"}
