"""A campaign with ``as_of``: it sees what was known then, wherever its tasks run, and its results are its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rolling_project import DAYS, rows
from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.campaign.config_file import read_config
from rollwright.campaign.plan import make_plan
from rollwright.campaign.schema import json_schema
from rollwright.campaign.standing import Premises
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import DataLoader, StaticDataLoader
from rollwright.errors import ConfigError
from rollwright.market.current import current_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.tasks.identity import identify
from rollwright.training.execute import task_train
from small_campaign import CAMPAIGN, make_project

THEN = "2020-07-31"
OPEN_END = CAMPAIGN.replace('test: ["2020-05-29", "2020-10-05"]', 'test: ["2020-05-29", null]')


def as_of(moment=THEN, text=OPEN_END):
    return f"as_of: {moment}\n{text}"


def roll(file, *overrides, market=None):
    campaign = open_campaign(file, overrides=overrides, project=file.parent, market=market)
    return campaign, roll_campaign(campaign, jobs=1)


def prediction_of(file):
    return pd.read_parquet(file.parent / "results" / "small" / "pred.parquet").set_index(["datetime", "instrument"])


@pytest.fixture
def file(tmp_path):
    return make_project(tmp_path / "project", text=as_of())


@pytest.mark.slow
def test_it_ends_where_knowledge_ended_and_later_data_change_no_byte(file, tmp_path):
    _, result = roll(file, market=QlibProvider(file.parent / "market"))
    assert result is not None
    whole = prediction_of(file)
    assert whole.index.get_level_values("datetime").max() == pd.Timestamp(THEN)
    other = make_project(tmp_path / "other", text=as_of())
    frame = rows(DAYS[:200]).copy()
    later = pd.to_datetime(frame["date"]) > THEN
    frame.loc[later, "close"] *= 3
    import_market(frame, other.parent / "market", revise=True)
    roll(other, market=QlibProvider(other.parent / "market"))
    pd.testing.assert_frame_equal(whole, prediction_of(other))


def test_results_of_another_moment_are_other_results(file):
    market = QlibProvider(file.parent / "market")
    names = {}
    for moment in (THEN, "2020-07-30", None):
        override = () if moment == THEN else (f"as_of={moment or 'null'}",)
        campaign = open_campaign(file, overrides=override, project=file.parent, market=market)
        with using(campaign.context):
            plan = make_plan(campaign.config, name="p", calendar=current_market().calendar())
        names[moment] = identify(plan.windows[0].spec.definition)
    assert len({one.fingerprint for one in names.values()}) == 3
    assert len({one.fit_key for one in names.values()}) == 3
    assert len({one.seed for one in names.values()}) == 1  # chance does not depend on when one looks


def test_a_task_that_carries_the_moment_sees_no_more_in_another_context(file):
    market = QlibProvider(file.parent / "market")
    campaign = open_campaign(file, project=file.parent, market=market)
    with using(campaign.context):
        task = make_plan(campaign.config, name="p", calendar=current_market().calendar()).windows[-1].spec.definition
    assert task["as_of"] == THEN
    task["dataset"]["kwargs"]["segments"]["test"] = ("2020-07-20", None)
    with using(open_campaign(file, overrides=["as_of=null"], project=file.parent, market=market).context):
        assert current_market().calendar().last_known > pd.Timestamp(THEN)
        recorder = task_train(task, "alone")
        assert recorder.load_object("pred.pkl").index.get_level_values("datetime").max() == pd.Timestamp(THEN)
        task["as_of"] = "yesterday"
        with pytest.raises(ConfigError, match="`as_of` of the task: 'yesterday' is no day"):
            task_train(task, "alone")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('test: ["2020-05-29", null]', 'test: ["2020-05-29", "2020-08-03"]', "the segment `test` ends on 2020-08-03"),
        ('start_time: "2020-01-01"', 'start_time: "2020-01-01"\n          end_time: 2020-12-31',
         "the handler's `end_time` ends on 2020-12-31"),
    ],
)  # fmt: skip
def test_a_task_that_reaches_beyond_it_is_refused_with_its_place(tmp_path, old, new, said):
    file = make_project(tmp_path / "project", text=as_of().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        roll(file, market=QlibProvider(file.parent / "market"))
    assert said in str(caught.value)
    assert f"as of {THEN} nobody knew it" in str(caught.value)
    assert str(caught.value).startswith(f"{file}:")
    assert not (file.parent / ".rollwright" / "pool.db").exists()


def test_when_reports_are_seen_is_said_in_the_file_and_reaches_the_market(file):
    campaign = open_campaign(
        file, overrides=["point_in_time.lag_days=3", "point_in_time.same_day=false"], project=file.parent
    )
    seen = campaign.settings.point_in_time
    assert (seen.lag_days, seen.same_day, seen.as_of) == (3, False, THEN)
    assert campaign.settings.origins["point_in_time.as_of"] == "small.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("as_of: tomorrow\n", "`as_of`: 'tomorrow' is no day"),
        ("as_of: 7\n", "`as_of`: 7 is no day"),
        ("point_in_time: {lag_days: -1}\n", "`point_in_time.lag_days`"),
        ("point_in_time: {lag: 1}\n", "unknown key `point_in_time.lag`; known here: lag_days, same_day"),
        ("point_in_time: {lag_days: true}\n", "a number belongs here"),
    ],
)
def test_what_is_no_moment_and_no_lag_is_told_with_its_place(tmp_path, text, said):
    file = tmp_path / "small.yaml"
    file.write_text(text + OPEN_END)
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    assert said in str(caught.value)
    assert "small.yaml:1:" in str(caught.value)


@pytest.mark.parametrize("name", ["point_in_time__as_of", "point_in_time__lag_days"])
def test_it_is_said_in_one_place(tmp_path, name):
    file = tmp_path / "small.yaml"
    file.write_text(OPEN_END.replace("region: us", f"region: us, {name}: {THEN if 'as_of' in name else 1}"))
    with pytest.raises(ConfigError, match="it has a place of its own in the file"):
        read_config(file)


def test_editors_know_the_keys():
    schema = json_schema()
    assert "as_of" in schema["properties"]
    assert set(schema["$defs"]["PointInTimeConfig"]["properties"]) == {"lag_days", "same_day"}


def test_a_table_of_the_users_own_is_cut_too(tmp_path):
    index = pd.MultiIndex.from_product([DAYS[:200], ["A", "B"]], names=["datetime", "instrument"])
    frame = pd.DataFrame(
        np.arange(len(index) * 2.0).reshape(-1, 2), index=index,
        columns=pd.MultiIndex.from_tuples([("feature", "mine"), ("label", "LABEL0")]),
    )  # fmt: skip
    settings = load_settings({"point_in_time.as_of": THEN}, start=tmp_path)
    with using(settings):
        loader = StaticDataLoader(frame, label_lookahead=2)
        handler = DataHandlerLP(data_loader=loader)
        assert handler.fetch(data_key="raw").index.get_level_values("datetime").max() == pd.Timestamp(THEN)
        labels = handler.fetch(col_set="label", data_key="raw")["LABEL0"].unstack()
        assert labels.isna().all(axis=1).tolist()[-3:] == [False, True, True]
        assert loader.load().index.get_level_values("datetime").max() == pd.Timestamp(THEN)


class OwnLoader(DataLoader):
    """A loader of the user's own, which knows of no moment."""

    def __init__(self, frame):
        self.frame = frame

    def load(self, instruments=None, start_time=None, end_time=None):
        return self.frame


def test_what_a_loader_of_the_users_own_brings_is_cut_and_has_its_own_identity(tmp_path):
    index = pd.MultiIndex.from_product([DAYS[:200], ["A"]], names=["datetime", "instrument"])
    frame = pd.DataFrame({("feature", "mine"): np.arange(200.0)}, index=index)
    whole = DataHandlerLP(data_loader=OwnLoader(frame))
    assert whole.fetch(data_key="raw").index.get_level_values("datetime").max() == DAYS[199]
    with using(load_settings({"point_in_time.as_of": THEN}, start=tmp_path)):
        cut = DataHandlerLP(data_loader=OwnLoader(frame))
        assert cut.fetch(data_key="raw").index.get_level_values("datetime").max() == pd.Timestamp(THEN)
        assert cut.panel.generation == f"as-of:{THEN}T00:00:00:{whole.panel.generation}"


@pytest.mark.parametrize("name", ["as_of", "lag_days"])
def test_a_finished_campaign_stands_on_when_it_was_seen_from(file, name):
    settings = open_campaign(file, project=file.parent).settings
    changed = settings.with_values({f"point_in_time.{name}": "2020-07-01" if name == "as_of" else 2}, origin="a test")
    one, other = (Premises.find(each, rendered="", overrides=()) for each in (settings, changed))
    assert one is not None
    assert one == Premises.find(settings, rendered="", overrides=())
    assert one != other
