"""Lists of expressions are parsed once for a store, and what is remembered never lets a wrong one through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rollwright.errors import ExpressionError, LookAheadError
from rollwright.expression.operators.catalogue import OPERATORS, register
from rollwright.expression.operators.elementwise import elementwise
from rollwright.expression.operators.registry import Operator
from rollwright.expression.operators.rolling import windowed
from rollwright.expression.planner import compile_plan
from rollwright.features.store import feature_store as store_module
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.keys import write_key
from rollwright.testing.market import random_source

TEXTS = ["Mean($close, 5)/$close", "Ref($close,1)"]


@pytest.fixture
def source():
    return random_source(np.random.default_rng(1), sessions=40, instruments=4)


def test_a_second_store_parses_nothing(tmp_path: Path, source, monkeypatch: pytest.MonkeyPatch) -> None:
    one = FeatureStore(tmp_path).matrix(TEXTS, source)
    monkeypatch.setattr(store_module, "compile_plan", lambda *_, **__: pytest.fail("parsed again"))
    two = FeatureStore(tmp_path).matrix(TEXTS, source)
    assert np.array_equal(one.view(0, 40), two.view(0, 40), equal_nan=True)


def test_other_data_are_computed_from_the_remembered_terms(
    tmp_path: Path, source, monkeypatch: pytest.MonkeyPatch
) -> None:
    FeatureStore(tmp_path).matrix(TEXTS, source)
    other = random_source(np.random.default_rng(2), sessions=45, instruments=4)
    expected = FeatureStore.temporary().matrix(TEXTS, other).view(0, 45)
    monkeypatch.setattr(store_module, "compile_plan", lambda *_, **__: pytest.fail("parsed again"))
    assert np.array_equal(FeatureStore(tmp_path).matrix(TEXTS, other).view(0, 45), expected, equal_nan=True)


def test_a_note_with_the_terms_of_other_expressions_is_parsed_again(tmp_path: Path, source) -> None:
    key = FeatureStore(tmp_path).find_key(TEXTS, source.freq)
    write_key(tmp_path, source.freq, TEXTS, key, compile_plan(["Mean($close,6)/$close", "Ref($close,1)"]))
    found = FeatureStore(tmp_path).matrix(TEXTS, source)
    assert list(found.header.expressions) == ["Mean($close,5)/$close", "Ref($close,1)"]


def test_a_remembered_list_that_looks_ahead_is_refused_where_it_must_be(tmp_path: Path, source) -> None:
    label = ["Ref($close, -2)/$close"]
    FeatureStore(tmp_path).matrix(label, source, allow_lookahead=True)
    for _ in range(2):
        with pytest.raises(LookAheadError, match="reads 2 sessions ahead"):
            FeatureStore(tmp_path).matrix(label, source)
    assert FeatureStore(tmp_path).matrix(label, source, allow_lookahead=True).header.lookahead == 2


def test_an_operator_that_is_not_registered_is_refused_whatever_is_remembered(
    tmp_path: Path, source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OPERATORS, "_operators", dict(OPERATORS.operators))
    known = dict(OPERATORS.operators)
    register(Operator(name="Own", signature=("series",), compute=lambda block, term: block.read(term.inputs[0], term)))
    FeatureStore(tmp_path).matrix(["Own($close)"], source)
    monkeypatch.setattr(OPERATORS, "_operators", known)
    monkeypatch.setattr(OPERATORS, "version", OPERATORS.version + 1)
    with pytest.raises(ExpressionError, match="Own"):
        FeatureStore(tmp_path).matrix(["Own($close)"], source)


def test_a_function_that_is_registered_again_with_other_code_serves_no_old_features(
    tmp_path: Path, source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OPERATORS, "_operators", dict(OPERATORS.operators))
    means = []
    for factor in (2, 3):
        register(
            elementwise("Own", lambda values, factor=factor: values * factor),
            windowed("Wide", lambda windows, factor=factor: windows[:, :, -1] * factor),
        )
        matrix = FeatureStore(tmp_path).matrix(["Own($close)/$close", "Wide($close,2)/$close"], source)
        means.append(np.nanmean(matrix.values, axis=0).round(4).tolist())
    assert means == [[2, 2], [3, 3]]
    monkeypatch.setattr(OPERATORS, "version", OPERATORS.version + 1)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff\xfe", None])
def test_a_damaged_note_is_parsed_again(tmp_path: Path, source, damage: bytes | None) -> None:
    FeatureStore(tmp_path).matrix(TEXTS, source)
    (note,) = tmp_path.rglob("*.list")
    data = bytearray(note.read_bytes())
    data[-3] ^= 1
    note.write_bytes(bytes(data) if damage is None else damage)
    again = FeatureStore(tmp_path).matrix(TEXTS, source)
    assert not again.is_new
    assert again.header.expressions[0].startswith("Mean")
