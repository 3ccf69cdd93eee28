"""Names are selected by patterns whose matching stays cheap; the others are refused before anything is matched."""

from __future__ import annotations

import re
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollwright.errors import ConfigError
from rollwright.features.name_rule import MAX_LENGTH, compile_name_rule

USUAL = [
    "SH",
    "SH[0-9]{4}55",
    "(SH|SZ)60\\d{4}$",
    ".*ST.*",
    "^(?!SZ300).*",
    "SH60[0-9]*|SZ00[0-9]*",
    "(?i)sh6",
    "[A-Z]+\\.X?$",
    "(SH)?6",
]


@pytest.mark.parametrize("text", USUAL)
def test_usual_patterns_match_as_ever(text: str) -> None:
    pattern = compile_name_rule(text)
    for code in ("SH600055", "SZ300001", "sh600000", "AST.X", "6"):
        assert bool(pattern.match(code)) == bool(re.match(text, code))


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+$",
        "(a|a)*$",
        "(a|aa)+b",
        "((ab)*)*c",
        "(a?){50}a{50}",
        "(?:x*y?)*z",
        "(a{1,50}){1,50}b",
        "(?=(a+)+)b",
        "(a)(?:\\1)+",
    ],
)
def test_patterns_that_may_take_for_ever_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="in several ways"):
        compile_name_rule(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a*a*a*a*b", "4 repeats"), ("(", "not a regular expression"), ("S" * (MAX_LENGTH + 1), "characters")],
)
def test_what_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        compile_name_rule(text)


PIECES = st.sampled_from(
    ["a", "[ab]", ".", "a*", "a+", "a?", "a{2,9}", "b", "(?:a)", "(a|b)", "$", "\\1", "(a*)", "(?=a*)", "(?:ab){3}"]
)


@settings(max_examples=60)
@given(st.lists(PIECES, min_size=1, max_size=7), st.sampled_from(["", "*", "+", "{2,30}"]))
def test_every_pattern_that_is_accepted_is_fast(pieces: list[str], again: str) -> None:
    text = "".join(pieces)
    for whole in (text + "c", f"(?:{text}){again}c"):
        try:
            pattern = compile_name_rule(whole)
        except ConfigError:
            continue
        before = time.process_time()
        pattern.match("a" * 99 + "d")
        pattern.match(string.ascii_lowercase * 4)
        assert time.process_time() - before < 0.5
