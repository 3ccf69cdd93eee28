"""Warnings on a terminal as sentences: what an event means, then its values.

A log event is `name key=value`, which programs count and filter. Who starts a command reads its meaning instead, which
is the text of docs/logging.md; ``-v`` shows the events themselves.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Final

from rollwright.core.masking import MaskingFormatter
from rollwright.core.text import escape_text

__all__ = ["MEANINGS", "RepeatFilter", "SentenceFormatter"]

REPEAT_SECONDS: Final = 60

_FIELD: Final = re.compile(r"(\w+)=((?:[^\s%]|%[^a-z%]*[a-z])+)")
_PLACE: Final = re.compile(r"%[^a-z%]*[a-z]")
_SAID_ALONE: Final = ("note", "text", "reason", "error", "hint")
"""Fields whose text needs no name before it."""
_SENTENCES: Final = ("note", "text")
"""Fields that say all there is to say, where an event has no other."""
_LONGEST: Final = 2_000

MEANINGS: Final = {
    "trials.not_registered": (
        "a result could not be added to the registry of trials; a finding of the result says so too"
    ),
    "search.storage_failed": (
        "the copy of a search for `optuna-dashboard` could not be written; the search goes on, "
        "and its own record is whole"
    ),
    "search.storage_rebuilt": (
        "the copy of a search for `optuna-dashboard` was damaged, or held other trials; "
        "it is made anew from the search's own record"
    ),
    "trials.recovered": (
        "a writer of the registry of trials died over its last record, which was never reported as written; "
        "it was cut off"
    ),
    "record.metrics_undefined": (
        "metrics that have no value: too few days, or days that are all equal; they are not logged"
    ),
    "record.label_unknown": (
        "the recorder does not tell that the label is a return over some sessions: nothing is annualised"
    ),
    "environment.damaged": "files of a stored environment are gone or have another size",
    "environment.lock_unreadable": "a kept lock is damaged: its versions are chosen anew",
    "leak.declared": "the file declares a leak, with its reason; it stands beside the results",
    "provenance.ignored": (
        "the provenance of a run names a folder that nobody here named; the present settings are compared"
    ),
    "batch.left_out": "a model of a comparison has no workflow for the dataset that was asked for, and is not compared",
    "workflow.overruled": "what `qrun` was given, the file says otherwise; the file is followed",
    "segment.purged": "`run` ended a segment earlier, so that its labels do not read prices of the next",
    "backtest.deal_price_missing": (
        "the field that is traded at has no price on some of the days that have a close, which is taken there"
    ),
    "backtest.optimizer_failed": (
        "no weights keep all limits of the optimizer: that of the turnover is dropped, or the present weights are kept"
    ),
    "backtest.risk_model_missing": "there is no risk model of the session before, so that nothing is traded",
    "backtest.factor_missing": "prices without an adjustment factor: adjusted shares are traded, without lots",
    "calendar.files_differ": "a calendar of future sessions differs from the sessions that happened, which are used",
    "fit.checkpoint_ignored": "the checkpoint of a killed fit cannot be read; learning begins anew",
    "fit.checkpoint_not_written": (
        "a fit cannot note how far it has come, and would begin anew after a kill; it goes on"
    ),
    "elastic.in_vain": ("workers that were started ended before a task did; the next ones are started after the pause"),
    "elastic.skipped": ("the engine or the store does not answer, or refuses; nothing is changed until the next look"),
    "workers.held": "the engine could not start workers and does not try again; others are started in their place",
    "workers.waiting": "no worker runs yet: the engine has them in its queue, for the reasons it gives",
    "launcher.silent": "what starts workers does not answer; the pool says what is done, and the wait goes on",
    "model.checkpoint_ignored": "a checkpoint that is damaged or of another training; learning begins anew",
    "codec.ignored": "an installed package brings a codec of a kind that exists already",
    "collect.duplicate": "two recorders have the same key; the newer one is used",
    "collect.empty": "nothing was collected: there is no such experiment, or none of its recorders counts",
    "dataset.segment_cut": "a segment ended with the day the next one begins with; the day belongs to the next",
    "features.all_nan": "expressions without any value; a warning when they were just computed",
    "features.damaged": "a file of the feature store is damaged: it is built again, or ignored",
    "features.healed": "a damaged file of the feature store was built again, and the command goes on",
    "market.holdout_sealed": (
        "sessions are sealed: what asks for them by name is refused, and what has no end is cut before them"
    ),
    "market.holdout_unrecorded": "a holdout is sealed, and that could not be written down in the project",
    "calendar.weekend_sessions": "a calendar has sessions on Saturday or Sunday",
    "data.field_missing": "a base field that the data do not have; it reads as NaN",
    "data.recent_sessions_damaged": "the file of recent sessions is damaged; the series are read instead",
    "data.recent_sessions_unused": "recent sessions could not be read from the series",
    "import.columns_left_out": "columns of text, or whose names cannot be fields, were not imported",
    "import.infinite_values": "infinite values were imported as they are",
    "import.note": "what is to know about an import",
    "model.features_without_values": "features that are NaN in all rows of a segment",
    "model.no_early_stopping": "nothing can stop early with this kind of boosting; every round is kept",
    "model.other_columns": ("a model returned several columns; the one that is measured, and those that are only kept"),
    "model.parameter_replaced": "a parameter that is not possible here was replaced",
    "model.rows_with_missing_features": "rows a linear model cannot use",
    "model.rows_without_label": "rows without a label were not used",
    "lease.not_renewed": "the leases of a worker could not be renewed; it tries again",
    "store.back": "the store answers again, so many seconds after the first call without an answer",
    "store.lost": "the store does not answer; the worker tries again for so many seconds",
    "store.not_claimed": "results were committed, and then no task could be claimed; the next round tries again",
    "store.not_listening": "the store cannot be listened to; the worker looks for work every `pool.poll` seconds",
    "task.damaged": "the definition in the database is not the one the task was put with",
    "task.lost": "a task is somebody else's now; what it returned is thrown away",
    "tasks.reaped": "tasks of workers that died, or did not renew their leases, are free again",
    "tasks.released_unknown": "tasks were claimed by a call whose answer was lost, and are given back",
    "tasks.restored": "definitions that were changed in the database were put back",
    "tasks.reset": "tasks were put into a state by hand; a warning when running ones were taken from their workers",
    "worker.memory_free": "memory is below `worker.memory_limit` again",
    "worker.memory_short": "memory is above `worker.memory_limit`",
    "worker.memory_unknown": "this system does not say what a process takes, so that `worker.task_memory` is not held",
    "worker.paused": "a worker waits, since the pool is paused",
    "worker.unfit": "a worker finds only tasks that it may not take; one that has what they need is wanted",
    "worker.unsettled": "a worker ends while the store does not answer; these tasks run again",
    "rolling.segment_cut": "a segment reaches beyond the sessions that have data, and is cut",
    "rolling.segment_shared": (
        "a segment ended with the session the next one begins with; it ends before it, in every window"
    ),
    "rolling.train_overlaps_test": "the train segment reaches into the test segment",
    "experiment.absent": "recorders were listed of an experiment that is not there",
    "artifacts.left_over": (
        "files that were replaced in a store of artifacts could not be removed there; nobody reads them"
    ),
    "files.kept_here": (
        "a tracking server names a place for files that is neither its own nor an object store; they stay here"
    ),
    "outbox.damaged": "a line of a journal cannot be read",
    "outbox.files_wait": "the files of a run could not be uploaded yet",
    "outbox.refused": "the tracking server refused a value or a run",
    "recorder.abandoned": "the process of a run died; the run is marked as failed",
    "recorder.not_ended": "a run could not be marked as failed",
    "recorder.unended": "the process ends and a run was never ended",
    "tracking.remade": (
        "an MLflow database without records was half made by a killed process: it was set aside and made anew"
    ),
    "tracking.through_mlflow": (
        "the embedded database has tables of a version of MLflow that is unknown here: they are read "
        "and written through MLflow, which is slower"
    ),
    "tracking.unreachable": "the tracking server does not answer; what is recorded waits in the outbox",
    "fit.unreadable": "a stored model that a task could use cannot be read; it is trained again",
    "comparison.not_trained": "the runs of a compared model failed before or after their tasks; the whole traceback",
    "comparison.record_unreadable": (
        "the record of a comparison is damaged: it is written anew, and what changed since is not told"
    ),
    "submitted.unreadable": (
        "the note of what a campaign submitted is damaged: windows that no longer belong to it are not set "
        "aside this time"
    ),
    "task.failed": "a task failed; with the traceback",
    "window.accepted": "a stale result of a window is kept, because `--accept-stale` was given",
    "aliases.not_mirrored": "they do not; the next routine or decision tries again",
    "delivery.differs": "a delivered file is not the one that was written; it stays as it is",
    "notify.undelivered": "a target could not be told of an entry; it and those after it wait for the next call",
    "models.set_damaged": (
        "the tag of a recorder that says which models are online cannot be read; the others' tags stand"
    ),
    "serving.late_sessions": "sessions came when a later one had been served; they will not be served",
    "serving.not_scored": "a strategy whose scores are only recorded could not score a session",
    "serving.not_trained_ahead": (
        "a window of the next session could not be trained beforehand; it is trained on its day"
    ),
    "serving.refused": "the signal of a session violates bounds and was not published",
    "serving.restated": "the history that earlier sessions were served from was rewritten from a session on",
    "strategy.nothing_online": "no model of a strategy is online, so no task follows it",
    "strategy.recorder_damaged": "a recorder of the task is there and damaged; the task is trained again",
    "update.date_cut": "an update was asked for up to a day that has no data yet; it ends with the last session",
    "update.not_trained": "a model that is online is not trained yet and was left out of the update",
    "watch.record_damaged": "the file of what was watched cannot be read, and is made anew",
    "serve.failed": (
        "a request failed for a reason nobody foresaw; the traceback follows, and the client was told nothing of it"
    ),
    "serve.unanswered": "a ledger or an artifact could not be read, and the client was told so without the reason",
    "serve.unreadable": "a ledger could not be read; its latest signal is given out for thirty seconds more, then none",
}
"""The meaning of every event that is a warning or an error, as docs/logging.md has it; a test compares."""


class SentenceFormatter(MaskingFormatter):
    """Formats warnings and errors of rollwright as sentences, and everything else as `fallback` says.

    Parameters
    ----------
    fallback : str
        The format of `logging.Formatter` for other records.
    place : str
        Where it was said, such as the name of a worker process; empty in the process that the user started.
    """

    def __init__(self, fallback: str, *, place: str = "") -> None:
        super().__init__(fallback)
        self._place = f" [{place}]" if place else ""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        """Return the sentence, or the line of `fallback`."""
        event, _, _ = str(record.msg).partition(" ")
        meaning = MEANINGS.get(event) if record.name.startswith("rollwright") else None
        if meaning is None or record.levelno < logging.WARNING:
            return super().formatMessage(record)
        alone: list[str] = []
        named: list[str] = []
        fields = list(_fields(record))
        for key, value in fields:
            (alone if key in _SAID_ALONE else named).append(value if key in _SAID_ALONE else f"{key} {value}")
        level = "error" if record.levelno >= logging.ERROR else "warning"
        if [key for key, _ in fields] in ([one] for one in _SENTENCES):
            return f"{level}{self._place}: {alone[0]}"
        said = f"{level}{self._place}: {meaning}"
        said += f" ({', '.join(named)})" if named else ""
        return f"{said}: {'; '.join(alone)}" if alone else said


class RepeatFilter(logging.Filter):
    """Lets a warning through that was not told in the same words within the last minute.

    A campaign of many members meets the same thing in each of them. What comes again later, such as a store that is
    away once more, is told again; errors always are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is told."""
        if record.levelno != logging.WARNING:
            return True
        said = f"{record.name}: {record.getMessage()}"
        self._told = {text: at for text, at in self._told.items() if record.created - at < REPEAT_SECONDS}
        if said in self._told:
            return False
        self._told[said] = record.created
        return True


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    """Yield the fields of an event with their values as text of one line."""
    arguments = iter(record.args if isinstance(record.args, tuple) else ())
    for key, template in _FIELD.findall(str(record.msg)):
        if _PLACE.search(template) is None:
            yield key, template.replace("_", " ")
            continue
        value = _PLACE.sub(lambda found: found.group() % (next(arguments),), template)
        yield key, escape_text(value, longest=_LONGEST)
