"""What was read of fields by period: a result stands until something is known otherwise of the sessions it read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import using
from rollwright.dataset.contract import ReadScope
from rollwright.market.frame import FrameSource
from rollwright.market.source import FieldKind
from rollwright.training.data_dependency import ScopeCheck, find_scopes

DAYS = pd.bdate_range("2019-01-01", periods=200)
CODES = ["A", "B"]
LABEL = "Ref($close,-2)/Ref($close,-1)-1"
Row = tuple[str, int, str, float]
REPORTS: tuple[Row, ...] = (
    ("A", 201804, "2019-03-01", 1.0),
    ("B", 201804, "2019-03-04", 2.0),
    ("A", 201901, "2019-04-25", 3.0),
    ("A", 201902, "2019-08-20", 4.0),
)


def market(rows: tuple[Row, ...] = REPORTS, *, kind: str = "cumulative", other: float = 1.0) -> FrameSource:
    index = pd.MultiIndex.from_product([DAYS, CODES], names=["datetime", "instrument"])
    close = np.exp(np.random.default_rng(3).normal(0, 0.02, len(index)))
    columns = ["instrument", "period", "known_at", "value"]
    tables = {
        "x_q": pd.DataFrame(rows, columns=columns),
        "y_q": pd.DataFrame([("A", 201804, "2019-03-01", other)], columns=columns),
    }
    kinds = {"x_q": FieldKind("flow", kind)}
    return FrameSource(pd.DataFrame({"close": close}, index=index), by_period=tables, kinds=kinds)


def definition(*features: str) -> dict:
    loader = {"class": "QlibDataLoader", "kwargs": {"config": {
        "feature": [list(features), [f"F{number}" for number in range(len(features))]], "label": [[LABEL], ["LABEL0"]],
    }}}  # fmt: skip
    handler = {"class": "DataHandlerLP", "module_path": "rollwright.dataset.handler",
               "kwargs": {"instruments": None, "data_loader": loader}}  # fmt: skip
    segments = {"train": ("2019-01-01", "2019-05-31"), "test": ("2019-06-10", "2019-09-30")}
    return {"dataset": {"class": "DatasetH", "module_path": "rollwright.dataset.dataset",
                        "kwargs": {"handler": handler, "segments": segments}}}  # fmt: skip


PIT = definition("P($$x_q)/$close", "Mean($close,3)")
DAILY = definition("Mean($close,3)")


def scopes_of_train(task: dict, source: FrameSource) -> tuple[ReadScope, ...]:
    with using(market=source):
        dataset = init_instance_by_config(task["dataset"])
        dataset.prepare("train", col_set=["feature", "label"])
        return find_scopes(dataset)


def why_stale(task: dict, now: FrameSource, *, then: FrameSource | None = None) -> str | None:
    scopes = scopes_of_train(task, market() if then is None else then)
    assert [ReadScope.from_json(scope.to_json()) for scope in scopes] == list(scopes)
    with using(market=now):
        return ScopeCheck().why_stale(task, scopes)


def test_nothing_changed() -> None:
    assert why_stale(PIT, market()) is None
    assert why_stale(PIT, market(REPORTS[::-1])) is None


@pytest.mark.parametrize("more", [("A", 201901, "2019-06-05", 30.0), ("B", 201901, "2019-09-02", 5.0)])
def test_what_became_known_after_the_last_session_read_changes_nothing(more: Row) -> None:
    assert why_stale(PIT, market((*REPORTS, more))) is None


@pytest.mark.parametrize(
    "rows",
    [
        (*REPORTS, ("A", 201804, "2019-04-01", 10.0)),
        (*REPORTS, ("A", 201804, "2019-06-04", 10.0)),  # the last session whose price the label reads
        (("A", 201804, "2019-03-01", 1.5), *REPORTS[1:]),
        REPORTS[1:],
        (("A", 201804, "2019-02-28", 1.0), *REPORTS[1:]),
    ],
)
def test_what_is_known_otherwise_of_the_sessions_read_makes_it_stale(rows: tuple[Row, ...]) -> None:
    reason = why_stale(PIT, market(rows))
    assert reason is not None
    assert "by period" in reason
    assert why_stale(DAILY, market(rows)) is None


def test_another_kind_makes_it_stale_and_another_field_does_not() -> None:
    assert why_stale(PIT, market(kind="discrete")) is not None
    assert why_stale(PIT, market(other=2.0)) is None


def test_a_dataset_has_another_generation_when_a_report_it_reads_is_restated() -> None:
    generations = []
    for source in (market(), market((*REPORTS, ("A", 201804, "2019-06-04", 10.0))), market(other=5.0)):
        with using(market=source):
            generations.append(tuple(init_instance_by_config(task["dataset"]).generation for task in (PIT, DAILY)))
    assert generations[0] == generations[2]
    assert generations[0][0] != generations[1][0]
    assert generations[0][1] == generations[1][1]


def test_a_restatement_and_a_withdrawal_are_told_from_no_value() -> None:
    gone = (*REPORTS, ("A", 201804, "2019-04-01", float("nan")))
    assert why_stale(PIT, market(gone)) is not None
    assert why_stale(PIT, market(gone), then=market(gone)) is None
