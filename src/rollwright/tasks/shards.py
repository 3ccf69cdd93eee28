"""Shards of a task: parts that are trained or predicted apart and settle into one result.

A definition says them beneath ``shards``:

- ``{by: seeds, count: 5}`` or ``seeds: [1, 2, 3]``: the same model with differing seeds; the score is their mean. A
  shard is the task that has the seed, and nothing else: `count` seeds follow the task's own.
- ``{by: dates, every: 3M}``: one model; the test segment is predicted in ranges of so many months.
- ``{by: instruments, count: 4}``: one model; the instruments are predicted in so many parts. With ``mode: fit`` each
  part has a model of its own, which learns from its instruments only.
- ``{by: instruments, groups: {name: [instruments]}}``: a model for each group; with ``mode: predict`` one for all.

Processors see the whole universe in every shard: what a feature or a label says does not depend on the shards. Where
one model serves all, it is trained first, in a shard of its own. All of this is pure: the definition alone decides.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast

from rollwright.core.canonical import sha256_hex
from rollwright.errors import CalendarError, ConfigError, nearest
from rollwright.tasks.definition import Task, segments_of, set_segments

__all__ = ["MAX_SHARDS", "PART", "SHARD", "SHARDS", "Shard", "Sharding", "part_of_instrument", "read_sharding"]

SHARDS: Final = "shards"
SHARD: Final = "shard"
"""The key by which a shard's definition says whose it is."""
PART: Final = "part"
"""The key by which a shard's definition says which instruments are its own."""
MAX_SHARDS: Final = 1000
"""More are taken for a mistake."""
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "seeds": ("count", "seeds"),
    "dates": ("every",),
    "instruments": ("count", "groups", "mode"),
}
_OWN_SEEDS: Final = ("seed", "random_state")
_LEAST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One shard of a task.

    Attributes
    ----------
    name : str
        What messages call it: ``seed 3``, ``group bank``, ``2016-01-04..2016-04-03``, ``part 2 of 4``, ``fit``.
    definition : dict
        Of the task that it is.
    """

    name: str
    definition: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """The shards of one task.

    Attributes
    ----------
    by : {"seeds", "dates", "instruments"}
    fits_each : bool
        Whether each shard has a model of its own; else one is trained first, and the shards predict with it.
    shards : tuple of (str, dict)
        For each the name, and what of the task's definition it changes.
    """

    by: Literal["seeds", "dates", "instruments"]
    fits_each: bool
    shards: tuple[tuple[str, Mapping[str, Any]], ...]

    @property
    def count(self) -> int:
        """How many tasks there are beside the one that joins them."""
        return len(self.shards) + (not self.fits_each)

    def identify(self) -> dict[str, Any]:
        """Return what is the same for two spellings of the same shards."""
        return {"by": self.by, "separate_models": self.fits_each, SHARDS: [dict(change) for _, change in self.shards]}

    def stages(self, definition: Mapping[str, Any], *, fingerprint: str) -> tuple[tuple[Shard, ...], ...]:
        """Return the shards of the task `definition`; those of a stage are made when the stages before it are done.

        Parameters
        ----------
        definition : mapping
            What this was read from; it is not changed.
        fingerprint : str
            Its identity, by which its shards name it.
        """
        base = {key: value for key, value in definition.items() if key not in (SHARDS, "record")}
        records = [{"class": "ShardRecord", "kwargs": {}}]
        parts = tuple(
            Shard(name=name, definition=_change({**base, "record": records, SHARD: _mark(fingerprint, name)}, change))
            for name, change in self.shards
        )
        if self.fits_each:
            return (parts,)
        fit = Shard(name="fit", definition={**base, "record": [], SHARD: _mark(fingerprint, "fit")})
        return ((fit,), parts)


def read_sharding(definition: Mapping[str, Any]) -> Sharding | None:
    """Return the shards that a task's definition asks for; None when it asks for none, or is no task to be learnt.

    Raises
    ------
    ConfigError
        When what it asks for cannot be, naming what.
    """
    if definition.get(SHARDS) is None or "model" not in definition or "dataset" not in definition:
        return None
    return _Reader.of(definition).read()


def part_of_instrument(instrument: str, count: int) -> int:
    """Return which of `count` parts an instrument belongs to, from 0: by its name alone, so that no other moves it."""
    return int(sha256_hex(instrument.encode())[:12], 16) % count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    definition: Mapping[str, Any]
    given: Mapping[str, Any]
    by: str

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> Self:
        given = definition[SHARDS]
        if not isinstance(given, Mapping) or given.get("by") not in _KEYS:
            by = given.get("by") if isinstance(given, Mapping) else given
            near = nearest(by, _KEYS) if isinstance(by, str) else None
            raise ConfigError(
                f"`shards` cannot be made by {by!r}",
                hint=f"did you mean `{near}`?" if near else "write by: seeds, by: dates or by: instruments",
            )
        by = str(given["by"])
        for key in given:
            if key not in ("by", *_KEYS[by]):
                raise ConfigError(f"`shards` by {by} have no `{key}`", hint=f"they have {', '.join(_KEYS[by])}")
        return cls(definition=definition, given=given, by=by)

    def read(self) -> Sharding:
        if self.by == "seeds":
            return Sharding(by="seeds", fits_each=True, shards=self._seeds())
        if self.by == "dates":
            return Sharding(by="dates", fits_each=False, shards=self._dates())
        return Sharding(by="instruments", fits_each=self._mode() == "fit", shards=self._instruments())

    def _seeds(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        if (self.given.get("count") is None) == (self.given.get("seeds") is None):
            raise ConfigError("`shards` by seeds have either `count` or `seeds`", hint="write count: 5")
        if self.given.get("seeds") is not None:
            listed = self.given["seeds"]
            seeds = [_whole("seeds", value, least=0) for value in listed] if isinstance(listed, list | tuple) else []
            if not _LEAST <= len(seeds) <= MAX_SHARDS or len(set(seeds)) < len(seeds):
                raise ConfigError(f"`shards.seeds` = {listed!r} are not 2 to {MAX_SHARDS:,} differing seeds")
        else:
            first = _whole("seed", self.definition.get("seed") or 0, least=0)
            seeds = [*range(first, first + self._count())]
        model = self.definition["model"]
        kwargs = (model.get("kwargs") or {}) if isinstance(model, Mapping) else {}
        own = next((name for name in _OWN_SEEDS if kwargs.get(name) is not None), None)
        if own is not None:
            raise ConfigError(
                f"the model has `{own}: {kwargs[own]}` of its own, so that all shards by seeds would learn the same",
                hint=f"leave `{own}` out of the model: each shard gives it one",
            )
        return tuple((f"seed {seed}", {"seed": seed}) for seed in seeds)

    def _dates(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        from rollwright.calendar.date_ranges import cut_range, read_months  # noqa: PLC0415 - who looks into a pool needs no pandas

        start, end = segments_of(self.definition, test_key="test")["test"]
        if start is None or end is None:
            raise ConfigError(
                "`shards` by dates need a test segment with both ends", hint="give it an end, or set clip_last: true"
            )
        try:
            ranges = cut_range(start, end, months=read_months(self.given.get("every")))
        except CalendarError as error:
            raise ConfigError(f"`shards.every`: {error.message}", hint=error.hint) from error
        if len(ranges) > MAX_SHARDS:
            raise ConfigError(f"`shards.every` makes {len(ranges):,} shards of one task; {MAX_SHARDS:,} are the most")
        return tuple(
            (f"{first:%Y-%m-%d}..{last:%Y-%m-%d}", {"test": [f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"]})
            for first, last in ranges
        )

    def _instruments(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        if (self.given.get("count") is None) == (self.given.get("groups") is None):
            raise ConfigError("`shards` by instruments have either `count` or `groups`", hint="write count: 4")
        mode = self._mode()
        if self.given.get("count") is not None:
            count = self._count()
            return tuple(
                (f"part {number + 1} of {count}", {PART: {"number": number, "count": count, "mode": mode}})
                for number in range(count)
            )
        groups = _groups(self.given["groups"])
        return tuple((f"group {name}", {PART: {"group": name, "groups": groups, "mode": mode}}) for name in groups)

    def _mode(self) -> str:
        mode = self.given.get("mode")
        if mode is None:
            return "predict" if self.given.get("groups") is None else "fit"
        if mode not in ("fit", "predict"):
            raise ConfigError(f"`shards.mode` = {mode!r} is none", hint="write mode: fit or mode: predict")
        return str(mode)

    def _count(self) -> int:
        count = _whole("count", self.given["count"], least=_LEAST)
        if count > MAX_SHARDS:
            raise ConfigError(f"`shards.count` = {count:,}; {MAX_SHARDS:,} shards of one task are the most")
        return count


def _whole(name: str, value: Any, *, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ConfigError(f"`shards.{name}`: {value!r} is no whole number") from error
    if isinstance(value, bool) or number < least:
        raise ConfigError(f"`shards.{name}`: {value!r} is no whole number from {least}")
    return number


def _groups(given: Any) -> dict[str, list[str]]:
    """Return the groups in the order of their names, each with its instruments in order."""
    is_mapping = isinstance(given, Mapping) and _LEAST <= len(given) <= MAX_SHARDS
    lists = [*given.values()] if is_mapping else []
    if not lists or not all(isinstance(one, Sequence) and not isinstance(one, str) and one for one in lists):
        raise ConfigError(
            f"`shards.groups` are no 2 to {MAX_SHARDS:,} groups of instruments",
            hint="write groups: {bank: [SH600000, SH600036], energy: [SH601857]}",
        )
    groups = {str(name): sorted(str(one) for one in given[name]) for name in sorted(given, key=str)}
    seen: dict[str, str] = {}
    for name, instruments in groups.items():
        for instrument in instruments:
            if instrument in seen:
                raise ConfigError(f"{instrument} stands in `shards.groups` twice: in {seen[instrument]} and in {name}")
            seen[instrument] = name
    return groups


def _mark(fingerprint: str, name: str) -> dict[str, Any]:
    return {"of": fingerprint, "name": name}


def _change(definition: Task, change: Mapping[str, Any]) -> Task:
    for key, value in change.items():
        if key == "test":
            segments = cast("dict[str, Any]", segments_of(definition, test_key="test"))
            set_segments(definition, {**segments, "test": tuple(value)})
        else:
            definition[key] = value
    return definition
