"""What is away is not gone: a store that is locked, a disk that is not mounted, make no finished window train again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.app.verify import verify
from rollwright.campaign.collect_windows import collect_windows
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import make_plan
from rollwright.campaign.run import finished_recorders, submit
from rollwright.config.context import install
from rollwright.config.settings import Settings, load_settings
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactStorageError,
    DataNotFoundError,
    RollwrightError,
    StoreUnavailableError,
    TrackingUnavailableError,
)
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.ingest.importer import import_market
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite import check
from rollwright.tracking.r import R
from rollwright.tracking.stores import opening
from rollwright.tracking.stores.mlflow import database
from rollwright.training.kept_fit import find_fit
from rollwright.training.pooled import train_in_slot

DAYS = pd.bdate_range("2020-01-01", periods=120)


def make_market(folder: Path) -> None:
    frames = []
    for place in range(5):
        close = 10 + place + np.cumsum(np.sin(np.arange(len(DAYS)) * (0.3 + place / 10)))
        frame = pd.DataFrame({"symbol": f"SH60000{place}", "date": DAYS, "open": close, "close": close})
        frames.append(frame.assign(high=close + 1, low=close - 1, volume=1000.0 + np.arange(len(DAYS)) % 7))
    import_market(pd.concat(frames, ignore_index=True), folder)


CONFIG = CampaignConfig.model_validate(
    {
        "task": {
            "model": {
                "class": "LinearModel",
                "module_path": "rollwright.models.linear",
                "kwargs": {"estimator": "ols"},
            },
            "dataset": {
                "class": "DatasetH",
                "module_path": "rollwright.dataset.dataset",
                "kwargs": {
                    "handler": {
                        "class": "DataHandlerLP",
                        "module_path": "rollwright.dataset.handler",
                        "kwargs": {
                            "instruments": "all",
                            "start_time": "2020-01-01",
                            "data_loader": {
                                "class": "QlibDataLoader",
                                "module_path": "rollwright.dataset.loader",
                                "kwargs": {
                                    "config": {
                                        "feature": [["$close/Ref($close, 5)"], ["MOM"]],
                                        "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
                                    }
                                },
                            },
                            "learn_processors": [{"class": "DropnaLabel"}],
                        },
                    },
                    "segments": {"train": ["2020-01-08", "2020-03-31"], "test": ["2020-04-13", f"{DAYS[100]:%F}"]},
                },
            },
            "record": {"class": "SignalRecord", "module_path": "rollwright.analysis.records"},
        },
        "rolling": {"step": 20, "rtype": "sliding"},
    }
)


class Project:
    """A project whose market, tracking store and artifacts lie on disks of their own; it has rolled once."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.root.mkdir()
        self.market, self.database, self.artifacts = root / "market", root / "database", root / "artifacts"
        make_market(self.market)
        self.settings: Settings = load_settings(
            {
                "data.provider_uri": str(self.market),
                "tracking.uri": f"sqlite:///{self.database}/mlflow.db",
                "tracking.artifacts": str(self.artifacts),
            },
            start=self.root,
            environ={},
        )
        self.manager = TaskManager("p", store=MemoryStore())
        install(self.settings)
        self.plan = make_plan(CONFIG, name="p", calendar=provider_from_settings(self.settings).calendar())
        self.ids = submit(self.plan, self.manager).ids
        while (task := self.manager.fetch_task()) is not None:
            result = train_in_slot(task["def"], experiment_name="p")
            self.manager.commit_task_res(task, result.value, validity=result.validity)
        assert len(self.ids) == 2

    def submit(self) -> list[str]:
        """Submit again and return what would be trained."""
        install(self.settings)
        return [str(key) for key in submit(self.plan, self.manager).todo]

    def close(self) -> None:
        """Let go of files, as another process would find them."""
        install(self.settings)
        for store in opening._stores.values():  # whoever opened them: `verify` has settings of its own
            store.close()


@pytest.fixture(scope="module")
def rolled(tmp_path_factory) -> Project:
    return Project(tmp_path_factory.mktemp("disks"))


@pytest.fixture
def project(rolled, monkeypatch) -> Project:
    for waiting in (database, check):
        monkeypatch.setattr(waiting, "PATIENCE", 0.2)
    install(rolled.settings)
    rolled.close()
    assert rolled.submit() == []
    return rolled


@contextmanager
def locked(project: Project):
    """Another program keeps the database to itself: no reader gets in."""
    project.close()
    with closing(sqlite3.connect(project.database / "mlflow.db", isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        yield


def absent(folder: str) -> Callable[[Project], AbstractContextManager[None]]:
    @contextmanager
    def act(project: Project):
        project.close()
        path = getattr(project, folder)
        path.rename(path.with_name("elsewhere"))
        try:
            yield
        finally:
            shutil.rmtree(path, ignore_errors=True)  # what was made meanwhile
            path.with_name("elsewhere").rename(path)

    return act


def unmounted(folder: str) -> Callable[[Project], AbstractContextManager[None]]:
    @contextmanager
    def act(project: Project):
        with absent(folder)(project):
            getattr(project, folder).mkdir()
            yield

    return act


@contextmanager
def closed_to_us(project: Project):
    for path in project.artifacts.rglob("artifacts.json"):
        path.parent.chmod(0)
    try:
        yield
    finally:
        for folder in [path for path in project.artifacts.glob("*/*") if path.is_dir()]:
            folder.chmod(0o755)


AWAY = {
    "the database is locked": (locked, TrackingUnavailableError, "database is locked"),
    "the disk of the database is absent": (absent("database"), TrackingUnavailableError, "is not there"),
    "the disk of the database is not mounted": (unmounted("database"), TrackingUnavailableError, "is not there"),
    "the disk of the artifacts is absent": (absent("artifacts"), ArtifactStorageError, "not there or empty"),
    "the disk of the artifacts is not mounted": (unmounted("artifacts"), ArtifactStorageError, "not there or empty"),
    "the market data are absent": (absent("market"), DataNotFoundError, "market"),
    "the artifacts may not be read": (closed_to_us, ArtifactStorageError, "Permission denied"),
}


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.parametrize("case", AWAY)
def test_what_is_away_is_an_error_and_nothing_finished_is_put_back_to_work(project, case):
    act, kind, words = AWAY[case]
    with act(project), pytest.raises(kind, match=words) as caught:
        project.submit()
    assert caught.value.exit_code == 3
    assert {task["status"] for task in project.manager.query()} == {"done"}
    assert project.submit() == []


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.parametrize("case", [case for case in AWAY if "market" not in case and "disk of the database" not in case])
def test_what_is_away_is_never_learnt_again_by_who_looks_for_it(project, case):
    act, kind, words = AWAY[case]
    definition = project.plan.windows[0].spec.definition
    assert find_fit(definition, "p") is not None
    with act(project), pytest.raises(kind, match=words):
        find_fit(definition, "p")
    assert find_fit(definition, "p") is not None


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.parametrize("case", [case for case in AWAY if "artifacts" in case])
def test_what_is_away_is_no_gap_in_what_is_collected(project, case):
    act, kind, words = AWAY[case]
    install(project.settings)
    source = provider_from_settings(project.settings)
    recorders = finished_recorders(project.plan.windows, submit(project.plan, project.manager), project.manager)
    with act(project), pytest.raises(kind, match=words):
        collect_windows(project.plan, recorders, source=source, max_missing_share=0.5)


@pytest.mark.usefixtures("unprivileged")
@pytest.mark.parametrize("case", [case for case in AWAY if "artifacts" in case or case == "the database is locked"])
def test_what_is_away_is_no_loss_to_who_verifies(project, case, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", project.settings.tracking.uri)
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__ARTIFACTS", project.settings.tracking.artifacts)
    act, kind, words = AWAY[case]
    with act(project), pytest.raises((kind, StoreUnavailableError), match=words) as caught:
        verify(project=project.root)
    assert isinstance(caught.value, RollwrightError)
    assert caught.value.exit_code == 3
    assert verify(project=project.root).ok


def test_who_writes_to_the_database_keeps_no_reader_waiting(project):
    with closing(sqlite3.connect(project.database / "mlflow.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert project.submit() == []


def test_what_is_gone_from_a_disk_that_is_there_is_made_again(project):
    key, window = next(iter(project.ids)), project.plan.windows[0]
    recorder = project.manager.re_query(project.ids[key])["res"]
    folder = Path(recorder.get_local_dir())
    folder.rename(project.root / "aside")
    try:
        assert project.submit() == [str(key)]
        assert find_fit(window.spec.definition, "p") is None
    finally:
        (project.root / "aside").rename(folder)
        (task,) = [task for task in project.manager.query() if task["status"] == "waiting"]
        kept = find_fit(window.spec.definition, "p")
        assert kept is not None
        fetched = project.manager.fetch_task()
        assert fetched is not None
        assert fetched["_id"] == task["_id"]
        result = train_in_slot(fetched["def"], experiment_name="p")
        assert result.value == recorder
        project.manager.commit_task_res(fetched, result.value, validity=result.validity)


def test_a_run_without_files_has_none_where_nobody_saved_any_before(project, tmp_path):
    install(project.settings.with_values({"tracking.artifacts": str(tmp_path / "new")}, origin="test"))
    with R.start(experiment_name="empty") as recorder:
        assert recorder.list_artifacts() == []
        with pytest.raises(ArtifactNotFoundError, match="no artifact"):
            recorder.load_object("x")
    assert os.listdir(tmp_path / "new") == [".artifacts"]
