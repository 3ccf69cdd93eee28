"""Updating what a recorder holds when the market has gone on: scores of new sessions, labels that are known now."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from rollwright.analysis.records import SignalRecord
from rollwright.calendar.trading import Session, to_session
from rollwright.dataset.dataset import Dataset
from rollwright.errors import ArtifactNotFoundError, NotTrainedError, OnlineError
from rollwright.features.panel import session_range
from rollwright.market.current import current_market
from rollwright.models.base import Model
from rollwright.models.scores import check_scores
from rollwright.tracking.recorder import Recorder

__all__ = ["DSBasedUpdater", "LabelUpdater", "PredUpdater", "RMDLoader", "RecordUpdater"]

_logger: Final = logging.getLogger("rollwright.online")
_DATASET: Final = "dataset"
_MODEL: Final = "params.pkl"
_PREDICTION: Final = "pred.pkl"
_LABEL: Final = "label.pkl"
_ROWS: Final = "expected_index.pkl"


class RMDLoader:
    """Loads the model and the dataset of a recorder, to predict other sessions than it was tested on.

    Parameters
    ----------
    rec : Recorder
    """

    def __init__(self, rec: Recorder) -> None:
        self.rec = rec

    def get_dataset(
        self,
        start_time: Any,
        end_time: Any,
        segments: Mapping[str, Any] | None = None,
        unprepared_dataset: Dataset | None = None,
    ) -> Dataset:
        """Return the recorder's dataset over other sessions; what its processors learnt is what they learnt then.

        Parameters
        ----------
        start_time, end_time : date
            Of the data, history included.
        segments : mapping, optional
            ``{"test": (start_time, end_time)}`` if not given.
        unprepared_dataset : Dataset, optional
            In place of the recorder's; it is changed.

        Raises
        ------
        NotTrainedError
            When the recorder holds no dataset yet.
        ConfigError
            When it is of a class that cannot read other sessions.
        """
        dataset = self.load_dataset() if unprepared_dataset is None else unprepared_dataset
        wanted = {"test": (start_time, end_time)} if segments is None else segments
        dataset.move_to(start_time, end_time, segments=wanted)
        return dataset

    def load_dataset(self) -> Dataset:
        """Return the recorder's dataset as it was trained on.

        Raises
        ------
        NotTrainedError
            When it holds none yet.
        """
        found: Dataset = self._load(_DATASET)
        return found

    def get_model(self) -> Model:
        """Return the recorder's model.

        Raises
        ------
        NotTrainedError
            When it holds none yet.
        """
        found: Model = self._load(_MODEL)
        return found

    def _load(self, name: str) -> Any:
        try:
            return self.rec.load_object(name)
        except ArtifactNotFoundError as error:
            raise NotTrainedError(
                f"recorder {self.rec.id} has no `{name}`, so there is no model that could predict: "
                f"it is {self.rec.read_again().status}",
                recorder=self.rec.id,
                hint="a delayed trainer trains what it prepared in end_train(recorders)",
            ) from error


class RecordUpdater(ABC):
    """Brings something of one recorder up to date.

    Parameters
    ----------
    record : Recorder
    """

    def __init__(self, record: Recorder) -> None:
        self.record = record

    @abstractmethod
    def update(self, *args: Any, **kwargs: Any) -> Any:
        """Bring it up to date."""


class DSBasedUpdater(RecordUpdater):
    """Brings a table of a recorder, indexed by (datetime, instrument), up to date with its dataset.

    Guarantees: rows outside the sessions from `from_date` to `to_date` stay as they are, and those inside are replaced,
    all at once; what is so already is not written; only those sessions are read, and what they look back to.
    Not guaranteed: that another process, which updates the same table at the same time, keeps its rows; serving keeps
    two apart by its ledger.

    .. warning:: **Look-ahead.** A `from_date` before the test segment gives scores of sessions that the model learnt
       from.

    Parameters
    ----------
    record : Recorder
    to_date : date, optional
        The last session; the market's last with data if not given, or if it lies behind that, which is logged.
    from_date : date, optional
        The first session. If not given, the one after the last row that lacks no value; without such a row the first
        one of the table, and without a table the one where the recorder's test segment begins.
    hist_ref : int, optional
        Sessions before the first that have to be read too; the dataset is asked if not given.
    freq : str
        Of the market.
    fname : str
        Name of the table.
    loader_cls : type
        Loads model and dataset; called with ``rec=record``.

    Attributes
    ----------
    last_end : Session or None
        The last session before the first one to be updated; None when that is the calendar's first.
    """

    def __init__(
        self,
        record: Recorder,
        to_date: Any = None,
        from_date: Any = None,
        hist_ref: int | None = None,
        freq: str = "day",
        fname: str = _PREDICTION,
        loader_cls: type = RMDLoader,
    ) -> None:
        super().__init__(record)
        self.hist_ref = hist_ref
        self.freq = freq
        self.fname = fname
        self.rmdl: RMDLoader = loader_cls(rec=record)
        self._old: pd.DataFrame | None = None
        self._dataset: Dataset | None = None
        calendar = current_market(freq).calendar().known_part()
        self._days = calendar.to_index()
        if to_date is not None and to_session(to_date) > calendar.last:
            _logger.warning("update.date_cut table=%s to_date=%s last_session=%s", fname, to_date, calendar.last)
        stop = session_range(self._days, None, to_date).stop
        if not stop:
            calendar.at_or_before(to_date)  # raises, with the calendar's own words
        self.to_date: Session = self._days[stop - 1]
        start = self._find_start() if from_date is None else session_range(self._days, from_date, None).start
        self.last_end: Session | None = self._days[start - 1] if start else None
        self._places = range(start, stop)

    @property
    def old_data(self) -> pd.DataFrame | None:
        """The table as it is stored; None when there is none yet."""
        if self._old is None:
            try:
                found = self.record.load_object(self.fname)
            except ArtifactNotFoundError:
                return None
            self._old = found.to_frame(found.name or "score") if isinstance(found, pd.Series) else found
        return self._old

    def _find_start(self) -> int:
        """Return the place of the session after the last row that lacks no value."""
        old = self.old_data
        if old is not None and len(old):
            dates = old.index.get_level_values("datetime")
            whole = old.notna().all(axis=1).to_numpy()
            if not whole.any():
                return int(self._days.searchsorted(dates.min(), side="left"))
            return int(self._days.searchsorted(dates[whole].max(), side="right"))
        self._dataset = self.rmdl.load_dataset()
        test = self._dataset.segments.get("test")
        if test is None or test[0] is None:
            raise OnlineError(
                f"recorder {self.record.id} has no `{self.fname}`, and its dataset no begin of a segment `test`",
                hint="say where to begin: from_date",
            )
        return session_range(self._days, test[0], None).start

    def prepare_data(self, unprepared_dataset: Dataset | None = None) -> Dataset:
        """Return the dataset over the sessions to be updated, and what they look back to.

        Parameters
        ----------
        unprepared_dataset : Dataset, optional
            In place of the recorder's: several updaters may share one. It is changed.
        """
        self._refuse_nothing()
        dataset = self._dataset if unprepared_dataset is None else unprepared_dataset
        if self.hist_ref is None and dataset is None:
            dataset = self.rmdl.load_dataset()
        history = self.hist_ref if self.hist_ref is not None else 0 if dataset is None else dataset.history
        first = self._days[max(0, self._places.start - history)]
        segments = {"test": (self._days[self._places.start], self.to_date)}
        return self.rmdl.get_dataset(
            start_time=first, end_time=self.to_date, segments=segments, unprepared_dataset=dataset
        )

    def _refuse_nothing(self) -> None:
        if not self._places:
            raise OnlineError(f"`{self.fname}` of recorder {self.record.id} is as it is to be: {self.to_date} is in it")

    def update(
        self,
        dataset: Dataset | None = None,
        write: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        ret_new: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> pd.DataFrame | None:
        """Bring the table up to date.

        Parameters
        ----------
        dataset : Dataset, optional
            What `prepare_data` returned; prepared here if not given.
        write : bool
            False stores nothing.
        ret_new : bool
            Return the rows of the sessions that are new or replaced.

        Returns
        -------
        DataFrame or None
            None unless `ret_new`, and when there is no session to be updated.
        """
        if not self._places:
            _logger.info("update.latest recorder=%s table=%s last=%s", self.record.id, self.fname, self.last_end)
            return None
        if dataset is None:
            dataset = self.prepare_data()
        if not write:
            return self.get_new_data(dataset) if ret_new else None
        data = self.get_update_data(dataset)
        old = self.old_data
        if old is None or not data.equals(old):
            self.record.save_objects(**self.list_artifacts(data, dataset))
            self._old = data
        new = self._take_new(data)
        _logger.info(
            "update.done recorder=%s table=%s first=%s last=%s rows=%d",
            self.record.id, self.fname, self._days[self._places.start], self.to_date, len(new),
        )  # fmt: skip
        return new if ret_new else None

    @abstractmethod
    def get_update_data(self, dataset: Dataset) -> pd.DataFrame:
        """Return the whole table, with its rows of the sessions to be updated replaced."""

    def get_new_data(self, dataset: Dataset) -> pd.DataFrame:
        """Return the rows of the sessions to be updated."""
        return self._take_new(self.get_update_data(dataset))

    def list_artifacts(self, data: pd.DataFrame, dataset: Dataset) -> dict[str, Any]:  # noqa: ARG002 - derived classes
        """Return what is saved, at once: the table."""
        return {self.fname: data}

    def replace_range(self, new: pd.DataFrame) -> pd.DataFrame:
        """Return the table with its rows of the sessions to be updated replaced by `new`, in order.

        Raises
        ------
        OnlineError
            When the columns differ.
        """
        old = self.old_data
        if old is None:
            return new.sort_index()
        if len(old.columns) == len(new.columns) == 1:
            new = new.set_axis(old.columns, axis=1)
        if list(old.columns) != list(new.columns):
            raise OnlineError(
                f"`{self.fname}` of recorder {self.record.id} has the columns {list(old.columns)}, and the new rows "
                f"{list(new.columns)}",
                hint="make the whole table anew: from_date at the first of its sessions, after deleting it",
            )
        joined: pd.DataFrame = pd.concat([old[~self._is_inside(old)], new])
        return joined if joined.index.is_monotonic_increasing else joined.sort_index()

    def _take_new(self, data: pd.DataFrame) -> pd.DataFrame:
        new: pd.DataFrame = data[self._is_inside(data)]
        return new

    def _is_inside(self, data: pd.DataFrame) -> Any:
        dates = data.index.get_level_values("datetime")
        return (dates >= self._days[self._places.start]) & (dates <= self.to_date)


class PredUpdater(DSBasedUpdater):
    """Adds the scores of new sessions to ``pred.pkl``; it begins with the test segment where there is none yet.

    Guarantees: those of `DSBasedUpdater`; a session's scores are those that a prediction of the whole segment would
    have for it; ``expected_index.pkl``, which a collector compares with, goes on with it.
    """

    def get_update_data(self, dataset: Dataset) -> pd.DataFrame:
        """Return all scores, with those of the sessions to be updated replaced."""
        return self.replace_range(self.get_new_data(dataset))

    def get_new_data(self, dataset: Dataset) -> pd.DataFrame:
        """Return the scores of the sessions to be updated.

        Raises
        ------
        NotTrainedError
            When the recorder holds no model yet.
        ModelError
            When what the model returned is no score for exactly the rows that were to be scored.
        """
        model = self.rmdl.get_model()
        expected = dataset.inference_index("test")
        return check_scores(model.predict(dataset), expected, model=model)

    def list_artifacts(self, data: pd.DataFrame, dataset: Dataset) -> dict[str, Any]:
        """Return the scores, and the rows that are to have one."""
        expected = pd.DataFrame(index=dataset.inference_index("test"))
        if self.old_data is not None:
            try:
                before = self.record.load_object(_ROWS)
            except ArtifactNotFoundError:
                return {self.fname: data}
            expected = pd.concat([before[~self._is_inside(before)], expected]).sort_index()
        return {self.fname: data, _ROWS: expected}


class LabelUpdater(DSBasedUpdater):
    """Fills in ``label.pkl`` what has become known since: labels of a session are known some sessions later.

    .. warning:: **Look-ahead.** Labels hold returns that lie after the day they stand on. They judge scores; whatever
       makes scores must not read them.
    """

    def __init__(self, record: Recorder, to_date: Any = None, **kwargs: Any) -> None:
        super().__init__(record, to_date=to_date, fname=_LABEL, **kwargs)

    def get_update_data(self, dataset: Dataset) -> pd.DataFrame:
        """Return all labels, with those of the sessions to be updated replaced."""
        return self.replace_range(self.get_new_data(dataset))

    def get_new_data(self, dataset: Dataset) -> pd.DataFrame:
        """Return the labels of the sessions to be updated."""
        return SignalRecord.generate_label(dataset)
