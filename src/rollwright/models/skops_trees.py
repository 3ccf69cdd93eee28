"""The trees of scikit-learn in a skops file: every path from the root ends at a leaf, every split reads a feature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["TREE", "TREE_PREDICTOR", "check_trees"]

TREE: Final = "sklearn.tree._tree.Tree"
TREE_PREDICTOR: Final = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
_MAX_OUTPUTS: Final = 1 << 12
# The estimators that pass their input to their trees without checking the number of features again.
_OWNERS: Final = frozenset(
    f"{family}{task}"
    for family in (
        "DecisionTree",
        "ExtraTree",
        "ExtraTrees",
        "GradientBoosting",
        "HistGradientBoosting",
        "RandomForest",
    )
    for task in ("Regressor", "Classifier")
) | {"IsolationForest", "RandomTreesEmbedding"}

Arrays = Mapping[str, NDArray[Any]]


def check_trees(schema: Any, arrays: Arrays) -> None:
    """Check every tree in `schema`, and that no estimator has trees that read more features than it is given.

    Raises
    ------
    ValueError, KeyError, TypeError, IndexError, AttributeError
        When one is not what scikit-learn makes.
    """
    _features_read(schema, arrays, {})


def _features_read(found: Any, arrays: Arrays, known: dict[int, int]) -> int:
    """Return how many features the trees beneath `found` read, 0 without any; `known` collects them by object."""
    if isinstance(found, list):
        return max((_features_read(item, arrays, known) for item in found), default=0)
    if not isinstance(found, dict):
        return 0
    loader, name = found.get("__loader__"), found.get("__class__")
    if loader == "CachedNode":
        return known[found["__id__"]]
    read = max((_features_read(item, arrays, known) for item in found.values()), default=0)
    if loader == "TreeNode":
        read = _check_tree(found, arrays)
    elif loader == "ObjectNode" and name == "TreePredictor":
        read = _check_predictor(found, arrays)
    elif loader == "ObjectNode" and name in _OWNERS:
        given = _number(found["content"]["content"]["n_features_in_"]) if read else 0
        if read > given:
            raise ValueError(f"a {name} of {given} features whose trees read {read}")
    elif loader not in (None, "TypeNode") and name in ("Tree", "TreePredictor"):
        raise ValueError("a tree that is not stored as a tree")
    if type(found.get("__id__")) is int:
        known[found["__id__"]] = read
    return read


def _check_tree(node: dict[str, Any], arrays: Arrays) -> int:
    arguments = node["__reduce__"]["args"]["content"]
    state = node["content"]["content"]
    features, outputs = _number(arguments[0]), _number(arguments[2])
    classes = _array(arguments[1], arrays)
    table, values = _array(state["nodes"], arrays), _array(state["values"], arrays)
    count = _number(state["node_count"])
    if not features or not 0 < outputs <= _MAX_OUTPUTS or classes.shape != (outputs,):
        raise ValueError("outputs that cannot be counted")
    if classes.dtype != np.intp or (classes < 1).any() or (classes > _MAX_OUTPUTS).any():
        raise ValueError("classes that cannot be counted")
    if table.shape != (count,) or count < 1 or values.shape != (count, outputs, int(classes.max())):
        raise ValueError("lists that are not of its nodes")
    if values.dtype != np.float64 or not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    left, right = table["left_child"].astype(np.int64), table["right_child"].astype(np.int64)
    inner = left != -1
    if (inner & (right == -1)).any():
        raise ValueError("a split with one side")
    _check_paths(left[inner], right[inner], count)
    split = table["feature"][inner]
    if (split < 0).any() or (split >= features).any():
        raise ValueError("splits on a feature that does not exist")
    return features


def _check_predictor(node: dict[str, Any], arrays: Arrays) -> int:
    state = node["content"]["content"]
    table = _array(state["nodes"], arrays)
    sets = [_array(state[key], arrays) for key in ("binned_left_cat_bitsets", "raw_left_cat_bitsets")]
    if table.ndim != 1 or not len(table) or any(found.dtype != np.uint32 or found.shape[1:] != (8,) for found in sets):
        raise ValueError("lists that are not of its nodes")
    inner = table["is_leaf"] == 0
    _check_paths(table["left"][inner].astype(np.int64), table["right"][inner].astype(np.int64), len(table))
    categorical = inner & (table["is_categorical"] != 0)
    if (table["bitset_idx"][categorical] >= min(len(found) for found in sets)).any():
        raise ValueError("categories that do not exist")
    if not np.isfinite(table["value"]).all():
        raise ValueError("values that are not finite")
    split = table["feature_idx"][inner]
    if (split < 0).any():
        raise ValueError("splits on a feature that does not exist")
    return int(split.max(initial=-1)) + 1


def _check_paths(left: NDArray[np.int64], right: NDArray[np.int64], count: int) -> None:
    """Check that every child exists and has one parent, and the root none: then no path is a cycle."""
    children = np.concatenate([left, right])
    if (children <= 0).any() or (children >= count).any() or len(np.unique(children)) != len(children):
        raise ValueError("nodes with children that do not exist, or with two parents")


def _array(node: Mapping[str, Any], arrays: Arrays) -> NDArray[Any]:
    if node["__loader__"] != "NdArrayNode":
        raise ValueError("a list that is not an array")
    return arrays[node["file"]]


def _number(node: Mapping[str, Any]) -> int:
    found = json.loads(node["content"])
    if type(found) is not int or not 0 <= found < 1 << 31:
        raise ValueError("an invalid count")
    return found
