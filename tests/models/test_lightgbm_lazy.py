from __future__ import annotations

import subprocess
import sys

import pytest

from rollwright.errors import MissingExtraError
from rollwright.models.lightgbm import LGBModel


def test_naming_the_model_imports_no_lightgbm():
    code = (
        "import sys, rollwright.models.lightgbm as m, rollwright.analysis.report;"
        "m.LGBModel(num_leaves=3);"
        "print(sorted({'lightgbm', 'sklearn', 'scipy', 'plotly', 'jinja2', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_lightgbm_the_error_says_how_to_install_it(monkeypatch, dataset):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match="lightgbm") as caught:
        LGBModel().fit(dataset)
    assert 'pip install "rollwright[lightgbm]"' in str(caught.value)
