"""The names people import: sorted, importable, and every one that Qlib's users know is there or has its issue.

`docs/public-names.md` holds the one table. With `--write` it is brought up to date: a name that can be imported now
is marked so; a pending one keeps the issue it names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from finding import ROOT, Finding, tell
from table import Table, wants_writing

import rollwright

PAGE: Final = ROOT / "docs" / "public-names.md"
SOURCE: Final = ROOT / "src" / "rollwright" / "__init__.py"
TABLE: Final = Table(path=PAGE, heading=("name", "state"))
PRESENT: Final = "importable"
PENDING: Final = "pending: "

# The names promised to those who come from Qlib; a name may be added here, never taken away.
_SEEDS: Final = """
    TaskGen task_generator handler_mod RollingGen MultiHorizonGenBase TimeAdjuster TaskManager run_task get_mongodb
    list_recorders replace_task_handler_with_cache Trainer TrainerR TrainerRM DelayTrainerR DelayTrainerRM task_train
    begin_task_train end_task_train Serializable R QlibRecorder ExpManager MLflowExpManager Experiment
    MLflowExperiment Recorder MLflowRecorder RecordTemp SignalRecord SigAnaRecord PortAnaRecord Collector
    MergeCollector RecorderCollector Group RollingGroup Ensemble SingleKeyEnsemble AverageEnsemble RollingEnsemble
    OnlineManager OnlineStrategy RollingStrategy OnlineTool OnlineToolR RMDLoader RecordUpdater DSBasedUpdater
    PredUpdater LabelUpdater P PRef D DatasetH TSDatasetH DataHandler DataHandlerLP Alpha158 Alpha360 Model ModelFT
    LGBModel LinearModel TopkDropoutStrategy backtest_daily risk_analysis init_instance_by_config TimeInspector init
    auto_init C create_env execute managed_environment cleanup_env
"""
SEED_NAMES: Final = frozenset(_SEEDS.split())


def importable(name: str) -> bool:
    """Tell whether `from rollwright import name` works."""
    try:
        getattr(rollwright, name)
    except (AttributeError, ImportError):
        return False
    return True


def rows() -> list[tuple[str, str]]:
    """Return the table as it should be, given what it says of pending names."""
    pending = {name.strip("`"): state for name, state in TABLE.read() if state.startswith(PENDING)}
    names = sorted(SEED_NAMES | set(rollwright.__all__) - {"__version__"})
    return [
        (f"`{name}`", PRESENT if importable(name) else pending.get(name, f"{PENDING}no issue yet")) for name in names
    ]


def findings() -> Iterator[Finding]:
    """Yield every name that is missing, unsorted or not told of."""
    listed = list(rollwright.__all__)
    if listed != sorted(set(listed)):
        yield Finding(path=SOURCE, line=1, text="`__all__` is not sorted, or names something twice")
    for name in listed:
        if not importable(name):
            yield Finding(path=SOURCE, line=1, text=f"`__all__` lists `{name}`, which cannot be imported")
    for name in sorted(SEED_NAMES - set(listed)):
        if importable(name):
            yield Finding(path=SOURCE, line=1, text=f"`{name}` can be imported but is not in `__all__`")
    for name, state in rows():
        if state.endswith("no issue yet"):
            yield Finding(path=PAGE, line=1, text=f"{name} is missing, and no issue is named for it")
    outdated = TABLE.finding(rows())
    if outdated is not None:
        yield outdated


if __name__ == "__main__":
    if wants_writing():
        TABLE.write(rows())
    sys.exit(tell("public names", findings()))
