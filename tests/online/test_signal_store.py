"""Scores are kept once, under a name that holds their digest, and come back as they were or not at all."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.errors import DataError, LedgerError
from rollwright.online.signal_store import MemorySignals, SignalStore
from rollwright.tracking.r import R

DAY = "2024-05-17"


def scores(**values):
    return pd.Series(values, dtype=float)


@pytest.fixture(params=[lambda: SignalStore("demo"), MemorySignals], ids=["recorders", "memory"])
def signals(request):
    return request.param()


def test_what_is_loaded_is_what_was_saved_sorted_by_instrument(signals):
    given = pd.Series([0.1 + 0.2, -1e-17], index=["SH600001", "SH600000"], name="pred", dtype="float64")
    reference = signals.save(DAY, {"lgb": given})["lgb"]
    loaded = signals.load(reference)
    assert list(loaded.items()) == [("SH600000", -1e-17), ("SH600001", 0.1 + 0.2)]
    assert (loaded.name, loaded.index.name, loaded.dtype, reference.rows) == ("score", "instrument", np.float64, 2)


def test_the_digest_is_that_of_one_line_for_each_row(signals):
    reference = signals.save(DAY, {"lgb": scores(B=0.5, A=-3.0)})["lgb"]
    assert reference.sha256 == hashlib.sha256(b"A\t-3.0\nB\t0.5\n").hexdigest()


def test_float32_scores_have_the_digest_of_their_exact_values(signals):
    single = pd.Series([0.1], index=["A"], dtype="float32")
    assert signals.save(DAY, {"x": single})["x"] == signals.save(DAY, {"x": single.astype("float64")})["x"]


@pytest.mark.parametrize(
    "wrong",
    [
        scores(A=float("nan")),
        scores(A=float("inf")),
        pd.Series([1.0, 2.0], index=["A", "A"]),
        pd.Series([1.0], index=[7]),
        pd.Series([1.0], index=pd.MultiIndex.from_tuples([(DAY, "A")])),
    ],
    ids=["nan", "inf", "twice", "number", "two levels"],
)
def test_scores_that_are_none_are_refused_and_none_beside_them_is_kept(signals, wrong):
    with pytest.raises(DataError):
        signals.save(DAY, {"good": scores(A=1.0), "bad": wrong})
    if isinstance(signals, SignalStore):
        assert not stored()


def stored():
    recorders = R.list_recorders(experiment_name="demo-online").values()
    return [name for recorder in recorders for name in recorder.list_artifacts()]


def test_the_same_scores_are_kept_once_and_nothing_is_replaced():
    first = SignalStore("demo").save(DAY, {"signal": scores(A=1.0), "scores/lgb": scores(A=1.0)})
    assert first["signal"] == first["scores/lgb"]
    before = [digests() for _ in range(1)]
    again = SignalStore("demo").save(DAY, {"signal": scores(A=1.0), "scores/lgb": scores(A=2.0)})
    assert again["signal"] == first["signal"]
    assert len(stored()) == 2
    assert before[0].items() <= digests().items()
    assert SignalStore("demo").load(first["signal"])["A"] == 1.0


def digests():
    found = {}
    for recorder in R.list_recorders(experiment_name="demo-online").values():
        found.update(recorder.list_digests())
    return found


def test_a_month_has_one_recorder_that_is_finished():
    store = SignalStore("demo")
    for session in ("2024-05-17", "2024-05-20", "2024-06-03"):
        store.save(session, {"signal": scores(A=1.0)})
    SignalStore("demo").save("2024-06-04", {"signal": scores(A=1.0)})
    recorders = R.list_recorders(experiment_name="demo-online").values()
    assert sorted(recorder.name for recorder in recorders) == ["scores 2024-05", "scores 2024-06"]
    assert {recorder.status for recorder in recorders} == {"FINISHED"}


def test_sessions_of_one_day_are_kept_apart():
    store = SignalStore("demo")
    one = store.save("2024-05-17T10:00:00", {"signal": scores(A=1.0)})["signal"]
    other = store.save("2024-05-17T10:05:00", {"signal": scores(A=1.0)})["signal"]
    assert one.artifact != other.artifact


def test_scores_that_are_gone_or_others_are_an_error_and_saving_mends_them():
    store = SignalStore("demo")
    reference = store.save(DAY, {"signal": scores(A=1.0)})["signal"]
    other = store.save(DAY, {"signal": scores(A=2.0)})["signal"]
    for wrong in (replace(other, sha256=reference.sha256), replace(other, rows=2), replace(other, artifact="none")):
        with pytest.raises(LedgerError):
            store.load(wrong)
    recorder = R.get_recorder(recorder_id=reference.recorder)
    path = Path(recorder.download_artifact(reference.artifact))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LedgerError, match="gone"):
        store.load(reference)
    assert store.save(DAY, {"signal": scores(A=1.0)})["signal"] == reference
    assert store.load(reference)["A"] == 1.0


def test_a_simulation_does_not_know_the_scores_of_another():
    reference = MemorySignals().save(DAY, {"signal": scores(A=1.0)})["signal"]
    with pytest.raises(LedgerError, match="of this simulation"):
        MemorySignals().load(reference)
