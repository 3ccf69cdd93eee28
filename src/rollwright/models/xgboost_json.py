"""The structure of XGBoost's model JSON, checked before its C++ parser reads it.

The parser checks types and most lengths. It trusts the children of a node and the features of a split, with which a
prediction could read beyond its arrays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.models.boosted_file import ModelFileError, ModelFormat
from rollwright.models.state import MAX_FEATURES, parse_state

__all__ = ["JSON_FORMAT"]

_ROOT: Final = 2**31 - 1  # what XGBoost writes for the parent of a root
_MAX_TREES: Final = 1 << 20
_MAX_NODES: Final = 1 << 26
_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,30})?([eE][+-]?\d{1,4})?")
_NAME: Final = re.compile(r"[a-z0-9_:]{1,60}")
_PER_NODE: Final = ("base_weights", "loss_changes", "sum_hessian", "split_conditions")
_INTEGERS_PER_NODE: Final = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_type",
    "default_left",
)
_OF_CATEGORIES: Final = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_TREE: Final = frozenset((*_PER_NODE, *_INTEGERS_PER_NODE, *_OF_CATEGORIES, "id", "tree_param"))


def _check_text(text: str) -> int:
    return _check_model(parse_state(text, name="the model"))


def _check_model(model: Any) -> int:
    """Check the structure of a model and return its number of features.

    Checked are the keys of every part, the length of every list, that numbers are finite, that every split reads a
    feature that exists, and that the children of each tree form one tree.
    """
    top = _keys(model, ("learner", "version"), where="the model")
    version = _integers(top["version"], "version")
    if len(version) != 3 or not 2 <= version[0] <= 9:
        raise ModelFileError("its version is none XGBoost writes")
    learner = _keys(
        top["learner"],
        ("feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"),
        ("attributes",),
        where="the learner",
    )
    _texts(learner.get("attributes", {}), "attributes")
    features = _check_parameters(learner["learner_model_param"])
    for key in ("feature_names", "feature_types"):
        found = learner[key]
        if not isinstance(found, list) or len(found) not in (0, features) or any(type(x) is not str for x in found):
            raise ModelFileError(f"`{key}` does not name {features} features")
    _check_objective(learner["objective"])
    _check_booster(learner["gradient_booster"], features)
    return features


def _check_parameters(found: Any) -> int:
    parameters = _texts(found, "learner_model_param")
    base = parameters.get("base_score", "").removeprefix("[").removesuffix("]")
    if not _NUMBER.fullmatch(base):
        raise ModelFileError("`base_score` is no number")
    if _count(parameters, "num_class", limit=1) > 1 or _count(parameters, "num_target", limit=1, default="1") > 1:
        raise ModelFileError("it gives more than one score per sample")
    return _count(parameters, "num_feature", limit=MAX_FEATURES)


def _check_objective(found: Any) -> None:
    if not isinstance(found, dict) or not _NAME.fullmatch(str(found.get("name"))):
        raise ModelFileError("its objective has no name")
    for key, value in found.items():
        if key != "name":
            _texts(value, f"objective.{key}")


def _check_booster(found: Any, features: int) -> None:
    name = found.get("name") if isinstance(found, dict) else None
    if name == "gbtree":
        _check_trees(_keys(found, ("model", "name"), where="the booster")["model"], features)
    elif name == "dart":
        dart = _keys(found, ("gbtree", "name", "weight_drop"), where="the booster")
        inner = _keys(dart["gbtree"], ("model", "name"), where="the booster")
        if inner["name"] != "gbtree":
            raise ModelFileError("a dart booster is not made of trees")
        count = _check_trees(inner["model"], features)
        if len(_floats(dart["weight_drop"], "weight_drop")) != count:
            raise ModelFileError(f"`weight_drop` does not weigh {count} trees")
    elif name == "gblinear":
        linear = _keys(_keys(found, ("model", "name"), where="the booster")["model"], ("weights",), ("boosted_rounds",))
        if len(_floats(linear["weights"], "weights")) != features + 1:
            raise ModelFileError(f"`weights` are not of {features} features and a constant")
        _integers([linear.get("boosted_rounds", 0)], "boosted_rounds")
    else:
        raise ModelFileError("its booster is none of gbtree, dart, gblinear")


def _check_trees(found: Any, features: int) -> int:
    model = _keys(found, ("gbtree_model_param", "tree_info", "trees"), ("cats", "iteration_indptr"), where="the trees")
    parameters = _texts(model["gbtree_model_param"], "gbtree_model_param")
    trees = model["trees"]
    if not isinstance(trees, list) or _count(parameters, "num_trees", limit=_MAX_TREES) != len(trees):
        raise ModelFileError("`num_trees` does not count the trees")
    parallel = _count(parameters, "num_parallel_tree", limit=_MAX_TREES)
    if parallel and len(trees) % parallel:
        raise ModelFileError("`num_parallel_tree` does not divide the trees")
    info = _integers(model["tree_info"], "tree_info")
    if len(info) != len(trees) or info.any():
        raise ModelFileError("`tree_info` does not tell of one output per tree")
    if "iteration_indptr" in model:
        bounds = _integers(model["iteration_indptr"], "iteration_indptr")
        if not len(bounds) or bounds[0] != 0 or bounds[-1] != len(trees) or (np.diff(bounds) < 0).any():
            raise ModelFileError("`iteration_indptr` does not part the trees")
    categories = model.get("cats", {})
    if not isinstance(categories, dict) or any(value != [] for value in categories.values()):
        raise ModelFileError("it was learnt from categories, which no feature here has")
    for number, tree in enumerate(trees):
        _check_tree(tree, number, features)
    return len(trees)


def _check_tree(found: Any, number: int, features: int) -> None:
    tree = _keys(found, tuple(sorted(_TREE)), where=f"tree {number}")
    parameters = _texts(tree["tree_param"], "tree_param")
    nodes = _count(parameters, "num_nodes", limit=_MAX_NODES)
    leaf_values = _count(parameters, "size_leaf_vector", limit=1)
    if tree["id"] != number or isinstance(tree["id"], bool) or nodes < 1 or leaf_values > 1:
        raise ModelFileError(f"tree {number} is not the one it says, or has more than one value per leaf")
    if _count(parameters, "num_feature", limit=MAX_FEATURES) != features:
        raise ModelFileError(f"tree {number} knows another number of features")
    _count(parameters, "num_deleted", limit=nodes)
    if any(tree[key] != [] for key in _OF_CATEGORIES):
        raise ModelFileError(f"tree {number} decides by categories, which no feature here has")
    for key in _PER_NODE:
        if len(_floats(tree[key], key)) != nodes:
            raise ModelFileError(f"tree {number}: `{key}` is not of its {nodes} nodes")
    numbers = {key: _integers(tree[key], key) for key in _INTEGERS_PER_NODE}
    if any(len(values) != nodes for values in numbers.values()):
        raise ModelFileError(f"tree {number} has lists that are not of its {nodes} nodes")
    _check_shape(numbers, number, nodes, features)


def _check_shape(numbers: Mapping[str, NDArray[np.int64]], number: int, nodes: int, features: int) -> None:
    """Check that every node has at most one parent and the first has none: then no path is a cycle."""
    left, right, parents = numbers["left_children"], numbers["right_children"], numbers["parents"]
    inner = left != -1
    children = np.concatenate([left[inner], right[inner]])
    owners = np.concatenate([np.flatnonzero(inner), np.flatnonzero(inner)])
    if (inner != (right != -1)).any() or (children <= 0).any() or (children >= nodes).any():
        raise ModelFileError(f"the nodes of tree {number} have children that do not exist")
    if len(np.unique(children)) != len(children) or parents[0] != _ROOT or (parents[children] != owners).any():
        raise ModelFileError(f"the nodes of tree {number} form no tree")
    if (parents[1:] < 0).any() or ((parents[1:] >= nodes) & (parents[1:] != _ROOT)).any():
        raise ModelFileError(f"the nodes of tree {number} have parents that do not exist")
    splits = numbers["split_indices"]
    if (splits[inner] < 0).any() or (splits[inner] >= features).any():
        raise ModelFileError(f"tree {number} splits on a feature that does not exist")
    if numbers["split_type"].any() or not np.isin(numbers["default_left"], (0, 1)).all():
        raise ModelFileError(f"tree {number} has splits of a kind no feature here has")


def _keys(found: Any, needed: Sequence[str], allowed: Sequence[str] = (), *, where: str = "it") -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ModelFileError(f"{where} is no object")
    for key in found:
        if key not in needed and key not in allowed:
            raise ModelFileError(f"{where} has an unknown `{key[:40]}`")
    for key in needed:
        if key not in found:
            raise ModelFileError(f"{where} has no `{key}`")
    return found


def _texts(found: Any, where: str) -> dict[str, str]:
    if not isinstance(found, dict) or any(type(value) is not str or len(value) > 1 << 16 for value in found.values()):
        raise ModelFileError(f"`{where}` is not made of texts")
    return found


def _count(parameters: Mapping[str, str], name: str, *, limit: int, default: str = "") -> int:
    text = parameters.get(name, default)
    if not re.fullmatch(r"\d{1,9}", text) or int(text) > limit:
        raise ModelFileError(f"`{name}` is {text[:40]!r}, not a count up to {limit}")
    return int(text)


def _integers(found: Any, name: str) -> NDArray[np.int64]:
    if not isinstance(found, list) or not set(map(type, found)) <= {int}:
        raise ModelFileError(f"`{name}` holds what is no integer")
    try:
        return np.array(found, dtype=np.int64)
    except OverflowError as error:
        raise ModelFileError(f"`{name}` holds what is no integer") from error


def _floats(found: Any, name: str) -> NDArray[np.float64]:
    if not isinstance(found, list) or not set(map(type, found)) <= {int, float}:
        raise ModelFileError(f"`{name}` holds what is no number")
    try:
        values = np.array(found, dtype=np.float64)
    except OverflowError as error:
        raise ModelFileError(f"`{name}` holds numbers that are not finite") from error
    if not np.isfinite(values).all() or (np.abs(values) > np.finfo(np.float32).max).any():
        raise ModelFileError(f"`{name}` holds numbers that are not finite")
    return values


JSON_FORMAT: Final = ModelFormat(library="XGBoost", mark=',"rollwright":', end="}", check=_check_text)
