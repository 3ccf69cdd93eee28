"""What is asked can be answered with no, not at all, or with Ctrl-C, and each ends as it should."""

from __future__ import annotations

import io
import sys

import pytest

from rollwright.cli.root import run


class Interrupted(io.StringIO):
    """A terminal on which Ctrl-C is typed."""

    def readline(self, *_args):
        raise KeyboardInterrupt


QUESTIONS = {
    "cancel": ["cancel", "small"],
    "key": ["key", "export", "out.key"],
    "cache": ["cache", "prune", "--max-size", "0"],
}


@pytest.fixture(params=QUESTIONS)
def question(request, rolled, monkeypatch):
    monkeypatch.setattr("rollwright.app.window_changes.count_open", lambda _name: (2, 0))
    return QUESTIONS[request.param]


@pytest.mark.parametrize("typed", ["n\n", "\n", ""], ids=["no", "an empty line", "the end of the input"])
def test_without_a_yes_it_ends_with_2_and_nothing_is_done(question, rolled, capsys, monkeypatch, typed):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert run(question) == 2
    assert "nothing was" in capsys.readouterr().err
    assert not (rolled / "out.key").exists()


def test_an_interrupted_question_ends_with_130_as_any_command(question, rolled, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert run(question) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (rolled / "out.key").exists()


def test_an_end_that_nobody_asked_about_is_a_bug_and_no_interrupt(monkeypatch):
    def ended(**_kwargs):
        raise EOFError("Ran out of input")

    monkeypatch.setattr("rollwright.config.settings.load_settings", ended)
    with pytest.raises(RuntimeError, match="this is a bug"):
        run(["config", "show"])
