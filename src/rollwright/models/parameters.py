"""Refuse parameters by which a library would open an address, or read or write a file that the parameter names.

A model's parameters come from a task of a pool or from a stored model, and are handed to its library as they are. The
libraries take much among them that has nothing to do with learning: LightGBM connects to the ``machines`` it is told,
CatBoost writes into its ``train_dir``, joblib opens pickles in the ``memory`` it is told. A model learns from its
dataset, and what is learnt is stored by its recorder, so none of these is missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rollwright.errors import ConfigError

__all__ = ["check_parameters", "check_words"]

# What a name ends with that names a file or an address, in any library and in its next version.
_ENDINGS: Final = re.compile(
    r"(?:^|_)(?:files?|file_?names?|dir|directory|folder|path|paths|uri|url|host|hosts|port|address|log|snapshot)$"
)
_NAMES: Final = frozenset((
    # LightGBM, with the other names of each
    "config", "convert_model", "data", "train", "train_data", "valid", "test", "test_data", "valid_data",
    "forced_splits", "fs", "input_model", "model_in", "model_input", "output_model", "model_out", "model_output",
    "output_result", "name_pred", "pred_name", "predict_name", "predict_result", "prediction_name",
    "prediction_result", "machine_list", "mlist", "machines", "nodes", "workers", "num_machines", "num_machine",
    "save_binary", "is_save_binary", "snapshot_freq", "save_period", "time_out",
    # XGBoost
    "extmem",
    # CatBoost
    "input_borders", "output_borders", "save_snapshot", "snapshot_interval", "detailed_profile", "fixed_binary_splits",
    # scikit-learn, by joblib
    "memory",
))  # fmt: skip
_PREFIXES: Final = ("dmlc_", "rabit_", "federated_")  # of XGBoost: how its processes find each other
_PLAIN: Final = re.compile(r"\w[\w.\-:@]*")
_SPLITS: Final = re.compile(r"[\s\x00-\x1f]")


def check_parameters(library: str, params: Mapping[str, Any]) -> None:
    """Refuse parameters that name a file or an address, unless they are None, empty or false, which has no effect.

    Parameters
    ----------
    library : str
        For the message.
    params : mapping of str to value
        Of scikit-learn also those of the estimators within, as ``steps__name``.

    Raises
    ------
    ConfigError
    """
    for name, value in params.items():
        last = name.rpartition("__")[2].lower()
        if not _PLAIN.fullmatch(name):
            raise ConfigError(f"parameter {name[:100]!r} of {library} is no name of a parameter")
        names_something = last in _NAMES or last.startswith(_PREFIXES) or _ENDINGS.search(last) is not None
        if names_something and value is not None and value is not False and value not in ("", 0):
            raise ConfigError(
                f"parameter `{name}` of {library} would make it open a file or an address",
                hint="leave it out: a model learns from its dataset, and its recorder stores it",
            )


def check_words(library: str, params: Mapping[str, Any]) -> None:
    """Refuse a text with a space or a line break, for a library that is told all parameters in one text.

    It would take what follows for a parameter of its own: ``objective: "mse output_model=…"``.

    Raises
    ------
    ConfigError
    """
    for name, value in params.items():
        for text in _texts(value):
            if _SPLITS.search(text):
                raise ConfigError(
                    f"parameter `{name}` of {library} is {text[:100]!r}, and {library} would read what follows the "
                    "space as another parameter",
                    hint="write it without spaces",
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
