"""What version 0.1 noted of a result: told as of a former format, never read as equal, and no crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campaign_plans import hand_made_plan
from rollwright.campaign.plan import ONLY_VARIANT, Window, WindowKey
from rollwright.campaign.run import submit
from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.dataset.contract import ReadScope
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.types import MovedTask, TaskRecord
from rollwright.tasks.spec import TaskSpec
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.validity import Verdict, judge

KEPT: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "validity-format-1.json").read_text())


def test_it_is_judged_as_of_a_former_format():
    verdict = judge(KEPT["definition"], KEPT["validity"], check=ScopeCheck())
    assert verdict == Verdict(fit="the format of results changed")


def test_a_task_that_was_put_under_its_former_identity_is_found_told_and_put_to_work_once():
    definition = KEPT["definition"]
    canonical = canonical_json(definition)  # as it was written then
    assert sha256_hex(canonical.encode()) == KEPT["fingerprint"]
    old = TaskRecord(
        task_id="1", pool="p", fingerprint=KEPT["fingerprint"], status=Status.DONE, priority=0, token=1, attempts=1,
        max_attempts=3, canonical=canonical, created=1.0, result="1", validity=json.dumps(KEPT["validity"]), ended=2.0,
    )  # fmt: skip
    manager = TaskManager("p", store=MemoryStore())
    manager.store.restore("p", [MovedTask(record=old, history=())])
    spec = TaskSpec.from_definition(definition)
    assert spec.fingerprint != KEPT["fingerprint"]
    day = pd.Timestamp("2020-01-29")
    window = Window(key=WindowKey(ONLY_VARIANT, "w"), spec=spec, segments={"test": (day, day)})
    plan = hand_made_plan([window])
    submission = submit(plan, manager)
    assert submission.stale == ((window.key, "the format of results changed"),)
    assert manager.task_stat() == {"waiting": 1}
    assert [task["_id"] for task in manager.query({"def": definition})] == [submission.ids[window.key]]


SCOPE = ReadScope(generation="g", freq="day", stop=3, until="2020-01-03", calendar="c", rows="r")


@pytest.mark.parametrize("scope", [SCOPE, ReadScope(generation="g")])
def test_a_scope_is_what_it_was_after_it_was_stored(scope):
    assert ReadScope.from_json(json.loads(json.dumps(scope.to_json()))) == scope


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"format": None}, {"generation": None}, {"stop": "3"}, {"stop": True}, {"rows": None}, {"freq": 1}],
)
def test_a_scope_of_another_format_or_without_a_value_is_refused(change):
    with pytest.raises(ConfigError, match="read scope"):
        ReadScope.from_json({**SCOPE.to_json(), **change})
    with pytest.raises(ConfigError, match="read scope"):
        ReadScope.from_json([change])
