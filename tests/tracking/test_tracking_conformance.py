import pytest

from rollwright.testing.record import TrackingStoreContract
from rollwright.tracking.outbox.store import OutboxStore
from rollwright.tracking.stores.memory import MemoryTrackingStore
from rollwright.tracking.stores.opening import open_tracking
from tracking_server import TrackingServer


class TestMemory(TrackingStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryTrackingStore()


class TestMlflow(TrackingStoreContract):
    @pytest.fixture
    def store(self, mlflow_store):
        return mlflow_store


class TestEmbedded(TrackingStoreContract):
    """MLflow's database, without MLflow."""

    @pytest.fixture
    def store(self, embedded_store):
        return embedded_store


class TestOutbox(TrackingStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return OutboxStore(
            MemoryTrackingStore(), folder=tmp_path / "outbox", artifacts=tmp_path / "artifacts", uri="http://x"
        )


class TestServer(TrackingStoreContract):
    """MLflow's own client against a server, with the outbox between, as a project's settings make it."""

    @pytest.fixture
    def store(self, tmp_path):
        with TrackingServer() as server:
            yield open_tracking(server.uri, artifacts=tmp_path / "artifacts", outbox=tmp_path / "outbox")
