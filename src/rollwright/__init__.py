"""rollwright: walk-forward machine-learning research that survives a crash.

Names are imported when they are first used, so that ``import rollwright`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rollwright.analysis.records import RecordTemp as RecordTemp
    from rollwright.analysis.records import SigAnaRecord as SigAnaRecord
    from rollwright.analysis.records import SignalRecord as SignalRecord
    from rollwright.backtest.daily import backtest_daily as backtest_daily
    from rollwright.backtest.risk import risk_analysis as risk_analysis
    from rollwright.backtest.topk_dropout import TopkDropoutStrategy as TopkDropoutStrategy
    from rollwright.calendar.adjuster import TimeAdjuster as TimeAdjuster
    from rollwright.calendar.trading import TradingCalendar as TradingCalendar
    from rollwright.collect.collector import Collector as Collector
    from rollwright.collect.collector import MergeCollector as MergeCollector
    from rollwright.collect.collector import RecorderCollector as RecorderCollector
    from rollwright.collect.ensemble import AverageEnsemble as AverageEnsemble
    from rollwright.collect.ensemble import Ensemble as Ensemble
    from rollwright.collect.ensemble import RollingEnsemble as RollingEnsemble
    from rollwright.collect.ensemble import SingleKeyEnsemble as SingleKeyEnsemble
    from rollwright.collect.group import Group as Group
    from rollwright.collect.group import RollingGroup as RollingGroup
    from rollwright.core.construct import init_instance_by_config as init_instance_by_config
    from rollwright.core.context import C as C
    from rollwright.core.context import auto_init as auto_init
    from rollwright.core.context import init as init
    from rollwright.core.serializable import Serializable as Serializable
    from rollwright.core.timing import TimeInspector as TimeInspector
    from rollwright.data.api import D as D
    from rollwright.data.dataset import DatasetH as DatasetH
    from rollwright.data.dataset import TSDatasetH as TSDatasetH
    from rollwright.data.dataset_weight import Reweighter as Reweighter
    from rollwright.data.features import Alpha158 as Alpha158
    from rollwright.data.features import Alpha360 as Alpha360
    from rollwright.data.handler import DataHandler as DataHandler
    from rollwright.data.handler import DataHandlerLP as DataHandlerLP
    from rollwright.data.handler_cache import replace_task_handler_with_cache as replace_task_handler_with_cache
    from rollwright.model.base import Model as Model
    from rollwright.model.base import ModelFT as ModelFT
    from rollwright.model.catboost import CatBoostModel as CatBoostModel
    from rollwright.model.lightgbm import LGBModel as LGBModel
    from rollwright.model.linear import LinearModel as LinearModel
    from rollwright.model.sklearn import SklearnModel as SklearnModel
    from rollwright.model.xgboost import XGBModel as XGBModel
    from rollwright.pool.manager import TaskManager as TaskManager
    from rollwright.pool.mongodb import get_mongodb as get_mongodb
    from rollwright.pool.worker import run_task as run_task
    from rollwright.record.ambient import QlibRecorder as QlibRecorder
    from rollwright.record.ambient import R as R
    from rollwright.record.ambient import list_recorders as list_recorders
    from rollwright.record.experiment import Experiment as Experiment
    from rollwright.record.experiment import MLflowExperiment as MLflowExperiment
    from rollwright.record.manager import ExpManager as ExpManager
    from rollwright.record.manager import MLflowExpManager as MLflowExpManager
    from rollwright.record.recorder import MLflowRecorder as MLflowRecorder
    from rollwright.record.recorder import Recorder as Recorder
    from rollwright.tasks.generate import MultiHorizonGen as MultiHorizonGen
    from rollwright.tasks.generate import MultiHorizonGenBase as MultiHorizonGenBase
    from rollwright.tasks.generate import TaskGen as TaskGen
    from rollwright.tasks.generate import task_generator as task_generator
    from rollwright.tasks.rolling import RollingGen as RollingGen
    from rollwright.tasks.rolling import handler_mod as handler_mod
    from rollwright.tasks.variants import LossGen as LossGen
    from rollwright.tasks.variants import ModelGen as ModelGen
    from rollwright.tasks.variants import SeedGen as SeedGen
    from rollwright.train.execute import begin_task_train as begin_task_train
    from rollwright.train.execute import end_task_train as end_task_train
    from rollwright.train.execute import task_train as task_train
    from rollwright.train.pooled import TrainerRM as TrainerRM
    from rollwright.train.trainer import Trainer as Trainer
    from rollwright.train.trainer import TrainerR as TrainerR

__version__: Final = "0.1.0"

_PUBLIC: Final[dict[str, str]] = {
    "Alpha158": "rollwright.data.features",
    "Alpha360": "rollwright.data.features",
    "AverageEnsemble": "rollwright.collect.ensemble",
    "C": "rollwright.core.context",
    "CatBoostModel": "rollwright.model.catboost",
    "Collector": "rollwright.collect.collector",
    "D": "rollwright.data.api",
    "DataHandler": "rollwright.data.handler",
    "DataHandlerLP": "rollwright.data.handler",
    "DatasetH": "rollwright.data.dataset",
    "Ensemble": "rollwright.collect.ensemble",
    "ExpManager": "rollwright.record.manager",
    "Experiment": "rollwright.record.experiment",
    "Group": "rollwright.collect.group",
    "LGBModel": "rollwright.model.lightgbm",
    "LinearModel": "rollwright.model.linear",
    "LossGen": "rollwright.tasks.variants",
    "MLflowExpManager": "rollwright.record.manager",
    "MLflowExperiment": "rollwright.record.experiment",
    "MLflowRecorder": "rollwright.record.recorder",
    "MergeCollector": "rollwright.collect.collector",
    "Model": "rollwright.model.base",
    "ModelFT": "rollwright.model.base",
    "ModelGen": "rollwright.tasks.variants",
    "MultiHorizonGen": "rollwright.tasks.generate",
    "MultiHorizonGenBase": "rollwright.tasks.generate",
    "QlibRecorder": "rollwright.record.ambient",
    "R": "rollwright.record.ambient",
    "RecordTemp": "rollwright.analysis.records",
    "Recorder": "rollwright.record.recorder",
    "RecorderCollector": "rollwright.collect.collector",
    "Reweighter": "rollwright.data.dataset_weight",
    "RollingEnsemble": "rollwright.collect.ensemble",
    "RollingGen": "rollwright.tasks.rolling",
    "RollingGroup": "rollwright.collect.group",
    "SeedGen": "rollwright.tasks.variants",
    "Serializable": "rollwright.core.serializable",
    "SigAnaRecord": "rollwright.analysis.records",
    "SignalRecord": "rollwright.analysis.records",
    "SingleKeyEnsemble": "rollwright.collect.ensemble",
    "SklearnModel": "rollwright.model.sklearn",
    "TSDatasetH": "rollwright.data.dataset",
    "TaskGen": "rollwright.tasks.generate",
    "TaskManager": "rollwright.pool.manager",
    "TimeAdjuster": "rollwright.calendar.adjuster",
    "TimeInspector": "rollwright.core.timing",
    "TopkDropoutStrategy": "rollwright.backtest.topk_dropout",
    "TradingCalendar": "rollwright.calendar.trading",
    "Trainer": "rollwright.train.trainer",
    "TrainerR": "rollwright.train.trainer",
    "TrainerRM": "rollwright.train.pooled",
    "auto_init": "rollwright.core.context",
    "XGBModel": "rollwright.model.xgboost",
    "backtest_daily": "rollwright.backtest.daily",
    "begin_task_train": "rollwright.train.execute",
    "end_task_train": "rollwright.train.execute",
    "get_mongodb": "rollwright.pool.mongodb",
    "handler_mod": "rollwright.tasks.rolling",
    "init": "rollwright.core.context",
    "init_instance_by_config": "rollwright.core.construct",
    "list_recorders": "rollwright.record.ambient",
    "replace_task_handler_with_cache": "rollwright.data.handler_cache",
    "risk_analysis": "rollwright.backtest.risk",
    "run_task": "rollwright.pool.worker",
    "task_generator": "rollwright.tasks.generate",
    "task_train": "rollwright.train.execute",
}

__all__ = sorted([*_PUBLIC, "__version__"])  # noqa: PLE0605 - sorted by construction, pinned by a test


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module `rollwright` has no attribute `{name}`")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
