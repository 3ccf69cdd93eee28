"""Optional dependencies: an absent one says how to install it, a broken one says how it is broken."""

from __future__ import annotations

import sys

import pytest

from rollwright.core.optional import require
from rollwright.errors import MissingExtraError


def test_a_present_module_is_returned():
    import json.decoder  # noqa: PLC0415

    assert require("json.decoder", extra="none") is json.decoder


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.deep.er"])
def test_an_absent_package_gives_the_line_that_installs_it(module):
    with pytest.raises(MissingExtraError) as caught:
        require(module, extra="fancy")
    assert (caught.value.package, caught.value.extra) == ("no_such_package", "fancy")
    assert 'pip install "rollwright[fancy]"' in str(caught.value)
    assert isinstance(caught.value, ImportError)
    assert caught.value.exit_code == 3


def test_a_package_that_is_there_and_lacks_something_tells_what(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all") as caught:
        require("half_there", extra="fancy")
    assert not isinstance(caught.value, MissingExtraError)
    sys.modules.pop("half_there", None)


def test_a_package_without_the_module_asked_for_is_a_bug_and_no_missing_extra():
    with pytest.raises(ModuleNotFoundError) as caught:
        require("json.no_such_module", extra="fancy")
    assert not isinstance(caught.value, MissingExtraError)
