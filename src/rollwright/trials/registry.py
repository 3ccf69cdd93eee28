"""The registry of a project: the chains of all who work in it, read together and compared with one another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, open_regular, read_rest
from rollwright.core.canonical import JSON, parse_json
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.json_lines import dump_lines
from rollwright.errors import RollwrightError
from rollwright.trials.chain import (
    CHAIN_SUFFIX,
    WRITER,
    Chain,
    ChainRecord,
    Damage,
    Head,
    heads_from_json,
    heads_to_json,
    read_chain,
)
from rollwright.trials.chain_file import append_records
from rollwright.trials.trial import Trial, merge_trials

__all__ = ["TRIAL", "RegistryState", "TrialRegistry"]

TRIAL: Final = "trial"
_HEADS_FILE: Final = "trial-heads.json"
_MOST_CHAINS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegistryState:
    """What the registry of a project holds.

    Attributes
    ----------
    chains : tuple of Chain
        By writer.
    trials : tuple of Trial
        All that can be read, in the order they were written by the clocks of the machines; looks at one trial are
        several here.
    damage : tuple of Damage
        What was changed, taken out or cannot be read; empty in a sound registry.
    lost : int
        Records that are known to have been written and cannot be read any more. Each may have been a trial.
    """

    chains: tuple[Chain, ...]
    trials: tuple[Trial, ...]
    damage: tuple[Damage, ...]
    lost: int

    @property
    def records(self) -> tuple[ChainRecord, ...]:
        """All records, by writer."""
        return tuple(record for chain in self.chains for record in chain.records)

    @property
    def torn(self) -> int:
        """Bytes of records whose writer died, or is writing now; they were never reported as written."""
        return sum(chain.torn for chain in self.chains)

    @property
    def heads(self) -> dict[str, Head]:
        """The last record of each chain."""
        return {chain.writer: chain.head for chain in self.chains if chain.records}

    def distinct(self, data: str | None = None, *, synthetic: bool = False) -> tuple[Trial, ...]:
        """Return the distinct trials of one data set, or of all; made-up data apart."""
        return merge_trials(
            one for one in self.trials if data is None or (one.data, one.synthetic) == (data, synthetic)
        )


class TrialRegistry:
    """The registry of the project whose state folder is `state`.

    Guarantees: nothing that is in it is changed or removed by it. What is registered is on the disk when the call
    returns. Several processes and machines register at once; one and the same trial registered twice, at once or not,
    counts once.

    Not guaranteed: that nobody who may write to the folder makes up other chains, all of them anew: a digest is no
    signature. What was seen of the chains in results that were mailed tells it.

    Parameters
    ----------
    state : Path
        The project's ``.rollwright``.
    clock : Clock, optional
    """

    def __init__(self, state: Path, *, clock: Clock | None = None) -> None:
        self._state = state
        self._clock = SystemClock() if clock is None else clock
        self._parsed: dict[str, Trial] = {}  # by the digest of their records, which were read before

    @property
    def folder(self) -> Path:
        """The folder of the chains."""
        return self._state / "trials"

    def read(self) -> RegistryState:
        """Return what is registered; damage is part of the answer, and never hides what can be read.

        Raises
        ------
        OSError
            When the folder cannot be read.
        """
        first = self._read_once()
        if not first.damage:
            return first
        # Somebody may have added to a chain between the reading of two: what is not there a moment later is no damage.
        again = self._read_once()
        return replace(
            again,
            damage=tuple(one for one in again.damage if one in first.damage),
            lost=min(first.lost, again.lost),
        )

    def _read_once(self) -> RegistryState:
        known, damage = self._read_heads()  # before the chains, which only grow
        chains, problems = self._read_chains()
        damage += problems
        claims = [known, *(record.heads for chain in chains for record in chain.records)]
        expected = _merge_heads(claims)
        damage += _compare_heads(chains, claims)
        found = {chain.writer: chain for chain in chains}
        lost = sum(_count_lost(found.get(writer), number) for writer, number in expected.items())
        lost += sum(_count_lost(chain, chain.head.number) for chain in chains if chain.writer not in expected)
        trials: list[tuple[str, Trial]] = []
        for chain in chains:
            for place, (record, digest) in enumerate(zip(chain.records, chain.digests, strict=True)):
                if record.kind == TRIAL:
                    try:
                        trials.append((record.time, self._parse(record, digest)))
                    except (ValueError, OverflowError, RollwrightError) as error:
                        damage.append(Damage(f"{chain.writer}{CHAIN_SUFFIX}", place + 1, f"no trial: {error}"))
                        lost += 1
        return RegistryState(
            chains=tuple(chains),
            trials=tuple(trial for _, trial in sorted(trials, key=lambda pair: pair[0])),
            damage=tuple(dict.fromkeys(damage)),
            lost=lost,
        )

    def _parse(self, record: ChainRecord, digest: str) -> Trial:
        found = self._parsed.get(digest)
        if found is None:
            found = self._parsed[digest] = Trial.from_json(record.body)
        return found

    def register(self, trials: Sequence[Trial]) -> RegistryState:
        """Register trials that are looked at, and return what is registered then.

        A trial that is registered already is not written again, and one that is shorter than a registered one of which
        it is the beginning neither.

        Raises
        ------
        OSError
            When it cannot be written or read; a part of them may be registered.
        """
        before = self.read()
        known = {trial.identity for trial in before.trials}
        new: dict[str, Trial] = {}
        for trial in trials:
            if trial.identity not in known and not any(
                old.series.extends(trial.series) and old.is_same(trial) for old in before.trials
            ):
                new.setdefault(trial.identity, trial)
        if not new:
            return before
        self.append([(TRIAL, trial.to_json()) for trial in new.values()], state=before)
        return self.read()

    def append(
        self, records: Sequence[tuple[str, Mapping[str, JSON]]], *, state: RegistryState | None = None
    ) -> tuple[ChainRecord, ...]:
        """Add records of any kind to the chain of this machine and user, and return them.

        Parameters
        ----------
        records : sequence of (str, mapping)
            Kind and body of each.
        state : RegistryState, optional
            What was just read, not to read it again.

        Raises
        ------
        OSError
            When they cannot be written.
        """
        present = self.read() if state is None else state
        made = append_records(self.folder, records, heads=present.heads, clock=self._clock)
        last = {record.writer: Head(record.number, record.digest) for record in made[-1:]}
        self._write_heads({**present.heads, **last})
        return made

    def _read_chains(self) -> tuple[list[Chain], list[Damage]]:
        chains: list[Chain] = []
        damage: list[Damage] = []
        try:
            with os.scandir(self.folder) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return chains, damage
        most = f"not read: the folder has more than {_MOST_CHAINS:,} files"
        damage += [Damage(name[:100], 0, most) for name in names[_MOST_CHAINS:]]
        for name in names[:_MOST_CHAINS]:
            if not name.endswith(CHAIN_SUFFIX) or not WRITER.fullmatch(name.removesuffix(CHAIN_SUFFIX)):
                damage.append(Damage(name[:100], 0, "this is no chain: nothing here makes such a file"))
                continue
            try:
                chain = read_chain(self.folder / name)
            except OSError as error:
                damage.append(Damage(name, 0, f"it is not read: {error.strerror or error}"))
                continue
            chains.append(chain)
            damage += chain.damage
        return chains, damage

    def _read_heads(self) -> tuple[dict[str, Head], list[Damage]]:
        """Return the chains' last records as they were noted beside them when something was added last."""
        path = self._state / _HEADS_FILE
        try:
            with open_regular(path, follow=False) as file:
                text = read_rest(file, limit=SMALL).decode()
            return heads_from_json(parse_json(text)), []
        except FileNotFoundError:
            return {}, []
        except (OSError, ValueError, RollwrightError) as error:
            return {}, [Damage(path.name, 0, f"it cannot be read: {str(error)[:200]}")]

    def _write_heads(self, heads: Mapping[str, Head]) -> None:
        """Note the last records; without this note the chains of others still tell what is missing."""
        known, _ = self._read_heads()
        merged = {**known, **{w: h for w, h in heads.items() if w not in known or known[w].number <= h.number}}
        with suppress(OSError):
            write_text(self._state / _HEADS_FILE, dump_lines(heads_to_json(merged)), durable=False)


def _merge_heads(claims: Iterable[Mapping[str, Head]]) -> dict[str, int]:
    """Return the highest number that anybody saw of each chain."""
    highest: dict[str, int] = {}
    for claim in claims:
        for writer, head in claim.items():
            highest[writer] = max(highest.get(writer, 0), head.number)
    return highest


def _count_lost(chain: Chain | None, known: int) -> int:
    """Return how many records of a chain are missing or cannot be read, when so many are known to have been written."""
    if chain is None:
        return known
    highest = max([known, *(record.number for record in chain.records)])
    return max(0, highest - len({record.number for record in chain.records}))


def _compare_heads(chains: Sequence[Chain], claims: Iterable[Mapping[str, Head]]) -> list[Damage]:
    """Return where chains are not as others have seen them."""
    digests = {
        chain.writer: {record.number: digest for record, digest in zip(chain.records, chain.digests, strict=True)}
        for chain in chains
    }
    damage: list[Damage] = []
    for claim in claims:
        for writer, head in claim.items():
            file, held = f"{writer}{CHAIN_SUFFIX}", digests.get(writer)
            if held is None:
                damage.append(Damage(file, 0, "the file is gone: others have seen it"))
            elif head.number not in held:
                damage.append(Damage(file, 0, f"record {head.number} is gone: others have seen it"))
            elif held[head.number] != head.digest:
                damage.append(Damage(file, head.number, "others have seen another record here"))
    return list(dict.fromkeys(damage))
