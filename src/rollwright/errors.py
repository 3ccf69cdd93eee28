"""Every exception rollwright raises on purpose, in one tree.

.. code-block:: text

    RollwrightError
    ├── ConfigError
    │   ├── UnknownSettingError      (also an AttributeError; carries the nearest valid name)
    │   ├── ConstructError           (a class named by a configuration cannot be built)
    │   │   └── UntrustedModuleError (its module is not on the trust list)
    │   ├── TaskValueError           (a task definition holds a value that has no JSON form)
    │   ├── KeyringError             (the keys that sign cannot be used as they are)
    │   └── MissingExtraError        (also an ImportError)
    ├── CalendarError
    │   ├── CalendarRangeError       (also a ValueError)
    │   └── SegmentError             (also a ValueError)
    ├── DataError
    │   ├── UnknownFieldError        (also a KeyError)
    │   ├── UnknownInstrumentError   (also a KeyError)
    │   ├── SampleNotFoundError      (also an IndexError; no such window of a time series dataset)
    │   ├── CorruptFileError
    │   ├── DataNotFoundError        (nothing where the data should be)
    │   ├── StaleResultsError        (results whose inputs have changed since)
    │   ├── DataStorageError         (a disk or a folder refuses market data or features)
    │   ├── ExpressionError          (also a ValueError; carries the position)
    │   ├── HoldoutSealedError       (the project sealed these sessions, and nobody opened them)
    │   ├── LookAheadError
    │   └── NotPointInTimeError
    ├── PoolError
    │   ├── TaskNotFoundError        (also a KeyError)
    │   ├── DamagedTaskError         (a definition in the database is not the one the task was put with)
    │   ├── LeaseLostError
    │   ├── IllegalTransitionError
    │   ├── QueryError               (also a ValueError)
    │   ├── SlotsDiedError           (worker processes end before they can work)
    │   ├── WaitTimeoutError         (also a TimeoutError; tasks did not end in time)
    │   ├── StoreUnavailableError
    │   └── SchemaVersionError
    ├── RecordError
    │   ├── ExperimentNotFoundError  (also a KeyError)
    │   ├── RecorderNotFoundError    (also a KeyError)
    │   ├── ArtifactNotFoundError    (also a KeyError)
    │   ├── CorruptArtifactError
    │   ├── ProtectedArtifactError   (other tasks have it as their result; it is not replaced)
    │   ├── ArtifactTypeError        (also a TypeError; a file holds an object of another class)
    │   ├── UntrustedArtifactError
    │   ├── UnsupportedArtifactError (no codec for such an object)
    │   ├── ArtifactStorageError     (a disk or a folder refuses to keep or give an artifact)
    │   ├── NoActiveRecorderError
    │   └── TrackingUnavailableError (the tracking store does not answer)
    ├── ModelError                   (also a ValueError; a model cannot learn from its data, or scores some rows only)
    ├── CoverageError                (predictions have missing, duplicate or unexpected rows)
    ├── OnlineError                  (serving cannot do what was asked)
    │   ├── NotTrainedError          (a model is to predict before it is trained)
    │   ├── NothingTrainedError      (what a session needs could not be trained)
    │   ├── LedgerError              (an entry of a serving's ledger is damaged, or does not follow)
    │   ├── DataNotArrivedError      (the data of a session are late)
    │   ├── NotificationError        (somebody could not be told)
    │   ├── SignalNotFoundError      (also a KeyError; none was made of that session, or none published)
    │   └── SignalRefusedError       (a check before publishing is violated)
    ├── CompareError                 (a comparison cannot do what was asked)
    │   ├── RequirementsError        (a line asks for more than packages by name and version)
    │   └── EnvironmentFailedError   (an environment could not be made)
    ├── LaunchError                  (an engine that starts workers refuses, or does not answer)
    └── RunError
        └── TaskFailedError          (names every failed task)

The text of an error says what happened, with the values, and why; the ``hint`` says what to do.
``exit_code`` is what the command line returns for it: 1 failed tasks, 2 bad input, 3 something of the
environment is missing, 4 an audit failed. A result that a budget left partial is no error, and ends with 5.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

__all__ = [
    "ArtifactNotFoundError",
    "ArtifactStorageError",
    "ArtifactTypeError",
    "CalendarError",
    "CalendarRangeError",
    "CompareError",
    "ConfigError",
    "ConstructError",
    "CorruptArtifactError",
    "CorruptFileError",
    "CoverageError",
    "DamagedTaskError",
    "DataError",
    "DataNotArrivedError",
    "DataNotFoundError",
    "DataStorageError",
    "EnvironmentFailedError",
    "ExperimentNotFoundError",
    "ExpressionError",
    "HoldoutSealedError",
    "IllegalTransitionError",
    "KeyringError",
    "LaunchError",
    "LeaseLostError",
    "LedgerError",
    "LookAheadError",
    "MissingExtraError",
    "ModelError",
    "NoActiveRecorderError",
    "NotPointInTimeError",
    "NotTrainedError",
    "NothingTrainedError",
    "NotificationError",
    "OnlineError",
    "PoolError",
    "ProtectedArtifactError",
    "QueryError",
    "RecordError",
    "RecorderNotFoundError",
    "RequirementsError",
    "RollwrightError",
    "RunError",
    "SampleNotFoundError",
    "SchemaVersionError",
    "SegmentError",
    "SignalNotFoundError",
    "SignalRefusedError",
    "SlotsDiedError",
    "StaleResultsError",
    "StoreUnavailableError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskValueError",
    "TrackingUnavailableError",
    "UnknownFieldError",
    "UnknownInstrumentError",
    "UnknownSettingError",
    "UnsupportedArtifactError",
    "UntrustedArtifactError",
    "UntrustedModuleError",
    "WaitTimeoutError",
    "nearest",
]


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the known name most like `name`; None when none has this `likeness` (1 is the same name)."""
    lowered = {candidate.lower(): candidate for candidate in sorted(set(known))}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=likeness)
    return lowered[found[0]] if found else None


_ENVIRONMENT: Final = 3
_DIGITS: Final = re.compile(r"[0-9]+")


class RollwrightError(Exception):
    """Root of the tree: catching it catches every error raised on purpose.

    Attributes
    ----------
    message : str
        What happened, with the values, and why.
    hint : str or None
        What to do about it.
    """

    exit_code: ClassVar[int] = 2

    @property
    def is_away(self) -> bool:
        """Whether something of the environment does not answer or refuses: what it holds is neither gone nor damaged.

        Whoever would make something anew because of an error looks here first: what is away is waited for, or told.
        """
        return self.exit_code == _ENVIRONMENT

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Its own values, not the constructor's arguments: so an error crosses a process boundary whole.
        return _restore, (type(self), self.args, vars(self))


def _restore(cls: type[RollwrightError], args: tuple[Any, ...], values: Mapping[str, object]) -> RollwrightError:
    error = cls.__new__(cls, *args)
    for name, value in values.items():
        setattr(error, name, value)
    return error


class ConfigError(RollwrightError):
    """A configuration, a setting or an argument cannot be used as it stands."""


class UnknownSettingError(ConfigError, AttributeError):
    """A name that no setting or key has.

    It is an AttributeError too, so that `hasattr(C, name)` and `getattr(C, name, default)` answer.

    Attributes
    ----------
    name, suggestion : str, str or None
    """

    def __init__(self, name: str, known: Iterable[str], *, where: str = "settings") -> None:
        names = sorted(set(known))
        self.suggestion = nearest(name, names)
        hint = f"did you mean `{self.suggestion}`?" if self.suggestion else f"known names: {', '.join(names)}"
        super().__init__(f"unknown name `{name}` in {where}", hint=hint)
        self.name = name  # last: AttributeError forgets it

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, {**vars(self), "name": self.name})


class ConstructError(ConfigError):
    """An object named by a configuration cannot be built."""


class UntrustedModuleError(ConstructError):
    """A configuration names a module that may not be imported.

    Attributes
    ----------
    module : str
    """

    def __init__(self, module: str) -> None:
        self.module = module
        line = 'folder = "."  # the folder of the file' if module.endswith(".py") else f'modules = ["{module}"]'
        super().__init__(
            f"module `{module}` is not trusted, so nothing in it is built",
            hint="if your own file does not name it, somebody else changed the task, and it must not be trusted; "
            f"if it is yours, add it to rollwright.toml:\n[trust]\n{line}",
        )


class TaskValueError(ConfigError):
    """A task definition holds a value without a JSON form.

    Attributes
    ----------
    path : str
        Where in the definition, as ``$.model.kwargs.x``.
    """

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        self.path = path
        super().__init__(f"{path}: {reason}", hint=hint)


class KeyringError(ConfigError):
    """The keys that sign artifacts cannot be read or written, or are not this user's alone."""

    exit_code = 3


class MissingExtraError(ConfigError, ImportError):
    """An optional dependency is not installed.

    Attributes
    ----------
    package, extra : str
    """

    exit_code = 3

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"`{package}` is not installed and this needs it",
            hint=f'install it with: pip install "rollwright[{extra}]"',
        )


class CalendarError(RollwrightError):
    """A question the trading calendar cannot answer."""


class CalendarRangeError(CalendarError, ValueError):
    """A date or an offset that leaves the calendar."""


class SegmentError(CalendarError, ValueError):
    """A segment that is no closed range of sessions, or does not fit its neighbours.

    Attributes
    ----------
    start, end : object
    reason : str
    """

    def __init__(self, *, start: object, end: object, reason: str, hint: str | None = None) -> None:
        self.start = start
        self.end = end
        self.reason = reason
        super().__init__(f"segment [{start}, {end}] is no use: {reason}", hint=hint)


class DataError(RollwrightError):
    """Market data that is missing, malformed or used wrongly."""


class UnknownFieldError(DataError, KeyError):
    """A field, an operator or a column nobody has heard of."""

    __str__ = RollwrightError.__str__


class UnknownInstrumentError(DataError, KeyError):
    """An instrument or a universe nobody has heard of."""

    __str__ = RollwrightError.__str__


class SampleNotFoundError(DataError, IndexError):
    """A sample of a time series dataset that does not exist."""


class CorruptFileError(DataError):
    """A file whose bytes are not what its format demands.

    Attributes
    ----------
    path : Path
    reason : str
    """

    def __init__(self, path: Path | str, reason: str, *, hint: str | None = None) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path} is corrupt: {reason}", hint=hint)


class DataNotFoundError(DataError):
    """Nothing where the data should be.

    Attributes
    ----------
    path : Path
    """

    exit_code = 3

    def __init__(self, path: Path | str, reason: str, *, hint: str | None = None) -> None:
        self.path = Path(path)
        super().__init__(f"no data at {path}: {reason}", hint=hint)


class StaleResultsError(DataError):
    """Results that were made from files which have changed since.

    Attributes
    ----------
    path : Path
        Of the results.
    changed : tuple of str
        Names of the inputs that are others now, or gone.
    """

    exit_code = 4

    def __init__(self, path: Path | str, changed: Iterable[str], *, hint: str | None = None) -> None:
        self.path = Path(path)
        self.changed = tuple(changed)
        super().__init__(
            f"{path} is stale: {' and '.join(self.changed)} changed, or went, after it was made", hint=hint
        )


class DataStorageError(DataError):
    """A full disk, a quota, a read-only folder: market data or features cannot be written, and nothing was changed."""

    exit_code = 3


class ExpressionError(DataError, ValueError):
    """A field expression that cannot be parsed or planned.

    Attributes
    ----------
    expression : str
    position : int
        Offset of the offending character, from 0.
    """

    def __init__(self, expression: str, position: int, reason: str, *, hint: str | None = None) -> None:
        self.expression = expression
        self.position = position
        self.reason = reason
        low = max(0, position - 60)
        excerpt = expression[low : position + 60]
        super().__init__(f"{reason}\n  {excerpt}\n  {' ' * (position - low)}^", hint=hint)


class HoldoutSealedError(DataError):
    """Sessions that the project has sealed were asked for.

    Attributes
    ----------
    asked : str
        The date, or what else asked for them.
    start, end : str
        The holdout, as ``2017-01-03``; its end may be ``open``.
    origin : str
        Who sealed it.
    """

    def __init__(self, asked: str, *, start: str, end: str, origin: str) -> None:
        self.asked = asked
        self.start = start
        self.end = end
        self.origin = origin
        super().__init__(
            f"{asked} lies in the sealed holdout [{start}, {end}] (data.holdout, from {origin}): nothing from {start} "
            "on is read while it is sealed",
            hint=f"end it before {start}, or leave its end open; to look, for good and on the record: "
            "rollwright unseal --reason TEXT",
        )


class LookAheadError(DataError):
    """Something would use what was not known yet."""

    exit_code = 4


class NotPointInTimeError(DataError):
    """Data without a known-at date where point-in-time data is needed."""


class PoolError(RollwrightError):
    """A task pool cannot do what was asked."""


class TaskNotFoundError(PoolError, KeyError):
    """No such task in the pool."""

    __str__ = RollwrightError.__str__


class DamagedTaskError(PoolError):
    """The definition or the state of a task was changed in the database, or cannot be read.

    Attributes
    ----------
    pool, task_id : str
    """

    def __init__(
        self, pool: str, task_id: str, problem: str, *, part: str = "definition", hint: str | None = None
    ) -> None:
        super().__init__(f"the {part} of task {task_id} of pool `{pool}` {problem}", hint=hint)
        self.pool = pool
        self.task_id = task_id


class LeaseLostError(PoolError):
    """The lease of a task ended and somebody else may hold it now; nothing was changed.

    Attributes
    ----------
    task_id : str
    token : int
        The fencing token the caller held.
    current : int or None
        The token in the store, None when the task is gone.
    """

    def __init__(self, task_id: str, *, token: int, current: int | None, state: str = "") -> None:
        self.task_id = task_id
        self.token = token
        self.current = current
        now = f"current {current}, state {state}" if current is not None else "it no longer exists"
        super().__init__(
            f"task {task_id} is no longer yours (your token {token}, {now})",
            hint="raise `lease` above the longest gap between heartbeats, or look for a stopped worker",
        )


class IllegalTransitionError(PoolError):
    """A task cannot go from its state to the one asked for."""


class QueryError(PoolError, ValueError):
    """A query outside the pool's one query language."""


class SlotsDiedError(PoolError):
    """Worker processes end again and again before they can take a task."""

    exit_code = 3


class WaitTimeoutError(PoolError, TimeoutError):
    """Tasks that somebody waited for were not finished in time."""

    exit_code = 3


class StoreUnavailableError(PoolError):
    """The pool's store cannot be reached or written.

    Attributes
    ----------
    may_return : bool
        Whether waiting may help although the store never answered: its address can be found, and what is there does
        not answer now, or is busy.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None, may_return: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.may_return = may_return


class SchemaVersionError(PoolError):
    """The store was written by another version."""

    exit_code = 3


class RecordError(RollwrightError):
    """Experiments, recorders or artifacts cannot do what was asked."""


class ExperimentNotFoundError(RecordError, KeyError):
    """No such experiment; asking never creates one."""

    __str__ = RollwrightError.__str__


class RecorderNotFoundError(RecordError, KeyError):
    """No such recorder; asking never creates one."""

    __str__ = RollwrightError.__str__


class ArtifactNotFoundError(RecordError, KeyError):
    """The recorder has no artifact of that name."""

    __str__ = RollwrightError.__str__


class CorruptArtifactError(RecordError):
    """An artifact whose length or sha256 is not what was recorded.

    Attributes
    ----------
    gone : bool
        Whether its file is not there at all.
    """

    def __init__(self, message: str, *, hint: str | None = None, gone: bool = False) -> None:
        self.gone = gone
        super().__init__(message, hint=hint)


class ArtifactStorageError(RecordError):
    """A full disk, a quota, a read-only folder, a store of files that does not answer or refuses the credentials.

    An artifact cannot be written or read, and nothing was changed.
    """

    exit_code = 3


class ProtectedArtifactError(RecordError):
    """An artifact that other tasks have as their result, and that a further record may not replace or delete."""


class ArtifactTypeError(RecordError, TypeError):
    """A file holds an object of another class than was asked for."""


class UntrustedArtifactError(RecordError):
    """An artifact that would have to be unpickled and carries no valid signature."""


class UnsupportedArtifactError(RecordError):
    """No codec can store such an object."""


class NoActiveRecorderError(RecordError):
    """A recorder is needed and none is active."""


class TrackingUnavailableError(RecordError):
    """The tracking store cannot be reached or written."""

    exit_code = 3


class ModelError(RollwrightError, ValueError):
    """A model cannot learn from the data it was given, or its scores are no use."""


class CoverageError(RollwrightError):
    """Collected predictions have missing, duplicate or unexpected rows.

    Attributes
    ----------
    problems : tuple of str
        One line per window or day that breaks the contract.
    """

    exit_code = 4

    def __init__(self, message: str, *, problems: Sequence[str] = (), hint: str | None = None) -> None:
        self.problems = tuple(problems)
        shown = "".join(f"\n  - {line}" for line in self.problems[:20])
        more = f"\n  … and {len(self.problems) - 20} more" if len(self.problems) > 20 else ""
        super().__init__(f"{message}{shown}{more}", hint=hint)


class OnlineError(RollwrightError):
    """Serving cannot do what was asked, as it stands now."""


class NotTrainedError(OnlineError):
    """A model is to predict, and its recorder holds none yet.

    Attributes
    ----------
    recorder : str
        The recorder's id.
    """

    def __init__(self, message: str, *, recorder: str, hint: str | None = None) -> None:
        self.recorder = recorder
        super().__init__(message, hint=hint)


class NothingTrainedError(OnlineError):
    """What a session needs could not be trained; it stays open, and is gone on with when it is asked for again."""

    exit_code = 1


class LedgerError(OnlineError):
    """An entry of a serving's ledger is damaged, or does not follow from the one before."""

    exit_code = 4


class DataNotArrivedError(OnlineError):
    """The data of a session did not arrive before the deadline.

    Attributes
    ----------
    session : str
        The session that is waited for, as ``2024-05-17``; "" where the calendar does not know it yet.
    """

    exit_code = 4

    def __init__(self, message: str, *, session: str, hint: str | None = None) -> None:
        self.session = session
        super().__init__(message, hint=hint)


class NotificationError(OnlineError):
    """Somebody could not be told of what happened; it is tried again."""

    exit_code = 1


class SignalNotFoundError(OnlineError, KeyError):
    """No signal of that session, strategy or role was made, or none was published."""

    __str__ = RollwrightError.__str__


class SignalRefusedError(OnlineError):
    """A signal was made and not published: it violates a bound.

    Attributes
    ----------
    session : str
    violations : tuple of str
        One line for each bound that is violated, with the value.
    """

    exit_code = 4

    def __init__(self, message: str, *, session: str, violations: Sequence[str], hint: str | None = None) -> None:
        self.session = session
        self.violations = tuple(violations)
        shown = "".join(f"\n  - {line}" for line in self.violations)
        super().__init__(f"{message}{shown}", hint=hint)


class CompareError(RollwrightError):
    """A comparison of models cannot do what was asked."""


class RequirementsError(CompareError):
    """A line of a requirements file asks for more than packages by name and version.

    Attributes
    ----------
    path : str
    line : int
        Counted from 1.
    """

    def __init__(self, message: str, *, path: str, line: int, hint: str | None = None) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}:{line}: {message}", hint=hint)


class EnvironmentFailedError(CompareError):
    """An environment could not be made: no versions fit, or the package index does not answer.

    Attributes
    ----------
    log : str
        The file with all that the installer said, its secrets hidden; "" when it said nothing.
    """

    exit_code = _ENVIRONMENT

    def __init__(self, message: str, *, log: str = "", hint: str | None = None) -> None:
        self.log = log
        super().__init__(message, hint=hint)


class LaunchError(RollwrightError):
    """An engine that starts workers refuses what was asked of it, or does not answer."""

    exit_code = _ENVIRONMENT


class RunError(RollwrightError):
    """A run could not be brought to its end."""

    exit_code = 1


def group_failures(failures: Iterable[tuple[str, str]]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each cause once, with the names of all that failed of it: one bug usually fails every task.

    What differs in numbers alone is one cause, told as the first of its names has it. The most frequent stands first.

    Parameters
    ----------
    failures : iterable of (str, str)
        A name and the line that tells why it failed.
    """
    alike: dict[str, tuple[str, list[str]]] = {}
    for name, error in failures:
        alike.setdefault(_DIGITS.sub("#", error), (error, []))[1].append(name)
    groups = [(error, tuple(names)) for error, names in alike.values()]
    return sorted(groups, key=lambda group: -len(group[1]))


class TaskFailedError(RunError):
    """One or more tasks ended as failed.

    Attributes
    ----------
    failures : tuple of (str, str)
        Task id and the last line of its error.
    """

    def __init__(self, failures: Sequence[tuple[str, str]], *, hint: str | None = None) -> None:
        self.failures = tuple(failures)
        count = len(self.failures)
        alike = group_failures(self.failures)
        rows = "".join(
            f"\n  - task {tasks[0]}{f' and {len(tasks) - 1} more' * (len(tasks) > 1)}: {error}"
            for error, tasks in alike[:20]
        )
        more = f"\n  … and {len(alike) - 20} more errors" if len(alike) > 20 else ""
        super().__init__(f"{count} task{'s' * (count != 1)} failed{rows}{more}", hint=hint)
