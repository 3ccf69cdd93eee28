"""Every data class that Qlib's configurations name is found by Qlib's own path."""

from __future__ import annotations

import importlib

import pytest

from rollwright.config.construct import get_class, translate_module

PATHS = {
    "qlib.contrib.data.handler": ["Alpha158", "Alpha158vwap", "Alpha360", "Alpha360vwap"],
    "qlib.data.dataset": ["DatasetH", "TSDatasetH", "TSDataSampler"],
    "qlib.data.dataset.handler": ["DataHandler", "DataHandlerLP"],
    "qlib.data.dataset.loader": ["DataLoaderDH", "NestedDataLoader", "QlibDataLoader", "StaticDataLoader"],
    "qlib.data.dataset.processor": [
        "CSRankNorm", "CSZFillna", "CSZScoreNorm", "DropCol", "DropnaLabel", "DropnaProcessor", "Fillna", "FilterCol",
        "HashStockFormat", "MinMaxNorm", "ProcessInf", "RobustZScoreNorm", "TanhProcess", "TimeRangeFlt", "ZScoreNorm",
    ],
    "qlib.data.dataset.weight": ["Reweighter"],
    "qlib.data.filter": ["ExpressionDFilter", "NameDFilter", "SeriesDFilter"],
    "qlib.workflow.task.utils": ["TimeAdjuster", "replace_task_handler_with_cache"],
}  # fmt: skip


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PATHS.items() for name in names])
def test_a_path_of_qlib_leads_here(module: str, name: str) -> None:
    homes = [importlib.import_module(target) for target in translate_module(module)]
    (found,) = [getattr(home, name) for home in homes if hasattr(home, name)]
    assert found.__name__ == name
    assert found.__module__.startswith("rollwright.")
    if module.startswith("qlib.data") and name not in ("TSDataSampler", "Reweighter", "SeriesDFilter"):
        assert get_class({"class": name, "module_path": module})[0] is found
