"""A project of small models that are compared in the environment of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rollwright.app.compare.run import ComparisonResult, run_comparison
from rollwright.compare.this_environment import ThisEnvironment
from small_campaign import CAMPAIGN, make_project

_ROLLING: Final = "rolling: {step: 25, rtype: sliding}\n"
_MODEL: Final = "{class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}"
_OWN: Final = "{class: Own, module_path: own.py}"
WORKFLOW: Final = CAMPAIGN.replace("experiment_name: small\n", "").replace(_ROLLING, "backtest: {topk: 3, n_drop: 1}\n")
_HEAD: Final = "from rollwright.models.linear import LinearModel\n"

MODELS: Final = {
    "ridge": (WORKFLOW, ""),
    "ols": (WORKFLOW.replace("estimator: ridge, alpha: 0.1", "estimator: ols"), ""),
    "walk": (WORKFLOW + _ROLLING, "numpy>=1\n"),
    "trees": (
        WORKFLOW.replace(_MODEL, "{class: LGBModel, module_path: qlib.contrib.model.gbdt, kwargs: {num_boost_round: 5,"
                         " seed: 3, subsample: 0.5, bagging_freq: 1}}"),
        "lightgbm>=4\n",
    ),
    "impossible": (WORKFLOW, "numpy<1\n"),
    "refused": (WORKFLOW.replace("alpha: 0.1", "alpha: -1"), ""),
    "typo": (WORKFLOW.replace("kwargs: {estimator", "kwarg: {estimator"), ""),
}  # fmt: skip
"""By name the workflow and the requirements of each."""

OWN: Final = {
    "absent": "import a_module_that_nobody_has\n" + _HEAD + "class Own(LinearModel):\n    pass\n",
    "raises": _HEAD + "class Own(LinearModel):\n    def __init__(self):\n        raise ValueError('token=secret1')\n",
    "slow": _HEAD + (
        "class Own(LinearModel):\n    def fit(self, dataset, **_):\n        import time\n        time.sleep(600)\n"
    ),
    "large": _HEAD + (
        "class Own(LinearModel):\n    def fit(self, dataset, **_):\n        import time\n"
        "        held = bytearray(900_000_000)\n        held[::4096] = b'x' * len(held[::4096])\n"
        "        time.sleep(600)\n"
    ),
    "writes": _HEAD + (
        "class Own(LinearModel):\n    def fit(self, dataset, **kwargs):\n        from pathlib import Path\n"
        "        assert not [*Path.cwd().iterdir()]\n        Path('left').write_text('x')\n"
        "        print('written to', Path.cwd())\n        return super().fit(dataset, **kwargs)\n"
    ),
    "calls": "import socket\n" + _HEAD + (
        "class Own(LinearModel):\n    def fit(self, dataset, **kwargs):\n"
        "        socket.create_connection(('127.0.0.1', PORT), timeout=5).close()\n"
        "        return super().fit(dataset, **kwargs)\n"
    ),
}  # fmt: skip
"""By name the code of a model of the user's own."""


def make_comparison_project(folder: Path, *names: str) -> Path:
    """Make a project with a market and the models of these names; return the models' folder."""
    make_project(folder)
    for name in names:
        add_model(folder / "models", name)
    return folder / "models"


def add_model(models: Path, name: str, **values: object) -> Path:
    """Add one of `MODELS` or `OWN`; in the code of the latter each of `values` stands in place of its name."""
    place = models / name
    place.mkdir(parents=True)
    text, requirements = MODELS.get(name, (WORKFLOW.replace(_MODEL, _OWN), ""))
    (place / "workflow.yaml").write_text(text)
    (place / "requirements.txt").write_text(requirements)
    if name in OWN:
        code = OWN[name]
        for key, value in values.items():
            code = code.replace(key, repr(value))
        (place / "own.py").write_text(code)
    return place


def run_here(models: Path, /, **options: Any) -> ComparisonResult:
    """Compare the models in the environment of this process."""
    return run_comparison(models, environments=ThisEnvironment(), project=models.parent, **options)
