"""Where stages lie beneath the folder of a signal's results; importing this costs nothing."""

from __future__ import annotations

from typing import Final

__all__ = ["STAGE_FILE", "STAGE_FOLDERS"]

STAGE_FILE: Final = "stage.json"
STAGE_FOLDERS: Final = {"collect": "collect", "analyze": "analysis", "backtest": "backtest"}
