from __future__ import annotations

import subprocess
import sys

import pytest

from rollwright.errors import MissingExtraError
from rollwright.models.lightgbm import LGBModel
from rollwright.models.lightgbm_library import _may_come_first


def test_naming_the_model_imports_no_lightgbm():
    code = (
        "import sys, rollwright.models.lightgbm as m, rollwright.analysis.report;"
        "m.LGBModel(num_leaves=3);"
        "print(sorted({'lightgbm', 'sklearn', 'scipy', 'plotly', 'jinja2', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TRAINING = """
import sys
import numpy as np
from rollwright.models.lightgbm_library import load_lightgbm

found = load_lightgbm()
data = np.random.default_rng(0).random((200, 3), dtype=np.float32)
watched = found.Dataset(data, label=data[:, 0])
callbacks = [found.record_evaluation({}), found.early_stopping(1, verbose=False)]
booster = found.train({"verbosity": -1}, watched, 2, valid_sets=[watched], callbacks=callbacks)
booster.predict(data)
print("sklearn" in sys.modules, sys.modules["lightgbm"] is found)
print(hasattr(found, "__wrapped__"), "sklearn" in sys.modules)
"""
WHOLE = {
    "a name": "from lightgbm import LGBMRegressor; import lightgbm",
    "a part": "import lightgbm.sklearn; import lightgbm; LGBMRegressor = lightgbm.sklearn.LGBMRegressor",
    "an attribute": "import lightgbm; LGBMRegressor = lightgbm.LGBMRegressor",
    "everything": "from lightgbm import *; import lightgbm",
}
USING = """
model = LGBMRegressor(n_estimators=2, verbose=-1).fit(data, data[:, 0])
print(type(model.booster_) is type(booster), lightgbm.LGBMRegressor is LGBMRegressor, bool(lightgbm.__version__))
whole = lightgbm.Dataset(data, label=(data[:, 0] > 0.5).astype(int))
print(len(lightgbm.cv({"verbosity": -1, "objective": "binary"}, whole, 2, nfold=2)), callable(lightgbm.plot_importance))
"""


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not _may_come_first(), reason="there, LightGBM is imported the plain way")
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(asked, id=name, marks=[pytest.mark.slow] if name in ("a part", "everything") else [])
        for name, asked in WHOLE.items()
    ],
)
def test_scikit_learn_is_imported_when_it_is_asked_for_and_everything_of_lightgbm_is_there_then(asked):
    assert run_python(TRAINING + asked + USING) == [
        "False",
        "True",
        "False",
        "False",
        "True",
        "True",
        "True",
        "2",
        "True",
    ]


@pytest.mark.parametrize("before", ["import lightgbm", "import sklearn"])
def test_what_was_imported_the_plain_way_stays_as_it_is(before):
    told = run_python(f"{before}\n{TRAINING}\nprint(type(found.LGBMRegressor).__name__, '__getattr__' in vars(found))")
    assert told == ["True", "True", "False", "True", "type", "False"]


def test_a_lightgbm_that_is_cut_otherwise_is_imported_the_plain_way(tmp_path):
    """Of a version without one of the parts."""
    (tmp_path / "lightgbm").mkdir()
    (tmp_path / "lightgbm" / "__init__.py").write_text("train = 'plain'")
    (tmp_path / "lightgbm" / "compat.py").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "from rollwright.models.lightgbm_library import load_lightgbm; print(load_lightgbm().train)"
    )
    assert run_python(code) == ["plain"]


def test_without_lightgbm_the_error_says_how_to_install_it(monkeypatch, dataset):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match="lightgbm") as caught:
        LGBModel().fit(dataset)
    assert 'pip install "rollwright[lightgbm]"' in str(caught.value)
