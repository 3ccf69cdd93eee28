"""Qlib's modules below `rollwright`: a script whose root is changed imports the same objects."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import rollwright
from rollwright.config.construct import init_instance_by_config
from rollwright.registrations import QLIB_IMPORTS, QLIB_MODULES

NAMES = {
    "rollwright.workflow": ["R"],
    "rollwright.workflow.exp": ["Experiment"],
    "rollwright.workflow.expm": ["ExpManager"],
    "rollwright.workflow.recorder": ["Recorder"],
    "rollwright.workflow.record_temp": ["SignalRecord", "SigAnaRecord"],
    "rollwright.workflow.task.gen": ["RollingGen", "task_generator", "MultiHorizonGenBase", "TaskGen", "handler_mod"],
    "rollwright.workflow.task.manage": ["TaskManager", "run_task"],
    "rollwright.workflow.task.collect": ["RecorderCollector", "MergeCollector", "Collector"],
    "rollwright.workflow.task.utils": [
        "TimeAdjuster",
        "get_mongodb",
        "list_recorders",
        "replace_task_handler_with_cache",
    ],
    "rollwright.model.trainer": [
        "TrainerR",
        "TrainerRM",
        "Trainer",
        "task_train",
        "begin_task_train",
        "end_task_train",
    ],
    "rollwright.model.ens.group": ["RollingGroup", "Group"],
    "rollwright.model.ens.ensemble": ["RollingEnsemble", "AverageEnsemble", "SingleKeyEnsemble"],
    "rollwright.model.base": ["Model", "ModelFT"],
    "rollwright.data": ["D"],
    "rollwright.data.dataset": ["DatasetH", "TSDatasetH"],
    "rollwright.data.dataset.handler": ["DataHandler", "DataHandlerLP"],
    "rollwright.data.dataset.weight": ["Reweighter"],
    "rollwright.contrib.data.handler": ["Alpha158", "Alpha360"],
    "rollwright.contrib.model.gbdt": ["LGBModel"],
    "rollwright.contrib.evaluate": ["backtest_daily", "risk_analysis"],
    "rollwright.contrib.strategy": ["TopkDropoutStrategy"],
    "rollwright.utils": ["init_instance_by_config"],
    "rollwright.utils.serial": ["Serializable"],
    "rollwright.log": ["TimeInspector"],
    "rollwright.config": ["C"],
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_it_is_the_public_object_whatever_it_is_imported_as(module, name):
    assert getattr(importlib.import_module(module), name) is getattr(rollwright, name)


def test_the_names_without_a_place_at_the_top():
    from rollwright.constant import REG_CN, REG_TW, REG_US  # noqa: PLC0415
    from rollwright.contrib.data.handler import check_transform_proc  # noqa: PLC0415
    from rollwright.data.dataset import TSDataSampler  # noqa: PLC0415
    from rollwright.data.dataset.processor import RobustZScoreNorm  # noqa: PLC0415
    from rollwright.utils import FLATTEN_TUPLE, flatten_dict  # noqa: PLC0415

    assert (REG_CN, REG_US, REG_TW) == ("cn", "us", "tw")
    assert all((check_transform_proc, TSDataSampler, RobustZScoreNorm, FLATTEN_TUPLE, flatten_dict))


def test_every_alias_leads_somewhere():
    for module in {**QLIB_MODULES, **QLIB_IMPORTS}:
        assert dir(importlib.import_module(f"rollwright{module.removeprefix('qlib')}"))


def test_a_star_imports_what_the_module_offers():
    found: dict[str, object] = {}
    exec("from rollwright.data.dataset.processor import *", found)
    assert {"Fillna", "CSRankNorm", "DropnaLabel"} <= set(found)


def test_what_is_not_here_is_an_import_error():
    with pytest.raises(ImportError):
        importlib.import_module("rollwright.workflow.online.schedule")
    with pytest.raises(ImportError, match="OnlineManager"):
        from rollwright.workflow import OnlineManager  # noqa: F401, PLC0415
    with pytest.raises(AttributeError, match="no such part of Qlib, or it is elsewhere"):
        _ = importlib.import_module("rollwright.workflow").cli


def test_a_configuration_may_name_them_too():
    config = {"class": "LinearModel", "module_path": "rollwright.contrib.model.linear"}
    assert type(init_instance_by_config(config, slot="model")) is rollwright.LinearModel


def test_importing_rollwright_imports_none_of_them():
    script = "import sys, rollwright; print([m for m in sys.modules if m in ('pandas', 'rollwright.workflow')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
