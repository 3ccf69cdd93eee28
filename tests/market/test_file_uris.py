"""Paths in settings: what a `file:` URI names, and what is no path of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright import D, init
from rollwright.config.settings import load_settings
from rollwright.core.file_uris import read_path
from rollwright.errors import ConfigError, DataNotFoundError
from rollwright.market.demo import make_demo_market
from rollwright.market.ingest.check import check_data

NAMED = {
    "/a b": "/a b", "file:///a%20b": "/a b", "file:/a%20b": "/a b", "file://localhost/a%20b": "/a b",
    "FILE:///a b": "/a b", "file:///a%41": "/aA", "/a%41": "/a%41", "file:data": "data", "data/m": "data/m",
    "file:///50%": "/50%", "file:///a#b?c": "/a#b?c", "/a:b": "/a:b", "file:///%E7%A0%94": "/研", "a:b": "a:b",
}  # fmt: skip
REFUSED = {
    "file://server/share": "names the host 'server'", "file://data/m": "file:///data/m",
    "C:\\data": "a path of Windows",
    "C:/data": "a path of Windows", "file:///C:/data": "a path of Windows", "\\\\server\\share": "a path of Windows",
    "s3://bucket/data": "no folder of this machine", "https://host/data": "no folder of this machine",
    "file:///a%00b": "names no path", "file:": "names no path", "": "names no path",
}  # fmt: skip


@pytest.mark.parametrize("text", NAMED)
def test_a_text_names_the_path_it_shows(text):
    assert read_path(text) == Path(NAMED[text])
    assert read_path(Path("a") / "b") == Path("a/b")


@pytest.mark.parametrize("text", ["~/market", "file:~/market", "file://~/market"])
def test_the_home_folder_is_expanded(text):
    assert read_path(text) == Path.home() / "market"


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_path_of_this_machine_is_refused(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        read_path(text)
    assert REFUSED[text] in f"{caught.value} {caught.value.hint}"
    with pytest.raises(ConfigError):
        load_settings({"data.provider_uri": text}, start=tmp_path, environ={})


def test_every_spelling_of_a_folder_with_a_blank_is_the_folder(tmp_path):
    root = tmp_path / "my 研究 100%"
    make_demo_market(root, instruments=20, sessions=100)
    uri = root.as_uri()
    for spelling in (str(root), uri, uri.replace("file://", "file:"), uri.replace("file://", "file://localhost")):
        init(provider_uri=spelling, region="us")
        assert len(D.calendar()) == 100
        assert check_data(spelling).sessions == 100


def test_a_relative_uri_counts_from_the_project(tmp_path):
    settings = load_settings(
        {"data.provider_uri": "file:my%20market", "tracking.artifacts": "file:files"}, start=tmp_path, environ={}
    )
    assert settings.data.provider_uri == "my market"
    assert settings.resolve(settings.tracking.artifacts) == settings.root / "files"


def test_a_folder_that_is_not_there_is_told_with_its_path(tmp_path):
    init(provider_uri=f"file://{tmp_path}/none%20such", region="us")
    with pytest.raises(DataNotFoundError, match="none such"):
        D.calendar()
