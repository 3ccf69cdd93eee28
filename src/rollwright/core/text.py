"""Text from outside: what is stored, logged and shown of it, whatever characters it brings and however long it is.

Error texts, file names, tags and parameters come from programs and files that nobody here wrote. They may hold what no
database and no UTF-8 file can hold (NUL, lone surrogates: the bytes of a file name that is not UTF-8), what steers a
terminal, and megabytes of it. Three functions, and no others, make it harmless, and all of them leave it readable:

- `storable_text` for what is kept: the same text in every store;
- `escape_text` and `escape_lines` for what is shown.

A name that things are found by is not escaped but refused, by `check_name`: two names never become one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["NAME_RULE", "count_noun", "escape_lines", "escape_text", "is_name", "is_utf8", "storable_text"]

NAME_RULE: Final = (
    "1 to 100 letters and digits of any script, `.`, `_`, `-` and blanks within, beginning with a letter or a digit"
)
"""What `is_name` takes, for hints."""

_LONGEST_NAME: Final = 100
_LONGEST_NAME_BYTES: Final = 200  # a file name has 255 at most, endings and drafts included

_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME: Final = re.compile(r"[^\W_](?:[\w .\-]*[\w.\-])?")
_HEAD: Final = 0.25
"""The share of a text that is too long which is kept from its beginning; the end of a traceback says more."""


def storable_text(text: str, *, longest: int | None = None) -> str:
    r"""Return `text` as every store holds it.

    Control characters, but for tabs and line breaks, and lone surrogates are written as ``\x1b`` and ``\udce9``; every
    kind of line break is ``\n``. A text above `longest` characters loses its middle, and says how much of it.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if _UNSTORABLE.search(text) is not None:
        text = _UNSTORABLE.sub(lambda found: _escape_char(found.group()), text)
    return text if longest is None else _shorten(text, longest)


def escape_text(value: object, *, longest: int | None = None) -> str:
    """Return a value as one line of text; control characters, and those that turn text around, are escaped."""
    text = str(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escape_char(char) for char in text)
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


def escape_lines(text: str, *, longest: int | None = None) -> str:
    """Return text of several lines, such as a traceback, with its line breaks and all else as `escape_text` does."""
    shown = text if longest is None else _shorten(text, longest)
    return "\n".join(escape_text(line.replace("\t", "    ")) for line in shown.split("\n"))


def count_noun(number: int, noun: str) -> str:
    """Return a number with its noun, as ``1 window`` and ``1,200 windows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def is_utf8(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8; the name of a file whose bytes are not cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_name(value: object) -> bool:
    """Tell whether `value` may name an experiment, a campaign or a trusted key: a file or a folder is named by it.

    A name is written in the composed form of Unicode (NFC), so that two that look the same are the same.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_NAME:
        return False
    plain = "".join(char for char in value if unicodedata.category(char) not in ("Mn", "Mc"))  # vowels of Hindi, Thai
    return (
        _NAME.fullmatch(plain) is not None
        and value[0] == plain[:1]
        and len(value.encode("utf-8", "surrogatepass")) <= _LONGEST_NAME_BYTES
        and unicodedata.is_normalized("NFC", value)
    )


def _shorten(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    head = int(longest * _HEAD)
    tail = longest - head
    return f"{text[:head]}\n… {len(text) - longest:,} characters left out …\n{text[-tail:]}"


def _escape_char(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
