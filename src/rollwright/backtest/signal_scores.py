"""The scores a strategy trades: given as they are, or made by a model of a dataset."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rollwright.errors import ConfigError

__all__ = ["refuse_nested", "resolve_scores"]


def resolve_scores(signal: Any, model: Any = None, dataset: Any = None) -> Any:
    """Return the scores: given as they are, or what a model predicts of the dataset's segment ``test``.

    Parameters
    ----------
    signal : Series, DataFrame or (model, dataset), optional
    model, dataset : optional
        Both together are another way to write the pair.

    Raises
    ------
    ConfigError
        For a signal that is neither, and for one given in both ways.
    """
    if model is not None or dataset is not None:
        if signal is not None:
            raise ConfigError("a signal and a model are given", hint="give the signal, or model and dataset")
        signal = (model, dataset)
    if isinstance(signal, tuple | list):
        if len(signal) != 2 or any(part is None for part in signal):
            raise ConfigError("a signal is made by a model and a dataset together", hint="give both of them")
        return signal[0].predict(signal[1])
    if signal is not None and not isinstance(signal, pd.Series | pd.DataFrame):
        raise ConfigError(
            f"the signal is a {type(signal).__name__}, neither scores nor a pair of a model and a dataset",
            hint="give the predictions: a Series or DataFrame with the index (datetime, instrument)",
        )
    return signal


def refuse_nested(**given: object) -> None:
    """Refuse what belongs to Qlib's nested execution, in which a strategy is called back at each bar.

    Raises
    ------
    ConfigError
        When one is given.
    """
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{name} is given, and there is no nested execution that would use it",
                hint="leave it out; the terms of trade are backtest_daily(exchange_kwargs=…)",
            )
