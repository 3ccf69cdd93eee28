"""Which models of an experiment are online: tags of its recorders, and one write that switches them all.

The tag ``online_status`` of each recorder says ``online`` or ``offline``, as in Qlib. Tags of several recorders cannot
be written at once, so one of the online recorders, the first, has also the tag ``online_set``: the number of the switch
and the ids of all that are online. **That tag is the truth, and writing it is the switch.** The steps of a switch:

0. Where no recorder has a set, and several writes are needed, one gets the set of those that are online now.
1. New members get ``online_status``, all but the first. Nobody takes them for online: the set does not name them.
2. The first gets ``online_set`` with the next number, and ``online_status`` with it. From now on they are online.
3. Those that are online no more become ``offline``, and the former set is emptied.

Killed between any two steps, the models online are those from before or those from after; the next switch removes what
is left over. Where no recorder has a set (Qlib wrote the tags, or the first was deleted) the tags ``online_status``
stand for themselves.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from rollwright.errors import ConfigError, ExperimentNotFoundError, NotTrainedError, OnlineError
from rollwright.online.update import PredUpdater
from rollwright.tracking.experiment import Experiment
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

__all__ = ["OnlineTool", "OnlineToolR"]

_logger: Final = logging.getLogger("rollwright.online")
_SET_KEY: Final = "online_set"


class OnlineTool(ABC):
    """Sets and tells which models are online."""

    ONLINE_KEY: ClassVar[str] = "online_status"
    ONLINE_TAG: ClassVar[str] = "online"
    OFFLINE_TAG: ClassVar[str] = "offline"

    @abstractmethod
    def set_online_tag(self, tag: str, recorder: Any) -> None:
        """Set the tag of one model or several."""

    @abstractmethod
    def get_online_tag(self, recorder: Any) -> str:
        """Return the tag of a model."""

    @abstractmethod
    def reset_online_tag(self, recorder: Any) -> None:
        """Let one model, or several, be online, and no others."""

    @abstractmethod
    def online_models(self) -> list[Any]:
        """Return the models that are online."""

    @abstractmethod
    def update_online_pred(self, to_date: Any = None) -> None:
        """Bring the predictions of the online models up to date; None is the latest session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Online:
    """The recorders that are tagged as online, and the set that says which of them are."""

    experiment: Experiment
    tagged: tuple[Recorder, ...]
    leader: Recorder | None
    number: int
    ids: tuple[str, ...]

    @property
    def members(self) -> list[Recorder]:
        return [recorder for recorder in self.tagged if recorder.id in self.ids]


class OnlineToolR(OnlineTool):
    """The models online of an experiment, kept in tags of its recorders.

    Parameters
    ----------
    default_exp_name : str, optional
        The experiment, where a method is not given another.

    Guarantees: a switch is one write, whoever is killed when; what is so already is not written; which models are
    online is one query, whose cost does not grow with those that were. Not guaranteed: that of two processes that
    switch at the same time both are told; serving keeps them apart by its ledger.
    """

    def __init__(self, default_exp_name: str | None = None) -> None:
        self.default_exp_name = default_exp_name

    def __repr__(self) -> str:
        return f"OnlineToolR({self.default_exp_name!r})"

    def set_online_tag(self, tag: str, recorder: Recorder | Sequence[Recorder]) -> None:
        """Set the tag of recorders: ``online`` adds them to those that are online, any other takes them away.

        Raises
        ------
        OnlineError
            When they are of several experiments.
        """
        given = _list_recorders(recorder)
        if not given:
            return
        experiment = _find_experiment(given)
        state = self._read(experiment)
        if tag == self.ONLINE_TAG:
            known = {one.id for one in state.members}
            self._switch(state, [*state.members, *(one for one in given if one.id not in known)])
            return
        leaving = {one.id for one in given}
        self._switch(state, [one for one in state.members if one.id not in leaving])
        for one in given:
            if one.read_again().seen_tags.get(self.ONLINE_KEY) != tag:
                one.set_tags(**{self.ONLINE_KEY: tag})

    def get_online_tag(self, recorder: Recorder) -> str:
        """Return the tag of a recorder; ``offline`` where it has none."""
        tag = recorder.list_tags().get(self.ONLINE_KEY, self.OFFLINE_TAG)
        if tag != self.ONLINE_TAG:
            return tag
        online = self._read(_find_experiment([recorder])).ids
        return self.ONLINE_TAG if recorder.id in online else self.OFFLINE_TAG

    def reset_online_tag(self, recorder: Recorder | Sequence[Recorder], exp_name: str | None = None) -> None:
        """Let these recorders of the experiment be online, and no others; none of them takes all away.

        Raises
        ------
        OnlineError
            When one belongs to another experiment: it would not be found there again.
        """
        given = _list_recorders(recorder)
        experiment = self._open(exp_name) if not given or exp_name is not None else self._open_default(given)
        if experiment is None:
            return
        for one in given:
            if one.experiment_id != experiment.id:
                raise OnlineError(
                    f"recorder {one.id} belongs to another experiment than {experiment.name!r}, whose models are "
                    "switched",
                    hint="train it there: give the trainer that experiment's name",
                )
        self._switch(self._read(experiment), given)

    def online_models(self, exp_name: str | None = None) -> list[Recorder]:
        """Return the recorders that are online, in the order of their windows.

        Raises
        ------
        ConfigError
            When no experiment is given, here or before.
        """
        experiment = self._open(exp_name)
        return [] if experiment is None else self._read(experiment).members

    def update_online_pred(self, to_date: Any = None, from_date: Any = None, exp_name: str | None = None) -> None:
        """Bring ``pred.pkl`` of the online models up to date, as `PredUpdater` does.

        One that is not trained yet, since a delayed trainer only prepared it, is left out, and the log says so.
        """
        online = self.online_models(exp_name)
        skipped = 0
        for recorder in online:
            try:
                PredUpdater(recorder, to_date=to_date, from_date=from_date).update()
            except NotTrainedError as error:
                skipped += 1
                _logger.warning("update.not_trained recorder=%s reason=%s", recorder.id, error.message)
        name = self._name(exp_name)
        _logger.info("update.all_done experiment=%r models=%d skipped=%d", name, len(online) - skipped, skipped)

    def _name(self, exp_name: str | None) -> str:
        name = exp_name if exp_name is not None else self.default_exp_name
        if name is None:
            raise ConfigError(
                "it is not said of which experiment the online models are meant",
                hint="OnlineToolR(default_exp_name=…), or exp_name=… in each call",
            )
        return name

    def _open(self, exp_name: str | None) -> Experiment | None:
        try:
            return R.get_exp(experiment_name=self._name(exp_name), create=False)
        except ExperimentNotFoundError:
            return None

    def _open_default(self, given: Sequence[Recorder]) -> Experiment:
        found = None if self.default_exp_name is None else self._open(None)
        return found if found is not None else _find_experiment(given)

    def _read(self, experiment: Experiment) -> _Online:
        """Return what is online, by one query."""
        where = f"tags.{self.ONLINE_KEY} = '{self.ONLINE_TAG}'"
        tagged = experiment.list_recorders("list", filter_string=where)
        leader, number, ids = None, 0, tuple(recorder.id for recorder in tagged)
        for recorder in tagged:
            told = _read_set(recorder)
            if told is not None and (told[0], recorder.id) > (number, "" if leader is None else leader.id):
                leader, (number, ids) = recorder, told
        return _Online(experiment=experiment, tagged=tuple(tagged), leader=leader, number=number, ids=ids)

    def _switch(self, state: _Online, wanted: Sequence[Recorder]) -> None:
        """Let `wanted` be online; the numbers are those of the steps above."""
        ids = [recorder.id for recorder in wanted]
        tagged = {recorder.id for recorder in state.tagged}
        is_same = state.leader is not None and set(state.ids) == set(ids)
        if is_same and tagged == set(ids):
            return
        leader = state.leader if is_same else wanted[0] if wanted else state.leader or next(iter(state.tagged), None)
        if leader is None:
            return
        joining = [recorder for recorder in wanted if recorder != leader and recorder.id not in tagged]
        if joining and state.leader is None:  # 0
            carrier = next(iter(state.tagged), leader)
            carrier.set_tags(**{self.ONLINE_KEY: self.ONLINE_TAG, _SET_KEY: _write_set(state.number + 1, state.ids)})
            state = self._read(state.experiment)
            tagged = {recorder.id for recorder in state.tagged}
        for recorder in joining:  # 1
            recorder.set_tags(**{self.ONLINE_KEY: self.ONLINE_TAG, _SET_KEY: ""})
        if not is_same:  # 2
            status = {} if leader.id in tagged else {self.ONLINE_KEY: self.ONLINE_TAG}
            leader.set_tags(**status, **{_SET_KEY: _write_set(state.number + 1, ids)})
        for recorder in sorted(state.tagged, key=lambda one: one == leader):  # 3; who has the set at the end
            former = {_SET_KEY: ""} if recorder.seen_tags.get(_SET_KEY) else {}
            if recorder.id not in ids:
                recorder.set_tags(
                    **{self.ONLINE_KEY: self.OFFLINE_TAG}, **({_SET_KEY: ""} if recorder == leader else former)
                )
            elif former and recorder != leader:
                recorder.set_tags(**former)
        _logger.info("models.switched online=%s former=%s", ",".join(ids), ",".join(state.ids))


def _write_set(number: int, ids: Sequence[str]) -> str:
    return json.dumps({"number": number, "recorders": list(ids)}, separators=(",", ":"))


def _read_set(recorder: Recorder) -> tuple[int, tuple[str, ...]] | None:
    text = recorder.seen_tags.get(_SET_KEY)
    if not text:
        return None
    try:
        told = json.loads(text)
        return int(told["number"]), tuple(str(one) for one in told["recorders"])
    except (ValueError, KeyError, TypeError):
        _logger.warning("models.set_damaged recorder=%s", recorder.id)
        return None


def _list_recorders(recorder: Recorder | Iterable[Recorder]) -> list[Recorder]:
    """Return one recorder or several as a list, each once."""
    given = [recorder] if isinstance(recorder, Recorder) else list(recorder)
    for one in given:
        if not isinstance(one, Recorder):
            raise ConfigError(f"{one!r} is no recorder, and so has no tags")
    return list({one.id: one for one in given}.values())


def _find_experiment(given: Sequence[Recorder]) -> Experiment:
    ids = {recorder.experiment_id for recorder in given}
    if len(ids) > 1:
        raise OnlineError(f"the recorders are of {len(ids)} experiments, and models are switched of one at a time")
    return R.get_exp(experiment_id=ids.pop(), create=False)
