"""Where the scores that serving made are kept, each known by the digest of its rows."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from rollwright.core.canonical import sha256_hex
from rollwright.core.text import escape_text
from rollwright.errors import ArtifactNotFoundError, CorruptArtifactError, DataError, LedgerError, RecordError
from rollwright.online.entry import take_session
from rollwright.online.state import SignalReference
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

__all__ = ["MemorySignals", "SignalStore", "Signals", "experiment_of", "take_scores"]

_SHOWN_DIGITS: Final = 16
_NOT_AS_WRITTEN: Final = "restore the recorder's folder from a backup; the digest in the ledger says what is right"


class Signals(Protocol):
    """Keeps scores by session and name."""

    def save(self, session: str, scores: Mapping[str, pd.Series]) -> dict[str, SignalReference]:
        """Keep the scores of `session` and return what finds each again."""
        ...

    def load(self, reference: SignalReference) -> pd.Series:
        """Return the scores that `reference` names."""
        ...


def experiment_of(serving: str) -> str:
    """Return the name of the experiment whose recorders hold the scores of a serving."""
    return f"{serving}-online"


def take_scores(scores: pd.Series, what: str) -> tuple[pd.Series, str]:
    """Return scores as they are kept, and the digest of their rows.

    They are float64, by instrument and sorted, and called ``score``. The digest is the SHA-256 of one line for each
    row, ``CODE<tab>VALUE<newline>`` in UTF-8, where the value is the shortest decimal that reads back as the same
    float64, as Python writes it.

    Parameters
    ----------
    scores : Series
        Indexed by instrument, in any order.
    what : str
        What they are, for errors.

    Raises
    ------
    DataError
        For an instrument that is there twice or is no text, and for a score that is no finite number.
    """
    index = scores.index
    if index.nlevels != 1 or not all(isinstance(code, str) for code in index):
        raise DataError(f"{what}: scores are indexed by the codes of instruments, not by {list(index.names)}")
    kept = scores.astype(np.float64).sort_index()
    if kept.index.has_duplicates:
        raise DataError(f"{what}: {kept.index[kept.index.duplicated()][0]} has two scores")
    wrong = kept.index[~np.isfinite(kept.to_numpy())]
    if len(wrong):
        raise DataError(f"{what}: the score of {wrong[0]} is {kept[wrong[0]]}, and so are {len(wrong)} in all")
    kept.index.name, kept.name = "instrument", "score"
    lines = [f"{code}\t{value!r}\n" for code, value in zip(kept.index, kept.to_numpy().tolist(), strict=True)]
    return kept, sha256_hex("".join(lines).encode())


class SignalStore:
    """Scores as artifacts: one recorder for each month, in the experiment ``NAME-online``.

    Parameters
    ----------
    serving : str
        Name of the serving.

    Guarantees: `save` returns when the scores are durable; the same scores of a session are kept once, under a name
    that holds their digest, so that nothing that a reference names is ever replaced by something else. `load` returns
    what was saved or fails.
    """

    def __init__(self, serving: str) -> None:
        self.serving = serving
        self.experiment = experiment_of(serving)
        self._months: dict[str, Recorder] = {}
        self._recorders: dict[str, Recorder] = {}
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"SignalStore({self.serving!r})"

    def save(self, session: str, scores: Mapping[str, pd.Series]) -> dict[str, SignalReference]:
        """Keep the scores of `session` and return what finds each again.

        Parameters
        ----------
        session : str
        scores : mapping of str to Series
            By a name, which is part of the artifact's; each is indexed by instrument.

        Raises
        ------
        DataError
            As `take_scores`; nothing is kept then.
        ArtifactStorageError
        """
        recorder = self._find_month(take_session(session, "the session of scores"))
        references: dict[str, SignalReference] = {}
        kept: dict[str, pd.Series] = {}
        artifacts: dict[str, str] = {}
        for name, given in scores.items():
            series, digest = take_scores(given, f"{name} of {session}")
            artifact = artifacts.setdefault(digest, f"{session[:10]}/{_label(session, name)}-{digest[:_SHOWN_DIGITS]}")
            kept[artifact] = series
            references[name] = SignalReference(recorder=recorder.id, artifact=artifact, sha256=digest, rows=len(series))
        missing: dict[str, Any] = {name: series for name, series in kept.items() if not _stands(recorder, name)}
        if missing:
            recorder.save_objects(**missing)
        return references

    def load(self, reference: SignalReference) -> pd.Series:
        """Return the scores that `reference` names: float64, called ``score``, sorted by instrument.

        Raises
        ------
        LedgerError
            When they are gone, or are not those that the reference names.
        """
        try:
            stored = self._find_recorder(reference.recorder).load_object(reference.artifact)
        except RecordError as error:
            if error.is_away:
                raise
            raise LedgerError(
                f"the scores {_show(reference)} are gone: {escape_text(error.message, longest=400)}",
                hint=_NOT_AS_WRITTEN,
            ) from error
        return check_scores(stored, reference)

    def _find_month(self, session: str) -> Recorder:
        month = session[:7]
        with self._mutex:
            if month not in self._months:
                experiment = R.get_exp(experiment_name=self.experiment)
                recorder = experiment.get_recorder(recorder_name=f"scores {month}")
                if recorder.status != Recorder.STATUS_FI:  # nobody is to go on with it, or take it for interrupted
                    recorder.end_run(Recorder.STATUS_FI)
                self._months[month] = self._recorders[recorder.id] = recorder
            return self._months[month]

    def _find_recorder(self, recorder_id: str) -> Recorder:
        with self._mutex:
            if recorder_id not in self._recorders:
                self._recorders[recorder_id] = R.get_recorder(recorder_id=recorder_id)
            return self._recorders[recorder_id]


class MemorySignals:
    """Scores in the memory of this process, for a simulation."""

    def __init__(self) -> None:
        self._scores: dict[str, pd.Series] = {}

    def save(self, session: str, scores: Mapping[str, pd.Series]) -> dict[str, SignalReference]:
        """Keep the scores of `session` and return what finds each again; errors as `SignalStore.save`."""
        made = {name: take_scores(given, f"{name} of {session}") for name, given in scores.items()}
        self._scores.update({f"{session}/{digest}": series for series, digest in made.values()})
        return {
            name: SignalReference(recorder="memory", artifact=f"{session}/{digest}", sha256=digest, rows=len(series))
            for name, (series, digest) in made.items()
        }

    def load(self, reference: SignalReference) -> pd.Series:
        """Return the scores that `reference` names.

        Raises
        ------
        LedgerError
            When they were made by another process, or for another simulation.
        """
        if reference.artifact not in self._scores:
            raise LedgerError(f"the scores {_show(reference)} are not of this simulation")
        return self._scores[reference.artifact].copy()


def check_scores(stored: object, reference: SignalReference) -> pd.Series:
    """Return what was stored as the scores of `reference`, when it is that.

    Raises
    ------
    LedgerError
    """
    if isinstance(stored, pd.Series):
        try:
            series, digest = take_scores(stored, reference.artifact)
        except DataError as error:
            raise LedgerError(f"{_show(reference)} holds no scores: {error.message}", hint=_NOT_AS_WRITTEN) from error
        if (digest, len(series)) == (reference.sha256, reference.rows):
            return series
    raise LedgerError(
        f"the scores {_show(reference)} are not those that the ledger names by "
        f"{escape_text(reference.sha256, longest=_SHOWN_DIGITS + 1)}",
        hint=_NOT_AS_WRITTEN,
    )


def _show(reference: SignalReference) -> str:
    return escape_text(reference.artifact, longest=100)


def _label(session: str, name: str) -> str:
    return name if len(session) == len("2024-05-17") else f"{session[11:].replace(':', '')}-{name}"


def _stands(recorder: Recorder, artifact: str) -> bool:
    """Tell whether an artifact is there, whole; one that a process was killed over, or a disk damaged, is not."""
    try:
        recorder.verify_objects(artifact)
    except (ArtifactNotFoundError, CorruptArtifactError):
        return False
    return True
