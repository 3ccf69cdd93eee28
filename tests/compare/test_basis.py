"""What a table was made from: written, read from anywhere, and compared with what is here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rollwright.compare.basis import ComparisonBasis, ModelBasis, hide_secrets
from rollwright.errors import CompareError

MODEL = ModelBasis(
    requirements="a" * 64, lock="b" * 64, workflows={"Alpha158/csi300": "c" * 64}, markets={"Alpha158/csi300": "seven"}
)
BASIS = ComparisonBasis(
    rollwright="0.1.0",
    python="3.11.7-linux-x86_64",
    times=3,
    dataset="",
    universe="",
    overrides=("task.model.kwargs.alpha=0.3",),
    models={"linear": MODEL, "lightgbm": replace(MODEL, lock="")},
)


def test_what_was_written_is_read_and_equal_ones_are_equal_json():
    text = json.dumps(BASIS.to_json())
    assert ComparisonBasis.from_json(json.loads(text)) == BASIS
    assert json.dumps(replace(BASIS, models=dict(reversed(BASIS.models.items()))).to_json()) == text


HOSTILE = {
    "more than a basis": {"source": "/etc"},
    "a path as a dataset": {"dataset": "../../etc"},
    "runs without end": {"times": 10**9},
    "no runs": {"times": 0},
    "text for a number": {"times": "3"},
    "a path as a model": {"models": [{"name": "../x", "requirements": "", "lock": "", "workflows": []}]},
    "no models": {"models": []},
    "a number as an override": {"overrides": [1]},
    "a digest that is none": {"models": [{"name": "x", "requirements": "x" * 64, "lock": "", "workflows": []}]},
    "a model without workflows": {"models": [{"name": "x", "requirements": "", "lock": "", "workflows": []}]},
    "a text without end": {"rollwright": "9" * 20_000},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_basis_that_somebody_made_is_refused(change):
    with pytest.raises(CompareError):
        ComparisonBasis.from_json({**BASIS.to_json(), **change})


@pytest.mark.parametrize("value", [None, [], {}, "x", 1])
def test_what_is_no_basis_at_all_is_refused_with_what_to_do(value):
    with pytest.raises(CompareError) as raised:
        ComparisonBasis.from_json(value)
    assert "rollwright compare run" in raised.value.hint


def with_model(**changes):
    return replace(BASIS, models={**BASIS.models, "linear": replace(MODEL, **changes)})


DIFFERENCES = {
    "rollwright": (replace(BASIS, rollwright="0.2.0"), ["rollwright: 0.1.0 made it, 0.2.0 is here"]),
    "python": (replace(BASIS, python="3.12.1-linux-x86_64"), ["3.12.1-linux-x86_64 is here"]),
    "overrides": (replace(BASIS, overrides=()), ["this has none"]),
    "requirements": (with_model(requirements="e" * 64), ["model linear: its requirements are others"]),
    "a workflow": (
        with_model(workflows={"Alpha158/csi300": "e" * 64}),
        ["its workflow for Alpha158/csi300 is another"],
    ),
    "the market": (with_model(markets={"Alpha158/csi300": "eight"}), ["(seven, and eight here)"]),
    "a model too few": (replace(BASIS, models={"linear": MODEL}), ["model lightgbm: it is not here"]),
    "a model too many": (replace(BASIS, models={**BASIS.models, "x": MODEL}), ["model x: it is not in the table"]),
    "a dataset too few": (with_model(workflows={}, markets={}), ["it has no workflow for Alpha158/csi300"]),
}


@pytest.mark.parametrize(("present", "told"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_each_difference_is_named(present, told):
    found = BASIS.describe_differences(present)
    assert len(found) == len(told), found
    for line, part in zip(found, told, strict=True):
        assert part in line


def test_several_are_named_together_and_locks_are_none():
    present = replace(with_model(requirements="e" * 64, lock="f" * 64), rollwright="2")
    assert len(BASIS.describe_differences(present)) == 2
    assert BASIS.describe_differences(with_model(lock="f" * 64)) == ()


def test_an_override_is_kept_without_its_secrets():
    assert "hidden" not in "".join(hide_secrets(["pool.url=postgresql://me:hidden@localhost/x"]))
    assert hide_secrets(["seed=3"]) == ("seed=3",)
