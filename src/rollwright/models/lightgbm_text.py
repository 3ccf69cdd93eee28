"""The structure of LightGBM's model text, checked before its C++ parser reads it.

The parser trusts its input: counts become allocations, a missing line of the header ends the process, a cycle among
the nodes of a tree never ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.models.boosted_file import ModelFileError, ModelFormat
from rollwright.models.state import MAX_FEATURES

__all__ = ["TEXT_FORMAT"]

_MAX_LEAVES: Final = 1 << 17  # LightGBM's own limit
_MAX_CLASSES: Final = 1 << 12
_TREE: Final = re.compile(r"Tree=(\d+)\n")
_HEADER: Final = (
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names",
    "feature_infos", "tree_sizes",
)  # fmt: skip
_MAY_BE_IN_HEADER: Final = ("average_output", "monotone_constraints")
_TREE_FIELDS: Final = (
    "num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count", "is_linear",
    "shrinkage",
)  # fmt: skip
_OF_CATEGORIES: Final = ("cat_boundaries", "cat_threshold")
_OF_LINEAR: Final = ("leaf_const", "num_features", "leaf_features", "leaf_coeff")
_OBJECTIVE: Final = re.compile(r"[a-z][a-z0-9_]*( [a-z_]+(:[0-9.eE+-]+)?)*")
_PARAMETER: Final = re.compile(r"\[[a-z0-9_]+: .*\]")
_PER_LEAF: Final = ("leaf_weight", "leaf_count")
_PER_SPLIT: Final = ("split_gain", "internal_value", "internal_weight", "internal_count")


def _check_model_text(text: str) -> int:
    """Check the structure of LightGBM's model `text` and return its number of features.

    Checked are that every part is there once, the length of every list, that numbers are finite, that every split
    reads a feature that exists, and that the children of each tree form one tree: each node has one parent, before it.
    """
    head, _, _ = text.partition("\n\n")
    if not head.startswith("tree\n"):
        raise ModelFileError("its first line is not `tree`")
    fields = _fields(head.partition("\n")[2], needed=_HEADER, allowed=_MAY_BE_IN_HEADER, where="the header")
    features = _check_header(fields)
    sizes = _integers(fields["tree_sizes"], "tree_sizes")
    if (sizes <= 0).any() or len(sizes) % int(fields["num_tree_per_iteration"]):
        raise ModelFileError("`tree_sizes` holds sizes that are not positive, or not one for each tree of a round")
    data = text.encode()
    place = len(head.encode()) + 2
    if int(sizes.sum()) > len(data) - place:
        raise ModelFileError("`tree_sizes` reach beyond the end")
    for number, size in enumerate(sizes.tolist()):
        _check_tree(data[place : place + size].decode("utf-8", errors="replace"), number, features)
        place += size
    _check_ending(data[place:].decode("utf-8", errors="replace"))
    return features


def _check_header(fields: Mapping[str, str]) -> int:
    features = _count(fields, "max_feature_idx", limit=MAX_FEATURES) + 1
    _count(fields, "num_class", limit=_MAX_CLASSES, least=1)
    _count(fields, "num_tree_per_iteration", limit=_MAX_CLASSES, least=1)
    _count(fields, "label_index", limit=MAX_FEATURES)
    if not _OBJECTIVE.fullmatch(fields["objective"]) or not re.fullmatch(r"v[234]", fields["version"]):
        raise ModelFileError("its version or its objective is none LightGBM writes")
    for name in ("feature_names", "feature_infos"):
        if len(fields[name].split()) != features:
            raise ModelFileError(f"`{name}` does not name {features} features")
    return features


def _check_ending(tail: str) -> None:
    """After the trees: the importances, which are only told, and the parameters, which LightGBM reads again."""
    if not tail.startswith("end of trees\n"):
        raise ModelFileError("the trees do not end where `tree_sizes` says")
    _, begin, rest = tail.partition("\nparameters:\n")
    lines, end, _ = rest.partition("\nend of parameters\n")
    if not begin or not end or not all(_PARAMETER.fullmatch(line) for line in lines.splitlines() if line):
        raise ModelFileError("its parameters are not what LightGBM writes")


def _check_tree(block: str, number: int, features: int) -> None:
    found = _TREE.match(block)
    if found is None or int(found.group(1)) != number:
        raise ModelFileError(f"tree {number} does not begin with `Tree={number}`")
    fields = _fields(
        block[found.end() :], needed=_TREE_FIELDS, allowed=_OF_CATEGORIES + _OF_LINEAR, where=f"tree {number}"
    )
    leaves = _count(fields, "num_leaves", limit=_MAX_LEAVES, least=1)
    _floats(fields["shrinkage"], "shrinkage")
    values = _floats(fields["leaf_value"], "leaf_value")
    if len(values) != leaves:
        raise ModelFileError(f"tree {number} has {len(values)} leaf values for {leaves} leaves")
    splits = leaves - 1
    lists = {name: fields[name] for name in ("split_feature", "decision_type", "left_child", "right_child")}
    numbers = {name: _integers(line, name) for name, line in lists.items()}
    thresholds = _floats(fields["threshold"], "threshold", infinite=True)
    if any(len(found) != splits for found in (*numbers.values(), thresholds)):
        raise ModelFileError(f"tree {number} has lists that are not of its {splits} splits")
    lengths = dict.fromkeys(_PER_LEAF, leaves) | dict.fromkeys(_PER_SPLIT, splits)
    for name, length in lengths.items():  # LightGBM leaves those of a single leaf empty
        if leaves > 1 and len(_floats(fields[name], name, infinite=True)) != length:
            raise ModelFileError(f"tree {number}: `{name}` is not of length {length}")
    if splits and ((numbers["split_feature"] < 0).any() or (numbers["split_feature"] >= features).any()):
        raise ModelFileError(f"tree {number} splits on a feature that does not exist")
    _check_shape(numbers["left_child"], numbers["right_child"], number)
    _check_linear(fields, leaves, features, number)
    _check_categories(fields, numbers["decision_type"], thresholds, number)


def _check_shape(left: NDArray[np.int64], right: NDArray[np.int64], number: int) -> None:
    """Check that every leaf, and every inner node but the first, has exactly one parent, which comes before it."""
    splits = len(left)
    if not splits:
        return
    children = np.concatenate([left, right])
    parents = np.concatenate([np.arange(splits), np.arange(splits)])
    inner = children >= 0
    wanted = np.concatenate([np.arange(-splits - 1, 0), np.arange(1, splits)])
    if not np.array_equal(np.sort(children), wanted) or (children[inner] <= parents[inner]).any():
        raise ModelFileError(f"the nodes of tree {number} form no tree")


def _check_linear(fields: Mapping[str, str], leaves: int, features: int, number: int) -> None:
    """Check the regressions in the leaves of a linear tree: a constant, and a coefficient for each of some features."""
    if fields["is_linear"] == "0":
        if any(name in fields for name in _OF_LINEAR):
            raise ModelFileError(f"tree {number} is not linear and has coefficients")
        return
    if fields["is_linear"] != "1" or any(name not in fields for name in _OF_LINEAR):
        raise ModelFileError(f"tree {number} is linear and lacks its coefficients")
    counts = _integers(fields["num_features"], "num_features")
    used = _integers(fields["leaf_features"], "leaf_features")
    coefficients = _floats(fields["leaf_coeff"], "leaf_coeff")
    fits = len(counts) == leaves == len(_floats(fields["leaf_const"], "leaf_const")) and (counts >= 0).all()
    if not fits or not int(counts.sum()) == len(used) == len(coefficients) or ((used < 0) | (used >= features)).any():
        raise ModelFileError(f"the coefficients of tree {number} do not fit its leaves")


def _check_categories(
    fields: Mapping[str, str], decisions: NDArray[np.int64], thresholds: NDArray[np.float64], number: int
) -> None:
    count = _count(fields, "num_cat", limit=_MAX_LEAVES)
    categorical = (decisions & 1).astype(bool)
    if not count:
        if categorical.any():
            raise ModelFileError(f"tree {number} decides by categories it does not have")
        return
    bounds = _integers(fields.get("cat_boundaries", ""), "cat_boundaries")
    words = _integers(fields.get("cat_threshold", ""), "cat_threshold")
    rising = len(bounds) == count + 1 and bounds[0] == 0 and (np.diff(bounds) > 0).all() and bounds[-1] == len(words)
    used = thresholds[categorical]
    if not rising or (used < 0).any() or (used >= count).any() or (used != np.floor(used)).any():
        raise ModelFileError(f"the categories of tree {number} do not fit its splits")


def _fields(block: str, *, needed: tuple[str, ...], allowed: tuple[str, ...], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition("=")
        if line and (name in found or (name not in needed and name not in allowed)):
            raise ModelFileError(f"{where} has an unknown or a second `{name[:40]}`")
        if line:
            found[name] = value
    missing = [name for name in needed if name not in found]
    if missing:
        raise ModelFileError(f"{where} has no `{missing[0]}`")
    return found


def _count(fields: Mapping[str, str], name: str, *, limit: int, least: int = 0) -> int:
    text = fields.get(name, "")
    if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= limit:
        raise ModelFileError(f"`{name}` is {text[:40]!r}, not a count between {least} and {limit}")
    return int(text)


def _integers(line: str, name: str) -> NDArray[np.int64]:
    try:
        return np.array([int(word) for word in line.split()], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise ModelFileError(f"`{name}` holds what is no integer") from error


def _floats(line: str, name: str, *, infinite: bool = False) -> NDArray[np.float64]:
    """Return the numbers of a list; a threshold or a statistic may be `infinite`, what a score is made of may not."""
    try:
        found = np.array([float(word) for word in line.split()], dtype=np.float64)
    except ValueError as error:
        raise ModelFileError(f"`{name}` holds what is no number") from error
    if np.isnan(found).any() or not (infinite or np.isfinite(found).all()):
        raise ModelFileError(f"`{name}` holds numbers that are not finite")
    return found


TEXT_FORMAT: Final = ModelFormat(
    library="LightGBM", mark="\nrollwright:", end="\n", check=_check_model_text, more_state={"loss": str}
)
