"""rollwright: walk-forward machine-learning research that survives a crash.

Names are imported when they are first used, so that ``import rollwright`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from rollwright.registrations import register_builtin

if TYPE_CHECKING:
    from rollwright.analysis.records import PortAnaRecord as PortAnaRecord
    from rollwright.analysis.records import RecordTemp as RecordTemp
    from rollwright.analysis.records import SigAnaRecord as SigAnaRecord
    from rollwright.analysis.records import SignalRecord as SignalRecord
    from rollwright.app.compare.batch import ModelRunner as ModelRunner
    from rollwright.app.tear_sheet import tear_sheet as tear_sheet
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
    from rollwright.collect.ensemble import ICWeightedEnsemble as ICWeightedEnsemble
    from rollwright.collect.ensemble import RankEnsemble as RankEnsemble
    from rollwright.collect.ensemble import RollingEnsemble as RollingEnsemble
    from rollwright.collect.ensemble import SingleKeyEnsemble as SingleKeyEnsemble
    from rollwright.collect.group import Group as Group
    from rollwright.collect.group import RollingGroup as RollingGroup
    from rollwright.compare.environments.temporary import cleanup_env as cleanup_env
    from rollwright.compare.environments.temporary import create_env as create_env
    from rollwright.compare.environments.temporary import execute as execute
    from rollwright.compare.environments.temporary import managed_environment as managed_environment
    from rollwright.config.construct import init_instance_by_config as init_instance_by_config
    from rollwright.config.context import C as C
    from rollwright.config.context import Context as Context
    from rollwright.config.context import auto_init as auto_init
    from rollwright.config.context import current_context as current_context
    from rollwright.config.context import current_settings as current_settings
    from rollwright.config.context import init as init
    from rollwright.config.context import using as using
    from rollwright.core.timing import TimeInspector as TimeInspector
    from rollwright.dataset.alpha import Alpha158 as Alpha158
    from rollwright.dataset.alpha import Alpha360 as Alpha360
    from rollwright.dataset.dataset import DatasetH as DatasetH
    from rollwright.dataset.dataset import TSDatasetH as TSDatasetH
    from rollwright.dataset.handler import DataHandler as DataHandler
    from rollwright.dataset.handler import DataHandlerLP as DataHandlerLP
    from rollwright.dataset.handler_cache import replace_task_handler_with_cache as replace_task_handler_with_cache
    from rollwright.dataset.reweighter import Reweighter as Reweighter
    from rollwright.expression.ops import ElemOperator as ElemOperator
    from rollwright.expression.ops import Expression as Expression
    from rollwright.expression.ops import ExpressionOps as ExpressionOps
    from rollwright.expression.ops import Feature as Feature
    from rollwright.expression.ops import NpElemOperator as NpElemOperator
    from rollwright.expression.ops import NpPairOperator as NpPairOperator
    from rollwright.expression.ops import Operators as Operators
    from rollwright.expression.ops import P as P
    from rollwright.expression.ops import PairOperator as PairOperator
    from rollwright.expression.ops import PairRolling as PairRolling
    from rollwright.expression.ops import PRef as PRef
    from rollwright.expression.ops import Rolling as Rolling
    from rollwright.features.api import D as D
    from rollwright.market.as_of import AsOf as AsOf
    from rollwright.market.frame import FrameSource as FrameSource
    from rollwright.models.base import Model as Model
    from rollwright.models.base import ModelFT as ModelFT
    from rollwright.models.catboost import CatBoostModel as CatBoostModel
    from rollwright.models.double_ensemble import DEnsembleModel as DEnsembleModel
    from rollwright.models.lightgbm import LGBModel as LGBModel
    from rollwright.models.linear import LinearModel as LinearModel
    from rollwright.models.sklearn import SklearnModel as SklearnModel
    from rollwright.models.xgboost import XGBModel as XGBModel
    from rollwright.online.manager import OnlineManager as OnlineManager
    from rollwright.online.online_tags import OnlineTool as OnlineTool
    from rollwright.online.online_tags import OnlineToolR as OnlineToolR
    from rollwright.online.strategy import OnlineStrategy as OnlineStrategy
    from rollwright.online.strategy import RollingStrategy as RollingStrategy
    from rollwright.online.update import DSBasedUpdater as DSBasedUpdater
    from rollwright.online.update import LabelUpdater as LabelUpdater
    from rollwright.online.update import PredUpdater as PredUpdater
    from rollwright.online.update import RecordUpdater as RecordUpdater
    from rollwright.online.update import RMDLoader as RMDLoader
    from rollwright.pool.manager import TaskManager as TaskManager
    from rollwright.pool.urls import get_mongodb as get_mongodb
    from rollwright.pool.worker.worker import run_task as run_task
    from rollwright.signing.serializable import Serializable as Serializable
    from rollwright.tasks.generate import MultiHorizonGen as MultiHorizonGen
    from rollwright.tasks.generate import MultiHorizonGenBase as MultiHorizonGenBase
    from rollwright.tasks.generate import TaskGen as TaskGen
    from rollwright.tasks.generate import task_generator as task_generator
    from rollwright.tasks.rolling import RollingGen as RollingGen
    from rollwright.tasks.rolling import handler_mod as handler_mod
    from rollwright.tasks.variants import LossGen as LossGen
    from rollwright.tasks.variants import ModelGen as ModelGen
    from rollwright.tasks.variants import SeedGen as SeedGen
    from rollwright.tracking.experiment import Experiment as Experiment
    from rollwright.tracking.experiment import MLflowExperiment as MLflowExperiment
    from rollwright.tracking.manager import ExpManager as ExpManager
    from rollwright.tracking.manager import MLflowExpManager as MLflowExpManager
    from rollwright.tracking.r import QlibRecorder as QlibRecorder
    from rollwright.tracking.r import R as R
    from rollwright.tracking.r import list_recorders as list_recorders
    from rollwright.tracking.recorder import MLflowRecorder as MLflowRecorder
    from rollwright.tracking.recorder import Recorder as Recorder
    from rollwright.training.delayed import DelayTrainerR as DelayTrainerR
    from rollwright.training.delayed import DelayTrainerRM as DelayTrainerRM
    from rollwright.training.execute import task_train as task_train
    from rollwright.training.phases import begin_task_train as begin_task_train
    from rollwright.training.phases import end_task_train as end_task_train
    from rollwright.training.pooled import TrainerRM as TrainerRM
    from rollwright.training.trainer import Trainer as Trainer
    from rollwright.training.trainer import TrainerR as TrainerR

register_builtin()

__version__: Final = "0.1.0"

_PUBLIC: Final[dict[str, str]] = {
    "Alpha158": "rollwright.dataset.alpha",
    "Alpha360": "rollwright.dataset.alpha",
    "AsOf": "rollwright.market.as_of",
    "AverageEnsemble": "rollwright.collect.ensemble",
    "C": "rollwright.config.context",
    "CatBoostModel": "rollwright.models.catboost",
    "Collector": "rollwright.collect.collector",
    "Context": "rollwright.config.context",
    "D": "rollwright.features.api",
    "DEnsembleModel": "rollwright.models.double_ensemble",
    "DSBasedUpdater": "rollwright.online.update",
    "DataHandler": "rollwright.dataset.handler",
    "DataHandlerLP": "rollwright.dataset.handler",
    "DatasetH": "rollwright.dataset.dataset",
    "DelayTrainerR": "rollwright.training.delayed",
    "DelayTrainerRM": "rollwright.training.delayed",
    "ElemOperator": "rollwright.expression.ops",
    "Ensemble": "rollwright.collect.ensemble",
    "ExpManager": "rollwright.tracking.manager",
    "Experiment": "rollwright.tracking.experiment",
    "Expression": "rollwright.expression.ops",
    "ExpressionOps": "rollwright.expression.ops",
    "Feature": "rollwright.expression.ops",
    "FrameSource": "rollwright.market.frame",
    "Group": "rollwright.collect.group",
    "ICWeightedEnsemble": "rollwright.collect.ensemble",
    "LGBModel": "rollwright.models.lightgbm",
    "LabelUpdater": "rollwright.online.update",
    "LinearModel": "rollwright.models.linear",
    "LossGen": "rollwright.tasks.variants",
    "MLflowExpManager": "rollwright.tracking.manager",
    "MLflowExperiment": "rollwright.tracking.experiment",
    "MLflowRecorder": "rollwright.tracking.recorder",
    "MergeCollector": "rollwright.collect.collector",
    "Model": "rollwright.models.base",
    "ModelFT": "rollwright.models.base",
    "ModelGen": "rollwright.tasks.variants",
    "ModelRunner": "rollwright.app.compare.batch",
    "MultiHorizonGen": "rollwright.tasks.generate",
    "MultiHorizonGenBase": "rollwright.tasks.generate",
    "NpElemOperator": "rollwright.expression.ops",
    "NpPairOperator": "rollwright.expression.ops",
    "OnlineManager": "rollwright.online.manager",
    "OnlineStrategy": "rollwright.online.strategy",
    "OnlineTool": "rollwright.online.online_tags",
    "OnlineToolR": "rollwright.online.online_tags",
    "Operators": "rollwright.expression.ops",
    "P": "rollwright.expression.ops",
    "PRef": "rollwright.expression.ops",
    "PairOperator": "rollwright.expression.ops",
    "PairRolling": "rollwright.expression.ops",
    "PortAnaRecord": "rollwright.analysis.records",
    "PredUpdater": "rollwright.online.update",
    "QlibRecorder": "rollwright.tracking.r",
    "R": "rollwright.tracking.r",
    "RMDLoader": "rollwright.online.update",
    "RankEnsemble": "rollwright.collect.ensemble",
    "RecordTemp": "rollwright.analysis.records",
    "RecordUpdater": "rollwright.online.update",
    "Recorder": "rollwright.tracking.recorder",
    "RecorderCollector": "rollwright.collect.collector",
    "Reweighter": "rollwright.dataset.reweighter",
    "Rolling": "rollwright.expression.ops",
    "RollingEnsemble": "rollwright.collect.ensemble",
    "RollingGen": "rollwright.tasks.rolling",
    "RollingGroup": "rollwright.collect.group",
    "RollingStrategy": "rollwright.online.strategy",
    "SeedGen": "rollwright.tasks.variants",
    "Serializable": "rollwright.signing.serializable",
    "SigAnaRecord": "rollwright.analysis.records",
    "SignalRecord": "rollwright.analysis.records",
    "SingleKeyEnsemble": "rollwright.collect.ensemble",
    "SklearnModel": "rollwright.models.sklearn",
    "TSDatasetH": "rollwright.dataset.dataset",
    "TaskGen": "rollwright.tasks.generate",
    "TaskManager": "rollwright.pool.manager",
    "TimeAdjuster": "rollwright.calendar.adjuster",
    "TimeInspector": "rollwright.core.timing",
    "TopkDropoutStrategy": "rollwright.backtest.topk_dropout",
    "TradingCalendar": "rollwright.calendar.trading",
    "Trainer": "rollwright.training.trainer",
    "TrainerR": "rollwright.training.trainer",
    "TrainerRM": "rollwright.training.pooled",
    "XGBModel": "rollwright.models.xgboost",
    "auto_init": "rollwright.config.context",
    "backtest_daily": "rollwright.backtest.daily",
    "begin_task_train": "rollwright.training.phases",
    "cleanup_env": "rollwright.compare.environments.temporary",
    "create_env": "rollwright.compare.environments.temporary",
    "current_context": "rollwright.config.context",
    "current_settings": "rollwright.config.context",
    "end_task_train": "rollwright.training.phases",
    "execute": "rollwright.compare.environments.temporary",
    "get_mongodb": "rollwright.pool.urls",
    "handler_mod": "rollwright.tasks.rolling",
    "init": "rollwright.config.context",
    "init_instance_by_config": "rollwright.config.construct",
    "list_recorders": "rollwright.tracking.r",
    "managed_environment": "rollwright.compare.environments.temporary",
    "replace_task_handler_with_cache": "rollwright.dataset.handler_cache",
    "risk_analysis": "rollwright.backtest.risk",
    "run_task": "rollwright.pool.worker.worker",
    "task_generator": "rollwright.tasks.generate",
    "task_train": "rollwright.training.execute",
    "tear_sheet": "rollwright.app.tear_sheet",
    "using": "rollwright.config.context",
}

__all__ = [  # written out, so that editors and type checkers can read it
    "Alpha158",
    "Alpha360",
    "AsOf",
    "AverageEnsemble",
    "C",
    "CatBoostModel",
    "Collector",
    "Context",
    "D",
    "DEnsembleModel",
    "DSBasedUpdater",
    "DataHandler",
    "DataHandlerLP",
    "DatasetH",
    "DelayTrainerR",
    "DelayTrainerRM",
    "ElemOperator",
    "Ensemble",
    "ExpManager",
    "Experiment",
    "Expression",
    "ExpressionOps",
    "Feature",
    "FrameSource",
    "Group",
    "ICWeightedEnsemble",
    "LGBModel",
    "LabelUpdater",
    "LinearModel",
    "LossGen",
    "MLflowExpManager",
    "MLflowExperiment",
    "MLflowRecorder",
    "MergeCollector",
    "Model",
    "ModelFT",
    "ModelGen",
    "ModelRunner",
    "MultiHorizonGen",
    "MultiHorizonGenBase",
    "NpElemOperator",
    "NpPairOperator",
    "OnlineManager",
    "OnlineStrategy",
    "OnlineTool",
    "OnlineToolR",
    "Operators",
    "P",
    "PRef",
    "PairOperator",
    "PairRolling",
    "PortAnaRecord",
    "PredUpdater",
    "QlibRecorder",
    "R",
    "RMDLoader",
    "RankEnsemble",
    "RecordTemp",
    "RecordUpdater",
    "Recorder",
    "RecorderCollector",
    "Reweighter",
    "Rolling",
    "RollingEnsemble",
    "RollingGen",
    "RollingGroup",
    "RollingStrategy",
    "SeedGen",
    "Serializable",
    "SigAnaRecord",
    "SignalRecord",
    "SingleKeyEnsemble",
    "SklearnModel",
    "TSDatasetH",
    "TaskGen",
    "TaskManager",
    "TimeAdjuster",
    "TimeInspector",
    "TopkDropoutStrategy",
    "TradingCalendar",
    "Trainer",
    "TrainerR",
    "TrainerRM",
    "XGBModel",
    "__version__",
    "auto_init",
    "backtest_daily",
    "begin_task_train",
    "cleanup_env",
    "create_env",
    "current_context",
    "current_settings",
    "end_task_train",
    "execute",
    "get_mongodb",
    "handler_mod",
    "init",
    "init_instance_by_config",
    "list_recorders",
    "managed_environment",
    "replace_task_handler_with_cache",
    "risk_analysis",
    "run_task",
    "task_generator",
    "task_train",
    "tear_sheet",
    "using",
]


if not TYPE_CHECKING:  # else a misspelt name would be of type Any, and no type checker would tell

    def __getattr__(name: str) -> Any:
        if name not in _PUBLIC:
            raise AttributeError(f"module `rollwright` has no attribute `{name}`")
        return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
