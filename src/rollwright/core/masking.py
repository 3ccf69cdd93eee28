"""Hide the secrets in a text before it is shown or stored: passwords, tokens and keys, however they are written.

What is hidden:

1. the login of an address: ``scheme://user:password@host``, with any scheme, with several ``@``, without a user,
   without a scheme, and percent-encoded within another address; the user too, where it may be a token;
2. parameters of an address whose name says so: ``?password=``, ``&sslpassword=``, ``&sig=``, ``&access_token=``;
3. settings in words, as libpq, ODBC, JSON and YAML write them: ``password='…'``, ``PWD={…}``, ``"token": "…"``;
4. what follows ``Bearer``, and ``Authorization:``.

A text in doubt is hidden: too much is hidden rather than too little. What was masked is left as it is by a second call.
"""

from __future__ import annotations

import logging
import re
from typing import Final
from urllib.parse import unquote

__all__ = ["MaskingFormatter", "is_secret_name", "mask_secrets", "mask_value"]

HIDDEN: Final = "***"

# However long a text is, each of these looks at each of its characters a bounded number of times.
_RUN: Final = re.compile(r"[^\s<>]+")
_SCHEME: Final = re.compile(r"(?:[a-z][a-z0-9+.\-]*:)?$", re.IGNORECASE)
_WHOLE: Final = re.compile(r"\s*[a-z][a-z0-9+.\-]{0,30}://", re.IGNORECASE)
_ENCODED: Final = re.compile(r"(%3A%2F%2F)[^\s&;<>]{0,500}(%40)", re.IGNORECASE)
_LOGIN: Final = re.compile(r"(?<![\w.%+\-*])([\w.%+\-]{0,64}):([^\s/<>'\"]{1,500})@(?=[\w\[])")
_PARAMETER: Final = re.compile(r"([?&;])([^=&;?\s]{1,100})=([^&\s\"']+)")
_NAME: Final = re.compile(r"""(?<![\w.\-])([\w.\-]{1,100})["']?\s{0,3}[=:]\s{0,3}""")
_VALUE: Final = re.compile(
    r"""'(?:\\.|''|[^'\\])*'|"(?:\\.|[^"\\])*"|\{(?!\{)[^}]*\}|[^\s,;&)}\]"']+""",
)
_LINE: Final = re.compile(r"^(\s*(?:-\s+)?[\"']?([\w.\-]{1,100})[\"']?\s*:[ \t]+)(\S.*)$", re.MULTILINE)
_VARIABLE: Final = re.compile(r"[\"']?\{\{[^{}]*\}\}[\"']?")
_BEARER: Final = re.compile(
    r"\b(Bearer|Authorization[\"']?\s?[:=]\s?[\"']?[A-Za-z]+)(\s+)[\w.~+/=\-]{6,}", re.IGNORECASE
)

_NAMES_USERS: Final = (
    "postgres", "mysql", "mariadb", "mssql", "oracle", "mongodb", "redis", "wasb", "abfs", "ssh", "sftp",
)  # fmt: skip
"""Schemes before whose ``@`` alone a user or a container stands; with any other it may be a token."""
_CONTAINED: Final = ("password", "passwd", "passphrase", "secret", "credential")
_ENDINGS: Final = (
    "token", "tokens", "pwd", "apikey", "apikeys", "accesskey", "accountkey", "privatekey", "sharedkey", "authkey",
    "signature",
)  # fmt: skip
_WORDS: Final = ("pass", "pw", "sig", "auth", "authorization")


def is_secret_name(name: str) -> bool:
    """Tell whether `name` is the name of a secret, as ``api_key`` and ``sslpassword`` are."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return any(part in plain for part in _CONTAINED) or plain.endswith(_ENDINGS) or plain in _WORDS


def mask_secrets(value: object) -> str:
    """Return `value` as text with its secrets hidden."""
    text = str(value)
    if not _may_hold_any(text):
        return text
    # What is nothing but an address may have spaces in its password; in a sentence a space ends it.
    text = _mask_address(text) if _WHOLE.match(text) and "\n" not in text else text
    text = _RUN.sub(lambda found: _mask_address(found.group()), text)
    text = _ENCODED.sub(rf"\1{HIDDEN}\2", text)
    text = _LOGIN.sub(rf"\1:{HIDDEN}@", text)
    text = _PARAMETER.sub(_mask_parameter, text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    text = _LINE.sub(_mask_line, text)
    return _mask_settings(text)


def mask_value(name: str, value: object) -> str:
    """Return the value of what is called `name`: all of it hidden when the name is that of a secret."""
    last = name.rpartition(".")[2]
    return HIDDEN if is_secret_name(last) and value not in (None, "") else mask_secrets(value)


class MaskingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, with their secrets hidden."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of `record`."""
        return mask_secrets(super().format(record))


def _may_hold_any(text: str) -> bool:
    """Tell whether a secret may stand in `text`, which most texts settle at once."""
    return any(sign in text for sign in "@=:%") or "earer" in text or "EARER" in text


def _mask_address(text: str) -> str:
    """Hide the login between the first ``//`` and the last ``@``, whatever characters it has."""
    start, end = text.find("//"), text.rfind("@")
    if start < 0 or end < start:
        return text
    login = text[start + 2 : end]
    user, colon, _ = login.partition(":")
    if not colon and "/" in login:  # an @ within a path
        return text
    found = _SCHEME.search(text[max(0, start - 32) : start])
    if colon:
        shown = f"{user}:{HIDDEN}"
    else:
        shown = login if found is not None and found.group().lower().startswith(_NAMES_USERS) else HIDDEN
    return f"{text[: start + 2]}{shown}{text[end:]}"


def _mask_parameter(found: re.Match[str]) -> str:
    sign, name, value = found.groups()
    plain = unquote(name)
    hidden = is_secret_name(plain) or plain.lower().endswith("key") or _mask_settings(unquote(value)) != unquote(value)
    return f"{sign}{name}={HIDDEN}" if hidden else found.group()


def _mask_line(found: re.Match[str]) -> str:
    """Hide all of what stands in a line of YAML; the name of a variable may be seen."""
    start, name, value = found.groups()
    if not is_secret_name(name) or _VARIABLE.fullmatch(value.strip()):
        return found.group()
    return f"{start}{HIDDEN}"


def _mask_settings(text: str) -> str:
    parts, end = [], 0
    for found in _NAME.finditer(text):
        if found.start() < end or not is_secret_name(found.group(1)):
            continue
        value = _VALUE.match(text, found.end())
        if value is None or value.group().strip("'\"").startswith(("{{", HIDDEN)):
            continue
        quote = value.group()[0] if value.group()[0] in "'\"" else ""
        parts += [text[end : found.end()], quote, HIDDEN, quote]
        end = value.end()
    return "".join([*parts, text[end:]])
