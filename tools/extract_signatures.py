"""Write the signatures that Qlib's users know into one data file: names, kinds and defaults, nothing else.

It is run by an interpreter that has pyqlib (`benchmarks/peer-lock.txt`), never by ours:

    PEER/bin/python tools/extract_signatures.py > tools/qlib_signatures.json

The form of the file: a public name leads to an entry. A function has `call`, a class has `call` (its constructor),
`methods`, `static` (which of them need no instance), `properties` and `constants`; `forwarded` tells the keywords that
its `**kwargs` hands on to the constructor of a base class. Inherited methods stand in the
entry of the class that defines them when that class has an entry, and `bases` names it. A parameter is a list: its
name (with `*` or `**` before it where it gathers), then its default, if it has one. After the name `*` alone, the
parameters are given by keyword only. A default that is no plain value is `{"object": name}`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

VERSION = "0.9.7"

# Every public name lies in a module. Names behind "+" are there for those that configurations name: no seed has them.
PINNED = {
    "qlib": "init auto_init",
    "qlib.log": "TimeInspector",
    "qlib.utils": "init_instance_by_config",
    "qlib.utils.serial": "Serializable",
    "qlib.workflow": "QlibRecorder",
    "qlib.workflow.expm": "ExpManager MLflowExpManager",
    "qlib.workflow.exp": "Experiment MLflowExperiment",
    "qlib.workflow.recorder": "Recorder MLflowRecorder",
    "qlib.workflow.record_temp": "RecordTemp SignalRecord SigAnaRecord PortAnaRecord"
    " + ACRecordTemp HFSignalRecord MultiPassPortAnaRecord",
    "qlib.workflow.task.gen": "TaskGen RollingGen MultiHorizonGenBase task_generator handler_mod + trunc_segments",
    "qlib.workflow.task.utils": "TimeAdjuster get_mongodb list_recorders replace_task_handler_with_cache",
    "qlib.workflow.task.manage": "TaskManager run_task",
    "qlib.workflow.task.collect": "Collector MergeCollector RecorderCollector",
    "qlib.model.ens.ensemble": "Ensemble SingleKeyEnsemble AverageEnsemble RollingEnsemble",
    "qlib.model.ens.group": "Group RollingGroup",
    "qlib.model.trainer": "Trainer TrainerR TrainerRM DelayTrainerR DelayTrainerRM task_train begin_task_train"
    " end_task_train",
    "qlib.model.base": "Model ModelFT + BaseModel",
    "qlib.contrib.model.gbdt": "LGBModel",
    "qlib.contrib.model.double_ensemble": "DEnsembleModel",
    "qlib.contrib.model.linear": "LinearModel",
    "qlib.contrib.model.xgboost": "XGBModel",
    "qlib.contrib.model.catboost_model": "CatBoostModel",
    "qlib.data.dataset": "DatasetH TSDatasetH + Dataset TSDataSampler",
    "qlib.data.dataset.handler": "DataHandler DataHandlerLP + DataHandlerABC",
    "qlib.data.dataset.weight": "Reweighter",
    "qlib.data.dataset.loader": "+ DataLoader DLWParser QlibDataLoader StaticDataLoader NestedDataLoader DataLoaderDH",
    "qlib.data.dataset.processor": "+ Processor InstProcessor get_group_columns"
    " DropnaProcessor DropnaLabel DropCol FilterCol TanhProcess ProcessInf"
    " Fillna MinMaxNorm ZScoreNorm"
    " RobustZScoreNorm CSZScoreNorm CSRankNorm CSZFillna HashStockFormat TimeRangeFlt",
    "qlib.data.filter": "+ BaseDFilter SeriesDFilter NameDFilter ExpressionDFilter",
    "qlib.contrib.data.handler": "Alpha158 Alpha360 + Alpha158vwap Alpha360vwap check_transform_proc",
    "qlib.contrib.data.loader": "+ Alpha158DL Alpha360DL",
    "qlib.contrib.evaluate": "risk_analysis backtest_daily + indicator_analysis long_short_backtest",
    "qlib.contrib.eva.alpha": "+ calc_ic calc_long_short_return calc_long_short_prec calc_all_ic"
    " pred_autocorr pred_autocorr_all",
    "qlib.contrib.strategy.signal_strategy": "TopkDropoutStrategy + BaseSignalStrategy",
    "qlib.workflow.online.manager": "OnlineManager",
    "qlib.workflow.online.strategy": "OnlineStrategy RollingStrategy",
    "qlib.workflow.online.utils": "OnlineTool OnlineToolR",
    "qlib.workflow.online.update": "RMDLoader RecordUpdater DSBasedUpdater PredUpdater LabelUpdater",
    "qlib.data.pit": "P PRef",
}
# Names that are objects: they have the methods of a class.
OBJECTS = {
    "R": ("qlib.workflow", "QlibRecorder"),
    "C": ("qlib.config", "QlibConfig"),
    "D": ("qlib.data.data", "LocalProvider"),
}
# Packages that the peer's environment lacks, and that its modules only name.
ABSENT = ("xgboost", "catboost", "catboost.utils")
# Keywords that do not get through to a base class although the constructor gathers them: it sets them itself, or
# drops what it gathers.
NOT_FORWARDED = {
    **{name: {"data_loader"} for name in ("Alpha158", "Alpha158vwap", "Alpha360", "Alpha360vwap")},
    "HFSignalRecord": {"model", "dataset"},
    "LabelUpdater": {"fname"},
}
# Methods written by a dunder that users call.
CALLED = ("__call__",)
PLAIN = (str, int, float, bool, type(None))


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it, or the name of what it is."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    name = getattr(value, "__name__", None) or type(value).__name__
    return {"object": "function" if name == "<lambda>" else name}


def parameters(function: Any, *, bound: bool) -> list[list[Any]]:
    """Return the parameters of `function`, without the first one where it is bound to an object."""
    listed: list[list[Any]] = []
    keyword_only = False
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if bound and position == 0:
            continue
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            name, keyword_only = f"*{name}", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            name = f"**{name}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            listed.append(["*"])
            keyword_only = True
        default = [] if parameter.default is parameter.empty else [plain(parameter.default)]
        listed.append([name, *default])
    return listed


def forwarded(cls: type) -> list[list[Any]]:
    """Return what the constructor hands on to that of a base class: keywords that it takes without naming them."""
    named = {parameter[0] for parameter in parameters(cls, bound=False)} | NOT_FORWARDED.get(cls.__name__, set())
    listed: list[list[Any]] = []
    if "**kwargs" not in named:
        return listed
    for base in cls.__mro__[1:]:
        if base.__module__.split(".")[0] != "qlib" or "__init__" not in vars(base):
            continue
        told = parameters(vars(base)["__init__"], bound=True)
        listed += [parameter for parameter in told if parameter[0] not in named and not parameter[0].startswith("*")]
        named |= {parameter[0] for parameter in told}
        if not any(parameter[0].startswith("**") for parameter in told):
            break
    return listed


class _Members:
    """What a class has for others to use."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}
        self.static: set[str] = set()
        self.properties: set[str] = set()
        self.constants: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        """Take in one attribute of the class, if it is such a one."""
        if name.isupper() and isinstance(value, (*PLAIN, list, tuple)):
            self.constants[name] = plain(value)
        elif name.startswith("_") and name not in CALLED:
            return
        elif isinstance(value, property):
            self.properties.add(name)
        else:
            free = isinstance(value, (staticmethod, classmethod))
            function = value.__func__ if free else value
            if inspect.isfunction(function):
                self.methods[name] = parameters(function, bound=not isinstance(value, staticmethod))
                if free:
                    self.static.add(name)


def of_class(cls: type, known: dict[type, str], *, itself: str) -> dict[str, Any]:
    """Return what is pinned of a class."""
    entry: dict[str, Any] = {"call": parameters(cls, bound=False)}
    if handed := forwarded(cls):
        entry["forwarded"] = handed
    if inspect.isabstract(cls):
        entry["abstract"] = True
    ours = [base for base in cls.__mro__ if base.__module__.split(".")[0] == "qlib"]
    bases = [known[base] for base in ours if base in known and known[base] != itself]
    covered = {above for base in ours if base in known and known[base] != itself for above in base.__mro__}
    told = _Members()
    for base in reversed(ours):
        if base not in covered:
            for name, value in vars(base).items():
                told.add(name, value)
    pinned = {
        "bases": bases,
        "static": sorted(told.static),
        "properties": sorted(told.properties),
        "constants": told.constants,
        "methods": dict(sorted(told.methods.items())),
    }
    return {**entry, **{key: value for key, value in pinned.items() if value}}


def modules() -> dict[str, ModuleType]:
    """Import what is read, quietly."""
    for name in ABSENT:
        sys.modules.setdefault(name, MagicMock())
    return {name: importlib.import_module(name) for name in {*PINNED, *(module for module, _ in OBJECTS.values())}}


def table() -> dict[str, Any]:
    """Return the whole file's content."""
    loaded = modules()
    found: dict[str, tuple[str, Any]] = {}
    for module, names in PINNED.items():
        for name in names.replace("+", " ").split():
            found[name] = (module, getattr(loaded[module], name))
    known = {value: name for name, (_, value) in found.items() if inspect.isclass(value)}
    entries: dict[str, Any] = {}
    for name, (module, value) in found.items():
        told = (
            of_class(value, known, itself=name) if inspect.isclass(value) else {"call": parameters(value, bound=False)}
        )
        entries[name] = {"module": module, **told}
    for name, (module, of) in OBJECTS.items():
        cls = getattr(loaded[module], of)
        told = of_class(cls, {}, itself=name)
        del told["call"]
        entries[name] = {"module": module, "object": True, **told}
    return dict(sorted(entries.items()))


def text(entries: dict[str, Any]) -> str:
    """Write one signature a line: a change of one is a change of a line."""
    lines = ["{", f' "pyqlib": {json.dumps(VERSION)},', ' "names": {']
    for name, entry in entries.items():
        lines.append(f"  {json.dumps(name)}: {{")
        for key, value in entry.items():
            if key == "methods":
                lines.append('   "methods": {')
                lines += [f"    {json.dumps(method)}: {json.dumps(told)}," for method, told in value.items()]
                lines[-1] = lines[-1].removesuffix(",")
                lines.append("   },")
            else:
                lines.append(f"   {json.dumps(key)}: {json.dumps(value)},")
        lines[-1] = lines[-1].removesuffix(",")
        lines.append("  },")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, " }", "}", ""])


if __name__ == "__main__":
    standard, sys.stdout = sys.stdout, sys.stderr  # what Qlib prints at import is no part of the file
    from importlib.metadata import version

    if version("pyqlib") != VERSION:
        sys.exit(f"this environment has pyqlib {version('pyqlib')}, not {VERSION}")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    standard.write(text(table()))
