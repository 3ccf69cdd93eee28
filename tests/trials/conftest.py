"""The registry of the tests."""

from __future__ import annotations

import pytest

from made_trials import SteppingClock
from rollwright.trials.registry import TrialRegistry


@pytest.fixture
def registry(tmp_path):
    """A registry of a project that has none yet."""
    return TrialRegistry(tmp_path / ".rollwright", clock=SteppingClock())
