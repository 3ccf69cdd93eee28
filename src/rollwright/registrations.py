"""What rollwright itself puts into the tables of `rollwright.core.registry`: names only, nothing is imported for it.

It stands above all packages, and ``import rollwright`` runs it, so that every process has the same tables.
"""

from __future__ import annotations

from typing import Final

from rollwright.compat.module_aliases import install_aliases
from rollwright.core.registry import ALIASES, CODECS, OPENERS, REFERENCES, SESSION_LOCAL, SLOTS, ObjectSlot
from rollwright.core.typed import TYPES as TYPED_CLASSES

__all__ = ["QLIB_IMPORTS", "QLIB_MODULES", "register_builtin"]

_STRATEGIES: Final = (
    "rollwright.backtest.topk_dropout",
    "rollwright.backtest.weight_strategy",
    "rollwright.backtest.soft_topk",
    "rollwright.backtest.enhanced_indexing",
)

_NETWORKS: Final = "rollwright.models.torch.networks"

QLIB_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "qlib.contrib.evaluate": (
        "rollwright.backtest.risk",
        "rollwright.backtest.daily",
        "rollwright.analysis.indicators",
    ),
    "qlib.contrib.data.handler": ("rollwright.dataset.alpha",),
    "qlib.contrib.data.loader": ("rollwright.dataset.alpha",),
    "qlib.contrib.model.catboost_model": ("rollwright.models.catboost",),
    "qlib.contrib.model.double_ensemble": ("rollwright.models.double_ensemble",),
    "qlib.contrib.model.gbdt": ("rollwright.models.lightgbm",),
    "qlib.contrib.model.linear": ("rollwright.models.linear",),
    "qlib.contrib.model.pytorch_general_nn": ("rollwright.models.torch.general",),
    "qlib.contrib.model.pytorch_nn": ("rollwright.models.torch.dnn", _NETWORKS),
    **{
        f"qlib.contrib.model.pytorch_{name}{ending}": (f"rollwright.models.torch.{module}", _NETWORKS)
        for name in ("alstm", "gru", "lstm", "tcn", "transformer")
        for ending, module in (("", "sequences"), ("_ts", "sequence_windows"))
    },
    "qlib.contrib.model.xgboost": ("rollwright.models.xgboost",),
    "qlib.data.dataset": ("rollwright.dataset.dataset",),
    "qlib.data.dataset.handler": ("rollwright.dataset.handler",),
    "qlib.data.dataset.loader": ("rollwright.dataset.loader",),
    "qlib.data.dataset.processor": ("rollwright.dataset.processors",),
    "qlib.data.dataset.weight": ("rollwright.dataset.reweighter",),
    "qlib.data.base": ("rollwright.expression.ops",),
    "qlib.data.filter": ("rollwright.features.filters",),
    "qlib.data.ops": ("rollwright.expression.ops",),
    "qlib.data.pit": ("rollwright.expression.ops",),
    "qlib.contrib.workflow": ("rollwright.analysis.signal_records",),
    "qlib.contrib.workflow.record_temp": ("rollwright.analysis.signal_records",),
    "qlib.workflow.record_temp": ("rollwright.analysis.records", "rollwright.analysis.signal_records"),
    "qlib.contrib.eva.alpha": ("rollwright.analysis.signal",),
    "qlib.model.trainer": (
        "rollwright.training.trainer",
        "rollwright.training.pooled",
        "rollwright.training.delayed",
        "rollwright.training.execute",
        "rollwright.training.phases",
    ),
    "qlib.model.ens.ensemble": ("rollwright.collect.ensemble",),
    "qlib.model.ens.group": ("rollwright.collect.group",),
    "qlib.utils.serial": ("rollwright.signing.serializable",),
    "qlib.workflow.task.collect": ("rollwright.collect.collector",),
    "qlib.workflow.task.manage": ("rollwright.pool.manager", "rollwright.pool.worker.worker"),
    "qlib.workflow.task.utils": ("rollwright.calendar.adjuster", "rollwright.dataset.handler_cache"),
    "qlib.workflow.task.gen": ("rollwright.tasks.rolling", "rollwright.tasks.generate"),
    "qlib.contrib.strategy": _STRATEGIES,
    "qlib.contrib.strategy.signal_strategy": _STRATEGIES,
    "qlib.contrib.strategy.cost_control": ("rollwright.backtest.soft_topk",),
    "qlib.contrib.strategy.optimizer": ("rollwright.backtest.index_optimizer",),
    "qlib.contrib.strategy.order_generator": ("rollwright.backtest.order_generator",),
}

QLIB_IMPORTS: Final[dict[str, tuple[str, ...]]] = {
    "qlib.constant": ("rollwright.config",),
    "qlib.contrib.data.handler": ("rollwright.dataset.alpha", "rollwright.dataset.processors:check_transform_proc"),
    "qlib.data": ("rollwright.features.api",),
    "qlib.data.data": ("rollwright.features.api",),
    "qlib.data.dataset": ("rollwright.dataset.dataset", "rollwright.dataset.sampler"),
    "qlib.log": ("rollwright.core.timing",),
    "qlib.model": ("rollwright.models.base",),
    "qlib.model.base": ("rollwright.models.base",),
    "qlib.utils": ("rollwright.config.construct", "rollwright.core.nested"),
    "qlib.workflow": ("rollwright.tracking.r",),
    "qlib.workflow.exp": ("rollwright.tracking.experiment",),
    "qlib.workflow.expm": ("rollwright.tracking.manager",),
    "qlib.workflow.recorder": ("rollwright.tracking.recorder",),
    "qlib.workflow.online": (),
    "qlib.workflow.online.manager": ("rollwright.online.manager",),
    "qlib.workflow.online.strategy": ("rollwright.online.strategy",),
    "qlib.workflow.online.update": ("rollwright.online.update",),
    "qlib.workflow.online.utils": ("rollwright.online.online_tags",),
    "qlib.workflow.task": (),
    "qlib.workflow.task.utils": (
        "rollwright.calendar.adjuster",
        "rollwright.dataset.handler_cache",
        "rollwright.pool.urls:get_mongodb",
        "rollwright.tracking.r:list_recorders",
    ),
}
"""Modules of Qlib that scripts import from, where that is more than the classes that configurations name."""

_MODELS: Final = (
    *(
        f"rollwright.models.{name}"
        for name in ("catboost", "double_ensemble", "lightgbm", "linear", "sklearn", "xgboost")
    ),
    *(f"rollwright.models.torch.{name}" for name in ("dnn", "general", "sequence_windows", "sequences")),
)
_JSON_TYPES: Final = ("dict", "list", "tuple", "str", "int", "float", "bool", "NoneType")
_FRAME_TYPES: Final = (
    "pandas.DataFrame",
    "pandas.Series",
    "pandas.core.frame.DataFrame",
    "pandas.core.series.Series",
)


FORMER_MODULES: Final[dict[str, str]] = {
    "rollwright.data.dataset": "rollwright.dataset.dataset",
    "rollwright.data.dataset_weight": "rollwright.dataset.reweighter",
    "rollwright.data.features": "rollwright.dataset.alpha",
    "rollwright.data.filter": "rollwright.features.filters",
    "rollwright.data.handler": "rollwright.dataset.handler",
    "rollwright.data.loader": "rollwright.dataset.loader",
    "rollwright.data.processors": "rollwright.dataset.processors",
    "rollwright.model.catboost": "rollwright.models.catboost",
    "rollwright.model.lightgbm": "rollwright.models.lightgbm",
    "rollwright.model.linear": "rollwright.models.linear",
    "rollwright.model.sklearn": "rollwright.models.sklearn",
    "rollwright.model.xgboost": "rollwright.models.xgboost",
}
"""Where classes that a configuration names stood before, so that files and recorders of then are still understood."""

_NETWORK_MODELS: Final = (
    "rollwright.models.torch.dnn.DNNModelPytorch",
    "rollwright.models.torch.general.GeneralPTNN",
    *(
        f"rollwright.models.torch.sequences.{before}{name}"
        for name in ("ALSTM", "GRU", "LSTM", "TCN", "TransformerModel")
        for before in ("", "Window")
    ),
)

# A longer test segment moves the handler's `end_time`. Among these classes nothing before it changes with that:
# processors learn from a range that is given, and look at one session at a time.
SESSION_LOCAL_CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "rollwright.dataset.dataset.DatasetH": (),
    "rollwright.dataset.dataset.TSDatasetH": (),
    **{f"rollwright.dataset.handler.{name}": ("end_time",) for name in ("DataHandler", "DataHandlerLP")},
    **{
        f"rollwright.dataset.alpha.{name}": ("end_time",)
        for name in ("Alpha158", "Alpha158vwap", "Alpha360", "Alpha360vwap")
    },
    **{f"rollwright.dataset.alpha.{name}": () for name in ("Alpha158DL", "Alpha360DL")},
    **{
        f"rollwright.dataset.loader.{name}": () for name in ("QlibDataLoader", "StaticDataLoader", "NestedDataLoader")
    },
    **{
        f"rollwright.dataset.processors.{name}": ()
        for name in (
            "CSRankNorm", "CSZFillna", "CSZScoreNorm", "DropCol", "DropnaLabel", "DropnaProcessor", "Fillna",
            "FilterCol", "HashStockFormat", "ProcessInf", "TanhProcess",
        )
    },
    **{f"rollwright.dataset.processor_fit.{name}": () for name in ("MinMaxNorm", "RobustZScoreNorm", "ZScoreNorm")},
}  # fmt: skip

# Where scikit-learn's estimators that predict are public. Its helpers for tests, data sets and files are elsewhere.
_ESTIMATOR_MODULES: Final = (
    "cross_decomposition",
    "discriminant_analysis",
    "dummy",
    "ensemble",
    "gaussian_process",
    "isotonic",
    "kernel_ridge",
    "linear_model",
    "naive_bayes",
    "neighbors",
    "neural_network",
    "svm",
    "tree",
)


def register_builtin() -> None:
    """Fill the tables."""
    for module, targets in QLIB_MODULES.items():
        ALIASES.register(module, *targets)
        ALIASES.register(f"rollwright{module.removeprefix('qlib')}", *targets)
    for module, target in FORMER_MODULES.items():
        ALIASES.register(module, target)
    imports = {**QLIB_MODULES, **QLIB_IMPORTS}
    install_aliases({f"rollwright{module.removeprefix('qlib')}": targets for module, targets in imports.items()})
    for name, arguments in SESSION_LOCAL_CLASSES.items():
        SESSION_LOCAL.register(name, *arguments)
    _register_codecs()
    _register_slots()
    _register_references()
    OPENERS.register("saved_object", "rollwright.signing.serializable:open_saved")
    OPENERS.register("market", "rollwright.market.current:open_market")
    OPENERS.register("given_market", "rollwright.market.view:view")
    OPENERS.register("tracking", "rollwright.tracking.manager:open_manager")
    OPENERS.register("pool", "rollwright.pool.urls:open_pool_store")
    OPENERS.register("store_large_result", "rollwright.tracking.large_results:store_large_result")


def _register_codecs() -> None:
    add = CODECS.register
    add("parquet", "rollwright.codecs.frames:ParquetCodec", types=_FRAME_TYPES)
    add("npy", "rollwright.codecs.frames:NpyCodec", types=["numpy.ndarray"])
    add("lightgbm", "rollwright.models.lightgbm:LightGBMTextCodec", types=["rollwright.models.lightgbm.LGBModel"])
    add(
        "double_ensemble",
        "rollwright.models.double_ensemble_codec:DoubleEnsembleCodec",
        types=["rollwright.models.double_ensemble.DEnsembleModel"],
    )
    add("linear", "rollwright.models.linear_codec:LinearCodec", types=["rollwright.models.linear.LinearModel"])
    add("xgboost", "rollwright.models.xgboost:XGBoostJsonCodec", types=["rollwright.models.xgboost.XGBModel"])
    add("catboost", "rollwright.models.catboost:CatBoostJsonCodec", types=["rollwright.models.catboost.CatBoostModel"])
    add("network", "rollwright.models.torch.codec:NetworkCodec", types=_NETWORK_MODELS)
    add("skops", "rollwright.models.sklearn_codec:SkopsCodec", types=["rollwright.models.sklearn.SklearnModel"])
    add("sharded", "rollwright.models.sharded:ShardedModelCodec", types=["rollwright.models.sharded.ShardedModel"])
    add("dataset", "rollwright.dataset.codec:DatasetCodec", types=["rollwright.dataset.dataset.DatasetH"])
    add("json", "rollwright.codecs.registry:JsonCodec", types=[f"builtins.{name}" for name in _JSON_TYPES])
    add("typed", "rollwright.codecs.typed_json:TypedJsonCodec", types=TYPED_CLASSES)
    add("envelope", "rollwright.codecs.envelope:EnvelopeCodec")


def _register_slots() -> None:
    for slot in (
        ObjectSlot(
            "model",
            base="rollwright.models.base:Model",
            modules=_MODELS,
            packages=tuple((f"sklearn.{name}", "sklearn.base:BaseEstimator") for name in _ESTIMATOR_MODULES),
            methods=("fit", "predict"),
            arguments=("model", "estimator"),
        ),
        ObjectSlot(
            "network",
            base="torch.nn:Module",
            modules=(_NETWORKS,),
            default_module=_NETWORKS,
            arguments=("pt_model_uri",),
        ),
        ObjectSlot(
            "dataset",
            base="rollwright.dataset.dataset:Dataset",
            modules=("rollwright.dataset.dataset",),
            methods=None,  # what it must have, and why, is told by the check of `TaskDataset`
            arguments=("dataset",),
        ),
        ObjectSlot(
            "handler",
            base="rollwright.dataset.handler:DataHandler",
            modules=("rollwright.dataset.handler", "rollwright.dataset.alpha"),
            default_module="rollwright.dataset.handler",
            arguments=("handler", "handler_config"),
        ),
        ObjectSlot(
            "loader",
            base="rollwright.dataset.loader:DataLoader",
            modules=("rollwright.dataset.loader", "rollwright.dataset.alpha"),
            default_module="rollwright.dataset.loader",
            arguments=("data_loader", "dataloader_l"),
        ),
        ObjectSlot(
            "processor",
            base="rollwright.dataset.processor_base:Processor",
            modules=("rollwright.dataset.processors",),
            default_module="rollwright.dataset.processors",
            arguments=("infer_processors", "learn_processors", "shared_processors"),
        ),
        ObjectSlot(
            "instrument_processor",
            base="rollwright.dataset.processors:InstProcessor",
            modules=("rollwright.dataset.processors",),
            default_module="rollwright.dataset.processors",
            arguments=("inst_processors",),
        ),
        ObjectSlot(
            "filter", base="rollwright.features.filters:SeriesDFilter", modules=("rollwright.features.filters",)
        ),
        ObjectSlot("operator", base="rollwright.expression.ops:ExpressionOps", modules=(), arguments=("custom_ops",)),
        ObjectSlot(
            "reweighter",
            base="rollwright.dataset.reweighter:Reweighter",
            modules=("rollwright.dataset.reweighter",),
            methods=("reweight",),
            arguments=("reweighter",),
        ),
        ObjectSlot(
            "record",
            base="rollwright.analysis.records:RecordTemp",
            modules=("rollwright.analysis.records", "rollwright.analysis.signal_records"),
            methods=("generate",),
            default_module="rollwright.analysis.records",
            arguments=("record",),
        ),
        ObjectSlot(
            "generator",
            base="rollwright.tasks.generate:TaskGen",
            modules=("rollwright.tasks.variants", "rollwright.tasks.generate"),
            methods=("generate",),
            default_module="rollwright.tasks.variants",
            arguments=("generator",),
        ),
        ObjectSlot(
            "strategy",
            base="rollwright.backtest.strategy:BaseStrategy",
            modules=_STRATEGIES,
            methods=("decide", "make_draws"),
            arguments=("strategy",),
        ),
    ):
        SLOTS[slot.name] = slot


def _register_references() -> None:
    add = REFERENCES.register
    add(
        "recorder",
        "rollwright.tracking.recorder:RecorderReference",
        types=["rollwright.tracking.recorder.Recorder"],
    )
    add(
        "result",
        "rollwright.tracking.large_results:LargeResultReference",
        types=["rollwright.tracking.large_results.LargeResult"],
    )
    add(
        "experiment",
        "rollwright.tracking.experiment:ExperimentReference",
        types=["rollwright.tracking.experiment.Experiment"],
    )
