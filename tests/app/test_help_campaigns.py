"""One worker for several campaigns."""

from __future__ import annotations

import pytest

from rollwright.app.campaign_helper import help_campaigns
from rollwright.cli.root import run
from rollwright.errors import ConfigError
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment
from rollwright.pool.urls import store_from_url
from small_campaign import CAMPAIGN, make_project, roll_here


@pytest.mark.slow
def test_one_worker_trains_the_windows_of_several_campaigns(tmp_path, monkeypatch):
    file = make_project(tmp_path / "project")
    other = file.with_name("other.yaml")
    other.write_text(CAMPAIGN.replace("experiment_name: small", "experiment_name: other\nneeds: {tags: [gpu]}"))
    monkeypatch.chdir(file.parent)
    (file.parent / "rollwright.toml").write_text("[worker]\ntags = ['gpu']\n")
    for one in (file, other):
        assert roll_here(one) is not None
    store = store_from_url(f"sqlite:///{file.parent}/.rollwright/pool.db")
    for pool in ("small", "other"):
        assert len(store.amend(pool, None, Amendment(status=Status.WAITING))) == 4
    store.set_share("other", weight=2, max_running=1)
    told = []
    report = help_campaigns(None, jobs=2, project=file.parent, on_event=lambda event, name: told.append((event, name)))
    assert (report.done, report.failed, report.interrupted) == (8, 0, False)
    assert [store.count(pool)[Status.DONE] for pool in ("small", "other")] == [4, 4]
    assert sum(event.kind == "done" for event, _ in told) == 8
    store.close()


def test_campaigns_that_are_not_there_are_an_error(tmp_path):
    (tmp_path / "rollwright.toml").write_text("")
    with pytest.raises(ConfigError, match="no campaign was started here"):
        help_campaigns(None, jobs=1, project=tmp_path)
    with pytest.raises(ConfigError):
        help_campaigns(["a", "b"], jobs=1, project=tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "run", "a", "--all"], "--all is for no campaign by name"),
        (["worker", "run", "a", "b", "--prepared"], "several pools are named"),
    ],
)
def test_words_that_contradict_each_other_are_refused(capsys, words, said):
    assert run(words) == 2
    assert said in capsys.readouterr().err
