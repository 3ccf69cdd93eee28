"""The page of a comparison: one file, which shows names as text and asks the network for nothing."""

import re

import pytest

from comparisons import make_comparison, make_failure, make_run
from rollwright.compare.page import comparison_html, write_page
from rollwright.compare.table import make_table

SECTIONS = ("table", "ic", "ranks", "curves", "wins", "costs", "failures")


def make_page(runs, lang="en", **terms):
    return comparison_html("mine", make_table(runs, **terms), runs, lang=lang)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_has_all_its_sections_in_both_languages(lang):
    page = make_page([*make_comparison(days=60), make_failure("GRU")], lang, baseline="Linear")
    for name in SECTIONS:
        assert f'<section id="{name}">' in page
    assert ("年化收益" in page) == (lang == "zh")
    assert 'id="health"' not in page


def test_hostile_names_and_secrets_are_shown_as_text_or_not_at_all():
    name, cause = "<script>alert(1)</script>", "OSError: postgresql://me:hunter2@db/x </script><b>"
    page = make_page([make_run(name), make_run("B"), make_failure("C", cause=cause)], baseline=name)
    head = page.split("<script>/**")[0]
    assert "<script>alert" not in page
    assert "hunter2" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in head


def test_the_page_names_nothing_outside_itself():
    page = make_page(make_comparison(days=60))
    head = page.split("<script>")[0]
    assert "default-src 'none'" in head
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", head)


def test_equal_runs_give_equal_pages(tmp_path):
    first = write_page(tmp_path / "a.html", "mine", make_table(make_comparison(days=60)), make_comparison(days=60))
    assert first.read_text(encoding="utf-8") == make_page(make_comparison(days=60)[::-1])


def test_failures_alone_and_a_single_session_are_pages_too():
    page = make_page([make_failure("A"), make_failure("B", status="waiting", cause="")])
    assert '<section id="failures">' in page
    assert '<section id="ic">' not in page
    short = make_page([make_run("A", days=1), make_run("B", days=1)])
    assert '<section id="ranks">' not in short
    assert '<section id="wins">' in short
