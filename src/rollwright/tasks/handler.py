"""handler_mod: the dates of a task's handler follow the dates of its window."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from rollwright.calendar.trading import Session, to_session
from rollwright.codecs.described import Described
from rollwright.errors import SegmentError, UnsupportedArtifactError
from rollwright.tasks.definition import Task, dataset_kwargs, segments_of, set_dataset_kwarg

__all__ = ["end_fit_range", "handler_mod"]

_PROCESSOR_LISTS: Final = ("infer_processors", "learn_processors", "shared_processors")
_FIT_RANGE: Final = ("fit_start_time", "fit_end_time")


class _Keys(Protocol):
    """What `handler_mod` asks of its generator."""

    test_key: str
    train_key: str


def handler_mod(task: Task, rolling_gen: _Keys) -> None:
    """Make the handler of `task` reach the end of its test segment, and fit only on its train segment.

    * ``end_time`` is moved to the end of test when it lies before it; a handler without one has all there is.
    * ``fit_start_time`` and ``fit_end_time`` of the handler, and of the processors listed in it, become the ends of
      train wherever they are given, so that normalisation rolls with the window (defect G11).
    * A handler object of ours stands as its configuration afterwards, and is treated as one.
    * A dataset without a handler, and placeholders (``<dataset.kwargs.segments.train.0>``), are left as they are.

    Only `task` itself is changed; dictionaries it shares with other tasks are not.

    .. warning:: **Look-ahead.** With ``ds_extra_mod_func=None`` processors fit on the range the template names in
       every window. Where that range goes past a window's train, what is tested takes part in the fit.

    Raises
    ------
    SegmentError
        When the handler is an object, a file or a name, and is not known to reach the end of test: predictions
        would end early without a word (defect G6).
    """
    segments = segments_of(task, test_key=rolling_gen.test_key)
    test = segments[rolling_gen.test_key]
    handler = dataset_kwargs(task).get("handler")
    if handler is None:
        return
    if isinstance(handler, Described):
        with suppress(UnsupportedArtifactError):  # made of data in memory: it stays as it is, if it reaches far enough
            handler = handler.describe()
    if not isinstance(handler, Mapping):
        _check_reach(handler, test)
        return
    kwargs = dict(handler.get("kwargs") or {})
    _extend(kwargs, test[1])
    train = segments.get(rolling_gen.train_key)
    if train is not None:
        _roll_fit_range(kwargs, train)
        for name in _PROCESSOR_LISTS:
            if isinstance(kwargs.get(name), list | tuple):
                kwargs[name] = [_rolled_processor(item, train) for item in kwargs[name]]
    if handler is not dataset_kwargs(task)["handler"] or kwargs != (handler.get("kwargs") or {}):
        set_dataset_kwarg(task, "handler", {**handler, "kwargs": kwargs})


def end_fit_range(task: Task, *, written: Session, end: Session) -> None:
    """Let the fit ranges that end with a train segment, which was to end on `written`, end on `end` with it.

    Only `task` itself is changed, as with `handler_mod`; ranges that end elsewhere stay.
    """
    handler = dataset_kwargs(task).get("handler")
    if not isinstance(handler, Mapping):
        return
    kwargs = dict(handler.get("kwargs") or {})

    def moved(given: Mapping[str, Any]) -> dict[str, Any]:
        last = given.get(_FIT_RANGE[1])
        if last is None or _is_placeholder(last) or not end < to_session(last) <= written:
            return dict(given)
        return {**given, _FIT_RANGE[1]: str(end).removesuffix(" 00:00:00") if isinstance(last, str) else end}

    kwargs = moved(kwargs)
    for name in _PROCESSOR_LISTS:
        if isinstance(kwargs.get(name), list | tuple):
            kwargs[name] = [
                {**item, "kwargs": moved(item["kwargs"])}
                if isinstance(item, Mapping) and isinstance(item.get("kwargs"), Mapping)
                else item
                for item in kwargs[name]
            ]
    if kwargs != (handler.get("kwargs") or {}):
        set_dataset_kwarg(task, "handler", {**handler, "kwargs": kwargs})


def _extend(kwargs: dict[str, Any], test_end: Session | None) -> None:
    end = kwargs.get("end_time")
    if end is None or _is_placeholder(end):
        return
    if test_end is None or to_session(end) < test_end:
        kwargs["end_time"] = test_end


def _roll_fit_range(kwargs: dict[str, Any], train: tuple[Session, Session]) -> None:
    for key, value in zip(_FIT_RANGE, train, strict=True):
        if kwargs.get(key) is not None and not _is_placeholder(kwargs[key]):
            kwargs[key] = value


def _rolled_processor(processor: Any, train: tuple[Session, Session]) -> Any:
    if not isinstance(processor, Mapping) or not isinstance(processor.get("kwargs"), Mapping):
        return processor
    kwargs = dict(processor["kwargs"])
    _roll_fit_range(kwargs, train)
    return {**processor, "kwargs": kwargs}


def _check_reach(handler: object, test: tuple[Session, Session | None]) -> None:
    start, end = test
    reach: Any = getattr(handler, "end_time", _UNKNOWN)
    if reach is None or (reach is not _UNKNOWN and end is not None and to_session(reach) >= end):
        return
    known = "" if reach is _UNKNOWN else f", which ends at {reach}"
    raise SegmentError(
        start=start,
        end=end,
        reason=f"the handler is {_describe(handler)}{known}, and cannot be made to reach its end",
        hint="name the handler by class, module_path and kwargs, or pass ds_extra_mod_func=None if it does reach it",
    )


_UNKNOWN: Final = object()


def _describe(handler: object) -> str:
    return f"the text {handler!r}" if isinstance(handler, str) else f"an object of class {type(handler).__name__}"


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and value.startswith("<")
