"""The labels of sessions that were served, by the dataset of a model that serves."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rollwright.analysis.panel import take_column
from rollwright.analysis.records import SignalRecord
from rollwright.calendar.trading import to_session
from rollwright.errors import OnlineError
from rollwright.online.update import RMDLoader
from rollwright.tracking.recorder import Recorder

__all__ = ["KnownLabels", "read_known_labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLabels:
    """Labels as the data have them now.

    Attributes
    ----------
    values : Series
        By datetime and instrument; NaN where the data do not know it yet.
    span : int
        Sessions of future that a label reads.
    """

    values: pd.Series
    span: int


def read_known_labels(recorder: Recorder, first: str, last: str) -> KnownLabels:
    """Return the labels of the sessions from `first` to `last`, made by the dataset of a recorder's model.

    .. warning:: **Look-ahead.** Labels hold returns that lie after the day they stand on. They judge scores; whatever
       makes scores must not read them.

    Raises
    ------
    OnlineError
        When the dataset cannot tell how far its label reads.
    """
    begin, end = to_session(first), to_session(last)
    dataset = RMDLoader(recorder).get_dataset(begin, end)
    reach = dataset.label_reach
    if reach is None:
        raise OnlineError(
            f"the dataset of recorder {recorder.id} cannot tell how many sessions ahead its label reads",
            hint="compare the signals by hand, and promote with --override --reason TEXT",
        )
    return KnownLabels(values=take_column(SignalRecord.generate_label(dataset), what="label"), span=max(1, reach.span))
