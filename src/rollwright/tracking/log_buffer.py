"""The log buffer of a run: values wait to be written in one batch; one that is refused never loses another."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from rollwright.codecs.registry import JsonCodec
from rollwright.core.text import storable_text
from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.artifacts import ArtifactStore, ArtifactWrite
from rollwright.tracking.store import MetricPoint, TrackingStore, TrackingTraits, legal_key

__all__ = ["LogBuffer", "resolve_pointers"]

FOLDER: Final = "long_values"
_POINTER: Final = f"artifact:{FOLDER}/"


@dataclass(slots=True, kw_only=True)
class LogBuffer:
    """Parameters, metrics and tags of one run that wait to be written.

    Attributes
    ----------
    traits : TrackingTraits
        What the store can hold; longer texts, and texts under names it cannot hold, become JSON artifacts with a
        pointer in their place.
    params, tags, metrics
        What waits to be written.
    known : dict
        Parameters the run has already, as stored: they never change.
    """

    traits: TrackingTraits
    known: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[MetricPoint] = field(default_factory=list)
    long: dict[str, ArtifactWrite] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.params or self.tags or self.metrics or self.long)

    def add_params(self, values: Mapping[str, object]) -> list[str]:
        """Add parameters, as `add_tags` does, and return a line for each that has another value already."""
        problems: list[str] = []
        for key, value in values.items():
            name, stored = self._fit("param", storable_text(key), storable_text(str(value)), self.traits.max_param)
            if self.known.setdefault(name, stored) != stored:
                problems.append(f"parameter {key!r} is {self.known[name][:80]!r} already, not {str(value)[:80]!r}")
                continue
            self.params[name] = stored
        return problems

    def add_tags(self, values: Mapping[str, object]) -> None:
        """Add tags; what no store can hold in a name or a text is written as `storable_text` does."""
        for key, value in values.items():
            name, stored = self._fit("tag", storable_text(key), storable_text(str(value)), self.traits.max_tag)
            self.tags[name] = stored

    def add_metrics(self, values: Mapping[str, object], *, step: int, at: datetime) -> list[str]:
        """Add metrics, and return a line for each that cannot be stored."""
        problems: list[str] = []
        for key, value in values.items():
            number = _number(value)
            if not legal_key(key):
                problems.append(f"metric {key[:120]!r}: the name may hold letters, digits, spaces and _ . - : / only")
            elif number is None:
                problems.append(f"metric {key!r}: {value!r} is no number")
            elif math.isinf(number):
                problems.append(f"metric {key!r} is {number}")
            else:
                self.metrics.append(MetricPoint(key=key, value=number, step=step, at=at))
        return problems

    def forget_tags(self, keys: tuple[str, ...]) -> list[str]:
        """Drop waiting tags, and return the names under which tags `keys` are stored."""
        names = [key if legal_key(key) else _stand_in("tag", key) for key in map(storable_text, keys)]
        for name in names:
            self.tags.pop(name, None)
        return names

    def write(
        self,
        store: TrackingStore,
        run_id: str,
        files: Callable[[], ArtifactStore],
        *,
        status: str | None = None,
        end: datetime | None = None,
    ) -> None:
        """Write everything that waits: in one batch, or one by one when the batch is refused; then `status`, if given.

        Raises
        ------
        TrackingUnavailableError
            When the store does not answer; everything still waits then.
        RecordError
            Naming the values the store refused; all others are written.
        """
        if self.long:
            files().write(list(self.long.values()))
            self.long.clear()
        try:
            store.log_batch(run_id, params=self.params, metrics=self.metrics, tags=self.tags, status=status, end=end)
        except TrackingUnavailableError:
            raise
        except RecordError as error:
            problems = self._write_one_by_one(store, run_id)
            self._clear()
            if not problems:
                if status is not None:
                    store.update_run(run_id, status=status, end=end)
                return
            raise RecordError(f"the tracking store refused {len(problems)} values: {'; '.join(problems)}") from error
        self._clear()

    def _write_one_by_one(self, store: TrackingStore, run_id: str) -> list[str]:
        problems: list[str] = []
        attempts = [
            *(
                (f"parameter {key!r}", partial(store.log_batch, params={key: text}))
                for key, text in self.params.items()
            ),
            *((f"metric {item.key!r}", partial(store.log_batch, metrics=[item])) for item in self.metrics),
            *((f"tag {key!r}", partial(store.log_batch, tags={key: text})) for key, text in self.tags.items()),
        ]
        for what, attempt in attempts:
            try:
                attempt(run_id)
            except TrackingUnavailableError:
                raise
            except RecordError as error:
                problems.append(f"{what}: {error.message}")
        return problems

    def _clear(self) -> None:
        self.params.clear()
        self.tags.clear()
        self.metrics.clear()

    def _fit(self, what: str, key: str, text: str, limit: int) -> tuple[str, str]:
        """Return the key and the text to store; what the store cannot hold becomes an artifact."""
        if legal_key(key) and len(text) <= limit and not text.startswith(_POINTER):
            return key, text
        name = f"{FOLDER}/{what}-{_digest(key)}-{_digest(text)}.json"
        fill = partial(JsonCodec().write, {"name": key, "value": text})
        self.long[name] = ArtifactWrite(name=name, kind=JsonCodec.kind, suffix=JsonCodec.suffix, fill=fill)
        return key if legal_key(key) else _stand_in(what, key), f"artifact:{name}"


def resolve_pointers(stored: Mapping[str, str], files: Callable[[], ArtifactStore]) -> dict[str, str]:
    """Return stored parameters or tags with every pointer replaced by the name and the text it points to."""
    values: dict[str, str] = {}
    for key, text in stored.items():
        if text.startswith(_POINTER):
            path, _ = files().local_path(text.removeprefix("artifact:"))
            found: Any = JsonCodec().read(path)
            values[found["name"]] = found["value"]
        else:
            values[key] = text
    return values


def _number(value: object) -> float | None:
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _stand_in(what: str, key: str) -> str:
    return f"{what}-{_digest(key)}"
