"""Seeds of a comparison: those that a file gives are taken out, and each run gets its own."""

from __future__ import annotations

import re
from typing import Any, Final

from rollwright.campaign.config import CampaignConfig

__all__ = ["strip_seeds", "with_seed"]

_SEED: Final = re.compile(r"(?:.*_)?seed|random_state", re.IGNORECASE)


def strip_seeds(value: Any) -> Any:
    """Return a configuration without its seeds, at every depth; what is given is not changed.

    A seed is a key ``seed``, ``random_state`` or one that ends with ``_seed``, with a whole number or nothing as its
    value. Keys of threads, and texts and lists under such a name, stay.
    """
    if isinstance(value, dict):
        return {key: strip_seeds(item) for key, item in value.items() if not _is_seed(key, item)}
    if isinstance(value, list | tuple):
        return [strip_seeds(item) for item in value]
    return value


def _is_seed(key: object, value: object) -> bool:
    is_number = value is None or (isinstance(value, int) and not isinstance(value, bool))
    return isinstance(key, str) and is_number and _SEED.fullmatch(key) is not None


def with_seed(config: CampaignConfig, run: int) -> CampaignConfig:
    """Return the configuration of one run: the model's own seeds gone, and `run` as the seed of the file.

    Every task then draws its seed from it, its model and its segments (decision D18), so that run 2 of a model is the
    same whenever it is made, and `rollwright roll` gives the same with ``seed=2``.

    Parameters
    ----------
    config : CampaignConfig
    run : int
        Counted from 1.
    """
    model = config.task.model
    stripped = model.model_copy(update={"kwargs": strip_seeds(model.kwargs)})
    return config.model_copy(update={"seed": run, "task": config.task.model_copy(update={"model": stripped})})
