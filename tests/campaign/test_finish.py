"""What is made of the predictions is checked before the first window is trained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rollwright.campaign.config import BacktestConfig
from rollwright.campaign.results import check_finish
from rollwright.errors import ConfigError, UnknownInstrumentError

SOURCE = cast("Any", SimpleNamespace(instruments=lambda: ("SH000300", "SH600000")))


def config(**backtest: Any) -> Any:
    return SimpleNamespace(backtest=BacktestConfig(**backtest))


def test_a_benchmark_nobody_has_is_told_at_once_with_the_nearest():
    with pytest.raises(UnknownInstrumentError, match="SH00300") as caught:
        check_finish(config(benchmark="SH00300"), SOURCE)
    assert "SH000300" in (caught.value.hint or "")


def test_more_drops_than_places_are_told_at_once():
    with pytest.raises(ConfigError, match="n_drop"):
        check_finish(config(topk=10, n_drop=20), SOURCE)


def test_what_can_be_done_passes():
    check_finish(config(), SOURCE)
    check_finish(config(benchmark="SH000300"), SOURCE)
    check_finish(cast("Any", SimpleNamespace(backtest=None)), SOURCE)
