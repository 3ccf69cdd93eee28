"""Patterns find what Python's `re` finds, as they are written for servers too; what could take for ever is refused."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.errors import QueryError
from rollwright.pool.patterns import Pattern

PATTERNS = [
    "", "a", "^a", "a$", "^$", "^ab?c*$", "a|b", "^(a|b)c", "(?:ab){2,3}$", "[a-c]+b", "[^a-c]", "[]a]", "[^]]", "[a-]",
    r"\d\w\s",
    r"\D+", r"[\d.]+$", r"a\.b", r"\[x\]", "a{0}b", "a{2}", "a{1,}b", ".", "^.$", "a.c", r"\n", "(|a)b", "x*",
    "a??b", "é",
    "[é-ü]",
    r"^LGB.*Model$", "(a|bc|)d",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "abc", "abcc", "ac", "bc", "cab", "abab", "ababab", "a.b", "[x]", "]", "-", "a\nc",
    "\n", "1a ", "12.5",
    "é",
    "ö", "LGBModel", "LGB ✓ Model", "aab", "d", "bcd", "xyz", "A", "aB",
]  # fmt: skip


def by_re(source: str, text: str, flags: int = 0) -> bool:
    return re.search(re.sub(r"(?<!\\)\$", r"\\Z", source), text, re.ASCII | flags) is not None


@pytest.mark.parametrize("source", PATTERNS)
def test_it_finds_what_re_finds_as_it_stands_and_as_it_is_written(source):
    pattern = Pattern.parse(source)
    for text in TEXTS:
        assert pattern.matches(text) is by_re(source, text), text
        assert (re.search(pattern.written(end=r"\Z"), text) is not None) is by_re(source, text), text


@pytest.mark.parametrize("source", ["aB", "[A-C]+$", "[^b]", r"\w", "é"])
def test_letters_of_ascii_have_two_cases_when_asked(source):
    pattern = Pattern.parse(source, options="i")
    for text in [text for text in TEXTS if text.isascii()]:
        assert pattern.matches(text) is by_re(source, text, re.IGNORECASE), text
        assert (re.search(pattern.written(end=r"\Z"), text) is not None) is by_re(source, text, re.IGNORECASE), text


@given(st.text(alphabet="ab.|()[]*+?^$1", max_size=8), st.text(alphabet="ab1\n", max_size=6))
def test_whatever_is_understood_means_what_it_means_in_python(source, text):
    try:
        pattern = Pattern.parse(source)
    except QueryError:
        return
    assert pattern.matches(text) is by_re(source, text)


@pytest.mark.parametrize(
    "source",
    [
        "(a+)+$", "(a*)*", "(a|b)*c", "(a?){9}", "((a{1,3}))+", ".*.*.*.*", "a**", "a+*", "(", ")", "[",
        "[b-a]", "[[:alpha:]]",
        "*a",
        "^*", "$+", "a{101}", "a{3,2}", "{", r"\1", r"\b", "\\", "(?=a)", "(?<n>a)", "(?i)a", "a" * 257,
        "(" * 20 + ")" * 20,
        r"[\d-z]",
        r"[^\s\S]", "((((a{100}){100}){100}){100})",
    ],
)  # fmt: skip
def test_what_could_take_for_ever_or_means_different_things_is_refused(source):
    with pytest.raises(QueryError, match="pattern"):
        Pattern.parse(source)


def test_time_grows_with_the_text_and_no_faster():
    pattern = Pattern.parse("^a*a*a*b$")
    started = time.process_time()
    assert not pattern.matches("a" * 20_000)
    assert time.process_time() - started < 5
