"""Files of every kind in their present format, written once and kept: whatever changes, they must open."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.codecs.registry import codecs
from rollwright.core.canonical import parse_json
from rollwright.core.stored_text import restore_definition, write_definition
from rollwright.errors import UntrustedArtifactError
from rollwright.signing.keys import Keyring
from rollwright.signing.serializable import Serializable

FORMATS = Path(__file__).resolve().parents[1] / "fixtures" / "formats"


@pytest.fixture
def key():
    """Put the fixtures' key, which signs nothing else, into this test's own keyring."""
    ring = Keyring()
    ring.folder.mkdir(parents=True)
    shutil.copyfile(FORMATS / "test-only.key", ring.path)
    ring.path.chmod(0o600)


def opened(kind, file, name=""):
    return codecs.for_kind(kind).read_as(name, FORMATS / file)


def test_a_frame():
    found = opened("parquet", "frame.parquet")
    assert found.index.names == ["datetime", "instrument"]
    assert found.loc[(pd.Timestamp("2020-01-02"), "SZ000001"), "score"] == 0.4
    assert np.signbit(found["score"].iloc[4])


def test_an_array_and_a_value():
    np.testing.assert_array_equal(opened("npy", "array.npy"), np.arange(6.0).reshape(2, 3))
    assert opened("json", "value.json") == {"a": [1, None, "茅台"], "b": {"c": 0.5}}


def test_a_typed_value():
    found = opened("typed", "value-typed.json")
    np.testing.assert_array_equal(found.pop("a"), np.arange(3, dtype="i4"))
    assert found == {
        "z": (1, "茅台"),
        "day": pd.Timestamp("2020-01-02"),
        "zoned": pd.Timestamp("2020-01-02 09:30", tz="Asia/Shanghai"),
        "date": date(2020, 1, 2),
        "n": np.float32(0.5),
        "set": {1, 3},
        None: b"\x00",
        "inf": float("inf"),
    }
    assert type(found["n"]) is np.float32
    assert found["day"].unit == "us"


def test_a_stored_text():
    definition = {"day": pd.Timestamp("2020-01-02"), "list": [1, "a"], "pair": (1, {"x": None})}
    text = (FORMATS / "definition-stored-1.json").read_text(encoding="utf-8")
    assert restore_definition(parse_json(text)) == definition
    assert write_definition(definition) == text.strip()


def test_a_model():
    model = opened("lightgbm", "model-lightgbm.txt")
    assert model.feature_names_ == ("a", "b", "c", "d")
    scores = model.model.predict(np.array([[0.5, -0.5, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(scores, [0.14464129119411068, -0.17489241654890414])


@pytest.mark.usefixtures("key")
def test_an_envelope_opens_with_its_key_and_under_its_name():
    assert opened("envelope", "object-2.sealed", "a-run/object") == {1, 2, 3}
    assert Serializable.get_backend().loads((FORMATS / "serializable.pkl").read_bytes()) == {"f": {1, 2}}
    for other in ("a-run/another", "another-run/object", "object", ""):
        with pytest.raises(UntrustedArtifactError, match="stands where"):
            opened("envelope", "object-2.sealed", other)


@pytest.mark.usefixtures("key")
def test_an_envelope_of_format_1_does_not_say_its_run_and_stays_shut():
    with pytest.raises(UntrustedArtifactError, match="without saying of which run it is; train that task again"):
        opened("envelope", "object.sealed", "object")


def test_without_its_key_it_stays_shut():
    with pytest.raises(UntrustedArtifactError, match="none of this machine's"):
        opened("envelope", "object-2.sealed", "a-run/object")
