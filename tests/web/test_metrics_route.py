"""`/metrics` of the serving API: what it answers, and to whom."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rollwright.app.online.serve import ServingReader
from rollwright.errors import StoreUnavailableError
from rollwright.web.server import ListenAddress
from served_api import serve_api
from served_days import DemoServing

TEXT = """\
# HELP rollwright_pool_paused Whether.
# TYPE rollwright_pool_paused gauge
rollwright_pool_paused{pool="a"} 1
"""


@pytest.fixture
def reader():
    demo = DemoServing()
    return ServingReader(demo.ledger, demo.scores)


def test_it_answers_what_prometheus_reads(reader):
    with serve_api(reader, read_metrics=lambda: TEXT) as client:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        (family,) = text_string_to_metric_families(answer.text)
        assert family.samples[0].value == 1
        assert client.get("/metrics?name=1").status_code == 422
        assert client.post("/metrics").status_code == 405


def test_without_pools_there_is_no_such_route(reader):
    with serve_api(reader) as client:
        assert client.get("/metrics").status_code == 404


def test_it_asks_for_the_token_and_the_name_as_every_route_does(reader):
    address = ListenAddress(port=0, token="t" * 32)
    with serve_api(reader, address=address, read_metrics=lambda: TEXT) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": f"Bearer {'t' * 32}"}).status_code == 200
        assert client.get("/metrics", headers={"host": "elsewhere.example"}).status_code == 421


def test_a_store_that_does_not_answer_is_told_without_its_address(reader):
    def refuse():
        raise StoreUnavailableError("postgresql://user:secret@db does not answer")

    with serve_api(reader, read_metrics=refuse) as client:
        answer = client.get("/metrics")
        assert answer.status_code == 503
        assert "secret" not in answer.text
        assert "db" not in answer.text
