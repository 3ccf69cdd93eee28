import pytest

from rollwright.record.tracking.memory import MemoryStore
from rollwright.testing.record import TrackingStoreContract


class TestMemory(TrackingStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestMlflow(TrackingStoreContract):
    @pytest.fixture
    def store(self, mlflow_store):
        return mlflow_store
