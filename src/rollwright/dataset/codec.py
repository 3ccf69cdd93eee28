"""How a dataset becomes a file: its configuration and what its processors learnt, no data and no code."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.config.construct import init_instance_by_config
from rollwright.core.allowance import ARTIFACT
from rollwright.core.bounded_read import MEDIUM
from rollwright.core.canonical import normalise, parse_json
from rollwright.core.json_lines import dump_lines
from rollwright.core.typed import from_typed, to_typed
from rollwright.dataset.dataset import DatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.errors import CorruptArtifactError, RollwrightError

__all__ = ["DatasetCodec"]

FORMAT: Final = 1


class DatasetCodec(Codec):
    """A dataset as JSON; reading it opens the data anew, from the current market and feature store.

    Guarantees: equal datasets give equal bytes; processors do not learn again; only classes of trusted modules are
    built. Not guaranteed: that the data are still those of the writer; `DatasetH.generation` tells.
    """

    kind = "dataset"
    suffix = ".json"

    def write(self, obj: Any, path: Path) -> None:
        """Write the dataset `obj`.

        Raises
        ------
        UnsupportedArtifactError
            When it is made from objects that exist in memory only, or a processor does not say what it learnt.
        """
        handler = obj.handler
        config = obj.describe()
        config["kwargs"]["handler"] = handler.describe()
        config["kwargs"]["segments"] = {name: list(pair) for name, pair in obj.segments.items()}
        states: list[Any] = []
        if isinstance(handler, DataHandlerLP):
            handler.fit_processors()
            states = [
                {name: _encode(value) for name, value in sorted(processor.state().items())}
                for processor in handler.get_all_processors()
            ]
        body = {"format": FORMAT, "dataset": to_typed(config), "states": states}
        path.write_text(dump_lines(normalise(body, limit=ARTIFACT), levels=2, sort_keys=True), encoding="utf-8")

    def read(self, path: Path) -> DatasetH:
        """Return the dataset in `path`.

        Raises
        ------
        CorruptArtifactError
            When the file is not what `write` makes.
        """
        try:
            body = parse_json(read_artifact(path, limit=MEDIUM).decode("utf-8"))
        except (ValueError, RollwrightError) as error:
            raise CorruptArtifactError(f"{path} is no JSON: {error}") from error
        if not isinstance(body, dict) or body.get("format") != FORMAT or not isinstance(body.get("states"), list):
            raise CorruptArtifactError(f"{path} is no dataset of format {FORMAT}")
        states = [_decode(state, path) for state in body["states"]]  # type: ignore[union-attr]  # a list, see above
        made = init_instance_by_config(from_typed(body["dataset"]), "rollwright.dataset.dataset", slot="dataset")
        if not isinstance(made, DatasetH):
            raise CorruptArtifactError(f"{path} names a {type(made).__name__}, which is no dataset")
        if isinstance(made.handler, DataHandlerLP):
            made.handler.load_states(states)
        return made


def _encode(value: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _decode(state: object, path: Path) -> dict[str, NDArray[Any]]:
    if not isinstance(state, Mapping):
        raise CorruptArtifactError(f"{path}: the state of a processor is no mapping")
    try:
        return {
            str(name): np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)
            for name, text in state.items()
        }
    except (ValueError, TypeError, EOFError) as error:
        raise CorruptArtifactError(f"{path}: the state of a processor is damaged: {error}") from error
