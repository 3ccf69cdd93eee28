"""Validity: each part of a result stands while schema, code and data of that part are what they were."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pandas as pd
import pytest

from rollwright.config.construct import Trust
from rollwright.config.context import current_settings, init, install, using
from rollwright.config.settings import load_settings
from rollwright.expression.ops import ElemOperator
from rollwright.market.current import current_market
from rollwright.market.ingest.importer import import_market
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.execute import execute
from rollwright.training.user_code import code_hash
from rollwright.training.validity import RESULT_SCHEMA, Basis, TaskParts, Validity, Verdict, judge

DEFINITION = {
    "model": {"class": "M", "module_path": "mine.py"},
    "dataset": {"class": "D", "module_path": "data.py"},
    "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}, "mine_too.R"],
}


def test_the_users_own_code_is_told_for_the_fit_and_for_each_record_apart(tmp_path):
    trust = Trust(folder=tmp_path)
    asked = {**DEFINITION, "record": [{"class": "R", "module_path": "first.py"}, {"class": "R", "module_path": "b.py"}]}

    def codes():
        parts = TaskParts.of(asked, trust=trust)
        return (parts.fit.code, *(record.code for record in parts.records))

    for name in ("mine.py", "data.py", "first.py", "b.py"):
        (tmp_path / name).write_text("a = 1\n")
    before = codes()
    assert before == codes()
    assert all(before)
    for name, changed in (("mine.py", 0), ("data.py", 0), ("first.py", 1), ("b.py", 2)):
        (tmp_path / name).write_text("a = 2\n")
        after = codes()
        assert [one != other for one, other in zip(before, after, strict=True)] == [n == changed for n in range(3)]
        before = after


def test_a_definition_without_own_code_hashes_nothing(tmp_path):
    assert code_hash({"model": {"module_path": "rollwright.models.lightgbm"}}, Trust(folder=tmp_path)) == ""
    assert code_hash(DEFINITION, Trust()) == ""


def test_so_is_the_code_of_an_operator_that_an_expression_calls():
    def made(factor):
        space = {"ElemOperator": ElemOperator, "__name__": "made_up"}
        exec(
            "class Scaled(ElemOperator):\n"
            "    def _load_internal(self, i, s, e, f):\n"
            f"        return self.feature.load(i, s, e, f) * {factor}\n",
            space,
        )
        return space["Scaled"]

    calls = {"dataset": {"kwargs": {"feature": ["Mean(Scaled($close), 5)"]}}}
    hashes = []
    with using(load_settings()):
        for factor in (2, 3, 2):
            init(custom_ops=[made(factor)])
            hashes.append(code_hash(calls, Trust()))
            assert code_hash({"dataset": {"kwargs": {"feature": ["Mean($close, 5)"]}}}, Trust()) == ""
    assert hashes[0] == hashes[2] != hashes[1]


def test_so_is_every_module_of_a_package_that_the_settings_trust(tmp_path, monkeypatch):
    package = tmp_path / "lab_models_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "trees.py").write_text("from lab_models_of_a_test import helper\n")
    (package / "helper.py").write_text("a = 1\n")
    (tmp_path / "single_of_a_test.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    trust = Trust(modules=("lab_models_of_a_test", "single_of_a_test", "nowhere_of_a_test"))

    def hashed(module):
        return code_hash({"model": {"class": "M", "module_path": module}}, trust)

    before = hashed("lab_models_of_a_test.trees"), hashed("single_of_a_test")
    assert before == (hashed("lab_models_of_a_test.trees"), hashed("single_of_a_test"))
    (package / "helper.py").write_text("a = 2\n")
    assert hashed("lab_models_of_a_test.trees") != before[0]
    assert hashed("single_of_a_test") == before[1]
    assert code_hash({"model": {"class": "lab_models_of_a_test.trees.M"}}, trust) == hashed(
        "lab_models_of_a_test.trees"
    )
    (tmp_path / "single_of_a_test.py").write_text("a = 2\n")
    assert hashed("single_of_a_test") != before[1]
    assert hashed("nowhere_of_a_test") == hashed("rollwright.models.lightgbm") == ""


DAYS = pd.bdate_range("2020-01-01", periods=60)
CODES = ["SH600000", "SH600001", "SZ000001"]
OWN = """\
from rollwright.models.lightgbm import LGBModel
from rollwright.analysis.records import SignalRecord


class Mine(LGBModel):
    pass
"""
RECORDS = """\
from rollwright.analysis.records import SignalRecord


class Recorded(SignalRecord):
    pass
"""
TASK = {
    "model": {
        "class": "Mine",
        "module_path": "own.py",
        "kwargs": {"num_boost_round": 1, "min_data_in_leaf": 2, "early_stopping_rounds": 0},
    },
    "dataset": {
        "class": "DatasetH",
        "module_path": "rollwright.dataset.dataset",
        "kwargs": {
            "handler": {
                "class": "DataHandlerLP",
                "kwargs": {
                    "instruments": "all",
                    "data_loader": {
                        "class": "QlibDataLoader",
                        "kwargs": {
                            "config": {
                                "feature": [["$close/Ref($close, 3)"], ["MOM"]],
                                "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
                            }
                        },
                    },
                },
            },
            "segments": {"train": (DAYS[5], DAYS[20]), "test": (DAYS[25], DAYS[30])},
        },
    },
    "record": [{"class": "Recorded", "module_path": "records.py"}],
}


def rows(days, *, more=0):
    frames = []
    for place, code in enumerate(CODES):
        close = [10 + place + DAYS.get_loc(day) % 7 + more for day in days]
        frames.append(pd.DataFrame({"symbol": code, "date": days, "open": close, "close": close, "volume": 100}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def result(project, tmp_path):
    """Return what a finished task noted, made in a market of 40 days with code of the user's own."""
    from rollwright.tracking.r import R  # noqa: PLC0415 - after the project is there

    import_market(rows(DAYS[:40]), tmp_path / "market")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.py").write_text(OWN)
    (tmp_path / "own" / "records.py").write_text(RECORDS)
    values = {"data.provider_uri": str(tmp_path / "market"), "trust.folder": str(tmp_path / "own")}
    install(current_settings().with_values(values, origin="test"))
    with R.start(experiment_name="exp"):
        return execute(TASK, R.get_recorder())


def other_schema(recorded, folder):
    return {**recorded, "schema": RESULT_SCHEMA - 1}


def other_code(recorded, folder):
    (folder / "own" / "own.py").write_text(OWN + "# another\n")
    return recorded


def other_record_code(recorded, folder):
    (folder / "own" / "records.py").write_text(RECORDS + "# another\n")
    return recorded


def more_data(recorded, folder):
    import_market(rows(DAYS[40:45]), folder / "market")
    return recorded


def revised_data(recorded, folder):
    import_market(rows(DAYS[10:11], more=1), folder / "market", revise=True)
    return recorded


def revised_test_data(recorded, folder):
    import_market(rows(DAYS[28:29], more=1), folder / "market", revise=True)
    return recorded


def other_rows(recorded, folder):
    """As if the universe had had another member then."""
    validity = Validity.from_json(recorded)
    reads = tuple(replace(scope, rows="0" * 64) for scope in validity.fit.reads)
    return {**validity.to_json(), "fit": replace(validity.fit, reads=reads).to_json()}


SCHEMA = "the format of results changed"
CODE = "your own code changed"
REVISED = "the market data changed from 2020-01-15 on"
REVISED_TEST = "the market data changed from 2020-02-10 on"
ROWS = "the universe or the calendar changed before"

# For every pair of changes: what is said of the fit, then of the records. Of several reasons for one part all are told.
TABLE = {
    (other_schema,): (SCHEMA, None),
    (other_code,): (CODE, None),
    (other_record_code,): (None, CODE),
    (more_data,): (None, None),
    (revised_data,): (REVISED, None),
    (revised_test_data,): (None, REVISED_TEST),
    (other_rows,): (None, None),  # of the same generation: not looked at
    (other_schema, other_code): (SCHEMA, None),
    (other_schema, other_record_code): (SCHEMA, None),
    (other_schema, more_data): (SCHEMA, None),
    (other_schema, revised_data): (SCHEMA, None),
    (other_schema, revised_test_data): (SCHEMA, None),
    (other_code, other_record_code): (CODE, None),
    (other_code, more_data): (CODE, None),
    (other_code, revised_data): (f"{CODE} and {REVISED}", None),
    (other_code, revised_test_data): (CODE, None),
    (other_code, other_rows): (CODE, None),
    (other_record_code, more_data): (None, CODE),
    (other_record_code, revised_data): (REVISED, None),
    (other_record_code, revised_test_data): (None, f"{CODE} and {REVISED_TEST}"),
    (other_record_code, other_rows): (None, CODE),
    (more_data, revised_data): (REVISED, None),
    (more_data, revised_test_data): (None, REVISED_TEST),
    (more_data, other_rows): (ROWS, None),
    (revised_data, revised_test_data): (REVISED, None),
    (revised_data, other_rows): (REVISED, None),
    (revised_test_data, other_rows): (ROWS, None),
}
CHANGES = [other_schema, other_code, other_record_code, more_data, revised_data, revised_test_data, other_rows]


def test_the_table_has_every_change_and_every_pair():
    pairs = {frozenset(pair) for pair in itertools.combinations(CHANGES, 2)}
    assert {frozenset(key) for key in TABLE} == {*pairs, *(frozenset([one]) for one in CHANGES)} - {
        frozenset([other_schema, other_rows])  # what another schema noted is not looked at
    }


@pytest.mark.parametrize("changes", TABLE, ids=lambda changes: "+".join(change.__name__ for change in changes))
def test_what_changed_decides_which_part_is_made_again(result, tmp_path, changes):
    recorded = result
    for change in changes:
        recorded = change(recorded, tmp_path)
    verdict = judge(TASK, recorded, check=ScopeCheck())
    fit, records = TABLE[changes]
    for found, wanted in ((verdict.fit, fit), (verdict.records, records)):
        assert (found is None) == (wanted is None)
        assert (found or "").startswith(wanted or "")


def test_nothing_changed_so_all_stands(result):
    assert judge(TASK, result, check=ScopeCheck()) == Verdict()


def test_the_fit_and_its_record_note_their_own_last_session(result):
    validity = Validity.from_json(result)
    (fit,), (record,) = validity.fit.reads, validity.records[0].reads
    assert (fit.stop, fit.until) == (20 + 1 + 2, f"{DAYS[22]:%Y-%m-%d}")
    assert (record.stop, record.until) == (30 + 1 + 2, f"{DAYS[32]:%Y-%m-%d}")
    assert fit.generation == record.generation == current_market().generation


@pytest.mark.parametrize("place", [22, 23])
def test_the_last_session_that_was_read_is_the_first_that_matters(result, tmp_path, place):
    import_market(rows(DAYS[place : place + 1], more=1), tmp_path / "market", revise=True)
    verdict = judge(TASK, result, check=ScopeCheck())
    assert (verdict.fit is not None) == (place == 22)


def test_a_result_without_the_records_that_are_asked_for_lacks_them(result):
    more = {**TASK, "record": [*TASK["record"], "SigAnaRecord"]}
    assert judge(more, result, check=ScopeCheck()) == Verdict(records="records are missing")


@pytest.mark.parametrize(
    "noted",
    [None, 3, [], {}, {"schema": RESULT_SCHEMA}, {"schema": RESULT_SCHEMA, "fit": {}, "records": []},
     {"schema": RESULT_SCHEMA, "fit": {"key": "", "code": "", "reads": [{}], "artifacts": {}}, "records": []}],
)  # fmt: skip
def test_a_note_that_is_none_makes_the_result_stale_and_is_no_error(result, noted):
    assert judge(TASK, noted, check=ScopeCheck()) == Verdict(fit=SCHEMA)


def test_a_validity_is_what_it_was_after_it_was_stored(result):
    validity = Validity.from_json(result)
    assert Validity.from_json(validity.to_json()) == validity
    assert isinstance(validity.fit, Basis)
