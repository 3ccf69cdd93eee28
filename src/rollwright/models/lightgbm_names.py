"""Which names LightGBM knows: it passes over one it does not, so a misspelled parameter would go unnoticed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rollwright.core.optional import require
from rollwright.errors import nearest

__all__ = ["unknown_parameters"]

# Those of nearly every file: a configuration that names no others need not load the library to be checked.
COMMON: Final = frozenset((
    "bagging_fraction", "bagging_freq", "bagging_seed", "boosting", "boosting_type", "colsample_bytree",
    "data_random_seed", "deterministic", "device_type", "feature_fraction", "feature_fraction_seed", "lambda_l1",
    "lambda_l2", "learning_rate", "max_bin", "max_depth", "metric", "min_child_samples", "min_child_weight",
    "min_data_in_leaf", "min_gain_to_split", "min_sum_hessian_in_leaf", "min_split_gain", "n_estimators", "n_jobs",
    "num_iterations", "num_leaves", "num_threads", "objective", "path_smooth", "random_state", "reg_alpha",
    "reg_lambda", "seed", "subsample", "subsample_freq", "verbose", "verbosity",
))  # fmt: skip


def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
    """Return those of `names` that LightGBM does not know, each with the nearest name it knows.

    Raises
    ------
    MissingExtraError
        When a name is not one of the common ones and LightGBM, which could tell, is not installed.
    """
    asked = [name for name in names if name not in COMMON]
    known = _library_names() if asked else frozenset()
    return {name: nearest(name, known | COMMON) for name in asked if known and name not in known}


def _library_names() -> frozenset[str]:
    """Return every parameter and alias of the installed LightGBM; nothing when this version does not tell."""
    require("lightgbm", extra="lightgbm")
    basic = require("lightgbm.basic", extra="lightgbm")
    # Not a public name of it; where it is gone, nothing is refused.
    table: Any = getattr(getattr(basic, "_ConfigAliases", None), "_get_all_param_aliases", dict)()
    return frozenset(name for key, aliases in table.items() for name in (key, *aliases))
