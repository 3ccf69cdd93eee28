"""A campaign on a market that lies in no folder: the numbers of one on a folder, and nothing left in the process."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.app.single_run import train_once
from rollwright.config.context import current_context
from rollwright.errors import ConfigError, DataNotFoundError
from rollwright.market.as_of import AsOf
from rollwright.market.demo import simulate_market
from rollwright.market.frame import FrameSource
from rollwright.market.ingest.importer import import_market

CAMPAIGN = """\
qlib_init: {region: us}
task:
  model:
    class: LGBModel
    module_path: rollwright.models.lightgbm
    kwargs: {num_boost_round: 5, early_stopping_rounds: 0, min_data_in_leaf: 5}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5)", "CSRank($volume)"], [MOM, VOL]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          learn_processors: [{class: DropnaLabel}]
      segments: {train: [2015-01-20, 2015-03-20], test: [2015-04-01, 2015-05-15]}
  record: {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 20}
"""


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    market = simulate_market(instruments=20, sessions=120, seed=5, planted_ic=0.1)
    columns = {
        name: pd.DataFrame(values, market.sessions, market.codes).stack() for name, values in market.fields.items()
    }
    made = pd.DataFrame(columns).dropna()
    made.index.names = ["datetime", "instrument"]
    return made


@pytest.fixture
def project(tmp_path):
    for name in ("frame", "folder"):
        (tmp_path / name / ".rollwright").mkdir(parents=True)
        (tmp_path / name / "mine.yaml").write_text(CAMPAIGN)
    return tmp_path


def predictions(project) -> bytes:
    (found,) = (project / "results" / "mine").rglob("pred*.parquet")
    return found.read_bytes()


def test_a_campaign_on_a_frame_ends_with_the_bytes_of_one_on_a_folder(project, frame):
    import_market(frame.reset_index(), project / "market")
    before = current_context()
    on_frame = open_campaign(project / "frame" / "mine.yaml", project=project / "frame", market=FrameSource(frame))
    assert roll_campaign(on_frame, jobs=2) is not None
    on_folder = open_campaign(
        project / "folder" / "mine.yaml", project=project / "folder", provider_uri=str(project / "market")
    )
    assert roll_campaign(on_folder, jobs=1) is not None
    assert predictions(project / "frame") == predictions(project / "folder")
    assert current_context() is before


def test_a_task_trained_once_reads_the_campaign_s_market_and_no_other(project, frame):
    path = project / "frame" / "mine.yaml"
    recorder = train_once(open_campaign(path, project=project / "frame", market=FrameSource(frame))).recorder
    assert recorder.status == "FINISHED"
    with pytest.raises(DataNotFoundError, match=r"no `data.provider_uri` is set"):
        train_once(open_campaign(path, project=project / "frame"))


def test_a_campaign_as_of_a_day_is_made_of_what_was_known_then(project, frame):
    """Its windows that ended before are those of the whole market, and none reads a later row."""
    source = FrameSource(frame)
    path = project / "frame" / "mine.yaml"
    campaign = open_campaign(path, project=project / "frame", market=AsOf(source, "2015-06-01"))
    recorder = train_once(campaign).recorder
    garbled = frame.copy()
    garbled.loc[pd.Timestamp("2015-06-02") :] *= 3
    campaign = open_campaign(path, project=project / "frame", market=AsOf(FrameSource(garbled), "2015-06-01"))
    again = train_once(campaign).recorder
    pd.testing.assert_frame_equal(recorder.load_object("pred.pkl"), again.load_object("pred.pkl"))


def test_instruments_without_a_board_are_refused_before_anything_is_trained(project, frame):
    file = project / "frame" / "mine.yaml"
    file.write_text(CAMPAIGN + "backtest: {topk: 3, n_drop: 1, rules: cn}\n")
    fund = frame.rename(index={frame.index.get_level_values("instrument")[0]: "SH510300"}, level="instrument")
    campaign = open_campaign(file, project=project / "frame", market=FrameSource(fund))
    with pytest.raises(ConfigError, match=r"rules of `cn`: .*no code of an A share"):
        roll_campaign(campaign, jobs=1)
    assert not (project / "frame" / "mlruns").exists()
    assert not (project / "frame" / ".rollwright" / "mlflow.db").exists()


def test_a_test_before_the_rules_begin_is_refused_at_once(project, frame):
    early = frame.rename(index=lambda day: day - pd.DateOffset(years=20), level="datetime")
    shares = {code: f"SH{600000 + place}" for place, code in enumerate(sorted(set(early.index.get_level_values(1))))}
    early = early.rename(index=shares, level="instrument")
    file = project / "frame" / "mine.yaml"
    file.write_text(CAMPAIGN.replace("2015", "1995") + "backtest: {topk: 3, n_drop: 1, rules: cn}\n")
    campaign = open_campaign(file, project=project / "frame", market=FrameSource(early))
    with pytest.raises(ConfigError, match="the duties of `cn` are known from"):
        roll_campaign(campaign, jobs=1)
