"""What the main job says when it is stopped: words that can be typed as they stand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rollwright.app import campaign, data
from rollwright.cli.root import run


@pytest.fixture(autouse=True)
def stopped(monkeypatch):
    opened = SimpleNamespace(name="mine", settings=None)
    monkeypatch.setattr(campaign, "open_campaign", lambda *_args, **_kwargs: opened)
    monkeypatch.setattr(campaign, "reopen_campaign", lambda *_args, **_kwargs: opened)
    monkeypatch.setattr(campaign, "roll_campaign", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(data, "prepare_demo", lambda folder, **_kwargs: folder / "demo.yaml")


@pytest.mark.parametrize(
    ("arguments", "go_on"),
    [
        (["roll", "mine.yaml"], "rollwright resume mine"),
        (["resume", "mine"], "rollwright resume mine"),
        (["resume"], "rollwright resume"),
        # its project is not in the working directory, so `resume` would not find it
        (["demo", "--dir", "my demo"], "rollwright demo --dir 'my demo'"),
    ],
)
def test_a_stopped_job_says_what_goes_on_with_it(capsys, arguments, go_on):
    assert run(arguments) == 130
    captured = capsys.readouterr()
    assert captured.err.endswith(f"Go on with: {go_on}\n")
    assert captured.out == ""
