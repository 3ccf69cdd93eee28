"""Text from outside: readable and harmless, whatever it holds; names that stand for one thing each."""

from __future__ import annotations

import json
import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.core.text import escape_lines, escape_text, is_name, storable_text

ANY_TEXT = st.text(st.characters(), max_size=60)


@given(ANY_TEXT)
def test_what_is_storable_goes_through_utf8_json_and_a_database_and_stays_as_it_is(text):
    kept = storable_text(text)
    assert kept.encode().decode() == kept
    assert json.loads(json.dumps(kept, ensure_ascii=False)) == kept
    database = sqlite3.connect(":memory:")
    assert database.execute("SELECT ?", (kept,)).fetchone() == (kept,)
    database.close()
    assert "\x00" not in kept
    assert storable_text(kept) == kept


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\tand a tab", "研究 наука 🐍", "C:\\new\\x00"])
def test_what_is_harmless_is_not_touched(text):
    assert storable_text(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("caf\udce9", "caf\\udce9"),
        ("a\x00b", "a\\x00b"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),
        ("one\r\ntwo", "one\ntwo"),
        ("10%\r20%", "10%\\r20%"),
    ],
)
def test_what_is_not_is_written_as_a_readable_escape(text, kept):
    assert storable_text(text) == kept


def test_a_text_that_is_too_long_loses_its_middle_and_says_so():
    kept = storable_text("a" * 500 + "b" * 500, longest=100)
    assert kept == "a" * 25 + "\n… 900 characters left out …\n" + "b" * 75
    assert storable_text("x" * 100, longest=100) == "x" * 100


@given(ANY_TEXT)
def test_what_is_shown_is_printable_to_the_last_character(text):
    assert escape_text(text).isprintable()
    assert all(line.isprintable() for line in escape_lines(text).split("\n"))


@pytest.mark.parametrize(
    "name", ["demo", "研究", "研究 2024", "my first study", "naïve", "v1.2_b-3", "7", "हिन्दी", "Ω", "a" * 100]
)
def test_letters_of_any_script_and_blanks_may_name_something(name):
    assert is_name(unicodedata.normalize("NFC", name))


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", ".hidden", "-rf", "_x", "a/b", "..", "a\\b", "a\nb", "a\tb", "a\x00", "caf\udce9", "a" * 101,
     "研" * 67, "a:b", "a'b", "\u0301a", "cafe\u0301", "a\u202eb", "a\u00a0b", "a\u200bb", 3, None],
)  # fmt: skip
def test_what_could_be_a_path_or_look_like_another_name_may_not(name):
    assert not is_name(name)
