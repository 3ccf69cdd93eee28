"""The audit's own mutants: leaks planted over every operator, processor and rule of segments, all found; no other."""

from __future__ import annotations

from collections import Counter

import pytest

from audited_market import audit_task, audit_toy, task_of, toy_market
from planted_leaks import CLASSES, clean_expressions, plant_all, register_peeks
from rollwright.expression.operators.catalogue import OPERATORS

SAMPLE = list(plant_all(stride=16))
EVERY = list(plant_all())


@pytest.fixture(autouse=True, scope="module")
def _peeks():
    register_peeks()


def test_more_than_500_leaks_are_planted_in_8_classes_over_every_operator():
    planted = Counter(leak.planted for planting in EVERY for leak in planting.leaks)
    assert set(planted) == set(CLASSES)
    assert sum(planted.values()) >= 700
    assert min(planted.values()) >= 18
    texts = " ".join(leak.name for planting in EVERY for leak in planting.leaks)
    known = OPERATORS.operators.items()
    of_prices = [n for n, one in known if not one.code and one.axis != "periods" and "period" not in one.signature]
    assert len(of_prices) >= 50
    assert [name for name in of_prices if f"{name}(" not in texts] == []


def test_the_sample_has_leaks_of_every_class():
    planted = Counter(leak.planted for planting in SAMPLE for leak in planting.leaks)
    assert set(planted) == set(CLASSES)
    assert 55 <= sum(planted.values()) <= 90


@pytest.mark.parametrize("planting", SAMPLE, ids=[planting.name for planting in SAMPLE])
def test_a_planted_leak_is_found_and_proved(planting):
    assert planting.missed() == []


@pytest.mark.slow
@pytest.mark.parametrize("planting", EVERY, ids=[planting.name for planting in EVERY])
def test_every_planted_leak_is_found_and_proved(planting):
    assert planting.missed() == []


@pytest.mark.parametrize("seed", [0, 1])
def test_random_clean_expressions_raise_no_alarm(seed):
    expressions = clean_expressions(50, seed)
    assert len(set(expressions)) > 45
    report = audit_toy(expressions, market=toy_market(seed))
    assert [(one.kind, one.columns, one.message) for one in report.leaks] == []


@pytest.mark.parametrize("name", ["Alpha158", "Alpha360", "Alpha158vwap"])
def test_the_ready_made_features_raise_no_alarm(name):
    market = toy_market(7, instruments=16)
    report = audit_ready_made(name, market, dates=3)
    assert report.ok, report.leaks
    assert {note.kind for note in report.findings} <= {"adjustment"}
    assert report.power.blind == ()


def audit_ready_made(name, market, *, dates):
    task = task_of(market)
    calendar = market.calendar()
    kwargs = {"instruments": "all", "fit_start_time": calendar[20], "fit_end_time": calendar[80]}
    task["dataset"]["kwargs"]["handler"] = {
        "class": name,
        "module_path": "rollwright.dataset.alpha",
        "kwargs": {**kwargs, "infer_processors": ["RobustZScoreNorm", "Fillna"]},
    }
    return audit_task(market, task, dates=dates)
