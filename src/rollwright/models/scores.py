"""What a model hands back as its prediction, checked before anything is made of it."""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.errors import ModelError

__all__ = ["check_scores"]

_logger: Final = logging.getLogger("rollwright.models")
SCORE: Final = "score"
RIGHT: Final = "`predict` returns a Series of numbers, or a frame with the column `score`, on "
INDEX: Final = "dataset.inference_index(segment)"


def check_scores(pred: Any, expected: pd.MultiIndex, *, model: object) -> pd.DataFrame:
    """Return a prediction as a frame whose first column is ``score``, on exactly the rows that were to be scored.

    A frame of one column may call it anything. Of several, the one that is called ``score`` is what is measured; the
    others stay behind it, and the log names them.

    Parameters
    ----------
    pred : object
        What the model returned.
    expected : MultiIndex
        (datetime, instrument) of the rows to be scored, in order.
    model : object
        Who returned it, for messages.

    Raises
    ------
    ModelError
        Naming the class of the model, what came and what is right: for anything that is neither Series nor frame,
        several columns of which none is ``score``, other rows, rows twice, and values that are no numbers, infinite, or
        all missing.
    """
    who = type(model).__name__
    frame = _as_frame(pred, who, rows=len(expected))
    _check_rows(frame.index, expected, who)
    frame = frame.set_axis(expected, axis=0)  # equal rows may still lack the names of the levels
    if len(frame.columns) > 1:
        others = [name for name in frame.columns if name != SCORE]
        if len(others) != len(frame.columns) - 1:
            raise ModelError(
                f"{who}.predict returned {len(frame.columns)} columns, {_list(frame.columns)}, and it cannot be told "
                "which one is to be measured",
                hint=f"return one column, or call the one that counts `{SCORE}`",
            )
        _logger.warning("model.other_columns model=%s measured=score others=%s", who, _list(others))
        frame = frame[[SCORE, *others]]
    else:
        frame = frame.set_axis([SCORE], axis=1)
    _check_values(frame[SCORE], who)
    return frame


def _as_frame(pred: Any, who: str, *, rows: int) -> pd.DataFrame:
    if isinstance(pred, pd.Series):
        return pred.to_frame(SCORE)
    if isinstance(pred, pd.DataFrame):
        if not len(pred.columns):
            raise ModelError(f"{who}.predict returned a frame without a column", hint=RIGHT + INDEX)
        return pred
    if pred is None:
        raise ModelError(f"{who}.predict returned None", hint=f"is its `return` missing? {RIGHT}{INDEX}")
    shape = getattr(pred, "shape", None)
    came = f"an array of shape {shape}" if isinstance(pred, np.ndarray) else f"{_article(type(pred).__name__)}"
    fits = isinstance(pred, np.ndarray | list) and len(np.shape(pred)) == 1 and len(pred) == rows
    hint = f"pd.Series(scores, index={INDEX})" if fits else RIGHT + INDEX
    raise ModelError(f"{who}.predict returned {came}, which does not say what rows the scores are for", hint=hint)


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _list(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _check_rows(index: pd.Index, expected: pd.MultiIndex, who: str) -> None:
    """Refuse other rows than those expected, saying in what they differ."""
    if index.equals(expected):
        return
    hint = f"return one score per row of {INDEX}, in its order: pd.Series(scores, index={INDEX})"
    if index.nlevels != expected.nlevels:
        raise ModelError(
            f"{who} scored {len(index)} rows on an index of {index.nlevels} level(s), {list(index.names)}, where "
            f"{len(expected)} rows of {list(expected.names)} were to be scored",
            hint=hint,
        )
    if list(index.names) == list(reversed(expected.names)):
        raise ModelError(
            f"the scores of {who} are indexed by {list(index.names)}, and {list(expected.names)} was to be",
            hint="scores.swaplevel().sort_index()",
        )
    if not index.is_unique:
        twice = index[index.duplicated()]
        raise ModelError(f"{who} scored {len(twice)} row(s) more than once, the first is {_row(twice[0])}", hint=hint)
    missing, unknown = expected[~expected.isin(index)], index[~index.isin(expected)]
    parts = [
        f"{len(those)} {what}, the first {_row(those[0])}"
        for those, what in ((missing, "are missing"), (unknown, "are unexpected"))
        if len(those)
    ]
    differ = "; ".join(parts) or "they are the same in another order"
    raise ModelError(f"{who} scored {len(index)} rows and {len(expected)} were to be scored: {differ}", hint=hint)


def _row(row: Any) -> str:
    return f"({', '.join(str(part).removesuffix(' 00:00:00') for part in row)})"


def _check_values(scores: pd.Series, who: str) -> None:
    if not pd.api.types.is_numeric_dtype(scores.dtype) or pd.api.types.is_complex_dtype(scores.dtype):
        shown = f", the first is {scores.iloc[0]!r}" if len(scores) else ""
        raise ModelError(
            f"the scores of {who} are of dtype {scores.dtype}, which holds no plain numbers{shown}",
            hint="convert them: scores.astype(float)",
        )
    values = scores.to_numpy(dtype=np.float64, na_value=np.nan)
    if infinite := int(np.isinf(values).sum()):
        raise ModelError(
            f"{infinite} of {len(values)} scores of {who} are infinite", hint="look for a division by zero"
        )
    if len(values) and np.isnan(values).all():
        raise ModelError(f"all {len(values)} scores of {who} are NaN", hint="is the model fitted, are its features?")
