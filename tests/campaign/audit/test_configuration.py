"""The cheap half of the audit: what a plan shows without reading any data."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.audit.configuration import audit_plan
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import make_plan, plan_once

CALENDAR = TradingCalendar(pd.bdate_range("2020-01-01", periods=80))
RETURN = "Ref($close,-2)/Ref($close,-1)-1"


def config(features=("$close/Ref($close,1)-1",), *, label=RETURN, processors=(), segments=None, **more):
    fields = {
        "feature": [list(features), [f"F{number}" for number in range(len(features))]],
        "label": [[label], ["L"]],
    }
    kwargs = {
        "instruments": "all",
        "data_loader": {"class": "QlibDataLoader", "kwargs": {"config": fields}},
        "infer_processors": list(processors),
    }
    dataset = {
        "class": "DatasetH",
        "module_path": "rollwright.dataset.dataset",
        "kwargs": {
            "handler": {"class": "DataHandlerLP", "module_path": "rollwright.dataset.handler", "kwargs": kwargs},
            "segments": segments
            or {
                "train": ["2020-01-01", "2020-01-28"],
                "valid": ["2020-02-03", "2020-02-28"],
                "test": ["2020-03-02", "2020-04-10"],
            },
        },
    }
    task = {"model": {"class": "LinearModel", "module_path": "rollwright.models.linear"}, "dataset": dataset}
    return CampaignConfig.model_validate({"task": task, **more})


def audit(**more):
    given = config(**{"rolling": {"step": 10}, **more})
    plan = make_plan(given, name="p", calendar=CALENDAR, keep_leaks=True)
    return audit_plan(plan, CALENDAR, allowed=given.declared_leaks())


def test_a_clean_plan_has_no_finding():
    assert audit() == ()


def test_a_gap_narrower_than_the_label_is_found_once_for_all_windows():
    (found,) = audit(rolling={"step": 10, "trunc_days": 1})
    assert (found.kind, found.severity) == ("label", "leak")
    assert "`valid` read prices of `test`" in found.message
    assert found.message.endswith("(so in 3 windows)")
    assert "`rolling.trunc_days: auto`" in found.hint


def test_a_feature_that_looks_ahead_is_named_with_its_expression():
    (found,) = audit(features=["$close", "Mean(Ref($close,-2),5)/$close"])
    assert (found.kind, found.severity) == ("feature", "leak")
    assert "the feature `F1` reads 2 session(s) ahead: `Ref($close,-2)` in `Mean(Ref($close,-2),5)/$close`" in (
        found.message
    )


def test_what_the_file_declares_is_declared_with_its_reason():
    (found,) = audit(rolling={"step": 10, "trunc_days": 0}, allow_leak={"label": "a baseline"})
    assert (found.severity, found.reason) == ("declared", "a baseline")


def test_a_processor_that_learns_from_what_is_judged_is_found():
    fit = {"fields_group": "feature", "fit_start_time": "2020-01-01", "fit_end_time": None}
    found = audit(processors=[{"class": "ZScoreNorm", "kwargs": fit}])
    assert {finding.kind for finding in found} == {"processors"}


def test_a_task_that_is_trained_once_is_audited_too():
    segments = {"train": ["2020-01-01", "2020-02-28"], "test": ["2020-03-02", "2020-04-10"]}
    given = config(segments=segments, allow_leak={"label": "why not"})
    plan = plan_once(given, calendar=CALENDAR, keep_leaks=True)
    (found,) = audit_plan(plan, CALENDAR, allowed={})
    assert (found.kind, found.severity, found.window) == ("label", "leak", "once")


@pytest.mark.parametrize("roles", [("train", "valid"), ("valid", "test")])
def test_segments_that_share_sessions_are_found(roles):
    segments = {
        "train": ["2020-01-01", "2020-01-28"],
        "valid": ["2020-02-03", "2020-02-26"],
        "test": ["2020-03-02", "2020-04-10"],
    }
    segments[roles[0]][1] = str(pd.Timestamp(segments[roles[1]][0]) + pd.Timedelta(days=2))[:10]
    given = config(segments=segments)
    given.task.dataset.kwargs["allow_overlap"] = True
    plan = plan_once(given, calendar=CALENDAR, keep_leaks=True)
    found = audit_plan(plan, CALENDAR, allowed={})
    assert "overlap" in {finding.kind for finding in found}
