"""Where the objects that Qlib's configurations name live here."""

from __future__ import annotations

from typing import Final

__all__ = ["QLIB_MODULES", "translate_module"]

QLIB_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "qlib.contrib.evaluate": ("rollwright.backtest.risk", "rollwright.backtest.daily"),
    "qlib.contrib.data.handler": ("rollwright.data.features",),
    "qlib.contrib.data.loader": ("rollwright.data.features",),
    "qlib.contrib.model.catboost_model": ("rollwright.model.catboost",),
    "qlib.contrib.model.gbdt": ("rollwright.model.lightgbm",),
    "qlib.contrib.model.linear": ("rollwright.model.linear",),
    "qlib.contrib.model.xgboost": ("rollwright.model.xgboost",),
    "qlib.data.dataset": ("rollwright.data.dataset",),
    "qlib.data.dataset.handler": ("rollwright.data.handler",),
    "qlib.data.dataset.loader": ("rollwright.data.loader",),
    "qlib.data.dataset.processor": ("rollwright.data.processors",),
    "qlib.data.dataset.weight": ("rollwright.data.dataset_weight",),
    "qlib.data.filter": ("rollwright.data.filter",),
    "qlib.workflow.record_temp": ("rollwright.analysis.records",),
    "qlib.contrib.eva.alpha": ("rollwright.analysis.signal",),
    "qlib.model.trainer": ("rollwright.train.trainer", "rollwright.train.pooled", "rollwright.train.execute"),
    "qlib.model.ens.ensemble": ("rollwright.collect.ensemble",),
    "qlib.model.ens.group": ("rollwright.collect.group",),
    "qlib.utils.serial": ("rollwright.core.serializable",),
    "qlib.workflow.task.collect": ("rollwright.collect.collector",),
    "qlib.workflow.task.manage": ("rollwright.pool.manager", "rollwright.pool.worker"),
    "qlib.workflow.task.utils": ("rollwright.calendar.adjuster", "rollwright.data.handler_cache"),
    "qlib.workflow.task.gen": ("rollwright.tasks.rolling", "rollwright.tasks.generate"),
    "qlib.contrib.strategy": ("rollwright.backtest.topk_dropout",),
    "qlib.contrib.strategy.signal_strategy": ("rollwright.backtest.topk_dropout",),
}


def translate_module(module: str) -> tuple[str, ...]:
    """Return the modules here that stand for `module`; a module that is not Qlib's stands for itself."""
    return QLIB_MODULES.get(module, (module,))
