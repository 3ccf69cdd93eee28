"""The recorders of the models that serve, each looked up once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rollwright.errors import RecordError
from rollwright.online.state import OnlineModel
from rollwright.tasks.universe import name_universe
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

__all__ = ["ModelRecorders"]

_TASK: Final = "task"


class ModelRecorders:
    """Finds the recorders of models by their ids, and what their tasks study."""

    def __init__(self) -> None:
        self._found: dict[str, Recorder] = {}
        self._universes: dict[str, str | None] = {}

    def find(self, model: OnlineModel) -> Recorder:
        """Return the recorder of a model.

        Raises
        ------
        RecorderNotFoundError
            When it was deleted.
        """
        if model.recorder not in self._found:
            self._found[model.recorder] = R.get_recorder(recorder_id=model.recorder, experiment_name=model.experiment)
        return self._found[model.recorder]

    def keep(self, recorders: Mapping[str, Recorder]) -> None:
        """Remember recorders that are at hand."""
        self._found.update(recorders)

    def list_universes(self, models: Iterable[OnlineModel]) -> list[str]:
        """Return the names of the universes that the models study, sorted; lists of instruments have none."""
        found = {self._find_universe(model) for model in models}
        return sorted(name for name in found if name is not None)

    def _find_universe(self, model: OnlineModel) -> str | None:
        if model.recorder not in self._universes:
            try:
                task = self.find(model).load_object(_TASK)
            except RecordError as error:
                if error.is_away:
                    raise
                task = None
            self._universes[model.recorder] = name_universe(task) if isinstance(task, dict) else None
        return self._universes[model.recorder]
