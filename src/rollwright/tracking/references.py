"""An experiment as a small value that finds it again; the recorder's stands beside the recorder."""

from __future__ import annotations

from collections.abc import Mapping

from rollwright.config.context import current_settings
from rollwright.core.canonical import JSON
from rollwright.errors import ExperimentNotFoundError
from rollwright.tracking.experiment import Experiment, MLflowExperiment
from rollwright.tracking.location import Place

__all__ = ["ExperimentReference"]


class ExperimentReference:
    """An experiment as a file or a task pool stores it: where it is kept, relative to the project, and its id."""

    def to_json(self, obj: Experiment) -> dict[str, JSON]:
        """Return what identifies the experiment."""
        return {"tracking": obj.place.portable_uri(), "experiment_id": obj.id}

    def from_json(self, value: Mapping[str, JSON]) -> Experiment:
        """Return the experiment, read from the tracking store that the ambient settings lead to.

        Raises
        ------
        ExperimentNotFoundError
            When the store does not know it.
        """
        place = Place.from_portable(str(value["tracking"]), current_settings())
        wanted = str(value["experiment_id"])
        found = place.store.experiments(experiment_id=wanted)
        if not found:
            raise ExperimentNotFoundError(f"there is no experiment {wanted}")
        return MLflowExperiment(place=place, record=found[0])
