"""Where stages lie beneath the folder of a signal's results; importing this costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["STAGES", "STAGE_FILE", "STAGE_FOLDERS", "StageName"]

StageName: TypeAlias = Literal["collect", "analyze", "backtest"]
STAGES: Final[tuple[StageName, ...]] = get_args(StageName)

STAGE_FILE: Final = "stage.json"
STAGE_FOLDERS: Final[Mapping[StageName, str]] = {"collect": "collect", "analyze": "analysis", "backtest": "backtest"}
