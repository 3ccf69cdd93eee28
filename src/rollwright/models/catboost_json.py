"""CatBoost's model JSON: reduced to what a prediction needs, and checked before its C++ parser reads it.

The parser trusts the lengths of lists, the features of splits and the numbers of borders.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any, Final

from rollwright.errors import UnsupportedArtifactError
from rollwright.models.boosted_file import ModelFileError, ModelFormat
from rollwright.models.state import MAX_FEATURES, parse_state

__all__ = ["JSON_FORMAT", "bare_model"]

_MAX_DEPTH: Final = 16  # CatBoost's own limit
_MAX_BORDERS: Final = 1 << 16
_NAN: Final = ("AsIs", "AsFalse", "AsTrue")
_SPLIT: Final = {"border", "float_feature_index", "split_index", "split_type"}


def bare_model(text: str) -> str:
    """Return what a prediction needs of the JSON `text` CatBoost writes: no time, no identifier, no machine.

    Raises
    ------
    UnsupportedArtifactError
        When it is no model of float features with one score per sample.
    """
    model = json.loads(text)
    model["model_info"] = {}
    for feature in model["features_info"].get("float_features", []):
        feature.pop("feature_id", None)  # the names are kept beside the trees, whatever characters they have
    try:
        _check_model(model)
    except ModelFileError as error:
        raise UnsupportedArtifactError(f"such a CatBoost model cannot be stored: {error}") from error
    return json.dumps(model, separators=(",", ":"), sort_keys=True, allow_nan=False)


def _check_text(text: str) -> int:
    return _check_model(parse_state(text, name="the model"))


def _check_model(model: Any) -> int:
    """Check the structure of a model and return its number of features."""
    if not isinstance(model, dict) or set(model) - {"oblivious_trees", "trees"} != {
        "features_info",
        "model_info",
        "scale_and_bias",
    }:
        raise ModelFileError("its parts are not those CatBoost writes")
    if model["model_info"] != {} or ("trees" in model) == ("oblivious_trees" in model):
        raise ModelFileError("its parts are not those rollwright keeps")
    _check_scale(model["scale_and_bias"])
    borders = _check_features(model["features_info"])
    trees = model.get("trees", model.get("oblivious_trees"))
    if not isinstance(trees, list) or not trees:
        raise ModelFileError("it has no trees")
    for number, tree in enumerate(trees):
        if "trees" in model:
            _check_nodes(tree, number, borders)
        else:
            _check_oblivious(tree, number, borders)
    return len(borders)


def _check_scale(found: Any) -> None:
    if not isinstance(found, list) or len(found) != 2 or not isinstance(found[1], list) or len(found[1]) != 1:
        raise ModelFileError("it gives more than one score per sample")
    if not _finite(found[0]) or not _finite(found[1][0]):
        raise ModelFileError("`scale_and_bias` is no number")


def _check_features(found: Any) -> list[dict[tuple[float, int], None]]:
    """Return, for each feature, its borders with the numbers their splits have."""
    if not isinstance(found, dict) or set(found) != {"float_features"} or not isinstance(found["float_features"], list):
        raise ModelFileError("it was learnt from features that are no numbers")
    if len(found["float_features"]) > MAX_FEATURES:
        raise ModelFileError("it has more features than any model")
    known: list[dict[tuple[float, int], None]] = []
    offset = 0
    for place, feature in enumerate(found["float_features"]):
        wanted = {"borders", "feature_index", "flat_feature_index", "has_nans", "nan_value_treatment"}
        if not isinstance(feature, dict) or set(feature) != wanted:
            raise ModelFileError(f"feature {place} is not told as CatBoost does")
        places = (feature["feature_index"], feature["flat_feature_index"])
        if any(type(number) is not int for number in places) or places != (place, place):
            raise ModelFileError(f"feature {place} is out of place")
        if type(feature["has_nans"]) is not bool or feature["nan_value_treatment"] not in _NAN:
            raise ModelFileError(f"feature {place} does not say what a missing value means")
        borders = feature["borders"]
        if not isinstance(borders, list) or len(borders) > _MAX_BORDERS or not all(map(_finite, borders)):
            raise ModelFileError(f"feature {place} has borders that are no numbers")
        if any(low >= high for low, high in pairwise(borders)):
            raise ModelFileError(f"the borders of feature {place} do not rise")
        known.append({(float(border), offset + number): None for number, border in enumerate(borders)})
        offset += len(borders)
    return known


def _check_oblivious(tree: Any, number: int, borders: list[dict[tuple[float, int], None]]) -> None:
    if not isinstance(tree, dict) or set(tree) - {"splits", "leaf_weights"} != {"leaf_values"}:
        raise ModelFileError(f"tree {number} is not told as CatBoost does")
    splits = tree.get("splits") or []
    if not isinstance(splits, list) or len(splits) > _MAX_DEPTH:
        raise ModelFileError(f"tree {number} is deeper than {_MAX_DEPTH}")
    for split in splits:
        _check_split(split, number, borders)
    for key in ("leaf_values", "leaf_weights"):
        values = tree.get(key, tree["leaf_values"])
        if not isinstance(values, list) or len(values) != 2 ** len(splits) or not all(map(_finite, values)):
            raise ModelFileError(f"tree {number}: `{key}` are not {2 ** len(splits)} numbers")


def _check_nodes(tree: Any, number: int, borders: list[dict[tuple[float, int], None]]) -> None:
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict) or depth > 4 * _MAX_DEPTH:
            raise ModelFileError(f"tree {number} is no tree, or far too deep")
        if set(node) == {"value", "weight"}:
            if not _finite(node["value"]) or not _finite(node["weight"]):
                raise ModelFileError(f"tree {number} has a leaf that is no number")
        elif set(node) == {"left", "right", "split"}:
            _check_split(node["split"], number, borders)
            waiting += [(node["left"], depth + 1), (node["right"], depth + 1)]
        else:
            raise ModelFileError(f"tree {number} has a node that is neither leaf nor split")


def _check_split(split: Any, number: int, borders: list[dict[tuple[float, int], None]]) -> None:
    if not isinstance(split, dict) or set(split) != _SPLIT or split["split_type"] != "FloatFeature":
        raise ModelFileError(f"tree {number} has a split that is not of a number")
    feature, place = split["float_feature_index"], split["split_index"]
    if type(feature) is not int or not 0 <= feature < len(borders) or type(place) is not int:
        raise ModelFileError(f"tree {number} splits on a feature that does not exist")
    if not _finite(split["border"]) or (float(split["border"]), place) not in borders[feature]:
        raise ModelFileError(f"tree {number} splits at a border that feature {feature} has not")


def _finite(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) <= 1 << 53


JSON_FORMAT: Final = ModelFormat(library="CatBoost", mark=',"rollwright":', end="}", check=_check_text)
