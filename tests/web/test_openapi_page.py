"""The API does what its own OpenAPI page says, whatever it is asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from rollwright.app.online.serve import ServingReader
from rollwright.web.api import make_application
from rollwright.web.guard import AccessRules
from rollwright.web.latest import LatestSignals
from served_api import serve_api
from served_days import DemoServing, MarketSessions

WITHOUT_ARGUMENTS = ("/v1/health", "/v1/readiness", "/v1/servings")
DAYS = ("2024-01-02", "2024-01-03", "2024-01-04")


def make_reader():
    demo = DemoServing()
    for session in DAYS:
        demo.serve(session, refuse=session == DAYS[1])
    return ServingReader(demo.ledger, demo.scores, sessions=MarketSessions(DAYS))


@pytest.fixture(scope="module")
def schema():
    reader = make_reader()
    latest = LatestSignals([reader], patience=float("inf"))
    latest.refresh()
    application = make_application([reader], latest, AccessRules.for_names(["testserver"], 80))
    return schemathesis.openapi.from_asgi("/openapi.json", application)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_does_what_the_page_says(schema, mode):
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 16
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.path in WITHOUT_ARGUMENTS:
            continue

        @settings(max_examples=4, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case):
            case.call_and_validate()

        check()


@pytest.mark.slow
def test_schemathesis_finds_nothing_over_a_real_socket(tmp_path):
    with serve_api(make_reader()) as client:
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", str(client.base_url.join("/openapi.json")),
                "--checks", "all", "--mode", "all", "--max-examples", "60", "--seed", "1", "--no-color",
            ],
            cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": ""}, capture_output=True, text=True, timeout=900,
            check=False,
        )  # fmt: skip
    assert "Operations" in done.stdout
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
